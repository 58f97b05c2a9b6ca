"""What every worker's sweep does: end overdue rows, and requeue those that lost their worker.

Any number of sweeps may run at once: rows that another one has locked are passed over.
"""

import logging
from datetime import datetime, timedelta
from functools import partial
from uuid import UUID

from django.db import transaction
from django.db.models import Min
from django.db.models.functions import Now

from billing.services import resolve_holds
from predictions import metrics
from predictions.execution import settlement
from predictions.execution.claims import lock_unlocked
from predictions.models import Prediction, ScoringRequest, WhatIf

logger = logging.getLogger(__name__)

Status = ScoringRequest.Status
Failure = ScoringRequest.Failure

ROWS_PER_TRANSACTION = 500


def recover() -> None:
    for model in (Prediction, WhatIf):
        _fail_overdue(model)
        _requeue_expired_leases(model)


@transaction.atomic
def _fail_overdue(model: type[ScoringRequest]) -> None:
    """End what is past its deadline, whatever its state."""
    overdue = model.objects.filter(status__in=model.ACTIVE, deadline_at__lt=Now())
    if rows := list(lock_unlocked(overdue).order_by("pk")[:ROWS_PER_TRANSACTION]):
        logger.warning("%s rows of %s passed their deadline.", len(rows), model.__name__)
        settlement.fail(rows, Failure.DEADLINE_EXCEEDED)


@transaction.atomic
def _requeue_expired_leases(model: type[ScoringRequest]) -> None:
    """Retry what a lost worker left running, or fail it if it has lost too many."""
    expired = model.objects.filter(status=Status.RUNNING, lease_expires_at__lt=Now())
    if rows := list(lock_unlocked(expired).order_by("pk")[:ROWS_PER_TRANSACTION]):
        logger.warning("%s rows of %s lost their worker.", len(rows), model.__name__)
        transaction.on_commit(partial(metrics.count_lost_leases, model, len(rows)), robust=True)
        exhausted = settlement.retry_or_fail(rows, Failure.WORKER_LOST, timedelta())
        resolve_holds(released=settlement.holds_of(exhausted))


def waiting_versions(
    model: type[ScoringRequest], *, longer_than: timedelta = timedelta()
) -> dict[UUID, datetime]:
    """Versions with rows that a worker could claim, and since when the oldest has waited."""
    rows = model.objects.due().order_by()
    if longer_than:
        rows = rows.filter(queued_at__lt=Now() - longer_than)
    return dict(rows.values_list("version_id").annotate(since=Min("queued_at")))
