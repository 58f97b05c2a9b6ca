"""The form while it is filled in: what the server says meanwhile, what it keeps, how it sells."""

from typing import Any

import pytest
from django.test import Client

from accounts.models import User
from billing.models import LedgerEntry
from billing.services import set_available
from mlmodels.catalogue import pricing
from mlmodels.models import Predictor
from predictions import waiting
from predictions.audit import breaches
from predictions.execution import runner
from predictions.models import Prediction, WhatIf
from testing.pages import account_of, error_at, filled_in, form_key, state, words

pytestmark = pytest.mark.django_db

PAGE = "/estimate/random_forest"
CASE = {"brand": "bmw", "horsepower": "121", "enginesize": "130", "curbweight": "2500"}
HTMX = {"HX-Request": "true"}


def live(browser: Client, page: str = PAGE, **fields: str) -> Any:
    return browser.post(page, {**fields, "live": "1"}, headers=HTMX)


def price_field(predictor: Predictor) -> dict[str, str]:
    return {f"shown_price-{predictor.name}": str(predictor.price)}


def test_a_field_that_is_left_has_its_message_and_the_count(
    browser: Client, predictor: Predictor
) -> None:
    before = state()

    answer = live(browser, brand="vw", horsepower="12o")

    page = answer.content.decode()
    assert answer.status_code == 200
    assert 'id="id_horsepower_error" hx-swap-oob="true"' in page
    assert "Write the number alone" in page
    assert "Choose one of the list." not in page
    assert "1 of 24 features is yours, 23 are typical values." in words(answer)
    assert "<html" not in page
    assert state() == before


def test_what_is_typed_is_there_after_a_reload_until_it_is_thrown_away(
    browser: Client, predictors: dict[str, Predictor]
) -> None:
    live(browser, brand="vw", horsepower="12o", horsepower_unit="kW")

    kept = browser.get(PAGE).context["form"]
    other = browser.get("/estimate/bioage_ridge").context["form"]
    browser.post(PAGE, {"start_over": "1"})
    empty = browser.get(PAGE).context["form"]

    assert filled_in(kept) == {"brand": "vw", "horsepower": "12o"}
    assert kept["horsepower unit"].value() == "kW"
    assert filled_in(other) == filled_in(empty) == {}


def test_of_a_visitor_nothing_is_kept(predictor: Predictor) -> None:
    visitor = Client()

    answer = live(visitor, brand="vw")

    assert answer.status_code == 200
    assert not visitor.session.keys()


def test_another_form_begins_as_the_last_was_sent(browser: Client, predictor: Predictor) -> None:
    browser.post(PAGE, CASE)

    assert filled_in(browser.get(PAGE).context["form"]) == CASE


@pytest.mark.parametrize("make", ["vw", "VW Golf", "Volkswagen", "volkswagen"])
def test_a_make_is_found_by_any_of_its_names(
    browser: Client, predictor: Predictor, make: str
) -> None:
    browser.post(PAGE, {**CASE, "brand": make})

    assert Prediction.objects.get().data["brand"] == "volkswagen"


def test_a_make_that_is_none_is_refused(browser: Client, predictor: Predictor) -> None:
    answer = browser.post(PAGE, {**CASE, "brand": "trabant"})

    assert (answer.status_code, error_at(answer, "brand")) == (422, "Choose one of the list.")


# --- Which predictor, at which price -------------------------------------------------------------


def test_the_predictor_that_was_chosen_sells_at_its_own_price(
    browser: Client, user: User, predictors: dict[str, Predictor]
) -> None:
    chosen = predictors["gradient_boosting"]
    prices = price_field(chosen) | price_field(predictors["random_forest"])

    browser.post(PAGE, {**CASE, **prices, "model": chosen.name})

    row = Prediction.objects.get()
    assert (row.predictor, row.price) == (chosen, chosen.price)
    assert account_of(user) == (1000, chosen.price)


