"""Versions written with another release of scikit-learn: other workers score them, or none does.

This process cannot load them. What another worker does is done here by claiming and settling.
"""

import logging
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from django.conf import LazySettings
from django.db.models.functions import Now

from accounts.models import User
from billing.models import CreditAccount
from mlmodels.catalogue import availability, publishing
from mlmodels.catalogue.queries import PredictorNotFound, find_on_sale
from mlmodels.models import Predictor, PredictorVersion
from mlmodels.serving import inference
from predictions import worker
from predictions.audit import breaches
from predictions.execution import claims, compatibility, recovery, runner, scoring, settlement
from predictions.models import Prediction
from predictions.services import cancel, request_prediction
from predictions.tasks import score_predictions

pytestmark = pytest.mark.django_db

CAR = {"brand": "bmw", "horsepower": 121}
TIMEOUT = 30.0
Status = Prediction.Status
Failure = Prediction.Failure
Submit = Callable[..., Prediction]


@pytest.fixture(autouse=True)
def _timeout(settings: LazySettings) -> Iterator[None]:
    settings.MODEL_TIMEOUT_SECONDS = TIMEOUT
    compatibility._incompatible.clear()
    yield
    compatibility._incompatible.clear()


@pytest.fixture
def version_id(predictor: Predictor, monkeypatch: pytest.MonkeyPatch) -> UUID:
    """The version of `predictor`, now one for other workers, of which there is one."""
    assert predictor.current_version_id
    PredictorVersion.objects.filter(pk=predictor.current_version_id).update(sklearn_version="0.1")
    monkeypatch.delitem(inference._loaded, predictor.current_version_id, raising=False)
    availability.record_loadable([predictor.current_version_id])
    return predictor.current_version_id


@pytest.fixture
def submit(user: User, predictor: Predictor) -> Submit:
    def submit(by: Predictor = predictor) -> Prediction:
        return request_prediction(user=user, predictor=by, data=CAR)

    return submit


def state(row: Prediction) -> tuple[str, str, int]:
    row.refresh_from_db()
    return row.status, row.failure, row.attempts


def score_elsewhere(version_id: UUID) -> None:
    """What a worker that has the library does."""
    claim = claims.claim_first_attempts(Prediction, version_id) or claims.claim_retry(
        Prediction, version_id
    )
    assert claim
    settlement.settle(claim, [scoring.Outcome(row, 1.0) for row in claim.rows])


def look(*times: float) -> None:
    """Sweep at these times."""
    for now in times:
        compatibility.fail_unserved(now)


WAITING = (Status.QUEUED, "", 0)
FAILED_UNSERVED = (Status.FAILED, Failure.MODEL_UNAVAILABLE, 0)


# --- Left alone ----------------------------------------------------------------------------------


@pytest.mark.parametrize("run", [runner.run_first_attempts, runner.run_retry, runner.run_queued])
def test_a_worker_without_the_library_claims_nothing(
    submit: Submit, version_id: UUID, run: Callable[..., int]
) -> None:
    row = submit()

    assert run(Prediction, version_id) == 0
    assert state(row) == WAITING


def test_its_task_ends_without_an_error_and_says_why_once(
    submit: Submit, version_id: UUID, caplog: pytest.LogCaptureFixture
) -> None:
    row = submit()

    with caplog.at_level(logging.ERROR):
        for _ in range(3):
            score_predictions(str(version_id))

    assert state(row) == WAITING
    assert len(caplog.records) == 1
    assert "0.1" in caplog.text


def test_such_a_version_stays_on_sale_while_a_worker_that_can_load_it_is_at_work(
    predictor: Predictor, version_id: UUID
) -> None:
    worker.load_models()
    look(0, TIMEOUT + 1)

    assert version_id in compatibility._incompatible
    assert find_on_sale(predictor.name).current_version_id == version_id


def test_the_other_versions_are_scored(
    submit: Submit, version_id: UUID, predictors: dict[str, Predictor]
) -> None:
    submit()
    other = submit(predictors["linear_regression"])
    assert other.version_id

    runner.run_queued(Prediction, other.version_id)

    assert state(other)[0] == Status.FINISHED


def test_another_worker_scores_what_this_one_left(
    submit: Submit, version_id: UUID, user: User, predictor: Predictor
) -> None:
    row = submit()
    runner.run_queued(Prediction, version_id)

    score_elsewhere(version_id)

    assert state(row)[0] == Status.FINISHED
    assert CreditAccount.objects.get(pk=user.pk).balance == 1000 - predictor.price


# --- Unserved ------------------------------------------------------------------------------------


