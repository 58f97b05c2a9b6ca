"""One pass of a worker: claim rows, score them as one array, settle."""

import logging
from uuid import UUID

from django.db import OperationalError, close_old_connections

from predictions.execution.claims import Claim, claim_fresh, claim_suspect
from predictions.execution.compatibility import is_for_us
from predictions.execution.scoring import score
from predictions.execution.settlement import abandon, give_back, settle

logger = logging.getLogger(__name__)


def run_waiting(version_id: UUID) -> int:
    """Score up to CLAIM_ROWS waiting rows, or one that has lost a worker before.

    Returns how many were claimed. Raises ScoringStopped after handing the rows back.
    """
    return run_fresh(version_id) or run_suspect(version_id)


def run_fresh(version_id: UUID) -> int:
    return _run(claim_fresh(version_id)) if is_for_us(version_id) else 0


def run_suspect(version_id: UUID) -> int:
    return _run(claim_suspect(version_id)) if is_for_us(version_id) else 0


class ScoringStopped(Exception):
    """The scoring of a whole claim was cut short; its rows will be tried again, each alone.

    It stands for its cause because Celery ends the worker if a task raises MemoryError.
    """


def _run(claim: Claim | None) -> int:
    if claim is None:
        return 0
    try:
        outcomes = score(claim)
    except Exception as error:  # out of time, memory or files: what the rows may be guilty of
        abandon(claim)
        raise ScoringStopped(f"{len(claim.rows)} rows: {error!r}") from error
    except BaseException:  # told to stop: nobody else need wait for the lease
        give_back(claim)
        raise
    try:
        settle(claim, outcomes)
    except OperationalError as error:  # a lost connection: whether it committed, the fence knows
        logger.warning("Settling again: %s", error)
        close_old_connections()
        settle(claim, outcomes)
    return len(claim.rows)
