"""Another address: asked for with the password, confirmed from the new one, told to the old one."""

from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client
from rest_framework.test import APIClient

from accounts.mail import links
from accounts.mail.links import DeadLink, Purpose
from accounts.mail.models import OutgoingMail
from accounts.mail.services import change_address
from accounts.models import User
from testing.fixtures import PASSWORD, AtOnce
from testing.mail import Mailbox, link_in, recipients
from testing.pages import browser_of, error_at

pytestmark = pytest.mark.django_db

NEW = "countess@example.com"


def ask(browser: Client, email: str = NEW, password: str = PASSWORD) -> Any:
    return browser.post("/account/address", {"email": email, "current_password": password})


def test_the_address_changes_when_its_link_is_confirmed(
    browser: Client, user: User, mailbox: Mailbox
) -> None:
    asked = ask(browser)
    mails = mailbox.receive()
    (link,) = filter(None, map(link_in, mails))
    opened = browser.get(link)
    before = User.objects.get().email
    confirmed = browser.post(link)

    assert (asked.status_code, asked["Location"]) == (302, "/account")
    assert recipients(mails) == [NEW, user.email]
    assert (opened.status_code, before) == (200, user.email)
    assert (confirmed.status_code, confirmed["Location"]) == (302, "/account")
    assert User.objects.get().email == NEW
    (notice,) = mailbox.receive()
    assert (notice["To"], notice["Subject"]) == (user.email, "Your e-mail address was changed")


def test_the_link_works_once(browser: Client, mailbox: Mailbox) -> None:
    ask(browser)
    link = mailbox.link()

    answers = [browser.post(link).status_code for _ in range(2)]

    assert answers == [302, 410]


def test_other_sessions_end_and_this_one_stays(
    browser: Client, user: User, api: APIClient, mailbox: Mailbox
) -> None:
    elsewhere = browser_of(user)
    ask(browser)

    browser.post(mailbox.link())

    assert browser.get("/account").status_code == 200
    assert elsewhere.get("/account").status_code == 302
    assert api.get("/balance").status_code == 401


def test_a_link_that_is_confirmed_elsewhere_ends_every_session(
    browser: Client, stranger: Client, mailbox: Mailbox
) -> None:
    ask(browser)

    stranger.post(mailbox.link())

    assert browser.get("/account").status_code == 302
    assert stranger.get("/account").status_code == 200


@pytest.mark.parametrize(
    ("email", "password", "field"),
    [(NEW, "wrong", "current_password"), ("ada@example.com", PASSWORD, "email")],
)
def test_it_takes_the_password_and_another_address(
    browser: Client, email: str, password: str, field: str
) -> None:
    answer = ask(browser, email, password)

    assert answer.status_code == 422
    assert error_at(answer, f"address_{field}")
    assert not OutgoingMail.objects.exists()


def test_a_new_password_ends_the_link(browser: Client, mailbox: Mailbox, user: User) -> None:
    ask(browser)
    link = mailbox.link()
    fields = {"current_password": PASSWORD, "password": "an unusual sentence"}
    browser.post("/account/password", fields)

    assert browser.post(link).status_code == 410
    assert User.objects.get().email == user.email


def test_who_has_an_address_is_not_told_and_no_link_is_sent_there(
    browser: Client, make_user: Callable[..., User], mailbox: Mailbox, user: User
) -> None:
    make_user("Eve@example.com")

    taken, free = ask(browser, "eve@example.com"), ask(browser, NEW)

    assert (taken.status_code, taken["Location"]) == (free.status_code, free["Location"])
    assert recipients(mailbox.receive()) == [user.email, NEW, user.email]


def test_an_address_that_was_taken_meanwhile_stays_whose_it_is(
    browser: Client, make_user: Callable[..., User], mailbox: Mailbox, user: User
) -> None:
    ask(browser)
    link = mailbox.link()
    make_user("Countess@example.com")

    answer = browser.post(link)

    user.refresh_from_db()
    assert answer.status_code == 410
    assert user.email == "ada@example.com"
    assert browser.get("/account").status_code == 200
    assert not OutgoingMail.objects.exists()


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
def test_of_two_accounts_that_confirm_one_address_at_once_one_gets_it(
    user: User, make_user: Callable[..., User], at_once: AtOnce
) -> None:
    users = [user, make_user("eve@example.com")]
    tokens = [links.path(Purpose.CHANGE, each, NEW).rpartition("/")[2] for each in users]

    results = at_once(
        [lambda token=token: change_address(token, site="http://testserver") for token in tokens],
        DeadLink,
    )

    assert sorted(type(result).__name__ for result in results) == ["DeadLink", "User"]
    assert User.objects.filter(email=NEW).count() == 1
