"""A form that is sent twice does its work once."""

import uuid
from collections.abc import Callable

import pytest
from django.http import HttpRequest
from django.test import Client, RequestFactory

from accounts.models import User
from billing.services import top_up
from carprice.idempotency.forms import submit_once
from mlmodels.models import Predictor
from predictions.audit import breaches
from predictions.models import Prediction
from testing.fixtures import AtOnce
from testing.pages import account_of, browser_of, form_key, state, typed, words

pytestmark = pytest.mark.django_db


def test_a_form_sent_twice_buys_once_and_leads_to_the_same_page(
    browser: Client, user: User, predictor: Predictor
) -> None:
    form = typed(predictor) | {"form_key": form_key(browser.get("/estimate/random_forest"))}

    first = browser.post("/estimate/random_forest", form)
    second = browser.post("/estimate/random_forest", form, follow=True)

    prediction = Prediction.objects.get()
    assert first["Location"] == f"/predictions/{prediction.pk}"
    assert second.redirect_chain == [(first["Location"], 302)]
    assert "You sent this form twice; it was bought once." in words(second)
    assert account_of(user) == (1000, predictor.price)


@pytest.mark.django_db(transaction=True)
def test_a_form_sent_at_the_same_moment_buys_once(
    user: User, predictor: Predictor, at_once: AtOnce
) -> None:
    browsers = [browser_of(user) for _ in range(6)]
    form = typed(predictor) | {"form_key": str(uuid.uuid4())}

    answers = at_once(
        [
            lambda browser=browser: browser.post("/estimate/random_forest", form)
            for browser in browsers
        ]
    )

    prediction = Prediction.objects.get()
    assert {answer["Location"] for answer in answers} == {f"/predictions/{prediction.pk}"}
    assert account_of(user) == (1000, predictor.price)
    assert not list(breaches())


def test_a_form_sent_twice_is_saved_once(browser: Client, predictor: Predictor) -> None:
    form = {
        **typed(predictor),
        "save": "1",
        "form_key": form_key(browser.get("/estimate/random_forest")),
    }

    places = [browser.post("/estimate/random_forest", form)["Location"] for _ in range(2)]

    assert places == [f"/predictions/{Prediction.objects.get().pk}"] * 2


@pytest.mark.parametrize("change", [{"horsepower": "150"}, {"save": "1"}], ids=str)
def test_who_goes_back_and_changes_the_form_asks_for_something_else(
    browser: Client, predictor: Predictor, change: dict[str, str]
) -> None:
    form = typed(predictor) | {"form_key": form_key(browser.get("/estimate/random_forest"))}

    for fields in (form, form | change):
        browser.post("/estimate/random_forest", fields)

    assert Prediction.objects.count() == 2


def test_every_form_shown_has_a_key_of_its_own(browser: Client, predictor: Predictor) -> None:
    pages = [browser.get("/estimate/random_forest") for _ in range(2)]
    pages += [browser.post("/estimate/random_forest", {}), browser.get("/wallet")]

    assert len({form_key(page) for page in pages}) == 4


def test_a_key_is_free_after_a_refusal(
    make_user: Callable[..., User], predictor: Predictor
) -> None:
    poor = make_user("poor@example.com", credit=0)
    browser = browser_of(poor)
    form = typed(predictor) | {"form_key": str(uuid.uuid4())}

    refused = browser.post("/estimate/random_forest", form)
    top_up(user_id=poor.pk, amount=1000)
    bought = browser.post("/estimate/random_forest", form)

    assert (refused.status_code, bought.status_code) == (422, 302)
    assert Prediction.objects.count() == 1


def test_two_people_may_have_the_same_key(
    browser: Client, stranger: Client, predictor: Predictor
) -> None:
    form = typed(predictor) | {"form_key": str(uuid.uuid4())}

    places = {
        client.post("/estimate/random_forest", form)["Location"] for client in (browser, stranger)
    }

    assert len(places) == 2


def test_a_top_up_sent_twice_adds_once(browser: Client, user: User) -> None:
    form = {"amount": "250", "form_key": form_key(browser.get("/wallet"))}

    first, second = (browser.post("/wallet", form, follow=True) for _ in range(2))

    assert "250 credits added." in words(first)
    assert second.redirect_chain == [("/wallet", 302)]
    assert "the 250 credits were added once" in words(second)
    assert account_of(user) == (1250, 0)


@pytest.mark.parametrize("key", ["x", "\x00", "9" * 100_000, "é", " "])
@pytest.mark.parametrize("path", ["/estimate/random_forest", "/wallet"])
def test_a_key_that_no_form_has_is_refused(
    browser: Client, predictor: Predictor, path: str, key: str
) -> None:
    before = state()

    response = browser.post(path, typed(predictor) | {"amount": "250", "form_key": key})

    assert response.status_code == 400
    assert state() == before


def test_a_crash_leaves_neither_the_key_nor_the_work(user: User, rf: RequestFactory) -> None:
    request: HttpRequest = rf.post("/wallet", {"form_key": str(uuid.uuid4()), "amount": "250"})
    request.user = user
    before = state()

    def crash() -> str:
        top_up(user_id=user.pk, amount=250)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        submit_once(request, crash)

    assert state() == before
    assert submit_once(request, lambda: "/done") == ("/done", True)
    assert submit_once(request, lambda: "/again") == ("/done", False)
