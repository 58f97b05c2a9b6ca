"""What is measured of predictions: counted where it happens, or read from the database when asked.

State is read, so it is right whatever processes come and go. Each query reads what is waiting or
running, which QUEUE_LIMIT bounds, or so many of the newest entries: none grows with the tables.
"""

from collections import Counter
from collections.abc import Iterator
from datetime import datetime, timedelta
from functools import lru_cache, partial
from typing import Any
from uuid import UUID

from django.db import DatabaseError, InterfaceError, transaction
from django.db.models import Count, Min, Sum
from django.utils import timezone
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from billing.models import LedgerEntry
from carprice.broker.reachability import broker_fault
from carprice.db import cursors, dialect
from carprice.metrics import registry
from mlmodels.models import Predictor, PredictorVersion
from predictions.models import AuditRun, Heartbeat, Prediction, ScoringRequest, WhatIf

ALIVE_WITHIN = timedelta(seconds=30)
WINDOW = timedelta(minutes=5)  # of the ledger
MOST_ENTRIES = (1000, 10_000, 50_000)  # read until they reach back to the window's beginning
KINDS: dict[type[ScoringRequest], str] = {Prediction: "prediction", WhatIf: "what_if"}

# --- Counted where it happens --------------------------------------------------------------------

ENDED = registry.counter(
    "carprice_predictions_ended_total", "Predictions that ended.", ["predictor", "outcome"]
)
STAGES = registry.histogram(
    "carprice_stage_seconds",
    "Waiting of a prediction; scoring and settlement of a claim.",
    ["stage"],
    (*registry.SECONDS, 60, 120, 300, 600),
)
LEASES_LOST = registry.counter(
    "carprice_leases_lost_total", "Rows whose worker let its lease run out.", ["kind"]
)


def count_ended(model: type[ScoringRequest], version_id: UUID, outcome: str, rows: int) -> None:
    """Count predictions of a version that have ended, once the transaction is committed."""
    if model is Prediction and rows:
        transaction.on_commit(partial(_count_ended, version_id, outcome, rows), robust=True)


def _count_ended(version_id: UUID, outcome: str, rows: int) -> None:
    registry.count(ENDED, _predictor_of(version_id), outcome, amount=rows)


@lru_cache(maxsize=256)
def _predictor_of(version_id: UUID) -> str:
    versions = PredictorVersion.objects.filter(pk=version_id)
    return versions.values_list("predictor__name", flat=True).get()


def observe_stage(model: type[ScoringRequest], stage: str, seconds: float) -> None:
    if model is Prediction:
        registry.observe(STAGES, seconds, stage)


def count_lost_leases(model: type[ScoringRequest], rows: int) -> None:
    registry.count(LEASES_LOST, KINDS[model], amount=rows)


# --- Read when asked -----------------------------------------------------------------------------

_QUEUE = ("kind", "predictor")


class State(Collector):
    """Queue, holds, ledger, workers, broker and audit, as they are now."""

    def collect(self) -> Iterator[Metric]:
        yield _gauge("carprice_broker_up", "Whether the broker answers.", not broker_fault())
        try:
            families = [*_queues(), *_holds(), *_ledger(), *_workers(), *_catalogue(), *_audit()]
        except (DatabaseError, InterfaceError):
            yield _gauge("carprice_database_up", "Whether the database answers.", value=False)
            return
        yield _gauge("carprice_database_up", "Whether the database answers.", value=True)
        yield from families


def _gauge(name: str, description: str, value: float) -> Metric:
    return GaugeMetricFamily(name, description, value=float(value))


def _queues() -> Iterator[Metric]:
    depth = GaugeMetricFamily("carprice_queue_depth", "Rows that wait.", labels=_QUEUE)
    oldest = GaugeMetricFamily(
        "carprice_queue_oldest_seconds", "How long the oldest row has waited.", labels=_QUEUE
    )
    running = GaugeMetricFamily("carprice_running", "Rows that a worker has.", labels=_QUEUE)
    now = timezone.now()
    names = sorted(Predictor.objects.values_list("name", flat=True))
    for model, kind in KINDS.items():
        waiting: Counter[str] = Counter()
        at_work: Counter[str] = Counter()
        ages: dict[str, float] = {}
        rows = model.objects.active().order_by().values_list("version__predictor__name", "status")
        counted = rows.annotate(number=Count("*"), since=Min("queued_at"))
        for name, status, number, since in counted:
            if status == ScoringRequest.Status.QUEUED:
                waiting[name], ages[name] = number, _seconds(now, since)
            else:
                at_work[name] = number
        for name in names:
            depth.add_metric([kind, name], waiting[name])
            oldest.add_metric([kind, name], ages.get(name, 0.0))
            running.add_metric([kind, name], at_work[name])
    yield from (depth, oldest, running)


