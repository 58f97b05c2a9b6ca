"""Deleting one's own account."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.auth.models import Group
from django.test import Client
from django.utils import timezone
from rest_framework.test import APIClient

from accounts.models import TokenSession, User
from accounts.services import sign_up
from billing.models import CreditAccount, LedgerEntry
from billing.services import InsufficientCredits, top_up
from carprice.idempotency.models import IdempotencyKey
from mlmodels.models import Predictor
from predictions import services, sharing, what_ifs
from predictions.audit import breaches
from predictions.execution import claims, runner, scoring, settlement
from predictions.models import Prediction, ShareLink, WhatIf
from predictions.personal_data import deletion
from predictions.personal_data.models import AccountDeletion
from testing.fixtures import PASSWORD

pytestmark = pytest.mark.django_db
CAR = {"brand": "bmw", "horsepower": 121}


def request(user: User, predictor: Predictor) -> Prediction:
    return services.request_prediction(user=user, predictor=predictor, data=CAR)


def finish(user: User, predictor: Predictor) -> Prediction:
    row = request(user, predictor)
    runner.run_queued(Prediction, row.version_id)
    return row


def go_quiet() -> None:
    """As if so much time had passed that no request of before is still under way."""
    past = timezone.now() - deletion.GRACE - timedelta(seconds=1)
    AccountDeletion.objects.update(requested_at=past)


def delete(client: APIClient, password: str = PASSWORD) -> Any:
    return client.delete("/api/account", {"password": password}, format="json")


def test_what_is_personal_is_gone_and_the_ledger_adds_up(
    api: APIClient, user: User, predictor: Predictor
) -> None:
    row = finish(user, predictor)
    sharing.share(user=user, prediction_id=row.pk)
    services.name_prediction(user=user, prediction_id=row.pk, label="my car")
    what_ifs._queue(user, row.pk, {"horsepower": 130})
    services.create_draft(user=user, predictor=predictor, data=CAR, explain=False)
    body = {"model_name": predictor.name, "data": CAR}
    api.post("/api/tasks/predict", body, format="json", HTTP_IDEMPOTENCY_KEY="mine")
    LogEntry.objects.log_actions(user.pk, [user], CHANGE, "why", single_object=True)

    assert delete(api).status_code == 204

    husk = User.objects.get(pk=user.pk)
    assert (husk.name, husk.is_active, husk.has_usable_password()) == ("", False, False)
    assert "ada" not in husk.email
    assert list(LogEntry.objects.values_list("object_repr", flat=True)) == [deletion.ANONYMOUS]
    kept = Prediction.objects.filter(user=user)
    assert set(kept.values_list("value", "label", "status")) == {
        (None, "", "finished"),
        (None, "", "canceled"),
    }
    assert not [data for data in kept.values_list("data", flat=True) if data]
    for model in (ShareLink, WhatIf, TokenSession, IdempotencyKey):
        assert not model.objects.exists()
    account = CreditAccount.objects.get(pk=user.pk)
    assert (account.balance, account.held) == (0, 0)
    last = LedgerEntry.objects.filter(account=account).latest("pk")
    assert (last.kind, last.balance_change) == ("adjustment", -(1000 - predictor.price))
    assert last.reason == deletion.FORFEITED
    assert not breaches()


def test_nobody_is_signed_in_any_more_and_the_address_is_free(
    api: APIClient, browser: Client, user: User
) -> None:
    delete(api)

    assert api.get("/api/auth/me").status_code == 401
    assert browser.get("/account").status_code == 302
    credentials = {"email": user.email, "password": PASSWORD}
    assert Client().post("/sign_in", credentials, "application/json").status_code == 401
    anew = sign_up(email=user.email, password="an unusual sentence")
    assert anew.pk != user.pk


def test_the_page_asks_for_the_password_and_says_what_is_forfeited(
    browser: Client, user: User
) -> None:
    page = browser.get("/account/delete").content.decode()
    wrong = browser.post("/account/delete", {"password": "not mine at all"})

    right = browser.post("/account/delete", {"password": PASSWORD})

    assert "1,000 credits" in page
    assert (wrong.status_code, right.status_code) == (422, 302)
    assert not User.objects.get(pk=user.pk).is_active


def test_a_wrong_password_changes_nothing(api: APIClient, user: User) -> None:
    response = delete(api, "not mine at all")

    assert (response.status_code, list(response.json()["errors"])) == (400, ["password"])
    assert User.objects.get(pk=user.pk).is_active
    assert not AccountDeletion.objects.exists()


@pytest.mark.parametrize("right", ["is_staff", "is_superuser", "group"])
def test_an_operator_is_refused(
    make_user: Callable[..., User], client_of: Callable[[User], APIClient], right: str
) -> None:
    flags = {} if right == "group" else {right: True}
    operator = make_user("root@example.com", **flags)
    if right == "group":
        operator.groups.add(Group.objects.create(name="operators"))

    response = delete(client_of(operator))

    assert (response.status_code, response.json()["code"]) == (409, "wrong_state")
    assert User.objects.get(pk=operator.pk).is_active


def test_what_a_worker_has_ends_first_and_is_erased_then(
    api: APIClient, user: User, predictor: Predictor
) -> None:
    row = request(user, predictor)
    claim = claims.claim_first_attempts(Prediction, row.version_id)
    assert claim
    outcomes = scoring.score(claim)

    delete(api)
    go_quiet()
    deletion.resume(seconds=5)
    assert AccountDeletion.objects.get().finished_at is None
    settlement.settle(claim, outcomes)
    deletion.resume(seconds=5)

    row.refresh_from_db()
    assert (row.status, row.value, row.data) == ("finished", None, {})
    assert AccountDeletion.objects.get().finished_at is not None
    assert not breaches()


def test_what_a_request_of_before_still_wrote_is_erased_too(
    api: APIClient, user: User, predictor: Predictor
) -> None:
    delete(api)
    services.create_draft(user=user, predictor=predictor, data=CAR, explain=False)
    top_up(user_id=user.pk, amount=500)
    request(user, predictor)
    user.name = "Ada again"
    user.save(update_fields=["name"])

    deletion.resume(seconds=5)
    assert AccountDeletion.objects.get().finished_at is None
    go_quiet()
    deletion.resume(seconds=5)

    assert AccountDeletion.objects.get().finished_at is not None
    assert not Prediction.objects.filter(user=user, erased_at=None).exists()
    assert User.objects.get(pk=user.pk).name == ""
    assert CreditAccount.objects.get(pk=user.pk).balance == 0
    assert not breaches()


def test_nothing_can_be_bought_with_what_was_forfeited(
    api: APIClient, user: User, predictor: Predictor
) -> None:
    delete(api)

    with pytest.raises(InsufficientCredits):
        request(user, predictor)


STEPS = ["_cancel_queued", "_delete_drafts", "_erase_batch", "forfeit", "_is_anything_left"]


@pytest.mark.parametrize("step", STEPS)
def test_a_crash_at_any_step_is_gone_on_with(
    user: User, predictor: Predictor, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    finish(user, predictor)
    request(user, predictor)
    services.create_draft(user=user, predictor=predictor, data=CAR, explain=False)
    deletion.close(user.pk)
    go_quiet()

    def crash(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(deletion, step, crash)
        with pytest.raises(KeyboardInterrupt):
            deletion.erase(user.pk, seconds=5)
    deletion.resume(seconds=5)

    assert AccountDeletion.objects.get().finished_at is not None
    assert not Prediction.objects.filter(user=user, erased_at=None).exists()
    assert not breaches()


def test_a_large_account_is_erased_bit_by_bit(
    user: User, predictor: Predictor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deletion, "BATCH", 2)
    for _ in range(7):
        finish(user, predictor)
    deletion.close(user.pk)
    go_quiet()

    rounds = 0
    while not deletion.erase(user.pk, seconds=0):
        rounds += 1

    assert rounds >= 4
    assert AccountDeletion.objects.get().finished_at is not None
