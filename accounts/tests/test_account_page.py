"""The page of one's own account: name, password, and programs that are signed in."""

import re
from collections.abc import Callable
from datetime import timedelta
from itertools import pairwise
from typing import Any
from urllib.parse import unquote, unquote_plus

import pytest
from django.db.models.functions import Now
from django.test import Client
from django.urls import resolve
from rest_framework.test import APIClient

from accounts.models import TokenSession, User
from accounts.tokens import SessionAccessToken, open_session
from mlmodels.models import Predictor
from testing.fixtures import PASSWORD
from testing.kept_forms import careful, sign_in_with
from testing.pages import browser_of, error_at, filled_in, words

pytestmark = pytest.mark.django_db

NEW = "an unusual sentence"


def change_password(browser: Client, current: str = PASSWORD, new: str = NEW) -> Any:
    return browser.post("/account/password", {"current_password": current, "password": new})


def script_of(user: User) -> APIClient:
    script = APIClient()
    token = SessionAccessToken.for_session(open_session(user))
    script.credentials(HTTP_AUTHORIZATION=f"Bearer {token}")
    return script


def test_the_name_in_the_header_is_the_one_that_was_chosen(browser: Client, user: User) -> None:
    answer = browser.post("/account/name", {"name": "Countess"}, follow=True)

    user.refresh_from_db()
    assert user.name == "Countess"
    assert "Your name is changed." in words(answer)
    assert "Countess" in words(answer)


def test_a_new_password_ends_every_other_session(browser: Client, user: User) -> None:
    elsewhere, script = browser_of(user), script_of(user)
    before = (elsewhere.get("/account").status_code, script.get("/balance").status_code)

    answer = change_password(browser)

    assert before == (200, 200)
    assert answer["Location"] == "/account"
    assert browser.get("/account").status_code == 200
    assert elsewhere.get("/account").status_code == 302
    assert script.get("/balance").status_code == 401
    user.refresh_from_db()
    assert user.check_password(NEW)


@pytest.mark.parametrize(
    ("current", "new", "field"),
    [
        ("wrong", NEW, "current_password"),
        (PASSWORD, "password123", "password"),
        (PASSWORD, "short", "password"),
        ("", NEW, "current_password"),
    ],
)
def test_a_password_is_changed_by_its_owner_to_a_good_one(
    browser: Client, user: User, current: str, new: str, field: str
) -> None:
    before = user.password

    answer = change_password(browser, current, new)

    user.refresh_from_db()
    assert answer.status_code == 422
    assert error_at(answer, field)
    assert user.password == before


def test_a_wrong_current_password_is_named_and_ends_nothing(browser: Client, user: User) -> None:
    elsewhere, script = browser_of(user), script_of(user)

    answer = change_password(browser, "wrong")

    assert error_at(answer, "current_password") == "This is not your password."
    assert "wrong" not in re.findall(r'value="([^"]*)"', answer.content.decode())
    assert elsewhere.get("/account").status_code == 200
    assert script.get("/balance").status_code == 200


def test_the_current_password_is_guessed_no_faster_than_by_signing_in(browser: Client) -> None:
    answers = [change_password(browser, f"wrong {number}") for number in range(11)]

    assert [answer.status_code for answer in answers] == [422] * 10 + [429]
    assert change_password(browser).status_code == 429


def test_guesses_here_and_at_the_sign_in_page_are_counted_together(
    browser: Client, client: Client, user: User
) -> None:
    sign_in = {"email": user.email, "password": PASSWORD}

    guesses = [change_password(browser, "wrong").status_code for _ in range(9)]
    guesses.append(client.post("/account/sign-in", {**sign_in, "password": "x"}).status_code)

    assert guesses == [422] * 10
    assert change_password(browser).status_code == 429
    assert client.post("/account/sign-in", sign_in).status_code == 429


def test_the_right_password_is_no_guess(browser: Client) -> None:
    passwords = [PASSWORD, NEW] * 6

    answers = [change_password(browser, old, new) for old, new in pairwise(passwords)]

    assert [answer.status_code for answer in answers] == [302] * 11


def test_a_program_is_signed_out_by_whom_it_belongs_to(
    browser: Client, stranger: Client, user: User
) -> None:
    script = script_of(user)
    session = TokenSession.objects.get()
    path = f"/account/sessions/{session.pk}/end"

    stranger.post(path)
    by_another = script.get("/balance").status_code
    listed = browser.get("/account").context["sessions"]
    browser.post(path)

    assert by_another == 200
    assert [each.pk for each in listed] == [session.pk]
    assert script.get("/balance").status_code == 401
    assert browser.get("/account").context["sessions"] == []


