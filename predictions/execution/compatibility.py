"""Versions that need other libraries than this worker has: other workers may have them.

Such a worker scores none of their rows, but sees to it that they end even if nobody else does.
"""

import logging
from dataclasses import dataclass
from uuid import UUID

from django.conf import settings
from django.db import transaction

from mlmodels.catalogue import availability, queries
from mlmodels.serving import artefacts, inference
from mlmodels.serving.artefacts import ArtefactError, IncompatibleLibrary
from predictions import queue
from predictions.execution import settlement
from predictions.execution.claims import lock_unlocked
from predictions.execution.recovery import ROWS_PER_TRANSACTION
from predictions.execution.scoring import TRANSIENT
from predictions.models import Prediction

logger = logging.getLogger(__name__)


@dataclass
class _IncompatibleVersion:
    """What this process has seen of a version it cannot score; times are monotonic."""

    reason: str
    queue_head: UUID | None = None
    head_since: float = 0.0
    without_live_worker_since: float | None = None


_incompatible: dict[UUID, _IncompatibleVersion] = {}


def can_score(version_id: UUID) -> bool:
    """Whether this worker has the libraries that a version needs."""
    try:
        inference.scorer(version_id)
    except IncompatibleLibrary as error:
        mark_incompatible(version_id, str(error))
        return False
    except (ArtefactError, *TRANSIENT):
        pass  # it is raised again in `scoring.score`, which knows what becomes of the rows
    return True


def mark_incompatible(version_id: UUID, reason: str) -> None:
    """Leave a version's rows to other workers from now on."""
    if version_id not in _incompatible:
        logger.error("%s is left to other workers: %s", queries.version_name(version_id), reason)
        _incompatible[version_id] = _IncompatibleVersion(reason)


def record_loadable_versions() -> None:
    """Note in the database which versions on sale this worker has the libraries for."""
    compatible = []
    for version in availability.versions_on_sale():
        try:
            artefacts.check_releases(version)
        except IncompatibleLibrary as error:
            mark_incompatible(version.pk, str(error))
        else:
            compatible.append(version.pk)
    availability.record_loadable(compatible)


def fail_unserved(now: float) -> None:
    """Take versions off sale, and fail their rows, that no worker has served for too long.

    `now` is monotonic.
    """
    for version_id, seen in list(_incompatible.items()):
        if _is_stalled(version_id, seen, now) or _lacks_live_worker(version_id, seen, now):
            availability.record_fault(version_id, seen.reason)
            while _fail_queued(version_id) == ROWS_PER_TRANSACTION:
                pass


def _is_stalled(version_id: UUID, seen: _IncompatibleVersion, now: float) -> bool:
    """Whether the head of its queue has been the same for too long."""
    queued = Prediction.objects.due().filter(version=version_id)
    head = queued.order_by(*queue.ORDER.split(", ")).values_list("pk", flat=True).first()
    if head is None or head != seen.queue_head:
        seen.queue_head, seen.head_since = head, now
        return False
    return now - seen.head_since > settings.MODEL_TIMEOUT_SECONDS


def _lacks_live_worker(version_id: UUID, seen: _IncompatibleVersion, now: float) -> bool:
    """Whether it has been on sale for too long while no live worker could score what is bought."""
    if not availability.is_sold_without_live_worker(version_id):
        seen.without_live_worker_since = None
        return False
    if seen.without_live_worker_since is None:
        seen.without_live_worker_since = now
    return now - seen.without_live_worker_since > settings.MODEL_TIMEOUT_SECONDS


@transaction.atomic
def _fail_queued(version_id: UUID) -> int:
    """Fail some waiting rows of a version; returns how many."""
    queued = Prediction.objects.filter(version=version_id, status=Prediction.Status.QUEUED)
    rows = list(lock_unlocked(queued).order_by("pk")[:ROWS_PER_TRANSACTION])
    settlement.fail(rows, Prediction.Failure.MODEL_UNAVAILABLE)
    return len(rows)
