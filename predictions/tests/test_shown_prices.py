"""Nothing is sold at another price than the one that stood on the button."""

from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client

from accounts.models import User
from mlmodels.models import Predictor
from predictions import services
from predictions.models import Prediction
from testing.pages import account_of, filled_in, form_key, state, words

pytestmark = pytest.mark.django_db

PAGE = "/estimate/random_forest"
ENOUGH = {"brand": "bmw", "horsepower": "121", "enginesize": "130", "curbweight": "2500"}
FEW = {"brand": "bmw", "horsepower": "121"}
CHANGED = "The price is now 300 credits; nothing has been bought."


def set_price(price: int) -> None:
    Predictor.objects.update(price=price)


SHOWN = "shown_price-random_forest"


def shown_price(response: Any) -> str:
    page = response.content.decode()
    return str(page.partition(f'name="{SHOWN}" value="')[2].partition('"')[0])


@pytest.fixture(params=["estimate", "draft"])
def path(request: pytest.FixtureRequest, make_draft: Callable[..., Prediction]) -> str:
    return PAGE if request.param == "estimate" else f"/predictions/{make_draft(FEW).pk}"


@pytest.mark.parametrize("more", [{}, {"confirm": "22"}, {"horsepower": "many"}], ids=str)
def test_a_price_that_has_changed_is_shown_before_it_is_held(
    browser: Client, user: User, predictor: Predictor, path: str, more: dict[str, str]
) -> None:
    fields = FEW if "confirm" in more else ENOUGH
    page = browser.get(path)
    form = {**fields, **more, "form_key": form_key(page), SHOWN: shown_price(page)}
    set_price(300)
    before = state()

    refused = browser.post(path, form)

    assert refused.status_code == 422
    assert CHANGED in words(refused)
    assert "Estimate for 300 credits" in words(refused)
    assert filled_in(refused.context["form"]) == {name: form[name] for name in fields}
    assert state() == before
    assert shown_price(refused) == "300"

    again = {**form, "horsepower": "121", "form_key": form_key(refused), SHOWN: "300"}
    bought = browser.post(path, again)

    assert bought.status_code == 302
    assert account_of(user) == (1000, 300)


def test_who_is_asked_once_more_is_asked_at_the_price_that_is_held(
    browser: Client, user: User, predictor: Predictor, path: str
) -> None:
    form = {**FEW, SHOWN: shown_price(browser.get(path))}
    asked = browser.post(path, form)
    assert f"Estimate with 22 typical values for {predictor.price} credits" in words(asked)
    set_price(300)

    refused = browser.post(path, {**form, "confirm": "22"})
    asked_again = browser.post(path, {**form, SHOWN: "300"})

    assert CHANGED in words(refused)
    assert "Estimate with 22 typical values for 300 credits" in words(asked_again)
    assert account_of(user) == (1000, 0)


def test_a_form_that_was_bought_stays_bought_when_the_price_changes(
    browser: Client, user: User, predictor: Predictor
) -> None:
    page = browser.get(PAGE)
    form = {**ENOUGH, "form_key": form_key(page), SHOWN: shown_price(page)}
    first = browser.post(PAGE, form)
    set_price(300)

    second = browser.post(PAGE, form)

    assert second["Location"] == first["Location"]
    assert account_of(user) == (1000, predictor.price)


def test_a_price_that_changes_while_a_draft_is_sold_is_shown(
    browser: Client,
    user: User,
    predictor: Predictor,
    make_draft: Callable[..., Prediction],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    path = f"/predictions/{make_draft(FEW).pk}"
    run = services.run_draft_with

    def run_at_another_price(**wanted: Any) -> None:
        set_price(300)
        run(**wanted)

    monkeypatch.setattr(services, "run_draft_with", run_at_another_price)
    refused = browser.post(path, {**ENOUGH, SHOWN: str(predictor.price)})

    assert (refused.status_code, CHANGED in words(refused)) == (422, True)
    assert account_of(user) == (1000, 0)
    assert shown_price(refused) == "300"


@pytest.mark.parametrize("price", ["", "many", "²", "\x00", "-1", "9" * 5000])
def test_a_price_that_nobody_was_shown_is_none_to_sell_at(
    browser: Client, predictor: Predictor, path: str, price: str
) -> None:
    before = state()

    assert browser.post(path, {**ENOUGH, SHOWN: price}).status_code == 422
    assert state() == before


@pytest.mark.parametrize("button", ["save", "check"])
def test_what_buys_nothing_asks_for_no_price(
    browser: Client, predictor: Predictor, path: str, button: str
) -> None:
    response = browser.post(path, {**ENOUGH, SHOWN: "9999", button: "1"})

    assert response.status_code == (302 if button == "save" else 200)
    assert "The price is now" not in words(response)
