"""What a worker does: claim rows, score them as one array, settle; and sweep up after crashes.

The database decides everything. A claim is a token with a lease; only rows that still carry the
token are settled, so a worker that comes back after its lease settles nothing. All times are the
database's. Locks are taken on predictions first, in the order of their ids, then on accounts.
"""

import json
import logging
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import chain
from typing import Any
from uuid import UUID

from celery.exceptions import SoftTimeLimitExceeded
from django.conf import settings
from django.db import OperationalError, close_old_connections, connection, transaction
from django.db.models import F, Min
from django.db.models.functions import Now

from billing.services import resolve_holds
from carprice import sql
from mlmodels import artefacts, catalogue, inference
from mlmodels.artefacts import ArtefactError, OtherLibrary
from predictions import doorbell, queue
from predictions.models import Prediction, PredictionQuerySet

logger = logging.getLogger(__name__)

Status = Prediction.Status
Failure = Prediction.Failure

SWEEP_ROWS = 500  # at most, in one transaction


@dataclass(frozen=True)
class Row:
    """A claimed prediction, as far as scoring it needs."""

    id: UUID
    data: dict[str, Any]
    explain: bool = False


@dataclass(frozen=True)
class Claim:
    """Rows of one version that this worker alone may settle, until its lease runs out."""

    token: UUID
    version_id: UUID
    rows: list[Row]


@dataclass(frozen=True)
class Outcome:
    """How scoring one row went: a value, a failure for good, or one that may pass."""

    row: Row
    value: float | None = None
    explanation: dict[str, Any] | None = None
    failure: str = ""
    may_pass: bool = False


# What says more about the moment than about the row.
PASSING = (MemoryError, OSError)


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


# --- Claim ---------------------------------------------------------------------------------------

# Materialized, or the planner may run the limited query once for each row it updates.
_CLAIM = """
    WITH picked AS MATERIALIZED (
        SELECT id FROM predictions_prediction
        WHERE version_id = %s AND status = 'queued' AND {which}
        ORDER BY {order} LIMIT %s {skip_locked}
    )
    UPDATE predictions_prediction
    SET status = 'running', claim = %s, attempts = attempts + 1, retry_at = NULL,
        started_at = COALESCE(started_at, {now}), lease_expires_at = {lease_end}
    WHERE id IN (SELECT id FROM picked)
    RETURNING id, data, explain
"""


def claim_fresh(version_id: UUID) -> Claim | None:
    """Take the rows whose turn it is, tried for the first time, up to CLAIM_ROWS."""
    return _claim(version_id, "attempts = 0", settings.CLAIM_ROWS)


def claim_suspect(version_id: UUID) -> Claim | None:
    """Take a waiting row that has been tried in vain, alone: it may be why."""
    due = f"attempts > 0 AND (retry_at IS NULL OR retry_at <= {sql.now()})"
    return _claim(version_id, due, 1)


def _claim(version_id: UUID, which: str, limit: int) -> Claim | None:
    statement = _CLAIM.format(
        now=sql.now(),
        lease_end=sql.now(timedelta(seconds=settings.LEASE_SECONDS)),
        which=which,
        order=queue.ORDER,
        # SQLite has one writer at a time instead.
        skip_locked="FOR UPDATE SKIP LOCKED" if connection.vendor == "postgresql" else "",
    )
    token = uuid.uuid4()
    rows = sql.fetch_all(statement, version_id, limit, token)
    if not rows:
        return None
    claimed = [Row(UUID(str(key)), json.loads(data), bool(asked)) for key, data, asked in rows]
    return Claim(token, version_id, claimed)


@transaction.atomic
def give_back(claim: Claim) -> None:
    """Return a claim's rows to the queue as if it had never been made."""
    _held_by(claim).update(
        status=Status.QUEUED, claim=None, lease_expires_at=None, attempts=F("attempts") - 1
    )
    transaction.on_commit(lambda: doorbell.ring(claim.version_id), robust=True)


@transaction.atomic
def abandon(claim: Claim) -> None:
    """Return a claim's rows to be tried once more, each alone and after a while."""
    rows = list(_lock(_held_by(claim)).order_by("pk"))
    resolve_holds(released=retry_or_fail(rows, Failure.INTERNAL_ERROR, settings.RETRY_SECONDS))
    transaction.on_commit(lambda: doorbell.ring(claim.version_id), robust=True)


