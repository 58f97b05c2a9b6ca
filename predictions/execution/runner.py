"""One pass of a worker: claim rows, score them as one array, settle them."""

import logging
import time
from uuid import UUID

from django.db import OperationalError, close_old_connections

from carprice.logs.context import about_prediction
from predictions import metrics
from predictions.execution import claims, compatibility, scoring, settlement
from predictions.execution.claims import Claim
from predictions.models import ScoringRequest

logger = logging.getLogger(__name__)


class ScoringStopped(Exception):
    """The scoring of a whole claim was cut short; its rows will be tried again, each alone.

    It stands for its cause because Celery ends the worker if a task raises MemoryError.
    """


def run_queued(model: type[ScoringRequest], version_id: UUID) -> int:
    """Score a batch of rows that were never tried, or else one that is to be retried.

    Returns how many were claimed. Raises ScoringStopped after handing the rows back.
    """
    return run_first_attempts(model, version_id) or run_retry(model, version_id)


def run_first_attempts(model: type[ScoringRequest], version_id: UUID) -> int:
    if not compatibility.can_score(version_id):
        return 0
    return _run(claims.claim_first_attempts(model, version_id))


def run_retry(model: type[ScoringRequest], version_id: UUID) -> int:
    if not compatibility.can_score(version_id):
        return 0
    return _run(claims.claim_retry(model, version_id))


def _run(claim: Claim | None) -> int:
    if claim is None:
        return 0
    with about_prediction(claim.rows[0].id if len(claim.rows) == 1 else ""):
        return _score_and_settle(claim)


def _score_and_settle(claim: Claim) -> int:
    began = time.perf_counter()
    try:
        outcomes = scoring.score(claim)
    except Exception as error:  # out of time, memory or files, of which the rows may be the cause
        settlement.abandon(claim)
        raise ScoringStopped(f"{len(claim.rows)} rows: {error!r}") from error
    except BaseException:  # told to stop: nobody else need wait for the lease
        settlement.give_back(claim)
        raise
    metrics.observe_stage(claim.model, "scoring", time.perf_counter() - began)
    try:
        settlement.settle(claim, outcomes)
    except OperationalError as error:
        # The connection was lost, and whether it had committed is unknown. Settling once more is
        # safe: rows that were settled carry the token no longer.
        logger.warning("Settling again: %s", error)
        close_old_connections()
        settlement.settle(claim, outcomes)
    return len(claim.rows)
