"""Ending claimed rows: results are stored and holds are resolved in one statement or transaction.

Rows are found, or locked, by the claim's token (the fence), so a worker whose lease has run out, or
one that settles twice, changes nothing. Accounts are locked last, and for
the shortest time, so that submissions of the same users hardly wait.
"""

import json
import logging
import time
from collections import Counter
from collections.abc import Sequence
from datetime import timedelta
from itertools import chain
from typing import Any

from django.db import connection, transaction
from django.db.models import F
from django.db.models.functions import Now

from billing.services import CAPTURE_PARTS, resolve_holds
from carprice.db import cursors, dialect
from predictions import metrics, notifications
from predictions.execution.claims import Claim, held_by, lock_unlocked
from predictions.execution.scoring import Outcome
from predictions.models import Prediction, ScoringRequest

logger = logging.getLogger(__name__)

Status = ScoringRequest.Status
Failure = ScoringRequest.Failure

RETRY_PAUSE_FACTOR = 4  # by which each pause is longer than the one before


def settle(claim: Claim, outcomes: Sequence[Outcome]) -> None:
    """Store results and move the money, for the rows that still carry the claim's token.

    On PostgreSQL it is one statement if all rows have a value, as they nearly always do.
    """
    is_one_statement = connection.vendor == "postgresql" and all(o.has_value for o in outcomes)
    final = [outcome for outcome in outcomes if not outcome.is_transient]
    began = time.perf_counter()
    ended = _charge_at_once(claim, final) if is_one_statement else _settle_in_steps(claim, outcomes)
    metrics.observe_stage(claim.model, "settlement", time.perf_counter() - began)
    if (lost := len(final) - ended) > 0:
        logger.warning("%s rows were no longer ours to settle.", lost)


def _charge_at_once(claim: Claim, outcomes: Sequence[Outcome]) -> int:
    """Returns how many rows it has ended."""
    statement, parameters = _finish_statement(claim, outcomes)
    if claim.model.HOLDS_CREDITS:
        charge = CAPTURE_PARTS.format(holds="finished")
        statement = _CHARGE.format(finish=statement, charge=charge)
    finished = len(cursors.fetch_all(statement, *parameters))
    metrics.count_ended(claim.model, claim.version_id, Status.FINISHED, finished)
    return finished


@transaction.atomic
def _settle_in_steps(claim: Claim, outcomes: Sequence[Outcome]) -> int:
    """Returns how many rows it has ended."""
    final = [outcome for outcome in outcomes if not outcome.is_transient]
    transient = [outcome for outcome in outcomes if outcome.is_transient]
    failed = _fail(claim, [outcome for outcome in final if outcome.failure])
    finished = _finish(claim, [outcome for outcome in final if outcome.has_value])
    exhausted = _retry(claim, transient)
    metrics.count_ended(claim.model, claim.version_id, Status.FINISHED, len(finished))
    resolve_holds(captured=_known(finished), released=_known([*failed, *exhausted]))
    return len(failed) + len(finished)


@transaction.atomic
def give_back(claim: Claim) -> None:
    """Return a claim's rows to the queue as if it had never been made."""
    held_by(claim).update(
        status=Status.QUEUED, claim=None, lease_expires_at=None, attempts=F("attempts") - 1
    )
    _notify(claim)


@transaction.atomic
def abandon(claim: Claim) -> None:
    """Return a claim's rows to be retried, each alone and after a pause."""
    rows = list(lock_unlocked(held_by(claim)).order_by("pk"))
    exhausted = retry_or_fail(rows, Failure.INTERNAL_ERROR, claim.model.policy().retry_pause)
    resolve_holds(released=holds_of(exhausted))
    _notify(claim)


def _notify(claim: Claim) -> None:
    transaction.on_commit(
        lambda: notifications.notify_workers(claim.model, claim.version_id), robust=True
    )


# --- Rows that finish: one statement for all of them ---

# The conditions on the claim and the status are the fence. A model without holds returns NULL.
_FINISH = """
    UPDATE {table}
    SET status = 'finished', value = outcome.column2, explanation = {explanation},
        finished_at = {now}, claim = NULL, lease_expires_at = NULL
    FROM {outcomes}
    WHERE id = outcome.column1 AND claim = %s AND status = 'running'
    RETURNING {hold_id}
"""
# One text for any number of rows, so that the server need not plan it anew for each.
_ARRAYS = "UNNEST(%s::uuid[], %s::float8[], %s::text[]) AS outcome(column1, column2, column3)"

_CHARGE = "WITH finished AS ({finish}), {charge} SELECT hold_id FROM finished"

HoldId = int | None  # None of a row that costs nothing


