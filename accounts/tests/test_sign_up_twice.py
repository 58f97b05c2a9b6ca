"""A double click on Sign up ends signed in, and tells nobody else more than before."""

from typing import Any

import pytest
from django.test import Client

from accounts.models import User
from billing.models import CreditAccount
from carprice.http import throttling
from testing.fixtures import PASSWORD, AtOnce
from testing.pages import words

pytestmark = pytest.mark.django_db

ACCOUNT = {"name": "Ada", "email": "ada@example.com", "password": PASSWORD}
WRONG = "another battery horse"
TAKEN = "An account with this e-mail address exists."


def sign_up(client: Client, **changes: str) -> Any:
    return client.post("/account/sign-up", {**ACCOUNT, **changes})


def signed_in_as(client: Client) -> str | None:
    return client.session.get("_auth_user_id")


def test_the_form_sent_again_ends_signed_in() -> None:
    first, second = Client(), Client()  # a second click has the cookies of the first

    answers = [sign_up(client, next="/predictions") for client in (first, second)]

    user = User.objects.get()
    assert [answer["Location"] for answer in answers] == ["/predictions"] * 2
    assert [signed_in_as(client) for client in (first, second)] == [str(user.pk)] * 2


@pytest.mark.django_db(transaction=True)
def test_two_clicks_at_the_same_moment_end_signed_in(at_once: AtOnce) -> None:
    clients = [Client() for _ in range(2)]

    answers = at_once([lambda client=client: sign_up(client) for client in clients])

    user = User.objects.get()
    assert [answer["Location"] for answer in answers] == ["/wallet"] * 2
    assert [signed_in_as(client) for client in clients] == [str(user.pk)] * 2
    assert CreditAccount.objects.get().balance == 0


@pytest.mark.parametrize("email", ["ada@example.com", "ADA@example.com"])
def test_whoever_has_another_password_learns_what_they_always_did(user: User, email: str) -> None:
    client = Client()

    response = sign_up(client, email=email, password=WRONG)

    assert response.status_code == 422
    assert TAKEN in words(response)
    assert signed_in_as(client) is None


def test_a_closed_account_is_not_opened_again(user: User) -> None:
    User.objects.update(is_active=False)
    client = Client()

    response = sign_up(client)

    assert TAKEN in words(response)
    assert signed_in_as(client) is None


def test_a_password_is_guessed_no_faster_than_by_signing_in(user: User, settings: Any) -> None:
    settings.THROTTLES = {**settings.THROTTLES, "wrong_sign_in": "3/minute"}
    throttling._limit.cache_clear()
    client = Client()

    wrong = [sign_up(client, password=f"{WRONG} {number}") for number in range(3)]
    right = sign_up(client)
    elsewhere = client.post("/account/sign-in", {"email": user.email, "password": PASSWORD})

    assert all(TAKEN in words(response) for response in [*wrong, right])
    assert signed_in_as(client) is None
    assert elsewhere.status_code == 429


def test_the_api_still_says_that_the_address_is_taken(user: User) -> None:
    response = Client().post("/sign_up", ACCOUNT, content_type="application/json")

    assert (response.status_code, response.json()["code"]) == (409, "email_taken")
