"""What a worker does: claim rows, score them as one array, settle; and sweep up after crashes.

The database decides everything. A claim is a token with a lease; only rows that still carry the
token are settled, so a worker that comes back after its lease settles nothing. All times are the
database's. Locks are taken on predictions first, in the order of their ids, then on accounts.
"""

import logging
import uuid
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from celery.exceptions import SoftTimeLimitExceeded
from django.conf import settings
from django.db import transaction
from django.db.models import Case, F, Min, Value, When
from django.db.models.functions import Coalesce, Now

from billing.services import capture_holds, release_holds
from mlmodels import catalogue, inference
from mlmodels.artefacts import ArtefactError
from predictions import doorbell
from predictions.models import Prediction, PredictionQuerySet

logger = logging.getLogger(__name__)

Status = Prediction.Status
Failure = Prediction.Failure

SWEEP_ROWS = 500  # at most, in one transaction


@dataclass(frozen=True)
class Claim:
    """Rows of one version that this worker alone may settle, until its lease runs out."""

    token: UUID
    version_id: UUID
    rows: list[Prediction]


@dataclass(frozen=True)
class Outcome:
    """How one row ended: with a value, or with a failure."""

    row: Prediction
    value: float | None = None
    failure: str = ""


def run_waiting(version_id: UUID) -> int:
    """Score up to CLAIM_ROWS waiting rows of a version; returns how many were claimed.

    Raises SoftTimeLimitExceeded after handing the rows back, to be tried alone.
    """
    claim = claim_rows(version_id)
    if claim is None:
        return 0
    try:
        outcomes = score(claim)
    except SoftTimeLimitExceeded:
        abandon(claim)
        raise
    except BaseException:  # told to stop: nobody else need wait for the lease
        give_back(claim)
        raise
    settle(claim, outcomes)
    return len(claim.rows)


# --- Claim ---------------------------------------------------------------------------------------


@transaction.atomic
def claim_rows(version_id: UUID) -> Claim | None:
    """Take the oldest waiting rows. One that has lost a worker before is taken alone."""
    waiting = _lock(Prediction.objects.filter(version_id=version_id, status=Status.QUEUED))
    rows = list(waiting.order_by("queued_at", "pk")[: settings.CLAIM_ROWS])
    if not rows:
        return None
    rows = rows[:1] if rows[0].attempts else [row for row in rows if not row.attempts]
    claim = Claim(uuid.uuid4(), version_id, rows)
    Prediction.objects.filter(pk__in=[row.pk for row in rows]).update(
        status=Status.RUNNING,
        claim=claim.token,
        lease_expires_at=Now() + timedelta(seconds=settings.LEASE_SECONDS),
        started_at=Coalesce("started_at", Now()),
        attempts=rows[0].attempts + 1,
    )
    return claim


@transaction.atomic
def give_back(claim: Claim) -> None:
    """Return a claim's rows to the queue as if it had never been made."""
    _held_by(claim).update(
        status=Status.QUEUED, claim=None, lease_expires_at=None, attempts=F("attempts") - 1
    )
    transaction.on_commit(lambda: doorbell.ring(claim.version_id))


@transaction.atomic
def abandon(claim: Claim) -> None:
    """Return a claim's rows as if their worker had been lost."""
    retry_or_fail(list(_lock(_held_by(claim)).order_by("pk")))
    transaction.on_commit(lambda: doorbell.ring(claim.version_id))


def _held_by(claim: Claim) -> PredictionQuerySet:
    return Prediction.objects.filter(
        pk__in=[row.pk for row in claim.rows], claim=claim.token, status=Status.RUNNING
    )


def _lock(rows: PredictionQuerySet) -> PredictionQuerySet:
    """Lock rows that nobody else has locked. SQLite has one writer at a time instead."""
    return rows.select_for_update(skip_locked=True, no_key=True, of=("self",))


# --- Score ---------------------------------------------------------------------------------------


def score(claim: Claim) -> list[Outcome]:
    """Score a claim's rows as one array; if that fails, one by one, so that only bad ones fail.

    Raises SoftTimeLimitExceeded.
    """
    try:
        scorer = inference.scorer(claim.version_id)
    except ArtefactError as error:
        logger.error("Version %s is off sale: %s", claim.version_id, error)
        catalogue.report_fault(claim.version_id, str(error))
        return [Outcome(row, failure=Failure.MODEL_UNAVAILABLE) for row in claim.rows]
    try:
        values = scorer.predict([row.data for row in claim.rows])
        return [Outcome(row, value) for row, value in zip(claim.rows, values, strict=True)]
    except SoftTimeLimitExceeded:
        raise
    except Exception:
        logger.warning("Scoring %s rows failed; one by one now.", len(claim.rows), exc_info=True)
    return [_score_alone(scorer, row) for row in claim.rows]


