"""Which versions can be sold, because a worker can load them."""

import logging
from collections.abc import Iterable
from datetime import timedelta
from uuid import UUID

from django.db import transaction
from django.db.models import Q, QuerySet
from django.db.models.functions import Now

from mlmodels.catalogue.queries import name_of
from mlmodels.models import Predictor, PredictorVersion

logger = logging.getLogger(__name__)

RECORDED_EVERY = timedelta(seconds=10)  # by workers, that they could load a version

LIVE_WITHIN = timedelta(seconds=30)  # or no such worker is there


def report_fault(version_id: UUID, reason: str) -> None:
    """Take a version off sale because its artefact cannot be loaded, and tell the operator once."""
    reason = reason[:300]
    if PredictorVersion.objects.filter(pk=version_id).exclude(fault=reason).update(fault=reason):
        logger.error("%s cannot be sold: %s", name_of(version_id), reason)


def withdraw_fault(version_id: UUID) -> None:
    """Put a version on sale again whose artefact loads after all."""
    PredictorVersion.objects.filter(pk=version_id).update(fault="")


def versions_on_sale() -> QuerySet[PredictorVersion]:
    """Those that are sold now, without their larger columns."""
    current = Predictor.objects.on_sale().order_by().values("current_version")
    return PredictorVersion.objects.filter(pk__in=current).defer(*PredictorVersion.LARGE)


@transaction.atomic
def record_loadable(version_ids: Iterable[UUID]) -> None:
    """Note that a worker which has what these versions need is at work, if nobody has lately."""
    due = Q(loadable_at=None) | Q(loadable_at__lt=Now() - RECORDED_EVERY)
    rows = PredictorVersion.objects.filter(due, pk__in=version_ids)
    ours = list(rows.select_for_update(skip_locked=True, no_key=True).values_list("pk", flat=True))
    if ours:
        PredictorVersion.objects.filter(pk__in=ours).update(loadable_at=Now())


def is_sold_without_live_worker(version_id: UUID) -> bool:
    """Whether it is on sale, and no worker that has what it needs has been at work lately."""
    noted = Q(loadable_at__gt=Now() - LIVE_WITHIN)
    return versions_on_sale().filter(pk=version_id).exclude(noted).exists()
