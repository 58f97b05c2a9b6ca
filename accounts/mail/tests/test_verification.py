"""Where it is asked for, whoever signs up follows a link before they buy."""

from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from rest_framework.test import APIClient

from accounts.mail.models import OutgoingMail
from accounts.models import User
from billing.models import LedgerEntry
from carprice.http import throttling
from mlmodels.models import Predictor
from predictions.models import Prediction
from testing.fixtures import PASSWORD
from testing.mail import Mailbox, link_in, recipients
from testing.pages import browser_of, words

pytestmark = pytest.mark.django_db

BOB = {"name": "Bob", "email": "bob@example.com", "password": PASSWORD}
CAR = {"model_name": "random_forest", "data": {"horsepower": 121}}
PURCHASES = {
    "/predict": CAR,
    "/balance": {"new_amount": 5},
    "/api/wallet/topup": {"amount": 5},
    "/api/tasks/predict": CAR,
}


@pytest.fixture
def asked_for(settings: Any) -> None:
    settings.VERIFY_EMAIL = True


@pytest.fixture
def bob(asked_for: None, client: Client) -> User:
    """Somebody who has signed up and has not followed the link."""
    client.post("/account/sign-up", BOB)
    return User.objects.get(email=BOB["email"])


def test_with_nothing_set_whoever_signs_up_buys_and_gets_no_mail(client: Client) -> None:
    client.post("/account/sign-up", BOB)
    topped_up = client.post("/wallet", {"amount": "5"})

    assert topped_up.status_code == 302
    assert User.objects.get().is_verified
    assert not OutgoingMail.objects.exists()


@pytest.mark.parametrize("path", ["/account/sign-up", "/sign_up", "/api/auth/register"])
@pytest.mark.usefixtures("asked_for")
def test_signing_up_sends_a_link(mailbox: Mailbox, path: str) -> None:
    client = Client()
    if path.startswith("/account"):
        client.post(path, BOB)
    else:
        client.post(path, BOB, content_type="application/json")

    (mail,) = mailbox.receive()

    assert mail["To"] == BOB["email"]
    assert not User.objects.get().is_verified
    assert client.get(link_in(mail)).status_code == 200


@pytest.mark.parametrize("path", PURCHASES)
@pytest.mark.usefixtures("predictor")
def test_before_that_nothing_is_bought(
    bob: User, client_of: Callable[[User], APIClient], path: str
) -> None:
    api = client_of(bob)

    answer = api.post(path, PURCHASES[path], format="json")

    assert (answer.status_code, answer.json()["code"]) == (403, "email_not_verified")
    assert not LedgerEntry.objects.exists()
    assert not Prediction.objects.exists()


def test_before_that_one_signs_in_and_looks(bob: User, predictor: Predictor) -> None:
    credentials = {"email": bob.email, "password": PASSWORD}
    api, browser = APIClient(), Client()
    token = api.post("/sign_in", credentials, format="json").json()["access_token"]
    api.credentials(HTTP_AUTHORIZATION=f"Bearer {token}")
    browser.post("/account/sign-in", credentials)

    assert api.get("/balance").status_code == 200
    assert browser.get("/catalogue/random_forest").status_code == 200
    assert "Your address is not verified" in words(browser.get("/account"))


def test_pages_say_why_they_sell_nothing(bob: User, client: Client, predictor: Predictor) -> None:
    topped_up = client.post("/wallet", {"amount": "5"})
    bought = client.post("/estimate/random_forest", {"horsepower": "121", "confirm": "99"})

    for answer in (topped_up, bought):
        assert answer.status_code == 422
        assert "First follow the link" in words(answer)


def test_opening_the_link_does_nothing_its_button_does(
    bob: User, client: Client, mailbox: Mailbox
) -> None:
    link = mailbox.link()
    opened = client.get(link)
    after_opening = User.objects.get().is_verified

    confirmed = client.post(link)

    assert (opened.status_code, after_opening) == (200, False)
    assert confirmed.status_code == 302
    assert User.objects.get().is_verified
    assert client.post("/wallet", {"amount": "5"}).status_code == 302


def test_the_link_works_once_and_in_any_browser(bob: User, mailbox: Mailbox) -> None:
    link = mailbox.link()

    answers = [Client().post(link).status_code for _ in range(2)]

    assert answers == [302, 410]


def test_a_link_of_before_a_change_of_address_verifies_nothing(bob: User, mailbox: Mailbox) -> None:
    link = mailbox.link()
    User.objects.update(email="robert@example.com")

    assert Client().post(link).status_code == 410
    assert not User.objects.get().is_verified


def test_a_reset_by_mail_verifies_as_well(bob: User, mailbox: Mailbox) -> None:
    mailbox.receive()
    stranger = Client()
    stranger.post("/account/forgot", {"email": bob.email})

    stranger.post(mailbox.link(), {"password": "an unusual sentence"})

    assert User.objects.get().is_verified


def test_the_link_is_sent_again_but_not_without_end(
    bob: User, client: Client, mailbox: Mailbox, settings: Any
) -> None:
    settings.THROTTLES = {**settings.THROTTLES, "mail": "2/hour"}
    throttling._limit.cache_clear()
    mailbox.receive()

    answers = [client.post("/account/verify").status_code for _ in range(3)]

    assert answers == [302, 302, 429]
    assert recipients(mailbox.receive()) == [bob.email] * 2


def test_who_is_verified_gets_no_further_link(asked_for: None, user: User) -> None:
    answer = browser_of(user).post("/account/verify")

    assert answer.status_code == 409
    assert not OutgoingMail.objects.exists()


def test_a_link_that_waits_is_not_sent_to_who_is_verified(bob: User, mailbox: Mailbox) -> None:
    User.objects.update(is_verified=True)

    assert mailbox.receive() == []


def test_accounts_of_before_count_as_verified(asked_for: None, browser: Client) -> None:
    assert browser.post("/wallet", {"amount": "5"}).status_code == 302


@pytest.mark.usefixtures("asked_for", "predictor")
def test_a_submission_takes_no_query_more(api: APIClient, settings: Any) -> None:
    api.post("/predict", CAR, format="json")  # what a process learns once
    counts = []
    for settings.VERIFY_EMAIL in (False, True):
        with CaptureQueriesContext(
            connection,
        ) as queries:
            assert api.post("/predict", CAR, format="json").status_code == 202
        counts.append(len(queries))

    assert counts[0] == counts[1]