def test_only_programs_whose_tokens_are_good_are_listed(browser: Client, user: User) -> None:
    ended, expired, good = (open_session(user) for _ in range(3))
    TokenSession.objects.filter(pk=ended.pk).update(ended_at=Now())
    TokenSession.objects.filter(pk=expired.pk).update(expires_at=Now() - timedelta(seconds=1))

    listed = browser.get("/account").context["sessions"]

    assert [each.pk for each in listed] == [good.pk]


def test_a_long_list_of_programs_is_cut_and_says_so(browser: Client, user: User) -> None:
    for _ in range(21):
        open_session(user)

    page = browser.get("/account")

    assert len(page.context["sessions"]) == 20
    assert "There are more" in words(page)


# --- Who is not signed in ------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/account", "/account/name", "/account/password"])
def test_a_stranger_is_asked_to_sign_in_first(client: Client, path: str) -> None:
    answer = client.get(path)

    assert (answer.status_code, answer["Location"]) == (302, f"/account/sign-in?next={path}")


def test_a_name_that_was_sent_too_late_comes_back_after_signing_in(
    client: Client, user: User
) -> None:
    asked = client.post("/account/name", {"name": "Countess"})
    shown = client.get(sign_in_with(client, asked)["Location"])

    user.refresh_from_db()
    assert (asked.status_code, user.name) == (403, "Ada")
    assert 'value="Countess"' in shown.content.decode()


def test_a_password_that_was_sent_too_late_is_kept_nowhere(client: Client, user: User) -> None:
    asked = change_password(client)

    assert asked.status_code == 403
    assert PASSWORD not in unquote(asked.content.decode())
    assert NEW not in unquote_plus(asked.content.decode())
    user.refresh_from_db()
    assert user.check_password(PASSWORD)


def test_whoever_would_end_a_program_signs_in_and_sees_the_list(client: Client, user: User) -> None:
    script = script_of(user)
    path = f"/account/sessions/{TokenSession.objects.get().pk}/end"

    asked = client.post(path)
    back = client.post(asked["Location"], {"email": user.email, "password": PASSWORD})

    assert script.get("/balance").status_code == 200
    assert resolve(back["Location"]).url_name == "account"
    assert client.get(back["Location"]).status_code == 200


@pytest.mark.parametrize("path", ["name", "password", "sessions/{}/end"])
def test_another_site_changes_nothing_here(user: User, path: str) -> None:
    browser, script, before = careful(user), script_of(user), user.password
    fields = {"name": "Eve", "current_password": PASSWORD, "password": NEW}

    answer = browser.post(f"/account/{path.format(TokenSession.objects.get().pk)}", fields)

    user.refresh_from_db()
    assert answer.status_code == 403
    assert (user.name, user.password) == ("Ada", before)
    assert script.get("/balance").status_code == 200


# --- A form of before the account ----------------------------------------------------------------


def test_a_form_is_kept_until_signing_up_succeeds(client: Client, predictor: Predictor) -> None:
    page, typed = "/estimate/random_forest", {"brand": "bmw", "horsepower": "121"}
    bob = {"name": "Bob", "email": "bob@example.com", "password": "short"}

    asked = client.post(page, {**typed, "sign_up": "1"})
    kept = {name: asked.context[name] for name in ("next", "kept_form")}
    refused = client.post("/account/sign-up", {**bob, **kept})
    kept = {name: refused.context[name] for name in ("next", "kept_form")}
    back = client.post("/account/sign-up", {**bob, **kept, "password": NEW})
    shown = client.get(back["Location"])

    assert "Sign up" in words(asked)
    assert refused.status_code == 422
    assert back["Location"].startswith(page)
    assert filled_in(shown.context["form"]) == typed
    assert User.objects.get().name == "Bob"


def test_signing_in_instead_keeps_what_the_page_carries(
    client: Client, make_user: Callable[..., User]
) -> None:
    carried = {"next": "/wallet", "kept_form": "amount=177", "instead": "1"}

    page = client.post("/account/sign-up", carried)
    other = client.post("/account/sign-in", carried)

    for answer in (page, other):
        assert answer.status_code == 200
        assert not answer.context["form"].errors
        assert 'value="amount=177"' in answer.content.decode()
