"""A forgotten password: a link by mail that works once, for an hour, and for its owner alone."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.tokens import PasswordResetTokenGenerator
from django.test import Client
from django.utils import timezone
from rest_framework.test import APIClient

from accounts.mail import links
from accounts.mail.links import DeadLink, Purpose
from accounts.mail.models import OutgoingMail
from accounts.mail.services import reset_password
from accounts.models import TokenSession, User
from carprice.http import throttling
from testing.fixtures import PASSWORD, AtOnce
from testing.mail import Mailbox, link_in, recipients, text_of
from testing.pages import browser_of, error_at, words

pytestmark = pytest.mark.django_db

NEW = "an unusual sentence"
SITE = "http://testserver"


def ask(client: Client, email: str, **headers: Any) -> Any:
    return client.post("/account/forgot", {"email": email}, **headers)


@pytest.fixture
def link(client: Client, user: User, mailbox: Mailbox) -> str:
    ask(client, user.email)
    return mailbox.link()


def test_whoever_forgot_a_password_gets_a_link_and_chooses_another(
    client: Client, user: User, mailbox: Mailbox
) -> None:
    asked = ask(client, "ADA@example.com")
    (mail,) = mailbox.receive()
    page = client.get(link_in(mail))
    changed = client.post(link_in(mail), {"password": NEW})
    signed_in = client.post("/account/sign-in", {"email": user.email, "password": NEW})

    assert (asked.status_code, asked["Location"]) == (302, "/account/sign-in")
    assert (mail["To"], mail["Subject"]) == (user.email, "Choose a new password")
    assert mail.get_content_type() == "text/plain"
    assert SITE in text_of(mail)
    assert page.status_code == 200
    assert (changed.status_code, changed["Location"]) == (302, "/account/sign-in")
    assert signed_in.status_code == 302


def test_the_owner_is_told_that_the_password_was_changed(
    client: Client, link: str, mailbox: Mailbox, user: User
) -> None:
    client.post(link, {"password": NEW})

    (mail,) = mailbox.receive()

    assert (mail["To"], mail["Subject"]) == (user.email, "Your password was changed")


def test_a_new_password_by_mail_ends_every_session(
    client: Client, link: str, user: User, api: APIClient
) -> None:
    browser = browser_of(user)
    before = (browser.get("/account").status_code, api.get("/balance").status_code)

    client.post(link, {"password": NEW})

    assert before == (200, 200)
    assert browser.get("/account").status_code == 302
    assert api.get("/balance").status_code == 401
    assert not TokenSession.objects.filter(ended_at=None).exists()


def test_a_link_works_once(client: Client, link: str, user: User) -> None:
    client.post(link, {"password": NEW})

    again = client.post(link, {"password": "another unusual sentence"})

    assert (again.status_code, client.get(link).status_code) == (410, 410)
    user.refresh_from_db()
    assert user.check_password(NEW)


def test_two_links_are_good_until_one_is_used(
    client: Client, link: str, user: User, mailbox: Mailbox
) -> None:
    ask(client, user.email)
    second = mailbox.link()

    answers = [client.post(path, {"password": NEW}).status_code for path in (second, link)]

    assert answers == [302, 410]


@pytest.mark.parametrize(("minutes", "status"), [(59, 200), (61, 410)])
def test_a_link_is_good_for_an_hour(
    client: Client, link: str, monkeypatch: pytest.MonkeyPatch, minutes: int, status: int
) -> None:
    later = timezone.now().replace(tzinfo=None) + timedelta(minutes=minutes)
    monkeypatch.setattr(PasswordResetTokenGenerator, "_now", lambda _: later)

    assert client.get(link).status_code == status


@pytest.mark.parametrize("field", ["password", "email", "is_active"])
def test_a_link_dies_when_the_account_changes(
    client: Client, link: str, user: User, field: str
) -> None:
    user.set_password(NEW)
    values = {"password": user.password, "email": "countess@example.com", "is_active": False}
    User.objects.update(**{field: values[field]})

    answer = client.post(link, {"password": "another unusual sentence"})

    assert answer.status_code == 410


def test_signing_in_leaves_a_link_good(client: Client, link: str, user: User) -> None:
    Client().post("/account/sign-in", {"email": user.email, "password": PASSWORD})

    assert client.get(link).status_code == 200


def test_a_link_of_another_purpose_or_account_is_none(
    client: Client, user: User, make_user: Callable[..., User]
) -> None:
    eve = make_user("eve@example.com")
    other = links.path(Purpose.VERIFY, user, user.email).rpartition("/")[2]
    forged = links.path(Purpose.RESET, eve, eve.email).rpartition("/")[2]
    forged = forged[:-4] + "AAAA"

    answers = [client.get(f"/account/reset/{token}").status_code for token in (other, forged)]

    assert answers == [410, 410]


@pytest.mark.parametrize("token", ["x", "%00", "é", "=" * 700, "YSBiIGM", "//"])
def test_what_is_no_link_is_a_dead_one(client: Client, token: str) -> None:
    assert client.get(f"/account/reset/{token}").status_code in (404, 410)


def test_a_weak_password_is_refused_and_the_link_stays_good(client: Client, link: str) -> None:
    weak = client.post(link, {"password": "password123"})

    assert weak.status_code == 422
    assert error_at(weak, "password")
    assert client.post(link, {"password": NEW}).status_code == 302


def test_the_link_is_stored_nowhere(client: Client, user: User) -> None:
    ask(client, user.email)

    (row,) = OutgoingMail.objects.values()

    assert not [value for value in row.values() if "/account/" in str(value)]


# --- What a stranger learns ----------------------------------------------------------------------


def test_the_answer_does_not_tell_who_has_an_account(
    client: Client, user: User, mailbox: Mailbox, django_assert_num_queries: Any
) -> None:
    answers = []
    for email in (user.email, "nobody@example.com"):
        with django_assert_num_queries(1):  # the row; neither account is looked for
            answers.append(ask(Client(), email))

    known, unknown = answers
    assert (known.status_code, known["Location"]) == (unknown.status_code, unknown["Location"])
    assert OutgoingMail.objects.count() == 2
    assert recipients(mailbox.receive()) == [user.email]
    assert not OutgoingMail.objects.exists()
    pages = [words(Client().get("/account/sign-in")) for _ in answers]
    assert pages[0] == pages[1]


@pytest.mark.parametrize("fields", [{"is_active": False}, {"password": "!"}])
def test_whoever_cannot_sign_in_gets_no_link(
    client: Client, user: User, mailbox: Mailbox, fields: dict[str, Any]
) -> None:
    User.objects.update(**fields)

    ask(client, user.email)

    assert mailbox.receive() == []


def test_a_mailbox_is_sent_so_many_links_whoever_asks(settings: Any, user: User) -> None:
    settings.THROTTLES = {**settings.THROTTLES, "mail": "2/hour"}
    throttling._limit.cache_clear()

    for email in (user.email, "nobody@example.com"):
        answers = [
            ask(Client(), email, REMOTE_ADDR=f"192.0.2.{number + len(email)}")
            for number in range(3)
        ]
        assert [answer.status_code for answer in answers] == [302, 302, 429]
    assert OutgoingMail.objects.count() == 4


def test_one_address_asks_for_so_many_links(settings: Any, client: Client) -> None:
    settings.THROTTLES = {**settings.THROTTLES, "mail": "2/hour"}
    throttling._limit.cache_clear()

    answers = [ask(client, f"{number}@example.com").status_code for number in range(3)]

    assert answers == [302, 302, 429]


def test_a_host_that_is_not_ours_gets_no_link_made(client: Client, user: User) -> None:
    answer = ask(client, user.email, HTTP_HOST="evil.example")

    assert answer.status_code == 400
    assert not OutgoingMail.objects.exists()


def test_links_lead_to_the_site_that_is_set(
    client: Client, user: User, mailbox: Mailbox, settings: Any
) -> None:
    settings.SITE_URL = "https://carprice.example"

    ask(client, user.email)

    assert "https://carprice.example/account/reset/" in text_of(mailbox.receive()[0])


# --- At the same moment --------------------------------------------------------------------------


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
def test_of_two_uses_at_the_same_moment_one_succeeds(user: User, at_once: AtOnce) -> None:
    token = links.path(Purpose.RESET, user, user.email).rpartition("/")[2]
    passwords = [f"an unusual sentence {number}" for number in range(4)]

    results = at_once(
        [lambda text=text: reset_password(token, text, site=SITE) for text in passwords], DeadLink
    )

    user.refresh_from_db()
    (winner,) = [index for index, result in enumerate(results) if result is None]
    assert user.check_password(passwords[winner])
    assert OutgoingMail.objects.count() == 1
