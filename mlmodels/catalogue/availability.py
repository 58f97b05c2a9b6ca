"""Which versions can be sold, because workers can load them."""

import logging
from collections.abc import Iterable
from datetime import timedelta
from uuid import UUID

from django.db import transaction
from django.db.models import Q, QuerySet
from django.db.models.functions import Now

from mlmodels.catalogue.queries import version_name
from mlmodels.models import Predictor, PredictorVersion

logger = logging.getLogger(__name__)

# Workers record at most this often that they could load a version; a version of which nobody has
# recorded it for longer than the second time has no live worker.
RECORDED_EVERY = timedelta(seconds=10)
LIVE_WITHIN = timedelta(seconds=30)


def record_fault(version_id: UUID, reason: str) -> None:
    """Take a version off sale because its artefact cannot be loaded.

    Logs an error when the reason is new, so once however many workers find the same.
    """
    reason = reason[:300]
    if PredictorVersion.objects.filter(pk=version_id).exclude(fault=reason).update(fault=reason):
        logger.error("%s cannot be sold: %s", version_name(version_id), reason)


def clear_fault(version_id: UUID) -> None:
    """Put a version on sale again whose artefact loads after all."""
    PredictorVersion.objects.filter(pk=version_id).update(fault="")


def versions_on_sale() -> QuerySet[PredictorVersion]:
    """The current versions of the predictors on sale, without their large columns."""
    current = Predictor.objects.on_sale().order_by().values("current_version")
    return PredictorVersion.objects.filter(pk__in=current).defer(*PredictorVersion.LARGE)


@transaction.atomic
def record_loadable(version_ids: Iterable[UUID]) -> None:
    """Record that a live worker can load these versions, unless that was recorded recently.

    Locked rows are skipped: another worker is recording the same.
    """
    due = Q(loadable_at=None) | Q(loadable_at__lt=Now() - RECORDED_EVERY)
    rows = PredictorVersion.objects.filter(due, pk__in=version_ids)
    locked = rows.select_for_update(skip_locked=True, no_key=True)
    if locked_ids := list(locked.values_list("pk", flat=True)):
        PredictorVersion.objects.filter(pk__in=locked_ids).update(loadable_at=Now())


def is_sold_without_live_worker(version_id: UUID) -> bool:
    """Whether it is on sale though no worker has recently recorded that it can load it."""
    has_live_worker = Q(loadable_at__gt=Now() - LIVE_WITHIN)
    return versions_on_sale().filter(pk=version_id).exclude(has_live_worker).exists()
