"""Every invariant of the service, each a query that finds what breaks it."""

from collections.abc import Iterator
from datetime import timedelta

from django.conf import settings
from django.db.models import Exists, OuterRef, QuerySet
from django.db.models.functions import Now

from billing import audit as billing_audit
from billing.models import LedgerEntry
from predictions import triggers
from predictions.models import Prediction

Kind = LedgerEntry.Kind
Status = Prediction.Status

OVERDUE = timedelta(seconds=settings.DEADLINE_SECONDS + 60)


def breaches() -> Iterator[str]:
    """One sentence for each breach; none if money and jobs are all there."""
    yield from billing_audit.breaches()
    yield from billing_audit.missing_triggers(triggers.NAMES)
    yield from _named("finished without a capture of exactly its price", _uncharged())
    yield from _named("charged without having finished", _charged_for_nothing())
    yield from _named("ended with an open hold", _ended_with_open_hold())
    yield from _named("waiting or running without an open hold", _active_without_hold())
    yield from _named("not ended long after its deadline", _stuck())
    yield from _holds_of_nothing()


def _uncharged() -> QuerySet[Prediction]:
    """2. Every finished prediction has exactly one capture of exactly its price."""
    capture = _resolution(Kind.CAPTURE).filter(balance_change=-OuterRef("price"))
    return Prediction.objects.filter(~Exists(capture), status=Status.FINISHED)


def _charged_for_nothing() -> QuerySet[Prediction]:
    """2. No other prediction has one."""
    capture = LedgerEntry.objects.filter(task_id=OuterRef("pk"), kind=Kind.CAPTURE)
    return Prediction.objects.filter(Exists(capture)).exclude(status=Status.FINISHED)


def _ended_with_open_hold() -> QuerySet[Prediction]:
    """3. Every ended prediction has no open hold."""
    return Prediction.objects.filter(
        ~Exists(_resolution()), status__in=Prediction.ENDED, hold__isnull=False
    )


def _active_without_hold() -> QuerySet[Prediction]:
    """3. Every queued or running one has exactly one."""
    own = LedgerEntry.objects.filter(
        pk=OuterRef("hold"), kind=Kind.HOLD, task_id=OuterRef("pk"), held_change=OuterRef("price")
    )
    return Prediction.objects.active().exclude(Exists(own), ~Exists(_resolution()))


def _stuck() -> QuerySet[Prediction]:
    """4. None is queued or running longer than the published bound."""
    return Prediction.objects.active().filter(queued_at__lt=Now() - OVERDUE)


def _holds_of_nothing() -> Iterator[str]:
    """3. Every hold belongs to the one prediction that names it."""
    owner = Prediction.objects.filter(hold=OuterRef("pk"), pk=OuterRef("task_id"))
    for entry in LedgerEntry.objects.filter(~Exists(owner), kind=Kind.HOLD)[: billing_audit.SHOWN]:
        yield f"hold {entry.pk}: no prediction names it"


def _resolution(kind: str | None = None) -> QuerySet[LedgerEntry]:
    """What ended a prediction's hold."""
    found = LedgerEntry.objects.filter(resolves=OuterRef("hold"), account=OuterRef("user"))
    return found.filter(kind=kind) if kind else found


def _named(breach: str, rows: QuerySet[Prediction]) -> Iterator[str]:
    for row in rows.only("pk", "status")[: billing_audit.SHOWN]:
        yield f"prediction {row.pk} ({row.status}): {breach}"
