"""Workers, sweeps and submissions at the same instant."""

from collections.abc import Callable
from typing import Any

import pytest

from accounts.models import User
from billing.models import CreditAccount
from billing.services import InsufficientCredits
from mlmodels.models import Predictor
from predictions.audit import breaches
from predictions.execution import claims, recovery, runner, scoring, settlement
from predictions.models import Prediction
from predictions.services import request_prediction
from testing.fixtures import AtOnce

pytestmark = pytest.mark.django_db(transaction=True)
THREADS = 8
CAR = {"horsepower": 100}


def test_last_credits_buy_what_they_can(
    make_user: Callable[..., User], predictor: Predictor, at_once: AtOnce
) -> None:
    user = make_user(credit=3 * predictor.price + 1)

    results = at_once(
        [lambda: request_prediction(user=user, predictor=predictor, data=CAR)] * THREADS,
        InsufficientCredits,
    )

    assert sum(isinstance(result, Prediction) for result in results) == 3
    assert Prediction.objects.count() == 3
    assert not list(breaches())


def test_submissions_of_one_user_at_once_get_ranks_of_their_own(
    user: User, predictor: Predictor, at_once: AtOnce
) -> None:
    """Each waits for the account's lock, and then sees those that it has waited for."""
    at_once([lambda: request_prediction(user=user, predictor=predictor, data=CAR)] * THREADS)

    ranks = list(Prediction.objects.values_list("queue_rank", flat=True))
    assert len(set(ranks)) == len(ranks) == THREADS


def test_workers_share_the_queue_without_taking_a_row_twice(
    user: User, predictor: Predictor, settings: Any, at_once: AtOnce
) -> None:
    settings.CLAIM_ROWS = 3
    for _ in range(20):
        request_prediction(user=user, predictor=predictor, data=CAR)
    version_id: Any = predictor.current_version_id

    def drain() -> int:
        rows = 0
        while claimed := runner.run_queued(Prediction, version_id):
            rows += claimed
        return rows

    results = at_once([drain] * 4)

    assert sum(results) == 20
    assert Prediction.objects.filter(status="finished", attempts=1).count() == 20
    assert CreditAccount.objects.get(pk=user.pk).balance == 1000 - 20 * predictor.price
    assert not list(breaches())


def test_sweeps_and_a_late_worker_end_each_row_once(
    user: User, predictor: Predictor, at_once: AtOnce
) -> None:
    for _ in range(6):
        request_prediction(user=user, predictor=predictor, data=CAR)
    version_id: Any = predictor.current_version_id
    claim = claims.claim_first_attempts(Prediction, version_id)
    assert claim
    outcomes = scoring.score(claim)
    Prediction.objects.update(attempts=3, lease_expires_at="2000-01-01T00:00Z")

    at_once([lambda: settlement.settle(claim, outcomes), *[recovery.recover] * 4])

    recovery.recover()
    assert set(Prediction.objects.values_list("status", flat=True)) <= {"finished", "failed"}
    assert not list(breaches())
