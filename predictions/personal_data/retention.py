"""What is kept no longer: erased or deleted in bounded batches, each a short transaction.

With `RETENTION_DAYS`, what users left behind goes after so many days: inputs and results of ended
predictions with their what-ifs, drafts, and the records of audits but for the newest. What has
expired by itself (keys, sessions, links) goes in any case; workers purge most of it every minute,
by the same functions as are called here.

There is no index on the time at which predictions end, which each settlement would have to
maintain. They are walked in the order of their holds, which is that of their submission and has an
index; how far everything is erased is remembered, so that no row is looked at every hour.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import takewhile
from operator import itemgetter
from typing import Any
from uuid import UUID

from django.conf import settings
from django.contrib.sessions.models import Session
from django.db import transaction
from django.db.models import F, Q, QuerySet
from django.db.models.functions import Now
from django.utils import timezone

from accounts.models import TokenSession
from accounts.services import CLOCK_TOLERANCE, purge_expired_sessions
from carprice.db.dialect import Moment
from carprice.idempotency import keys
from carprice.idempotency.models import IdempotencyKey
from predictions.models import AuditRun, Example, Prediction, ShareLink
from predictions.personal_data.models import RetentionRun
from predictions.services import erase_ended

BATCH = 500  # rows of one transaction
EVERY = timedelta(hours=1)
ONLY = 1  # the primary key of the one row

Status = Prediction.Status


@dataclass
class Pruning:
    """How many rows of each kind went, or would go; `is_complete` unless the time was up."""

    is_dry: bool = False
    ends: float | None = None  # by the monotonic clock
    rows: dict[str, int] = field(default_factory=dict)
    is_complete: bool = True

    def count(self, kind: str, rows: int) -> None:
        self.rows[kind] = self.rows.get(kind, 0) + rows

    def is_over(self) -> bool:
        if self.ends is not None and time.monotonic() >= self.ends:
            self.is_complete = False
        return not self.is_complete


def prune(*, days: int, is_dry: bool = False, seconds: float | None = None) -> Pruning:
    """Erase or delete what is older than so many days (0: nothing but what has expired)."""
    ends = None if seconds is None else time.monotonic() + seconds
    pruning = Pruning(is_dry=is_dry, ends=ends)
    _purge_expired(pruning)
    if days:
        limit = timezone.now() - timedelta(days=days)
        _delete_drafts(pruning, limit)
        _erase_predictions(pruning, limit)
        _delete(pruning, "audit runs", _old_audits(limit))
    _delete(pruning, "examples", Example.objects.exclude(_is_current()))
    return pruning


def prune_when_due(*, seconds: float) -> Pruning | None:
    """Prune if a retention is set and nobody has within the hour; None otherwise.

    What is not complete within the time is due again at once.
    """
    if not settings.RETENTION_DAYS:
        return None
    RetentionRun.objects.get_or_create(pk=ONLY)
    due = RetentionRun.objects.filter(pk=ONLY, due_at__lte=Now())
    if not due.update(due_at=Now() + EVERY):  # of several workers one goes on
        return None
    pruning = prune(days=settings.RETENTION_DAYS, seconds=seconds)
    if not pruning.is_complete:
        RetentionRun.objects.filter(pk=ONLY).update(due_at=Now())
    return pruning


# --- What has expired ----------------------------------------------------------------------------


def _purge_expired(pruning: Pruning) -> None:
    expired_keys = IdempotencyKey.objects.filter(created_at__lt=Now() - keys.KEPT_FOR)
    _purge(pruning, "idempotency keys", expired_keys, keys.purge_expired)
    ended = TokenSession.objects.filter(expires_at__lt=Now() - CLOCK_TOLERANCE)
    _purge(pruning, "token sessions", ended, purge_expired_sessions)
    _delete(pruning, "web sessions", Session.objects.filter(expire_date__lt=Now()))
    _delete(pruning, "share links", ShareLink.objects.filter(expires_at__lt=Now()))


def _purge(pruning: Pruning, kind: str, rows: QuerySet[Any], purge: Callable[[], Any]) -> None:
    """By the function that workers call, as often as it finds some."""
    before = left = rows.count()
    while left and not pruning.is_dry and not pruning.is_over():
        purge()
        now_left = rows.count()
        if now_left >= left:  # others hold the rest
            break
        left = now_left
    pruning.count(kind, before if pruning.is_dry else before - left)


def _delete(pruning: Pruning, kind: str, rows: QuerySet[Any]) -> None:
    if pruning.is_dry:
        pruning.count(kind, rows.count())
        return
    pruning.count(kind, 0)
    while not pruning.is_over():
        primary_keys = list(rows.values_list("pk", flat=True)[:BATCH])
        if not primary_keys:
            return
        rows.model._base_manager.filter(pk__in=primary_keys).delete()  # noqa: SLF001
        pruning.count(kind, len(primary_keys))


# --- What is older than the retention ------------------------------------------------------------


def _delete_drafts(pruning: Pruning, limit: datetime) -> None:
    """They hold nothing; those that were canceled end as predictions do."""
    rows = Prediction.objects.filter(hold=None, created_at__lt=Moment(limit))
    drafts = rows.filter(status=Status.DRAFT)
    canceled = rows.filter(status=Status.CANCELED, erased_at=None, finished_at__lt=Moment(limit))
    for kind, chosen, end in (
        ("drafts", drafts, _delete_rows),
        ("predictions", canceled, erase_ended),
    ):
        pruning.count(kind, chosen.count() if pruning.is_dry else 0)
        while not pruning.is_dry and not pruning.is_over():
            count = _end_batch(chosen, end)
            pruning.count(kind, count)
            if not count:
                break


@transaction.atomic
def _end_batch(rows: Any, end: Callable[[list[UUID]], Any]) -> int:
    """End some that still are as they were chosen once they are locked."""
    locked = rows.select_for_update(no_key=True, skip_locked=True, of=("self",)).order_by("pk")
    chosen = list(locked.values_list("pk", flat=True)[:BATCH])
    if chosen:
        end(chosen)
    return len(chosen)


def _delete_rows(prediction_ids: list[UUID]) -> None:
    Prediction.objects.filter(pk__in=prediction_ids).delete()


def _erase_predictions(pruning: Pruning, limit: datetime) -> None:
    """All but drafts, in the order of their holds, up to the first submitted after the limit.

    Rows that have not ended by the limit are passed over, and so looked at again next time.
    """
    last = RetentionRun.objects.filter(pk=ONLY).values_list("erased_through", flat=True).first()
    through, is_unbroken = last or 0, True
    is_old = Q(queued_at__lt=Moment(limit))
    may_go = Q(erased_at=None, finished_at__lt=Moment(limit))
    rows = Prediction.objects.filter(hold__isnull=False)
    while not pruning.is_over():
        batch = list(
            rows.filter(hold__gt=through)
            .order_by("hold")
            .annotate(is_old=is_old, may_go=may_go)
            .values_list("pk", "hold_id", "is_old", "may_go", "erased_at")[:BATCH]
        )
        old = list(takewhile(itemgetter(2), batch))
        chosen = [row[0] for row in old if row[3]]
        erased = len(chosen) if pruning.is_dry else _erase(chosen)
        pruning.count("predictions", erased)
        is_unbroken &= erased == len(chosen)
        is_unbroken &= all(may_go or erased_at for *_, may_go, erased_at in old)
        through = old[-1][1] if old else through
        if old and is_unbroken and not pruning.is_dry:
            _remember(through)
        if len(old) < BATCH:
            return


def _erase(chosen: list[UUID]) -> int:
    return _end_batch(Prediction.objects.filter(pk__in=chosen, erased_at=None), erase_ended)


def _remember(through: int) -> None:
    """Never back, should another be further."""
    RetentionRun.objects.get_or_create(pk=ONLY)
    RetentionRun.objects.filter(pk=ONLY, erased_through__lt=through).update(erased_through=through)


def _old_audits(limit: datetime) -> QuerySet[AuditRun]:
    newest = AuditRun.objects.order_by("-ended_at").values_list("pk", flat=True)[:1]
    return AuditRun.objects.filter(ended_at__lt=Moment(limit)).exclude(pk__in=list(newest))


def _is_current() -> Q:
    return Q(version__predictor__current_version=F("version"))
