"""What an operator asks each morning: what was sold, how fast, what failed, what is off sale.

No query grows with the tables: what happened lately is read from the newest ledger entries, whose
ids are in the order of time, and the queue from its own index.
"""

from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db.models import Count, Max, Min, QuerySet, Sum
from django.db.models.functions import TruncHour
from django.utils import timezone

from billing.models import LedgerEntry
from mlmodels.models import Predictor
from predictions.models import AuditRun, Heartbeat, Prediction

SINCE = timedelta(hours=24)
MOST_ENTRIES = 20_000  # newer ones alone are counted on a day with more
MOST_NAMED = 5000  # holds in one query
ALIVE_SECONDS = 90
Kind = LedgerEntry.Kind


@dataclass(frozen=True)
class Hour:
    """Predictions of an hour: asked for, finished, and failed or canceled."""

    start: datetime
    held: int
    captured: int
    released: int


@dataclass(frozen=True)
class OffSale:
    predictor: Predictor
    reason: str


@dataclass(frozen=True)
class Dashboard:
    """`sold` and `captured` are credits; the queue's age is in seconds, None of an empty one."""

    hours: list[Hour]
    is_cut: bool
    sold: int
    captured: int
    failures: list[tuple[str, int]]
    waiting: int
    oldest_seconds: float | None
    workers: int
    off_sale: list[OffSale]
    audit: AuditRun | None


def read() -> Dashboard:
    now = timezone.now()
    recent, is_cut = _recent_entries(now - SINCE)
    by_hour = list(
        recent.annotate(hour=TruncHour("created_at"))
        .values_list("hour", "kind")
        .annotate(count=Count("*"), change=Sum("balance_change"))
    )
    oldest = Prediction.objects.filter(status="queued").aggregate(at=Min("queued_at"))["at"]
    return Dashboard(
        hours=_hours(by_hour),
        is_cut=is_cut,
        sold=sum(change for _, kind, _, change in by_hour if kind == Kind.TOP_UP),
        captured=-sum(change for _, kind, _, change in by_hour if kind == Kind.CAPTURE),
        failures=_failures(recent),
        waiting=Prediction.objects.filter(status="queued").count(),
        oldest_seconds=(now - oldest).total_seconds() if oldest else None,
        workers=Heartbeat.objects.filter(
            beat_at__gt=now - timedelta(seconds=ALIVE_SECONDS)
        ).count(),
        off_sale=_off_sale(),
        audit=AuditRun.objects.order_by("-ended_at").first(),
    )


def _recent_entries(since: datetime) -> tuple[QuerySet[LedgerEntry], bool]:
    """Those since then, of the newest `MOST_ENTRIES`; and whether there were more."""
    newest = LedgerEntry.objects.aggregate(id=Max("id"))["id"] or 0
    last_left_out = newest - MOST_ENTRIES
    entries = LedgerEntry.objects.filter(id__gt=last_left_out, created_at__gt=since)
    return entries, LedgerEntry.objects.filter(id=last_left_out, created_at__gt=since).exists()


def _hours(by_hour: list[tuple[datetime, str, int, int]]) -> list[Hour]:
    """The newest first."""
    counts: dict[datetime, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    for hour, kind, count, _ in by_hour:
        counts[hour][kind] = count
    return [
        Hour(start, kinds[Kind.HOLD], kinds[Kind.CAPTURE], kinds[Kind.RELEASE])
        for start, kinds in sorted(counts.items(), reverse=True)
        if kinds[Kind.HOLD] or kinds[Kind.CAPTURE] or kinds[Kind.RELEASE]
    ]


def _failures(entries: QuerySet[LedgerEntry]) -> list[tuple[str, int]]:
    """Codes by how often they ended a prediction, the most frequent first."""
    released = entries.filter(kind=Kind.RELEASE).order_by("-id")
    holds = list(released.values_list("resolves_id", flat=True)[:MOST_NAMED])
    rows = Prediction.objects.filter(hold_id__in=holds, status="failed")
    counted = rows.values_list("failure").annotate(count=Count("*")).order_by("-count")
    return list(counted)


def _off_sale() -> list[OffSale]:
    on_sale = set(Predictor.objects.on_sale().values_list("pk", flat=True))
    rows = Predictor.objects.with_version().exclude(pk__in=on_sale)
    return [OffSale(row, _reason(row)) for row in rows]


def _reason(row: Predictor) -> str:
    if not row.enabled:
        return "An operator took it off sale."
    if row.current_version is None:
        return "It has not been trained yet."
    return row.current_version.fault or "Unknown."