def _score_alone(scorer: inference.Scorer, row: Prediction) -> Outcome:
    try:
        return Outcome(row, scorer.predict([row.data])[0])
    except SoftTimeLimitExceeded:
        raise
    except (ValueError, TypeError, inference.ScoringError):
        logger.warning("Prediction %s cannot be scored.", row.pk, exc_info=True)
        return Outcome(row, failure=Failure.INVALID_INPUT)
    except Exception:
        logger.exception("Prediction %s failed.", row.pk)
        return Outcome(row, failure=Failure.INTERNAL_ERROR)


# --- Settle --------------------------------------------------------------------------------------


@transaction.atomic
def settle(claim: Claim, outcomes: Sequence[Outcome]) -> None:
    """Store results and move the money, for the rows that still carry the claim's token."""
    held = _held_by(claim).select_for_update(no_key=True).order_by("pk")
    holds = dict(held.values_list("pk", "hold_id"))
    if len(holds) < len(outcomes):
        logger.warning("%s rows were no longer ours to settle.", len(outcomes) - len(holds))
    live = [outcome for outcome in outcomes if outcome.row.pk in holds]
    _finish([outcome for outcome in live if not outcome.failure], holds)
    by_failure = defaultdict(list)
    for outcome in live:
        if outcome.failure:
            by_failure[outcome.failure].append(outcome.row)
    for failure, rows in by_failure.items():
        fail(rows, failure)


def _finish(outcomes: Sequence[Outcome], holds: Mapping[UUID, int]) -> None:
    if not outcomes:
        return
    capture_holds([holds[outcome.row.pk] for outcome in outcomes])
    values = Case(*(When(pk=outcome.row.pk, then=Value(outcome.value)) for outcome in outcomes))
    Prediction.objects.filter(pk__in=[outcome.row.pk for outcome in outcomes]).update(
        status=Status.FINISHED,
        value=values,
        finished_at=Now(),
        claim=None,
        lease_expires_at=None,
    )


def fail(rows: Sequence[Prediction], failure: str) -> None:
    """End rows the caller has locked, giving their holds back."""
    release_holds([row.hold_id for row in rows if row.hold_id is not None])
    Prediction.objects.filter(pk__in=[row.pk for row in rows]).update(
        status=Status.FAILED,
        failure=failure,
        finished_at=Now(),
        claim=None,
        lease_expires_at=None,
    )


# --- Sweep ---------------------------------------------------------------------------------------


@transaction.atomic
def recover() -> None:
    """End what is past its deadline, and take back what a lost worker left running.

    Any number of these may run at once: rows that another one has locked are skipped.
    """
    late = _lock(Prediction.objects.active().filter(deadline_at__lt=Now())).order_by("pk")
    if rows := list(late[:SWEEP_ROWS]):
        logger.warning("%s predictions passed their deadline.", len(rows))
        fail(rows, Failure.DEADLINE_EXCEEDED)
    lapsed = Prediction.objects.filter(status=Status.RUNNING, lease_expires_at__lt=Now())
    if rows := list(_lock(lapsed).order_by("pk")[:SWEEP_ROWS]):
        logger.warning("%s predictions lost their worker.", len(rows))
        retry_or_fail(rows)


def retry_or_fail(rows: Sequence[Prediction]) -> None:
    """Queue locked rows whose worker was lost once more, or fail them after too many times."""
    hopeless = [row for row in rows if row.attempts >= settings.MAX_ATTEMPTS]
    if hopeless:
        fail(hopeless, Failure.WORKER_LOST)
    others = [row.pk for row in rows if row.attempts < settings.MAX_ATTEMPTS]
    Prediction.objects.filter(pk__in=others).update(
        status=Status.QUEUED, claim=None, lease_expires_at=None
    )


def waiting_versions() -> dict[UUID, datetime]:
    """Versions that have had rows waiting for longer than a sweep, and since when."""
    patience = timedelta(seconds=settings.SWEEP_SECONDS)
    overdue = Prediction.objects.filter(status=Status.QUEUED, queued_at__lt=Now() - patience)
    return dict(overdue.values_list("version_id").annotate(since=Min("queued_at")))