def test_what_is_unserved_fails_uncharged_and_goes_off_sale(
    submit: Submit, version_id: UUID, user: User, predictor: Predictor
) -> None:
    rows = [submit(), submit()]
    runner.run_queued(Prediction, version_id)

    look(0, TIMEOUT + 1)

    account = CreditAccount.objects.get(pk=user.pk)
    assert [state(row) for row in rows] == [FAILED_UNSERVED, FAILED_UNSERVED]
    assert (account.balance, account.held) == (1000, 0)
    assert "0.1" in PredictorVersion.objects.get(pk=version_id).fault
    with pytest.raises(PredictorNotFound):
        find_on_sale(predictor.name)
    assert not list(breaches())


def test_it_does_not_fail_before_the_timeout(submit: Submit, version_id: UUID) -> None:
    row = submit()
    runner.run_queued(Prediction, version_id)

    look(0, 10, 20, TIMEOUT)

    assert state(row) == WAITING
    assert PredictorVersion.objects.get(pk=version_id).fault == ""


def test_time_counts_from_the_first_look_at_a_row(submit: Submit, version_id: UUID) -> None:
    compatibility.mark_incompatible(version_id, "reason")
    look(0, 1000)
    row = submit()

    look(1001, 1001 + TIMEOUT)

    assert state(row) == WAITING
    look(1002 + TIMEOUT)
    assert state(row) == FAILED_UNSERVED


def test_all_that_wait_fail_at_once_however_many(
    submit: Submit, version_id: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recovery, "ROWS_PER_TRANSACTION", 2)
    rows = [submit() for _ in range(5)]
    runner.run_queued(Prediction, version_id)

    look(0, TIMEOUT + 1)

    assert [state(row) for row in rows] == [FAILED_UNSERVED] * 5
    assert not list(breaches())


def test_rows_that_another_worker_is_scoring_are_left_to_it(
    submit: Submit, version_id: UUID
) -> None:
    running = submit()
    claim = claims.claim_first_attempts(Prediction, version_id)
    assert claim
    waiting = submit()
    runner.run_queued(Prediction, version_id)

    look(0, TIMEOUT + 1)
    settlement.settle(claim, [scoring.Outcome(row, 1.0) for row in claim.rows])

    assert state(running)[0] == Status.FINISHED
    assert state(waiting) == FAILED_UNSERVED
    assert not list(breaches())


def test_rows_of_other_versions_do_not_fail(
    submit: Submit, version_id: UUID, predictors: dict[str, Predictor]
) -> None:
    other = submit(predictors["linear_regression"])
    compatibility.mark_incompatible(version_id, "reason")

    look(0, TIMEOUT + 1)

    assert state(other) == WAITING


# --- Without a live worker -----------------------------------------------------------------------


def stop_the_other_worker(version_id: UUID) -> None:
    """The other worker has stopped."""
    gone = Now() - availability.LIVE_WITHIN - timedelta(seconds=1)
    PredictorVersion.objects.filter(pk=version_id).update(loadable_at=gone)


def test_what_no_worker_can_load_goes_off_sale_before_anybody_buys_it(
    predictor: Predictor, version_id: UUID, caplog: pytest.LogCaptureFixture
) -> None:
    stop_the_other_worker(version_id)
    compatibility.record_loadable_versions()

    look(0, TIMEOUT, TIMEOUT + 1, TIMEOUT + 3)

    messages = [record.message for record in caplog.records if "cannot be sold" in record.message]
    reason = PredictorVersion.objects.get(pk=version_id).fault
    assert reason.startswith("It was trained with scikit-learn 0.1, and")
    assert messages == [f"{predictor.current_version} cannot be sold: {reason}"]
    with pytest.raises(PredictorNotFound):
        find_on_sale(predictor.name)


def test_what_was_never_loadable_anywhere_goes_off_sale_too(
    predictor: Predictor, version_id: UUID
) -> None:
    PredictorVersion.objects.update(loadable_at=None)
    compatibility.record_loadable_versions()

    look(0, TIMEOUT + 1)

    with pytest.raises(PredictorNotFound):
        find_on_sale(predictor.name)


def test_what_waits_for_it_fails_uncharged_at_once(
    submit: Submit, version_id: UUID, user: User
) -> None:
    stop_the_other_worker(version_id)
    compatibility.record_loadable_versions()
    look(0, TIMEOUT)
    row = submit()

    look(TIMEOUT + 1)

    account = CreditAccount.objects.get(pk=user.pk)
    assert state(row) == FAILED_UNSERVED
    assert (account.balance, account.held) == (1000, 0)
    assert not list(breaches())


