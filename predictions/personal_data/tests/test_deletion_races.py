"""An account that is deleted while its owner buys, saves and tops up."""

from functools import partial

import pytest

from accounts.models import User
from billing.models import CreditAccount
from billing.services import InsufficientCredits, top_up
from carprice.http.errors import NotFound, WrongState
from mlmodels.models import Predictor
from predictions import services
from predictions.audit import breaches
from predictions.execution import runner
from predictions.models import Prediction
from predictions.personal_data import deletion
from predictions.personal_data.models import AccountDeletion
from testing.fixtures import PASSWORD, AtOnce

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.postgresql]
CAR = {"brand": "bmw", "horsepower": 121}


@pytest.mark.parametrize("attempt", range(5))
def test_whatever_comes_first_nothing_personal_stays_and_money_adds_up(
    user: User,
    predictor: Predictor,
    at_once: AtOnce,
    monkeypatch: pytest.MonkeyPatch,
    attempt: int,
) -> None:
    drafts = [
        services.create_draft(user=user, predictor=predictor, data=CAR, explain=False)
        for _ in range(3)
    ]
    version_id = drafts[0].version_id
    submit = partial(services.request_prediction, user=user, predictor=predictor, data=CAR)
    runs = [partial(services.run_draft, user=user, prediction_id=draft.pk) for draft in drafts]
    save = partial(services.create_draft, user=user, predictor=predictor, data=CAR, explain=False)
    give = partial(top_up, user_id=user.pk, amount=100)
    drain = partial(runner.run_queued, Prediction, version_id)
    delete = partial(
        deletion.delete_account, user=user, password=PASSWORD, address=f"192.0.2.{attempt}"
    )

    at_once(
        [delete, submit, submit, submit, *runs, save, give, drain],
        InsufficientCredits,
        NotFound,
        WrongState,
    )
    monkeypatch.setattr(deletion, "GRACE", -deletion.GRACE)
    while runner.run_queued(Prediction, version_id):
        pass
    deletion.resume(seconds=5)

    assert AccountDeletion.objects.get().finished_at is not None
    assert not Prediction.objects.filter(user=user, erased_at=None).exists()
    account = CreditAccount.objects.get(pk=user.pk)
    assert (account.balance, account.held) == (0, 0)
    assert not breaches()


def test_two_workers_erase_one_account_together(
    user: User, predictor: Predictor, at_once: AtOnce, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deletion, "BATCH", 3)
    monkeypatch.setattr(deletion, "GRACE", -deletion.GRACE)
    for _ in range(20):
        row = services.request_prediction(user=user, predictor=predictor, data=CAR)
    while runner.run_queued(Prediction, row.version_id):
        pass
    deletion.close(user.pk)

    at_once([partial(deletion.resume, seconds=10)] * 4)
    deletion.resume(seconds=10)

    assert not Prediction.objects.filter(erased_at=None).exists()
    assert AccountDeletion.objects.get().finished_at is not None
    assert not breaches()
