"""What every worker's sweep does: end what is late, take back what lost its worker."""

import logging
from datetime import datetime, timedelta
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.db.models import Min
from django.db.models.functions import Now

from billing.services import resolve_holds
from predictions.execution.claims import _lock
from predictions.execution.settlement import fail, retry_or_fail
from predictions.models import Prediction

logger = logging.getLogger(__name__)

Status = Prediction.Status

Failure = Prediction.Failure

SWEEP_ROWS = 500  # at most, in one transaction


# --- Sweep ---------------------------------------------------------------------------------------


def recover() -> None:
    """End what is past its deadline, and take back what a lost worker left running.

    Any number of these may run at once: rows that another one has locked are skipped.
    """
    _end_late()
    _take_back_lapsed()


@transaction.atomic
def _end_late() -> None:
    late = _lock(Prediction.objects.active().filter(deadline_at__lt=Now())).order_by("pk")
    if rows := list(late[:SWEEP_ROWS]):
        logger.warning("%s predictions passed their deadline.", len(rows))
        fail(rows, Failure.DEADLINE_EXCEEDED)


@transaction.atomic
def _take_back_lapsed() -> None:
    lapsed = Prediction.objects.filter(status=Status.RUNNING, lease_expires_at__lt=Now())
    if rows := list(_lock(lapsed).order_by("pk")[:SWEEP_ROWS]):
        logger.warning("%s predictions lost their worker.", len(rows))
        resolve_holds(released=retry_or_fail(rows, Failure.WORKER_LOST, 0))


def waiting_versions() -> dict[UUID, datetime]:
    """Versions that have had rows waiting for longer than a sweep, and since when."""
    patience = timedelta(seconds=settings.SWEEP_SECONDS)
    overdue = Prediction.objects.due().filter(queued_at__lt=Now() - patience)
    return dict(overdue.values_list("version_id").annotate(since=Min("queued_at")))
