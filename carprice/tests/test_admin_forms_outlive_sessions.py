"""Forms of the admin whose session or token has ended: what was typed is shown, not done."""

from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client

from accounts.browsers.models import BrowserSession
from accounts.models import User
from mlmodels.models import Predictor
from testing.fixtures import PASSWORD
from testing.kept_forms import (
    KEY,
    careful,
    sent_in_vain,
    sign_in_with,
    token_of,
    value_of,
)
from testing.pages import account_of, form_key, state, words

pytestmark = pytest.mark.django_db

EMAIL = "op@example.com"
TYPED = {"change": "25", "reason": "A gift", "form_key": KEY}


@pytest.fixture
def operator(make_user: Callable[..., User]) -> User:
    return make_user(EMAIL, credit=0, is_staff=True, is_superuser=True)


@pytest.fixture
def browser(operator: User) -> Client:
    """An operator's, with cookies, whose tokens are checked."""
    client = careful(operator)
    client.get("/wallet")
    return client


@pytest.fixture
def correction(user: User) -> str:
    return f"/admin/billing/creditaccount/{user.pk}/correct/"


def send(browser: Client, path: str, fields: dict[str, str]) -> Any:
    """Send a form with a good token."""
    return browser.post(path, {**fields, "csrfmiddlewaretoken": token_of(browser, path)})


def test_with_an_old_token_the_form_comes_back_and_nothing_is_done(
    browser: Client, user: User, correction: str
) -> None:
    before = state()

    page = browser.post(correction, {**TYPED, "csrfmiddlewaretoken": "old"})
    after = state()
    done = send(browser, correction, TYPED)

    assert (page.status_code, after) == (403, before)
    assert "so nothing was done" in words(page)
    assert [value_of(page, name) for name in ("change", "reason")] == ["25", "A gift"]
    assert form_key(page) == KEY
    assert (done.status_code, account_of(user)) == (302, (1025, 0))


def test_after_signing_in_again_the_form_is_as_it_was_typed(
    browser: Client, user: User, correction: str
) -> None:
    BrowserSession.objects.all().delete()
    before = state()

    asked = sent_in_vain(browser, correction, TYPED)
    back = sign_in_with(browser, asked, email=EMAIL)
    page = browser.get(back["Location"])
    after = state()
    done = send(browser, back["Location"], TYPED)

    assert "the form comes back as you typed it" in words(asked)
    assert "Nothing has been done yet." in words(page)
    assert [value_of(page, name) for name in ("change", "reason")] == ["25", "A gift"]
    assert form_key(page) == KEY
    assert after == before
    assert (done.status_code, account_of(user)) == (302, (1025, 0))
    assert value_of(browser.get(back["Location"]), "change") is None


def test_a_form_that_was_done_is_not_done_again_by_its_return(
    browser: Client, user: User, correction: str
) -> None:
    send(browser, correction, TYPED)

    page = browser.post(correction, {**TYPED, "csrfmiddlewaretoken": "old"})
    token = value_of(page, "csrfmiddlewaretoken") or ""
    browser.post(correction, {**TYPED, "change": "26", "csrfmiddlewaretoken": token})

    assert account_of(user) == (1025, 0)


@pytest.mark.parametrize("has_ended", [True, False], ids=["session", "token"])
def test_a_price_is_shown_and_not_set(
    browser: Client, predictor: Predictor, has_ended: bool
) -> None:
    path = f"/admin/mlmodels/predictor/{predictor.pk}/change/"
    fields = {"price": "777", "enabled": "on"}

    if has_ended:
        BrowserSession.objects.all().delete()
        page = browser.get(
            sign_in_with(browser, sent_in_vain(browser, path, fields), email=EMAIL)["Location"]
        )
    else:
        page = browser.post(path, {**fields, "csrfmiddlewaretoken": "old"})

    price = predictor.price
    predictor.refresh_from_db()
    assert page.status_code == (200 if has_ended else 403)
    assert "You had typed: price: 777; enabled: on." in words(page)
    assert predictor.price == price


def test_a_password_is_not_shown(browser: Client, user: User) -> None:
    page = browser.post(
        f"/admin/accounts/user/{user.pk}/password/",
        {"password1": PASSWORD, "password2": PASSWORD, "csrfmiddlewaretoken": "old"},
    )

    assert page.status_code == 403
    assert PASSWORD not in page.content.decode()
    assert user.check_password(PASSWORD)


def test_what_was_typed_is_shown_as_text(browser: Client, correction: str) -> None:
    markup = '"><script>alert(1)</script>'

    page = browser.post(correction, {**TYPED, "reason": markup, "csrfmiddlewaretoken": "old"})

    assert "<script>alert" not in page.content.decode()


def test_who_is_no_operator_sees_no_page_of_the_admin(user: User, correction: str) -> None:
    client = careful(user)
    client.get("/wallet")

    answer = client.post(correction, {**TYPED, "csrfmiddlewaretoken": "old"}, follow=True)

    assert answer.status_code == 403
    assert "Write the entry" not in words(answer)


def test_another_sites_form_is_not_shown(browser: Client, correction: str) -> None:
    page = browser.post(
        correction,
        {**TYPED, "csrfmiddlewaretoken": "old"},
        headers={"Origin": "http://evil.example"},
    )

    assert page.status_code == 403
    assert "A gift" not in page.content.decode()
