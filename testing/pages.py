"""What the tests of pages share: browsers, forms, and the words of a page."""

import re
from collections.abc import Callable
from html import unescape
from typing import Any

import pytest
from django.test import Client

from accounts.models import User
from billing.models import CreditAccount, LedgerEntry
from carprice.idempotency.models import IdempotencyKey
from mlmodels.models import Predictor
from predictions import services
from predictions.execution import claims, runner, settlement
from predictions.execution.scoring import Outcome
from predictions.models import Prediction
from predictions.services import request_prediction

CAR = {"brand": "bmw", "horsepower": 121}
Failure = Prediction.Failure


def browser_of(user: User, **options: Any) -> Client:
    client = Client(**options)
    client.force_login(user)
    return client


@pytest.fixture
def browser(user: User) -> Client:
    return browser_of(user)


@pytest.fixture
def stranger(make_user: Callable[..., User]) -> Client:
    """Somebody else, signed in."""
    return browser_of(make_user("eve@example.com"))


@pytest.fixture
def make_draft(user: User, predictor: Predictor) -> Callable[..., Prediction]:
    def make(data: Any, explain: bool = False) -> Prediction:
        return services.create_draft(user=user, predictor=predictor, data=data, explain=explain)

    return make


@pytest.fixture
def queued(user: User, predictor: Predictor) -> Prediction:
    return request_prediction(user=user, predictor=predictor, data=CAR)


@pytest.fixture
def finished(queued: Prediction) -> Prediction:
    runner.run_queued(Prediction, queued.version_id)
    return queued


def fail(row: Prediction, failure: str) -> None:
    claim = claims.claim_first_attempts(Prediction, row.version_id)
    assert claim
    settlement.settle(claim, [Outcome(claim.rows[0], failure=failure)])


def filled_in(form: Any) -> dict[str, str]:
    """What is in the features' fields that are not empty, without their units."""
    names = [feature.name for feature in form.signature.features]
    return {name: form[name].value() for name in names if form[name].value()}


def typed(predictor: Predictor, **changes: str) -> dict[str, str]:
    """Every field filled in, with its typical value or another."""
    assert predictor.current_version
    defaults = {item["name"]: str(item["default"]) for item in predictor.current_version.signature}
    return {**defaults, **changes}


def words(response: Any) -> str:
    """A page's words, without its tags."""
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", response.content.decode())).split())


def error_at(response: Any, field: str) -> str:
    pattern = rf'<p class="error" id="id_{field}_error">(.*?)</p>'
    match = re.search(pattern, response.content.decode())
    return match[1].strip() if match else ""


def form_key(response: Any) -> str:
    match = re.search(r'name="form_key" value="([^"]+)"', response.content.decode())
    assert match, "the form has no key"
    return match[1]


def account_of(user: User) -> tuple[int, int]:
    account = CreditAccount.objects.get(pk=user.pk)
    return account.balance, account.held


def state() -> tuple[Any, ...]:
    """Everything that a refused request must leave as it is."""
    return (
        list(Prediction.objects.order_by("pk").values_list("pk", "status", "data", "erased_at")),
        list(CreditAccount.objects.order_by("pk").values_list("pk", "balance", "held")),
        LedgerEntry.objects.count(),
        IdempotencyKey.objects.count(),
    )
