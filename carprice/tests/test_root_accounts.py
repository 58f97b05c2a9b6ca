"""The rows of the root contract about accounts and their balance."""

from collections.abc import Callable

import pytest
from rest_framework.test import APIClient

from accounts.models import User
from billing.models import CreditAccount, LedgerEntry
from mlmodels.models import Predictor
from testing.fixtures import PASSWORD
from testing.root_contract import ACCOUNT, assert_refused, order, set_amount, state

pytestmark = pytest.mark.django_db
CEILING = 1_000_000_000


# --- POST /sign_up --------------------------------------------------------------------------------


def test_signing_up_answers_with_name_and_email() -> None:
    response = APIClient().post("/sign_up", ACCOUNT, format="json")

    assert response.status_code == 201
    assert response.json() == {"name": "Bob", "email": "bob@example.com"}


@pytest.mark.parametrize("email", ["ada@example.com", "ADA@Example.COM"])
def test_a_taken_email_is_409_whatever_its_case(user: User, email: str) -> None:
    response = APIClient().post("/sign_up", {**ACCOUNT, "email": email}, format="json")

    assert_refused(response, 409, "email_taken")
    assert User.objects.count() == 1


@pytest.mark.parametrize("field", list(ACCOUNT))
def test_signing_up_needs_every_field(field: str) -> None:
    body = {key: value for key, value in ACCOUNT.items() if key != field}

    response = APIClient().post("/sign_up", body, format="json")

    assert list(assert_refused(response, 400, "invalid_request")) == [field]
    assert not User.objects.exists()


@pytest.mark.parametrize("field", ["role", "is_staff", "is_superuser", "balance", "id"])
def test_signing_up_refuses_any_other_field(field: str) -> None:
    response = APIClient().post("/sign_up", {**ACCOUNT, field: True}, format="json")

    assert list(assert_refused(response, 400, "invalid_request")) == [field]
    assert not User.objects.exists()


@pytest.mark.parametrize("name", ["A", "x" * 150, "Ада Лавлейс", "🚗"])
def test_a_name_of_1_to_150_characters_is_kept_as_sent(name: str) -> None:
    response = APIClient().post("/sign_up", {**ACCOUNT, "name": name}, format="json")

    assert (response.status_code, response.json()["name"]) == (201, name)


# --- POST /sign_in --------------------------------------------------------------------------------


def test_signing_in_answers_with_a_token_and_who_it_is(user: User) -> None:
    body = {"email": user.email, "password": PASSWORD}

    response = APIClient().post("/sign_in", body, format="json")

    answer = response.json()
    assert response.status_code == 200
    assert answer.pop("access_token").count(".") == 2
    assert answer == {"token_type": "bearer", "name": "Ada", "email": "ada@example.com"}


def test_signing_in_ignores_the_case_of_the_email(user: User) -> None:
    body = {"email": "ADA@Example.COM", "password": PASSWORD}

    response = APIClient().post("/sign_in", body, format="json")

    assert (response.status_code, response.json()["email"]) == (200, "ada@example.com")


def test_an_unknown_email_a_wrong_password_and_an_inactive_user_are_answered_alike(
    make_user: Callable[..., User],
) -> None:
    make_user()
    make_user("gone@example.com", is_active=False)
    tries = [
        {"email": "nobody@example.com", "password": PASSWORD},
        {"email": "ada@example.com", "password": "wrong"},
        {"email": "gone@example.com", "password": PASSWORD},
    ]

    answers = [APIClient().post("/sign_in", body, format="json") for body in tries]

    for answer in answers:
        assert_refused(answer, 401, "invalid_credentials")
        assert answer["WWW-Authenticate"] == "Bearer"
    assert len({answer.content for answer in answers}) == 1


@pytest.mark.parametrize("field", ["email", "password"])
def test_signing_in_needs_both_fields(field: str) -> None:
    body = {"email": "ada@example.com", "password": PASSWORD}
    del body[field]

    response = APIClient().post("/sign_in", body, format="json")

    assert list(assert_refused(response, 400, "invalid_request")) == [field]


# --- GET and POST /balance ------------------------------------------------------------------------


def test_a_new_account_has_no_credits(
    make_user: Callable[..., User], client_of: Callable[[User], APIClient]
) -> None:
    response = client_of(make_user(credit=0)).get("/balance")

    assert (response.status_code, response.json()) == (200, {"amount": 0})


@pytest.mark.parametrize("amount", [0, 1, 999, 1001, CEILING])
def test_setting_the_balance_answers_with_it(api: APIClient, amount: int) -> None:
    response = set_amount(api, amount)

    assert (response.status_code, response.json()) == (200, {"amount": amount})
    assert api.get("/balance").json() == {"amount": amount}


@pytest.mark.parametrize(
    ("amount", "kind", "change"), [(1500, "top_up", 500), (400, "adjustment", -600)]
)
def test_setting_the_balance_records_the_difference(
    api: APIClient, amount: int, kind: str, change: int
) -> None:
    set_amount(api, amount)

    entry = LedgerEntry.objects.latest("pk")
    assert (entry.kind, entry.balance_change) == (kind, change)
    assert (entry.balance_after, entry.held_change) == (amount, 0)


def test_setting_the_balance_to_what_it_is_writes_nothing(api: APIClient, user: User) -> None:
    before = state(user)

    response = set_amount(api, 1000)

    assert (response.status_code, response.json()) == (200, {"amount": 1000})
    assert state(user) == before


def test_the_balance_is_what_is_not_held(api: APIClient, predictor: Predictor) -> None:
    order(api)

    assert api.get("/balance").json() == {"amount": 1000 - predictor.price}


def test_setting_the_balance_leaves_what_is_held(
    api: APIClient, user: User, predictor: Predictor
) -> None:
    order(api)

    response = set_amount(api, 70)

    account = CreditAccount.objects.get(pk=user.pk)
    assert response.json() == {"amount": 70}
    assert (account.balance, account.held) == (70 + predictor.price, predictor.price)


def test_the_balance_may_be_set_to_nothing_while_credits_are_held(
    api: APIClient, user: User, predictor: Predictor
) -> None:
    order(api)

    response = set_amount(api, 0)

    account = CreditAccount.objects.get(pk=user.pk)
    assert response.json() == {"amount": 0}
    assert (account.balance, account.held) == (predictor.price, predictor.price)


def test_the_ceiling_is_for_what_is_available_and_held_together(
    api: APIClient, user: User, predictor: Predictor
) -> None:
    order(api)
    before = state(user)

    refused = set_amount(api, CEILING - predictor.price + 1)
    accepted = set_amount(api, CEILING - predictor.price)

    assert list(assert_refused(refused, 400, "invalid_request")) == ["new_amount"]
    assert (accepted.status_code, before[2]) == (200, 1000)
    assert CreditAccount.objects.get(pk=user.pk).balance == CEILING