def _finish(claim: Claim, outcomes: Sequence[Outcome]) -> list[HoldId]:
    """Store values; returns the finished rows' holds, which are to be captured."""
    if not outcomes:
        return []
    statement, parameters = _finish_statement(claim, outcomes)
    return [hold_id for (hold_id,) in cursors.fetch_all(statement, *parameters)]


def _finish_statement(claim: Claim, outcomes: Sequence[Outcome]) -> tuple[str, list[Any]]:
    rows = [(outcome.row.id, outcome.value, _explanation_json(outcome)) for outcome in outcomes]
    parameters: list[Any] = [*chain(*rows)]
    table = f"(VALUES {dialect.values(len(rows), 3)}) AS outcome"
    if connection.vendor == "postgresql":
        table, parameters = _ARRAYS, [list(column) for column in zip(*rows, strict=True)]
    statement = _FINISH.format(
        table=claim.model._meta.db_table,  # noqa: SLF001  # a public API in spite of its name
        explanation=dialect.as_json("outcome.column3"),
        now=dialect.now(),
        outcomes=table,
        hold_id="hold_id" if claim.model.HOLDS_CREDITS else "NULL AS hold_id",
    )
    return statement, [*parameters, claim.token]


def _explanation_json(outcome: Outcome) -> str | None:
    return json.dumps(outcome.explanation) if outcome.explanation else None


# --- Rows that fail, or are retried ---


def _fail(claim: Claim, outcomes: Sequence[Outcome]) -> list[HoldId]:
    """Store failures; returns the failed rows' holds, which are to be released."""
    if not outcomes:
        return []
    failures = {outcome.row.id: outcome.failure for outcome in outcomes}
    rows = _lock_held(claim, outcomes)
    for failure in sorted(set(failures.values())):
        _mark_failed([row for row in rows if failures[row.pk] == failure], failure)
    return [_hold_of(row) for row in rows]


def _retry(claim: Claim, outcomes: Sequence[Outcome]) -> list[HoldId]:
    """Queue rows to be retried; returns the holds of those that are exhausted."""
    if not outcomes:
        return []
    rows = _lock_held(claim, outcomes)
    exhausted = retry_or_fail(rows, Failure.INTERNAL_ERROR, claim.model.policy().retry_pause)
    return [_hold_of(row) for row in exhausted]


def _lock_held(claim: Claim, outcomes: Sequence[Outcome]) -> list[ScoringRequest]:
    rows = held_by(claim).filter(pk__in=[outcome.row.id for outcome in outcomes])
    return list(rows.select_for_update(no_key=True).order_by("pk"))


def fail(rows: Sequence[ScoringRequest], failure: str) -> None:
    """End rows that the caller has locked, releasing their holds."""
    _mark_failed(rows, failure)
    resolve_holds(released=holds_of(rows))


def retry_or_fail(
    rows: Sequence[ScoringRequest], failure: str, pause: timedelta
) -> list[ScoringRequest]:
    """Queue locked rows of one model to be retried; fail and return those that are exhausted.

    They wait for `pause` before their second attempt, and RETRY_PAUSE_FACTOR times as long before
    each further one.
    """
    if not rows:
        return []
    model = type(rows[0])
    max_attempts = model.policy().max_attempts
    exhausted = [row for row in rows if row.attempts >= max_attempts]
    if exhausted:
        _mark_failed(exhausted, failure)
    for attempts in range(1, max_attempts):
        keys = [row.pk for row in rows if row.attempts == attempts]
        delay = pause * RETRY_PAUSE_FACTOR ** (attempts - 1)
        model.objects.filter(pk__in=keys).update(
            status=Status.QUEUED,
            claim=None,
            lease_expires_at=None,
            retry_at=Now() + delay if delay else None,
            queue_rank=ScoringRequest.RETRY_RANK,
        )
    return exhausted


def _mark_failed(rows: Sequence[ScoringRequest], failure: str) -> None:
    if rows:
        model = type(rows[0])
        model.objects.filter(pk__in=[row.pk for row in rows]).update(
            status=Status.FAILED,
            failure=failure,
            finished_at=Now(),
            claim=None,
            lease_expires_at=None,
        )
        for version_id, number in Counter(row.version_id for row in rows).items():
            metrics.count_ended(model, version_id, failure, number)


def holds_of(rows: Sequence[ScoringRequest]) -> list[int]:
    return _known([_hold_of(row) for row in rows])


def _hold_of(row: ScoringRequest) -> HoldId:
    return row.hold_id if isinstance(row, Prediction) else None


def _known(hold_ids: Sequence[HoldId]) -> list[int]:
    return [hold_id for hold_id in hold_ids if hold_id is not None]