def test_a_predictor_of_another_domain_is_none_to_choose(
    browser: Client, predictors: dict[str, Predictor]
) -> None:
    before = state()

    answers = [
        browser.post(PAGE, {**CASE, "model": name}) for name in ("bioage_ridge", "no_such", "\x00")
    ]

    assert [answer.status_code for answer in answers] == [404] * 3
    assert state() == before


# --- Too few credits -----------------------------------------------------------------------------


@pytest.fixture
def poor(user: User) -> User:
    set_available(user_id=user.pk, new_amount=3)
    return user


def test_one_button_adds_what_is_missing_and_buys_and_does_so_once(
    browser: Client, poor: User, predictor: Predictor
) -> None:
    page = browser.get(PAGE)
    missing = predictor.price - 3
    form = {**CASE, **price_field(predictor), "form_key": form_key(page), "top_up": str(missing)}

    answers = [browser.post(PAGE, form) for _ in range(2)]

    row = Prediction.objects.get()
    assert f"Add {missing} credits and estimate" in words(page)
    assert [answer["Location"] for answer in answers] == [f"/predictions/{row.pk}"] * 2
    assert account_of(poor) == (predictor.price, predictor.price)
    assert not list(breaches())


@pytest.mark.parametrize("amount", ["1", "0", "-5", "many", "9" * 40, "1000001"])
def test_nothing_is_added_if_nothing_is_bought(
    browser: Client, poor: User, predictor: Predictor, amount: str
) -> None:
    before, entries = state(), LedgerEntry.objects.count()

    answer = browser.post(PAGE, {**CASE, **price_field(predictor), "top_up": amount})

    assert answer.status_code == 422
    assert (state(), LedgerEntry.objects.count()) == (before, entries)
    assert filled_in(answer.context["form"]) == CASE


def test_nothing_is_added_at_another_price_than_was_shown(
    browser: Client, poor: User, predictor: Predictor
) -> None:
    form = {**CASE, **price_field(predictor), "top_up": "500"}
    pricing.set_price(predictor_id=predictor.pk, price=300, actor=poor)
    before = state()

    answer = browser.post(PAGE, form)

    assert answer.status_code == 422
    assert "The price is now 300 credits" in words(answer)
    assert state() == before


# --- What-ifs that answer in place ---------------------------------------------------------------


def test_a_change_of_a_what_if_answers_its_part_of_the_page(
    browser: Client, finished: Prediction, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        waiting, "until_ended", lambda *_: runner.run_queued(WhatIf, finished.version_id)
    )
    path = f"/predictions/{finished.pk}/what-if"

    first, second = (
        browser.post(path, {"brand": "BMW", "horsepower": power}, headers=HTMX)
        for power in ("150", "200")
    )
    refused = browser.post(path, {"brand": "BMW", "horsepower": "x"}, headers=HTMX)

    assert [first.status_code, second.status_code, refused.status_code] == [200] * 3
    assert "<html" not in second.content.decode()
    assert second.context["answers"][0].changes[0].after == "200"
    assert len(second.context["curve"].drawing.points) == 3  # its own, and two
    assert "18 more for this prediction" in words(second)
    assert "One of the fields cannot be read." in words(refused)
    assert WhatIf.objects.count() == 2


# --- Numbers as a language writes them -----------------------------------------------------------


@pytest.mark.parametrize(
    ("language", "text", "value"),
    [("ru", "2,548", 2.548), ("ru", "3,19", 3.19), ("en", "3,19", 3.19)],
)
def test_a_comma_sets_decimals_apart_where_the_language_has_it(
    browser: Client, predictor: Predictor, language: str, text: str, value: float
) -> None:
    browser.post(PAGE, {**CASE, "stroke": text}, headers={"Accept-Language": language})

    assert Prediction.objects.get().data["stroke"] == value


def test_a_comma_that_may_be_either_is_asked_about_in_english(
    browser: Client, predictor: Predictor
) -> None:
    answer = browser.post(PAGE, {**CASE, "stroke": "2,548"})

    assert error_at(answer, "stroke") == "This can be read in two ways: write 2548 or 2.548."
