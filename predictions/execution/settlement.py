"""Ending claimed rows: results are stored, and the money moves, in one transaction."""

import json
import logging
from collections.abc import Sequence
from datetime import timedelta
from itertools import chain
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import F
from django.db.models.functions import Now

from billing.services import resolve_holds
from carprice.db import cursors, dialect
from predictions import notifications, queue
from predictions.execution.claims import Claim, _held_by, _lock
from predictions.execution.scoring import Outcome
from predictions.models import Prediction

logger = logging.getLogger(__name__)

Status = Prediction.Status

Failure = Prediction.Failure


@transaction.atomic
def give_back(claim: Claim) -> None:
    """Return a claim's rows to the queue as if it had never been made."""
    _held_by(claim).update(
        status=Status.QUEUED, claim=None, lease_expires_at=None, attempts=F("attempts") - 1
    )
    transaction.on_commit(lambda: notifications.ring(claim.version_id), robust=True)


@transaction.atomic
def abandon(claim: Claim) -> None:
    """Return a claim's rows to be tried once more, each alone and after a while."""
    rows = list(_lock(_held_by(claim)).order_by("pk"))
    resolve_holds(released=retry_or_fail(rows, Failure.INTERNAL_ERROR, settings.RETRY_SECONDS))
    transaction.on_commit(lambda: notifications.ring(claim.version_id), robust=True)


# --- Settle --------------------------------------------------------------------------------------

_FINISH = """
    UPDATE predictions_prediction
    SET status = 'finished', value = outcome.column2, {explanation} finished_at = {now},
        claim = NULL, lease_expires_at = NULL
    FROM (VALUES {rows}) AS outcome
    WHERE id = outcome.column1 AND claim = %s AND status = 'running'
    RETURNING hold_id
"""


@transaction.atomic
def settle(claim: Claim, outcomes: Sequence[Outcome]) -> None:
    """Store results and move the money, for the rows that still carry the claim's token.

    Accounts are locked last, so that submissions of the same users hardly wait.
    """
    ended = [outcome for outcome in outcomes if not outcome.may_pass]
    again = [outcome for outcome in outcomes if outcome.may_pass]
    released = _fail(claim, [outcome for outcome in ended if outcome.failure])
    captured = _finish(claim, [outcome for outcome in ended if not outcome.failure])
    if (lost := len(ended) - len(released) - len(captured)) > 0:
        logger.warning("%s rows were no longer ours to settle.", lost)
    released += _try_again(claim, again)
    resolve_holds(captured=captured, released=released)


def _try_again(claim: Claim, outcomes: Sequence[Outcome]) -> list[int]:
    """Queue rows once more after a while; returns the holds of those tried too often."""
    if not outcomes:
        return []
    held = _held_by(claim).filter(pk__in=[outcome.row.id for outcome in outcomes])
    rows = list(held.select_for_update(no_key=True).order_by("pk"))
    return retry_or_fail(rows, Failure.INTERNAL_ERROR, settings.RETRY_SECONDS)


def _finish(claim: Claim, outcomes: Sequence[Outcome]) -> list[int]:
    """Store values; returns the holds to capture."""
    if not outcomes:
        return []
    found: list[tuple[Any, ...]] = [(outcome.row.id, outcome.value) for outcome in outcomes]
    explained = any(outcome.explanation for outcome in outcomes)
    if explained:
        found = [(*pair, _json(outcome)) for pair, outcome in zip(found, outcomes, strict=True)]
    statement = _FINISH.format(
        now=dialect.now(),
        rows=dialect.values(len(outcomes), len(found[0])),
        explanation=f"explanation = {dialect.as_json('outcome.column3')}," if explained else "",
    )
    parameters = chain.from_iterable(found)
    return [hold_id for (hold_id,) in cursors.fetch_all(statement, *parameters, claim.token)]


def _json(outcome: Outcome) -> str | None:
    return json.dumps(outcome.explanation) if outcome.explanation else None


def _fail(claim: Claim, outcomes: Sequence[Outcome]) -> list[int]:
    """Store failures; returns the holds to release."""
    if not outcomes:
        return []
    failures = {outcome.row.id: outcome.failure for outcome in outcomes}
    held = _held_by(claim).filter(pk__in=failures).select_for_update(no_key=True)
    rows = list(held.order_by("pk"))
    for failure in sorted(set(failures.values())):
        mark_failed([row for row in rows if failures[row.pk] == failure], failure)
    return _holds_of(rows)


def fail(rows: Sequence[Prediction], failure: str) -> None:
    """End rows the caller has locked, giving their holds back."""
    mark_failed(rows, failure)
    resolve_holds(released=_holds_of(rows))


def _holds_of(rows: Sequence[Prediction]) -> list[int]:
    return [row.hold_id for row in rows if row.hold_id is not None]


def mark_failed(rows: Sequence[Prediction], failure: str) -> None:
    Prediction.objects.filter(pk__in=[row.pk for row in rows]).update(
        status=Status.FAILED,
        failure=failure,
        finished_at=Now(),
        claim=None,
        lease_expires_at=None,
    )


RETRY_FACTOR = 4


def retry_or_fail(rows: Sequence[Prediction], failure: str, seconds: float) -> list[int]:
    """Queue locked rows once more, or fail those tried MAX_ATTEMPTS times; returns their holds.

    They wait for `seconds` before their second try, and RETRY_FACTOR times as long each time.
    """
    hopeless = [row for row in rows if row.attempts >= settings.MAX_ATTEMPTS]
    if hopeless:
        mark_failed(hopeless, failure)
    for attempts in range(1, settings.MAX_ATTEMPTS):
        pause = timedelta(seconds=seconds * RETRY_FACTOR ** (attempts - 1))
        again = [row.pk for row in rows if row.attempts == attempts]
        Prediction.objects.filter(pk__in=again).update(
            status=Status.QUEUED,
            claim=None,
            lease_expires_at=None,
            retry_at=Now() + pause if pause else None,
            turn=queue.NO_TURN,
        )
    return _holds_of(hopeless)
