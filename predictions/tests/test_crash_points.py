"""Each change is cut off before each of its statements in turn: all of it is there, or nothing.

A process that dies in a transaction leaves what an exception that nobody catches leaves; the
tests on PostgreSQL have the server end the session instead.
"""

from collections.abc import Callable
from contextlib import suppress
from typing import Any
from uuid import UUID

import pytest
from django.db import OperationalError, connection
from django.db.models.functions import Now
from rest_framework.test import APIClient

from accounts.models import User
from billing.models import CreditAccount, LedgerEntry
from carprice.idempotency.models import IdempotencyKey
from mlmodels.models import Predictor
from mlmodels.serving import inference
from predictions import services
from predictions.audit import breaches
from predictions.execution import claims, compatibility, recovery, runner, scoring, settlement
from predictions.models import Prediction

pytestmark = pytest.mark.django_db

CAR = {"brand": "bmw", "horsepower": 121}
ASK = {"model_name": "random_forest", "data": CAR}
LONG_AGO = "2000-01-01T00:00Z"
MOST_STATEMENTS = 60
Status = Prediction.Status
Failure = Prediction.Failure
Act = Callable[[], Any]


class Crash(BaseException):
    """Nothing catches it, as nothing catches a SIGKILL."""


class CrashBefore:
    """Lets so many statements through, and crashes at the next."""

    def __init__(self, statements: int) -> None:
        self.left = statements

    def __call__(self, execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        if "SAVEPOINT" not in sql:
            self.left -= 1
            if self.left == -1:
                raise Crash
        return execute(sql, params, many, context)


def crash_everywhere(act: Act) -> int:
    """Do `act` with a crash before its first, second, third statement, until none is left.

    Whatever it changes, a crash must leave as it was. Returns how many crashes there were.
    """
    before = everything()
    for statements in range(MOST_STATEMENTS):
        crash = CrashBefore(statements)
        try:
            with connection.execute_wrapper(crash):
                act()
        except Crash:
            assert everything() == before, f"after {statements} statements"
            continue
        assert crash.left >= 0
        assert everything() != before
        assert not list(breaches())
        return statements
    raise AssertionError("it never ended")


def everything() -> dict[str, list[Any]]:
    return {
        model.__name__: list(model._default_manager.order_by("pk").values())
        for model in (Prediction, LedgerEntry, CreditAccount, IdempotencyKey)
    }


@pytest.fixture
def version_id(predictor: Predictor) -> UUID:
    assert predictor.current_version_id
    return predictor.current_version_id


@pytest.fixture
def submit(user: User, predictor: Predictor) -> Callable[..., str]:
    def submit(of: User = user) -> str:
        return str(services.request_prediction(user=of, predictor=predictor, data=CAR).pk)

    return submit


@pytest.fixture
def draft(user: User, predictor: Predictor) -> str:
    row = services.create_draft(user=user, predictor=predictor, data=CAR, explain=False)
    return str(row.pk)


@pytest.fixture
def claim(version_id: UUID, submit: Callable[..., str], make_user: Callable[..., User]) -> Any:
    """Six rows of two users, claimed by one worker."""
    other = make_user("bob@example.com")
    for _ in range(3):
        submit()
        submit(other)
    claim = claims.claim_first_attempts(Prediction, version_id)
    assert claim
    return claim


# --- What users ask for --------------------------------------------------------------------------


def test_a_submission(submit: Callable[..., str]) -> None:
    assert crash_everywhere(submit) >= 2


def test_a_draft_that_is_run(user: User, draft: str) -> None:
    assert crash_everywhere(lambda: services.run_draft(user=user, prediction_id=UUID(draft))) >= 4


def test_a_cancellation(user: User, submit: Callable[..., str]) -> None:
    key = submit()

    assert crash_everywhere(lambda: services.cancel(user=user, prediction_id=UUID(key))) >= 4


def test_a_deletion_of_a_task_with_a_kept_answer(
    api: APIClient, user: User, predictor: Predictor
) -> None:
    response = api.post("/api/tasks/predict", ASK, format="json", HTTP_IDEMPOTENCY_KEY="k")
    key = response.json()["task_id"]
    services.cancel(user=user, prediction_id=UUID(key))

    assert crash_everywhere(lambda: services.erase(user=user, prediction_id=UUID(key))) >= 4


@pytest.mark.parametrize("path", ["/predict", "/api/tasks/predict", "/api/tasks/{draft}/run"])
def test_a_request_with_a_key(api: APIClient, draft: str, path: str) -> None:
    body = {} if path.endswith("run") else ASK

    crashes = crash_everywhere(
        lambda: api.post(path.format(draft=draft), body, format="json", HTTP_IDEMPOTENCY_KEY="k")
    )

    assert crashes >= 5


# --- What workers and sweeps do ------------------------------------------------------------------


def test_a_claim(version_id: UUID, submit: Callable[..., str]) -> None:
    submit()

    assert crash_everywhere(lambda: claims.claim_first_attempts(Prediction, version_id)) == 1


def test_the_end_of_a_claim(claim: claims.Claim) -> None:
    """Of two users' rows some succeed, some fail for good, some may pass."""
    rows = claim.rows
    outcomes = [
        *(scoring.Outcome(row, 1.0) for row in rows[:2]),
        *(scoring.Outcome(row, failure=Failure.INVALID_INPUT) for row in rows[2:4]),
        *(scoring.Outcome(row, is_transient=True) for row in rows[4:]),
    ]

    crashes = crash_everywhere(lambda: settlement.settle(claim, outcomes))

    counts = [Prediction.objects.filter(status=status).count() for status in Status.values]
    assert crashes >= 8
    assert dict(zip(Status.values, counts, strict=True)) == {
        "draft": 0, "queued": 2, "running": 0, "finished": 2, "failed": 2, "canceled": 0,
    }  # fmt: skip


@pytest.mark.parametrize("attempts", [1, 3])
def test_a_claim_that_is_abandoned(claim: claims.Claim, attempts: int) -> None:
    Prediction.objects.update(attempts=attempts)

    assert crash_everywhere(lambda: settlement.abandon(claim)) >= 2


def test_a_claim_that_is_given_back(claim: claims.Claim) -> None:
    assert crash_everywhere(lambda: settlement.give_back(claim)) >= 1


def test_a_sweep_of_what_is_past_its_deadline(claim: claims.Claim) -> None:
    Prediction.objects.update(deadline_at=LONG_AGO)

    assert crash_everywhere(lambda: recovery._fail_overdue(Prediction)) >= 5
    assert Prediction.objects.filter(failure=Failure.DEADLINE_EXCEEDED).count() == 6


def test_a_sweep_of_what_lost_its_worker(claim: claims.Claim) -> None:
    Prediction.objects.update(lease_expires_at=LONG_AGO)
    Prediction.objects.filter(pk__in=[row.id for row in claim.rows[:3]]).update(attempts=3)

    assert crash_everywhere(lambda: recovery._requeue_expired_leases(Prediction)) >= 5
    assert Prediction.objects.filter(failure=Failure.WORKER_LOST).count() == 3


def test_a_queue_that_fails_unserved(
    version_id: UUID, submit: Callable[..., str], settings: Any
) -> None:
    submit()
    settings.MODEL_TIMEOUT_SECONDS = 0

    def fail_queue() -> None:
        compatibility._incompatible.clear()
        compatibility.mark_incompatible(version_id, "reason")
        compatibility.fail_unserved(1)
        compatibility.fail_unserved(2)

    try:
        assert crash_everywhere(fail_queue) >= 5
    finally:
        compatibility._incompatible.clear()


def test_a_worker_that_dies_anywhere_costs_nobody_anything(
    user: User, version_id: UUID, submit: Callable[..., str], predictor: Predictor
) -> None:
    """From claim to end, again and again; its rows end all the same, and are charged once."""
    inference.scorer(version_id)
    crashes = 0

    while True:
        key = submit()
        try:
            with connection.execute_wrapper(CrashBefore(crashes)):
                runner.run_queued(Prediction, version_id)
        except Crash:
            crashes += 1
            assert not list(breaches())
            Prediction.objects.filter(status=Status.RUNNING).update(lease_expires_at=LONG_AGO)
            recovery.recover()
            runner.run_queued(Prediction, version_id)
        else:
            break

    ends = Prediction.objects.values_list("status", "finished_at")
    assert crashes >= 2
    assert {status for status, _ in ends} == {Status.FINISHED}
    assert CreditAccount.objects.get(pk=user.pk).balance == 1000 - (crashes + 1) * predictor.price
    assert Prediction.objects.filter(pk=key, finished_at__lte=Now()).exists()
    assert not list(breaches())


# --- The real thing ------------------------------------------------------------------------------


class EndsItsSession:
    """Scores, and has the server end the session of whoever asked."""

    def predict(self, rows: list[dict[str, Any]]) -> list[float]:
        with suppress(OperationalError), connection.cursor() as cursor:
            cursor.execute("SELECT pg_terminate_backend(pg_backend_pid())")
        return [1.0] * len(rows)


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
def test_a_worker_that_lost_its_connection_settles_by_a_new_one(
    user: User,
    version_id: UUID,
    submit: Callable[..., str],
    predictor: Predictor,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    submit()
    monkeypatch.setitem(inference._loaded, version_id, EndsItsSession())

    runner.run_queued(Prediction, version_id)

    assert Prediction.objects.get().status == Status.FINISHED
    assert CreditAccount.objects.get(pk=user.pk).balance == 1000 - predictor.price
    assert not list(breaches())
