"""Claiming, scoring, settling and sweeping: what a worker does, and what its crash leaves."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from celery.exceptions import SoftTimeLimitExceeded
from django.conf import LazySettings
from django.db import IntegrityError, connection, transaction
from django.db.models.functions import Now

from accounts.models import User
from billing.models import CreditAccount, LedgerEntry
from mlmodels.catalogue.queries import PredictorNotFound, find_on_sale
from mlmodels.models import Predictor
from mlmodels.serving import inference
from mlmodels.serving.artefacts import path_of
from predictions.audit import breaches
from predictions.execution import claims, recovery, runner, scoring, settlement
from predictions.models import Prediction
from predictions.services import request_prediction
from predictions.tasks import score_predictions

pytestmark = pytest.mark.django_db
CREDITS = 1000
CARS: list[dict[str, Any]] = [
    {"brand": "bmw", "horsepower": 121},
    {"brand": "toyota", "horsepower": 62},
    {"brand": "jaguar", "horsepower": 262, "enginesize": 326},
]
Status = Prediction.Status
Failure = Prediction.Failure
Submit = Callable[..., Prediction]
Run = Callable[[], int]
MakeClaim = Callable[[], claims.Claim]


@pytest.fixture
def submit(user: User, predictor: Predictor) -> Submit:
    def submit(data: dict[str, Any] = CARS[0]) -> Prediction:
        return request_prediction(user=user, predictor=predictor, data=data)

    return submit


@pytest.fixture
def run(predictor: Predictor) -> Run:
    """Take one claim and bring it to its end; returns the number of rows."""
    return lambda: runner.run_queued(Prediction, _version(predictor))


@pytest.fixture
def claim(predictor: Predictor) -> MakeClaim:
    def claim() -> claims.Claim:
        claimed = claims.claim_first_attempts(Prediction, _version(predictor))
        assert claimed
        return claimed

    return claim


class Broken:
    """What a scorer does when its model fails: for some rows, or for all."""

    def __init__(self, error: BaseException, brand: str | None = None) -> None:
        self._error, self._brand = error, brand

    def predict(self, rows: list[dict[str, Any]]) -> list[float]:
        if any(self._brand in (None, row["brand"]) for row in rows):
            raise self._error
        return [1.0] * len(rows)


@pytest.fixture
def break_model(predictor: Predictor, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    def break_model(error: BaseException, brand: str | None = None) -> None:
        monkeypatch.setitem(inference._loaded, _version(predictor), Broken(error, brand))

    return break_model


def _version(predictor: Predictor) -> Any:
    return predictor.current_version_id


def money(user: User) -> tuple[int, int]:
    account = CreditAccount.objects.get(pk=user.pk)
    return account.balance, account.held


def status_of(*rows: Prediction) -> list[str]:
    statuses = dict(Prediction.objects.values_list("pk", "status"))
    return [statuses[row.pk] for row in rows]


def pass_time(**times: Any) -> None:
    """Let leases or deadlines of all rows lie in the past."""
    Prediction.objects.update(**dict.fromkeys(times, Now() - timedelta(seconds=1)))


def test_a_prediction_is_scored_and_charged_once(
    submit: Submit, run: Run, user: User, predictor: Predictor
) -> None:
    prediction = submit()

    claimed = [run(), run()]

    prediction.refresh_from_db()
    assert claimed == [1, 0]
    assert prediction.status == Status.FINISHED
    assert money(user) == (CREDITS - predictor.price, 0)
    assert not list(breaches())


def test_submitting_holds_the_price_and_fixes_it(
    submit: Submit, run: Run, user: User, predictor: Predictor
) -> None:
    prediction = submit()
    held = money(user)
    Predictor.objects.update(price=999)

    run()

    prediction.refresh_from_db()
    assert held == (CREDITS, predictor.price)
    assert prediction.charged == predictor.price
    assert money(user) == (CREDITS - predictor.price, 0)


def test_rows_of_one_claim_get_their_own_values(
    submit: Submit, run: Run, predictor: Predictor
) -> None:
    together = [submit(car) for car in CARS]
    run()
    alone = []
    for car in CARS:
        alone.append(submit(car))
        run()

    values = [Prediction.objects.get(pk=row.pk).value for row in [*together, *alone]]

    assert values[:3] == pytest.approx(values[3:], rel=1e-9)
    assert len(set(values)) == 3


def test_a_claim_takes_no_more_rows_than_its_limit(
    submit: Submit, claim: MakeClaim, settings: LazySettings
) -> None:
    settings.CLAIM_ROWS = 2
    rows = [submit() for _ in range(3)]

    claimed = claim()

    assert {row.id for row in claimed.rows} == {row.pk for row in rows[:2]}


def test_a_row_is_claimed_by_one_worker_only(submit: Submit, claim: MakeClaim, run: Run) -> None:
    submit()
    claim()

    assert run() == 0


def test_a_bad_row_fails_alone(
    submit: Submit, run: Run, break_model: Callable[..., None], user: User, predictor: Predictor
) -> None:
    rows = [submit(car) for car in CARS]
    break_model(ValueError("bad"), "toyota")

    run()

    assert status_of(*rows) == [Status.FINISHED, Status.FAILED, Status.FINISHED]
    assert Prediction.objects.get(pk=rows[1].pk).failure == Failure.INVALID_INPUT
    assert money(user) == (CREDITS - 2 * predictor.price, 0)
    assert not list(breaches())


def test_any_other_error_of_the_model_is_ours_and_free(
    submit: Submit, run: Run, break_model: Callable[..., None], user: User
) -> None:
    prediction = submit()
    break_model(RuntimeError("bug"))

    run()

    prediction.refresh_from_db()
    assert (prediction.status, prediction.failure) == (Status.FAILED, Failure.INTERNAL_ERROR)
    assert money(user) == (CREDITS, 0)


@pytest.mark.parametrize("error", [MemoryError(), OSError("too many open files")])
def test_a_failure_that_may_pass_is_tried_again_after_a_while_and_three_times_at_most(
    submit: Submit,
    run: Run,
    break_model: Callable[..., None],
    user: User,
    settings: LazySettings,
    error: Exception,
) -> None:
    settings.RETRY_SECONDS = 60
    prediction = submit()
    break_model(error)

    statuses = []
    for _ in range(3):
        assert (run(), run()) == (1, 0)  # the second time it is too early
        statuses += status_of(prediction)
        Prediction.objects.update(retry_at=Now())

    prediction.refresh_from_db()
    assert statuses == [Status.QUEUED, Status.QUEUED, Status.FAILED]
    assert (prediction.failure, prediction.attempts) == (Failure.INTERNAL_ERROR, 3)
    assert money(user) == (CREDITS, 0)


def test_a_failure_that_passes_spoils_nothing(
    submit: Submit,
    run: Run,
    break_model: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
    user: User,
    predictor: Predictor,
    settings: LazySettings,
) -> None:
    settings.RETRY_SECONDS = 0
    rows = [submit(), submit(CARS[1])]
    break_model(MemoryError(), brand="toyota")
    run()
    assert status_of(*rows) == [Status.FINISHED, Status.QUEUED]

    monkeypatch.undo()
    run()

    assert status_of(*rows) == [Status.FINISHED, Status.FINISHED]
    assert money(user) == (CREDITS - 2 * predictor.price, 0)
    assert not list(breaches())


def test_rows_that_take_too_long_are_tried_alone_and_fail_after_three_attempts(
    submit: Submit,
    run: Run,
    break_model: Callable[..., None],
    user: User,
    settings: LazySettings,
) -> None:
    settings.RETRY_SECONDS = 0
    rows = [submit(), submit()]
    break_model(SoftTimeLimitExceeded())

    for _ in range(5):  # both at once, then each alone, twice
        with pytest.raises(runner.ScoringStopped):
            run()

    assert status_of(*rows) == [Status.FAILED, Status.FAILED]
    assert Prediction.objects.filter(failure=Failure.INTERNAL_ERROR, attempts=3).count() == 2
    assert money(user) == (CREDITS, 0)
    assert run() == 0


def test_a_worker_told_to_stop_gives_its_rows_back_without_using_up_an_attempt(
    submit: Submit, run: Run, break_model: Callable[..., None]
) -> None:
    prediction = submit()
    break_model(SystemExit())

    with pytest.raises(SystemExit):
        run()

    prediction.refresh_from_db()
    assert (prediction.status, prediction.attempts) == (Status.QUEUED, 0)


def test_a_worker_that_lost_its_lease_settles_nothing(
    submit: Submit, claim: MakeClaim, run: Run, user: User, predictor: Predictor
) -> None:
    prediction = submit()
    slow = claim()
    outcomes = scoring.score(slow)
    pass_time(lease_expires_at=True)
    recovery.recover()

    settlement.settle(slow, outcomes)

    assert status_of(prediction) == [Status.QUEUED]
    assert run() == 1
    settlement.settle(slow, outcomes)
    assert money(user) == (CREDITS - predictor.price, 0)
    assert not list(breaches())


def test_a_claim_whose_worker_died_is_queued_again_and_its_rows_are_tried_alone(
    submit: Submit, claim: MakeClaim, run: Run
) -> None:
    lost = [submit(), submit()]
    claim()
    pass_time(lease_expires_at=True)

    recovery.recover()

    assert status_of(*lost) == [Status.QUEUED, Status.QUEUED]
    assert [run(), run(), run()] == [1, 1, 0]
    assert status_of(*lost) == [Status.FINISHED, Status.FINISHED]


def test_first_attempts_do_not_wait_for_retries(submit: Submit, claim: MakeClaim, run: Run) -> None:
    retry = submit()
    claim()
    pass_time(lease_expires_at=True)
    recovery.recover()
    first_attempts = [submit(), submit()]

    claimed = run()

    assert claimed == 2
    assert status_of(*first_attempts, retry) == [Status.FINISHED, Status.FINISHED, Status.QUEUED]


def test_a_row_that_cost_three_workers_fails_and_is_free(
    submit: Submit, user: User, predictor: Predictor
) -> None:
    prediction = submit()

    for _ in range(3):
        version_id = _version(predictor)
        assert claims.claim_first_attempts(Prediction, version_id) or claims.claim_retry(
            Prediction, version_id
        )
        pass_time(lease_expires_at=True)
        recovery.recover()

    prediction.refresh_from_db()
    assert (prediction.status, prediction.failure) == (Status.FAILED, Failure.WORKER_LOST)
    assert money(user) == (CREDITS, 0)
    assert not list(breaches())


@pytest.mark.parametrize("running", [False, True])
def test_every_prediction_ends_at_its_deadline(
    submit: Submit, claim: MakeClaim, user: User, running: bool
) -> None:
    prediction = submit()
    late = claim() if running else None
    pass_time(deadline_at=True)

    recovery.recover()

    if late:
        settlement.settle(late, scoring.score(late))
    prediction.refresh_from_db()
    assert (prediction.status, prediction.failure) == (Status.FAILED, Failure.DEADLINE_EXCEEDED)
    assert money(user) == (CREDITS, 0)
    assert not list(breaches())


def test_a_model_that_does_not_load_fails_for_free_and_is_no_longer_sold(
    submit: Submit, run: Run, user: User, predictor: Predictor, monkeypatch: pytest.MonkeyPatch
) -> None:
    prediction = submit()
    monkeypatch.delitem(inference._loaded, _version(predictor), raising=False)
    assert predictor.current_version
    artefact = path_of(predictor.current_version.artefact_sha256)
    content = artefact.read_bytes()
    artefact.write_bytes(b"tampered" + content)

    try:
        run()
    finally:
        artefact.write_bytes(content)

    prediction.refresh_from_db()
    assert (prediction.status, prediction.failure) == (Status.FAILED, Failure.MODEL_UNAVAILABLE)
    assert money(user) == (CREDITS, 0)
    with pytest.raises(PredictorNotFound):
        find_on_sale(predictor.name)


def test_waiting_rows_are_notified_of_again(
    submit: Submit, predictor: Predictor, settings: LazySettings
) -> None:
    submit()
    settings.SWEEP_SECONDS = 0

    assert list(recovery.waiting_versions(Prediction)) == [_version(predictor)]


@pytest.mark.parametrize("status", [Status.QUEUED, Status.RUNNING, Status.FAILED])
def test_an_ended_prediction_cannot_be_revived(submit: Submit, run: Run, status: str) -> None:
    prediction = submit()
    run()

    with pytest.raises(IntegrityError), transaction.atomic():
        Prediction.objects.filter(pk=prediction.pk).update(
            status=status, failure="worker_lost", value=None
        )


class TestAudit:
    """Each breach of an invariant is found and named."""

    def test_names_a_balance_that_differs_from_the_entries(self, account: CreditAccount) -> None:
        CreditAccount.objects.update(balance=CREDITS + 1)

        assert [str(account.pk) in breach for breach in breaches()] == [True]

    def test_names_a_finished_prediction_without_a_capture(
        self, submit: Submit, user: User
    ) -> None:
        prediction = submit()
        Prediction.objects.update(status=Status.FINISHED, value=1, finished_at=Now())

        sentences = list(breaches())

        assert f"prediction {prediction.pk} (finished): finished without a capture" in sentences[0]
        assert "ended with an open hold" in sentences[1]

    def test_names_a_charge_for_nothing(self, submit: Submit, run: Run, user: User) -> None:
        submit()
        run()
        Prediction.objects.update(price=1)

        assert any("without a capture of exactly its price" in breach for breach in breaches())

    def test_names_a_prediction_stuck_past_its_deadline(self, submit: Submit) -> None:
        submit()
        Prediction.objects.update(queued_at=Now() - timedelta(days=1))

        assert any("not ended long after its deadline" in breach for breach in breaches())

    def test_names_a_hold_that_no_prediction_owns(self, submit: Submit) -> None:
        Prediction.objects.filter(pk=submit().pk).delete()

        assert [breach.startswith("hold ") for breach in breaches()] == [True]
        assert LedgerEntry.objects.filter(kind="hold").count() == 1


@pytest.mark.postgresql
def test_a_claim_keeps_its_limit_whatever_the_planner_believes(
    submit: Submit, predictor: Predictor, settings: LazySettings
) -> None:
    """With statistics of an empty table PostgreSQL would rather run the limited query per row."""
    settings.CLAIM_ROWS = 2
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE predictions_prediction")
    rows = [submit() for _ in range(9)]

    claimed = claims.claim_first_attempts(Prediction, _version(predictor))

    assert claimed
    assert len(claimed.rows) == 2
    assert Prediction.objects.filter(status=Status.QUEUED).count() == len(rows) - 2


def test_a_task_of_a_busy_version_serves_other_versions(
    submit: Submit,
    user: User,
    predictors: dict[str, Predictor],
    predictor: Predictor,
    settings: LazySettings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    settings.SWEEP_SECONDS = 0
    monkeypatch.setattr("predictions.tasks.MAX_TASK_SECONDS", 0)
    other = request_prediction(user=user, predictor=predictors["linear_regression"], data=CARS[0])
    submit()

    score_predictions(str(_version(predictor)))

    assert status_of(other) == [Status.FINISHED]


def test_the_audit_names_a_user_without_an_account(make_user: Callable[..., User]) -> None:
    user = make_user("no-account@example.com", credit=0)
    CreditAccount.objects.filter(pk=user.pk).delete()

    assert list(breaches()) == [f"user {user.pk}: has no credit account"]
