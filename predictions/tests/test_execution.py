"""Claiming, scoring, settling and sweeping: what a worker does, and what its crash leaves."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from django.db.models.functions import Now

from accounts.models import User
from billing.models import CreditAccount
from mlmodels.models import Predictor
from predictions import execution
from predictions.audit import breaches
from predictions.models import Prediction
from predictions.services import request_prediction

pytestmark = pytest.mark.django_db
CAR = {"brand": "bmw", "horsepower": 121}
Status = Prediction.Status
Failure = Prediction.Failure


@pytest.fixture
def submit(user: User, predictor: Predictor) -> Callable[..., Prediction]:
    def submit(**data: object) -> Prediction:
        return request_prediction(user=user, predictor=predictor, data=data or CAR)

    return submit


@pytest.fixture
def run(predictor: Predictor) -> Callable[[], int]:
    def run() -> int:
        assert predictor.current_version_id
        return execution.run_waiting(predictor.current_version_id)

    return run


@pytest.fixture
def claim(predictor: Predictor) -> Callable[[], execution.Claim]:
    def claim() -> execution.Claim:
        assert predictor.current_version_id
        found = execution.claim_rows(predictor.current_version_id)
        assert found
        return found

    return claim


def money(user: User) -> tuple[int, int]:
    account = CreditAccount.objects.get(pk=user.pk)
    return account.balance, account.held


def lapse(*rows: Prediction) -> None:
    """Let the leases of running rows run out."""
    late = Now() - timedelta(seconds=1)
    Prediction.objects.filter(pk__in=[row.pk for row in rows]).update(lease_expires_at=late)


def test_a_prediction_is_scored_and_charged_once(submit, run, user, predictor) -> None:
    prediction = submit()

    assert [run(), run()] == [1, 0]

    prediction.refresh_from_db()
    assert prediction.status == Status.FINISHED
    assert prediction.value == pytest.approx(prediction.value, abs=0)
    assert money(user) == (1000 - predictor.price, 0)
    assert list(breaches()) == []