def test_a_worker_that_can_load_it_has_time_to_come_back(
    predictor: Predictor, version_id: UUID
) -> None:
    """As when all have waited for the database."""
    stop_the_other_worker(version_id)
    compatibility.record_loadable_versions()

    look(0, TIMEOUT)
    availability.record_loadable([version_id])
    look(TIMEOUT + 1)
    stop_the_other_worker(version_id)
    look(TIMEOUT + 2, 2 * TIMEOUT + 2)

    assert find_on_sale(predictor.name).current_version_id == version_id


def test_a_worker_notes_what_it_could_load_and_nothing_else(
    version_id: UUID, predictors: dict[str, Predictor]
) -> None:
    PredictorVersion.objects.update(loadable_at=None)

    compatibility.record_loadable_versions()

    noted = PredictorVersion.objects.filter(loadable_at__isnull=False)
    others = {row.current_version_id for row in predictors.values()} - {version_id}
    assert set(noted.values_list("pk", flat=True)) == others


def test_it_is_noted_only_now_and_then_by_however_many_workers(version_id: UUID) -> None:
    noted = PredictorVersion.objects.get(pk=version_id).loadable_at

    for _ in range(3):
        availability.record_loadable([version_id])

    assert PredictorVersion.objects.get(pk=version_id).loadable_at == noted


def test_a_version_published_while_workers_run_is_noticed(
    predictor: Predictor, version_id: UUID, trained: Any
) -> None:
    domain, spec, card = next(item for item in trained if item[1].name == predictor.name)
    card = replace(card, artefact_sha256="f" * 64, libraries={**card.libraries, "numpy": "0.1"})
    newer = publishing.publish(domain, spec, card)

    compatibility.record_loadable_versions()
    look(0, TIMEOUT + 1)

    newer.refresh_from_db()
    assert newer.fault.startswith("It was trained with numpy 0.1")


# --- Not while another worker serves it ----------------------------------------------------------


def test_it_does_not_fail_while_another_worker_serves_it(
    submit: Submit, version_id: UUID, settings: LazySettings
) -> None:
    settings.CLAIM_ROWS = 1
    rows = [submit() for _ in range(5)]
    runner.run_queued(Prediction, version_id)

    for minute in range(4):
        look(minute * 60)
        score_elsewhere(version_id)

    assert [state(row)[0] for row in rows] == [Status.FINISHED] * 4 + [Status.QUEUED]
    look(4 * 60, 4 * 60 + TIMEOUT)
    assert state(rows[-1]) == WAITING
    look(4 * 60 + TIMEOUT + 1)
    assert state(rows[-1]) == FAILED_UNSERVED


def test_rows_that_join_its_end_do_not_move_it(submit: Submit, version_id: UUID) -> None:
    rows = [submit()]
    runner.run_queued(Prediction, version_id)
    look(0)
    rows.append(submit())
    look(TIMEOUT / 2)
    rows.append(submit())

    look(TIMEOUT + 1)

    assert [state(row) for row in rows] == [FAILED_UNSERVED] * 3


def test_a_row_that_waits_to_be_tried_again_is_no_sign_of_standstill(
    submit: Submit, version_id: UUID, settings: LazySettings
) -> None:
    """Another worker scores all that comes; only one row waits, for its second try."""
    settings.RETRY_SECONDS = 600
    row = submit()
    claim = claims.claim_first_attempts(Prediction, version_id)
    assert claim
    settlement.abandon(claim)
    runner.run_queued(Prediction, version_id)

    look(0, TIMEOUT + 1, 2 * TIMEOUT + 2)

    assert state(row) == (Status.QUEUED, "", 1)


def test_an_emptied_queue_starts_anew(submit: Submit, version_id: UUID, user: User) -> None:
    first = submit()
    runner.run_queued(Prediction, version_id)
    look(0)
    cancel(user=user, prediction_id=first.pk)
    look(TIMEOUT + 1)
    second = submit()

    look(TIMEOUT + 2, 2 * TIMEOUT)

    assert state(second) == WAITING


def test_a_predictor_trained_again_with_the_present_libraries_is_sold_again(
    submit: Submit, version_id: UUID, predictor: Predictor, trained: Any
) -> None:
    """Even if the artefact is the same to the bit, it is another version that may be loaded."""
    submit()
    runner.run_queued(Prediction, version_id)
    look(0, TIMEOUT + 1)

    domain, spec, card = next(item for item in trained if item[1].name == predictor.name)
    newer = publishing.publish(domain, spec, card)

    row = submit(find_on_sale(predictor.name))
    runner.run_queued(Prediction, newer.pk)
    assert newer.number == 2
    assert state(row)[0] == Status.FINISHED