def _held_by(claim: Claim) -> PredictionQuerySet:
    return Prediction.objects.filter(
        pk__in=[row.id for row in claim.rows], claim=claim.token, status=Status.RUNNING
    )


def _lock(rows: PredictionQuerySet) -> PredictionQuerySet:
    """Lock rows that nobody else has locked."""
    return rows.select_for_update(skip_locked=True, no_key=True, of=("self",))


# --- Score ---------------------------------------------------------------------------------------


def score(claim: Claim) -> list[Outcome]:
    """Score a claim's rows as one array; if that fails, one by one, so that only bad ones fail.

    Raises SoftTimeLimitExceeded.
    """
    try:
        scorer = inference.scorer(claim.version_id)
    except ArtefactError as error:
        catalogue.report_fault(claim.version_id, str(error))
        return [Outcome(row, failure=Failure.MODEL_UNAVAILABLE) for row in claim.rows]
    return score_rows(scorer, claim.rows)


def score_rows(scorer: inference.Scorer, rows: Sequence[Row]) -> list[Outcome]:
    """One outcome for each row, in their order. Raises SoftTimeLimitExceeded."""
    try:
        return _score_together(scorer, rows)
    except SoftTimeLimitExceeded:
        raise
    except Exception:
        logger.warning("Scoring %s rows failed; one by one now.", len(rows), exc_info=True)
    return [_score_alone(scorer, row) for row in rows]


def _score_together(scorer: inference.Scorer, rows: Sequence[Row]) -> list[Outcome]:
    values = scorer.predict([row.data for row in rows])
    asked = [row for row in rows if row.explain]
    found = scorer.explain([row.data for row in asked]) if asked else []
    explanations = {row.id: each for row, each in zip(asked, found, strict=True)}
    return [
        Outcome(row, value, explanations.get(row.id))
        for row, value in zip(rows, values, strict=True)
    ]


def _score_alone(scorer: inference.Scorer, row: Row) -> Outcome:
    try:
        return _score_together(scorer, [row])[0]
    except SoftTimeLimitExceeded:
        raise
    except (ValueError, TypeError, inference.ScoringError):
        logger.warning("Prediction %s cannot be scored.", row.id, exc_info=True)
        return Outcome(row, failure=Failure.INVALID_INPUT)
    except PASSING as error:
        logger.warning("Prediction %s is tried again later: %r", row.id, error)
        return Outcome(row, may_pass=True)
    except Exception:
        logger.exception("Prediction %s failed.", row.id)
        return Outcome(row, failure=Failure.INTERNAL_ERROR)


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
        now=sql.now(),
        rows=sql.values(len(outcomes), len(found[0])),
        explanation=f"explanation = {sql.as_json('outcome.column3')}," if explained else "",
    )
    parameters = chain.from_iterable(found)
    return [hold_id for (hold_id,) in sql.fetch_all(statement, *parameters, claim.token)]


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
        logger.error("%s is left to other workers: %s", catalogue.name_of(version_id), reason)
        _foreign[version_id] = _Foreign(reason)


def look_at_what_is_on_sale() -> None:
    """Note which versions this worker has what it needs for; the others are left to others."""
    ours = []
    for version in catalogue.versions_on_sale():
        try:
            artefacts.check_release(version)
        except OtherLibrary as error:
            leave_to_others(version.pk, str(error))
        else:
            ours.append(version.pk)
    catalogue.note_loadable(ours)


def give_up_what_nobody_scores(now: float) -> None:
    """Take versions off sale, and fail their rows, that for long nobody has scored or could.

    `now` is monotonic.
    """
    for version_id, foreign in list(_foreign.items()):
        if _stands_still(version_id, foreign, now) or _is_sold_in_vain(version_id, foreign, now):
            catalogue.report_fault(version_id, foreign.reason)
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
    if not catalogue.is_sold_in_vain(version_id):
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


def waiting_versions() -> dict[UUID, datetime]:
    """Versions that have had rows waiting for longer than a sweep, and since when."""
    patience = timedelta(seconds=settings.SWEEP_SECONDS)
    overdue = Prediction.objects.due().filter(queued_at__lt=Now() - patience)
    return dict(overdue.values_list("version_id").annotate(since=Min("queued_at")))
