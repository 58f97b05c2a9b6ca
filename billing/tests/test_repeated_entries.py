"""An operator's correction and refund are done once, however often the button is pressed."""

from collections.abc import Callable
from functools import partial
from typing import Any
from uuid import uuid4

import pytest
from django.test import Client
from django.urls import reverse

from accounts.models import User
from billing import services
from billing.audit import breaches
from billing.models import CreditAccount, LedgerEntry
from testing.fixtures import AtOnce
from testing.lifecycle import overlap
from testing.pages import browser_of, form_key, words

pytestmark = pytest.mark.django_db

CLICKS = 4
PRICE = 40


@pytest.fixture
def operator(make_user: Callable[..., User]) -> User:
    return make_user("op@example.com", credit=0, is_staff=True, is_superuser=True)


@pytest.fixture(params=["correction", "refund"])
def form(request: pytest.FixtureRequest, user: User) -> tuple[str, dict[str, str]]:
    """The page of an operator's entry that adds PRICE, and what is filled in."""
    if request.param == "correction":
        page = reverse("admin:billing_creditaccount_correct", args=[user.pk])
        return page, {"change": str(PRICE), "reason": "A gift"}
    hold_id = services.place_hold(user_id=user.pk, amount=PRICE, subject_id=uuid4())
    services.resolve_holds(captured=[hold_id])
    charge = LedgerEntry.objects.get(resolves_id=hold_id)
    return reverse("admin:billing_ledgerentry_refund", args=[charge.pk]), {"reason": "Wrong"}


def balance(user: User) -> int:
    return CreditAccount.objects.get(pk=user.pk).balance


def click(browser: Client, page: str, fields: dict[str, str]) -> Any:
    return browser.post(page, fields)


def test_pressed_again_and_again_it_is_done_once(
    operator: User, user: User, form: tuple[str, dict[str, str]]
) -> None:
    page, fields = form
    browser = browser_of(operator)
    fields = fields | {"form_key": form_key(browser.get(page))}
    before = balance(user)

    answers = [click(browser, page, fields) for _ in range(CLICKS)]

    assert {(answer.status_code, answer["Location"]) for answer in answers} == {
        (302, answers[0]["Location"])
    }
    assert balance(user) == before + PRICE
    assert "This form was sent twice; it was done once." in words(browser.get("/"))


def test_changed_and_sent_again_it_is_shown_again_and_says_what_was_done(
    operator: User, user: User
) -> None:
    page = reverse("admin:billing_creditaccount_correct", args=[user.pk])
    browser = browser_of(operator)
    fields = {"change": "25", "reason": "A gift", "form_key": form_key(browser.get(page))}

    browser.post(page, fields)
    shown = browser.post(page, fields | {"change": "26"})
    after_two = balance(user)
    meant = browser.post(page, fields | {"change": "26", "form_key": form_key(shown)})

    assert (shown.status_code, after_two) == (200, 1025)
    assert "with other values: Adjustment: +25 credits. Nothing was done now." in words(shown)
    assert 'value="26"' in shown.content.decode()
    assert (meant.status_code, balance(user)) == (302, 1051)


def test_a_top_up_that_is_changed_and_sent_again_adds_once(user: User) -> None:
    browser = browser_of(user)
    fields = {"amount": "25", "form_key": form_key(browser.get("/wallet"))}

    browser.post("/wallet", fields)
    shown = browser.post("/wallet", fields | {"amount": "26"})

    assert (shown.status_code, balance(user)) == (422, 1025)
    assert "25 credits added. Nothing was done now." in words(shown)
    assert form_key(shown) != fields["form_key"]


def test_a_refused_form_is_not_used_up(operator: User, user: User) -> None:
    page = reverse("admin:billing_creditaccount_correct", args=[user.pk])
    fields = {"change": "-5000", "reason": "A gift", "form_key": str(uuid4())}
    browser = browser_of(operator)

    browser.post(page, fields)
    browser.post(page, fields | {"change": "-5"})

    assert balance(user) == 995


@pytest.mark.django_db(transaction=True)
def test_sent_at_the_same_moment_with_other_values_it_is_done_once(
    operator: User, user: User, at_once: AtOnce
) -> None:
    page = reverse("admin:billing_creditaccount_correct", args=[user.pk])
    fields = {"reason": "A gift", "form_key": str(uuid4())}
    browsers = [browser_of(operator) for _ in range(CLICKS)]

    answers = at_once(
        [
            partial(click, browser, page, fields | {"change": str(PRICE + number)})
            for number, browser in enumerate(browsers)
        ]
    )

    assert sorted(answer.status_code for answer in answers) == [200] * (CLICKS - 1) + [302]
    assert 0 <= balance(user) - 1000 - PRICE < CLICKS
    assert not list(breaches())


def test_a_form_that_is_opened_again_is_another_one(operator: User, user: User) -> None:
    page = reverse("admin:billing_creditaccount_correct", args=[user.pk])
    browser = browser_of(operator)

    for _ in range(2):
        fields = {"change": "5", "reason": "A gift", "form_key": form_key(browser.get(page))}
        browser.post(page, fields)

    assert balance(user) == 1010


def test_two_operators_may_have_the_same_key(
    operator: User, make_user: Callable[..., User], user: User
) -> None:
    page = reverse("admin:billing_creditaccount_correct", args=[user.pk])
    fields = {"change": "5", "reason": "A gift", "form_key": str(uuid4())}
    other = make_user("op2@example.com", credit=0, is_staff=True, is_superuser=True)

    for somebody in (operator, other):
        browser_of(somebody).post(page, fields)

    assert balance(user) == 1010


@pytest.mark.django_db(transaction=True)
def test_pressed_at_the_same_moment_it_is_done_once(
    operator: User, user: User, form: tuple[str, dict[str, str]], at_once: AtOnce
) -> None:
    page, fields = form
    fields = fields | {"form_key": str(uuid4())}
    before = balance(user)
    browsers = [browser_of(operator) for _ in range(CLICKS)]

    answers = at_once([partial(click, browser, page, fields) for browser in browsers])

    assert {answer.status_code for answer in answers} == {302}
    assert balance(user) == before + PRICE
    assert not list(breaches())


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("undo", [False, True], ids=["committed", "rolled-back"])
def test_the_second_click_waits_for_the_first(
    operator: User, user: User, form: tuple[str, dict[str, str]], undo: bool
) -> None:
    page, fields = form
    fields = fields | {"form_key": str(uuid4())}
    before = balance(user)
    first, second = (browser_of(operator) for _ in range(2))

    answers = overlap(
        partial(click, first, page, fields), partial(click, second, page, fields), undo=undo
    )

    assert [answer.status_code for answer in answers] == [302, 302]
    assert balance(user) == before + PRICE
    assert not list(breaches())


def test_a_crash_leaves_neither_the_key_nor_the_entry(
    operator: User, user: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = reverse("admin:billing_creditaccount_correct", args=[user.pk])
    fields = {"change": "5", "reason": "A gift", "form_key": str(uuid4())}
    browser = browser_of(operator)

    def crash(**_: Any) -> None:
        services.top_up(user_id=user.pk, amount=5)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(services, "correct_balance", crash)
        with pytest.raises(KeyboardInterrupt):
            browser.post(page, fields)
    after_crash = balance(user)
    browser.post(page, fields)

    assert (after_crash, balance(user)) == (1000, 1005)