def _seconds(now: datetime, since: datetime | None) -> float:
    return max(0.0, (now - since).total_seconds()) if since else 0.0


def _holds() -> Iterator[Metric]:
    """Each prediction that is queued or running has exactly one open hold, of its price."""
    held = (
        Prediction.objects.active()
        .order_by()
        .aggregate(number=Count("*"), amount=Sum("price"), since=Min("queued_at"))
    )
    yield _gauge("carprice_holds_open", "Holds that are not resolved.", held["number"])
    yield _gauge("carprice_holds_credits", "Credits that they hold.", held["amount"] or 0)
    age = _seconds(timezone.now(), held["since"])
    yield _gauge("carprice_holds_oldest_seconds", "Age of the oldest open hold.", age)


# A capture or a release changes `held` as well; of those that are posted, the balance counts.
_LEDGER = """
    SELECT kind, COUNT(*),
        SUM(ABS(CASE WHEN balance_change = 0 THEN held_change ELSE balance_change END)),
        MAX(CASE WHEN created_at <= {since} THEN 1 ELSE 0 END)
    FROM (
        SELECT kind, balance_change, held_change, created_at FROM billing_ledgerentry
        ORDER BY id DESC LIMIT %s
    ) AS newest
    GROUP BY kind, created_at > {since}
"""


def _ledger() -> Iterator[Metric]:
    entries = GaugeMetricFamily(
        "carprice_ledger_entries_5m", "Ledger entries of five minutes.", labels=["kind"]
    )
    amounts = GaugeMetricFamily(
        "carprice_ledger_credits_5m", "Credits that they moved.", labels=["kind"]
    )
    statement = _LEDGER.format(since=dialect.now(-WINDOW))
    rows: list[tuple[Any, ...]] = []
    for limit in MOST_ENTRIES:
        rows = cursors.fetch_all(statement, limit)
        if any(is_older for *_, is_older in rows) or sum(row[1] for row in rows) < limit:
            break
    lately = {kind: (number, moved) for kind, number, moved, is_older in rows if not is_older}
    for kind in LedgerEntry.Kind.values:
        number, moved = lately.get(kind, (0, 0))
        entries.add_metric([kind], number)
        amounts.add_metric([kind], float(moved))
    yield from (entries, amounts)


def _workers() -> Iterator[Metric]:
    now = timezone.now()
    beats = list(Heartbeat.objects.order_by("-beat_at").values_list("beat_at", flat=True)[:1000])
    alive = sum(now - beat < ALIVE_WITHIN for beat in beats)
    yield _gauge("carprice_workers_alive", "Workers that consumed lately.", alive)
    if beats:
        age = _seconds(now, beats[0])
        yield _gauge("carprice_worker_last_beat_seconds", "Since any worker consumed.", age)


def _catalogue() -> Iterator[Metric]:
    on_sale = set(Predictor.objects.on_sale().values_list("name", flat=True))
    family = GaugeMetricFamily(
        "carprice_predictor_on_sale",
        "Whether a predictor that an operator sells can be bought.",
        labels=["predictor"],
    )
    for name in Predictor.objects.filter(enabled=True).values_list("name", flat=True):
        family.add_metric([name], float(name in on_sale))
    yield family


def _audit() -> Iterator[Metric]:
    """Of the newest run; none before there was one."""
    run = AuditRun.objects.order_by("-ended_at").first()
    if run is not None:
        age = _seconds(timezone.now(), run.ended_at)
        yield _gauge("carprice_audit_breaches", "Breaches that the last audit found.", run.breaches)
        yield _gauge("carprice_audit_age_seconds", "Since the last audit.", age)
