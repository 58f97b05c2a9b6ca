"""Versions that need other libraries than this worker has."""

import logging
from dataclasses import dataclass
from uuid import UUID

from django.conf import settings
from django.db import transaction

from mlmodels.catalogue import availability, queries
from mlmodels.serving import artefacts, inference
from mlmodels.serving.artefacts import ArtefactError, OtherLibrary
from predictions import queue
from predictions.execution.claims import _lock
from predictions.execution.recovery import SWEEP_ROWS
from predictions.execution.scoring import PASSING
from predictions.execution.settlement import fail
from predictions.models import Prediction

logger = logging.getLogger(__name__)

Status = Prediction.Status

Failure = Prediction.Failure


def is_for_us(version_id: UUID) -> bool:
    """Whether this worker has the libraries that a version needs; others may have them."""
    try:
        inference.scorer(version_id)
    except OtherLibrary as error:
        leave_to_others(version_id, str(error))
        return False
    except (ArtefactError, *PASSING):
        pass  # it fails again in `score`, which knows what becomes of the rows
    return True


@dataclass
class _Foreign:
    """A version this process has not the libraries for.

    How long its queue has not moved, and how long it has been sold with nobody to score it.
    """

    reason: str
    head: UUID | None = None
    since: float = 0.0
    in_vain_since: float | None = None


_foreign: dict[UUID, _Foreign] = {}


def leave_to_others(version_id: UUID, reason: str) -> None:
    """Score no rows of a version, but see to it that they end even if nobody else does."""
    if version_id not in _foreign:
        logger.error("%s is left to other workers: %s", queries.name_of(version_id), reason)
        _foreign[version_id] = _Foreign(reason)


def look_at_what_is_on_sale() -> None:
    """Note which versions this worker has what it needs for; the others are left to others."""
    ours = []
    for version in availability.versions_on_sale():
        try:
            artefacts.check_release(version)
        except OtherLibrary as error:
            leave_to_others(version.pk, str(error))
        else:
            ours.append(version.pk)
    availability.note_loadable(ours)


def give_up_what_nobody_scores(now: float) -> None:
    """Take versions off sale, and fail their rows, that for long nobody has scored or could.

    `now` is monotonic.
    """
    for version_id, foreign in list(_foreign.items()):
        if _stands_still(version_id, foreign, now) or _is_sold_in_vain(version_id, foreign, now):
            availability.report_fault(version_id, foreign.reason)
            while _give_up(version_id) == SWEEP_ROWS:
                pass


def _stands_still(version_id: UUID, foreign: _Foreign, now: float) -> bool:
    queued = Prediction.objects.due().filter(version=version_id)
    head = queued.order_by(*queue.ORDER.split(", ")).values_list("pk", flat=True).first()
    if head is None or head != foreign.head:
        foreign.head, foreign.since = head, now
        return False
    return now - foreign.since > settings.MODEL_PATIENCE_SECONDS


def _is_sold_in_vain(version_id: UUID, foreign: _Foreign, now: float) -> bool:
    """Without waiting for somebody to buy it: nobody could score what is bought."""
    if not availability.is_sold_in_vain(version_id):
        foreign.in_vain_since = None
        return False
    if foreign.in_vain_since is None:
        foreign.in_vain_since = now
    return now - foreign.in_vain_since > settings.MODEL_PATIENCE_SECONDS


@transaction.atomic
def _give_up(version_id: UUID) -> int:
    """Fail some waiting rows of a version; returns how many."""
    queued = Prediction.objects.filter(version=version_id, status=Status.QUEUED)
    rows = list(_lock(queued).order_by("pk")[:SWEEP_ROWS])
    fail(rows, Failure.MODEL_UNAVAILABLE)
    return len(rows)
