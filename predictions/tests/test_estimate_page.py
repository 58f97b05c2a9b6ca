"""The estimate form: it sells nothing that it could not read, and says how much it assumes."""

import re
from collections.abc import Callable
from html import unescape
from typing import Any

import pytest
from django.test import Client

from accounts.models import User
from mlmodels.domains import DOMAINS
from mlmodels.models import Predictor
from predictions.audit import breaches
from predictions.execution import runner
from predictions.models import Prediction
from testing.pages import account_of, error_at, filled_in, form_key, state, typed, words

pytestmark = pytest.mark.django_db

PAGE = "/estimate/random_forest"
ENOUGH = {"brand": "bmw", "horsepower": "121", "enginesize": "130", "curbweight": "2500"}
FEW = {"brand": "bmw", "horsepower": "121"}


def value_in(response: Any, field: str) -> str:
    """The text in a field as the page has it."""
    match = re.search(rf'<input [^>]*name="{field}" value="([^"]*)"', response.content.decode())
    return unescape(match[1]) if match else ""


# --- What cannot be read is not sold -------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "number"),
    [("2500", 2500), (" 2 500 ", 2500), ("２５００", 2500), ("2'500", 2500), ("2500,0", 2500.0)],
)
def test_numbers_are_read_as_people_write_them(
    browser: Client, predictor: Predictor, text: str, number: float
) -> None:
    response = browser.post(PAGE, {**ENOUGH, "curbweight": text})

    assert response.status_code == 302
    assert Prediction.objects.get().data["curbweight"] == number


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("5-4", "These are several numbers"),
        ("<5", "This is a limit or a rough figure"),
        (">90", "This is a limit or a rough figure"),
        ("N/A", "Leave it empty if it is not known."),
        ("5.4 %", "Write the number alone, without “%”."),
        ("2,548", "This can be read in two ways: write 2548 or 2.548."),
        ("many", "This is no number."),
        ("21", "Enter a number from 500 to 20000 lb."),
    ],
)
def test_what_is_not_read_is_not_sold_and_stays_as_it_was_typed(
    browser: Client, predictor: Predictor, text: str, sentence: str
) -> None:
    before = state()

    response = browser.post(PAGE, {**ENOUGH, "curbweight": text, "confirm": "24"})

    assert response.status_code == 422
    assert unescape(error_at(response, "curbweight")).startswith(sentence)
    assert value_in(response, "curbweight") == text
    assert filled_in(response.context["form"]) == {**ENOUGH, "curbweight": text}
    assert state() == before


def test_a_measurement_that_is_not_read_does_not_count_as_not_measured(
    browser: Client, predictors: dict[str, Predictor]
) -> None:
    before = state()
    fields = {"gender": "female", "pregnant": "0", "hba1c": "5-4", "confirm": "30"}

    response = browser.post("/estimate/bloodage_ridge", fields)

    assert response.status_code == 422
    assert error_at(response, "hba1c")
    assert value_in(response, "hba1c") == "5-4"
    assert state() == before


def test_a_number_that_is_not_read_stays_beside_its_unit(
    browser: Client, predictor: Predictor
) -> None:
    response = browser.post(PAGE, {**ENOUGH, "horsepower": "9o", "horsepower_unit": "kW"})

    assert response.status_code == 422
    assert value_in(response, "horsepower") == "9o"
    assert response.context["form"]["horsepower unit"].value() == "kW"


# --- How much is assumed -------------------------------------------------------------------------


@pytest.mark.parametrize("fields", [{}, {"brand": "", "horsepower": "  "}], ids=str)
@pytest.mark.parametrize("name", ["random_forest", "bioage_ridge", "bloodage_ridge"])
def test_an_untouched_form_is_not_sold(
    browser: Client, predictors: dict[str, Predictor], name: str, fields: dict[str, str]
) -> None:
    before = state()

    response = browser.post(f"/estimate/{name}", {**fields, "confirm": "99"})

    assert response.status_code == 422
    assert "Fill in at least one value" in words(response)
    assert state() == before


def test_an_age_to_compare_with_is_no_value_to_estimate_from(
    browser: Client, predictors: dict[str, Predictor]
) -> None:
    before = state()

    response = browser.post(
        "/estimate/bloodage_ridge", {"chronological_age": "50", "confirm": "99"}
    )

    assert response.status_code == 422
    assert value_in(response, "chronological_age") == "50"
    assert state() == before


def test_beside_the_button_stands_how_much_is_assumed(
    browser: Client, predictor: Predictor
) -> None:
    blank = browser.get(PAGE)
    checked = browser.post(PAGE, {**ENOUGH, "stroke": "3.1", "check": "1"})
    single = browser.post(PAGE, {"brand": "bmw", "check": "1"})

    assert "0 of 24 features are yours, 24 are typical values." in words(blank)
    assert "5 of 24 features are yours, 19 are typical values." in words(checked)
    assert "1 of 24 features is yours, 23 are typical values." in words(single)


def test_what_cannot_be_read_is_not_counted_as_given(browser: Client, predictor: Predictor) -> None:
    fields = {"brand": "trabant", "horsepower": "12o", "curbweight": "1,234", "stroke": "3.1"}

    response = browser.post(PAGE, {**fields, "check": "1"})

    assert response.status_code == 422
    assert "1 of 24 features is yours, 23 are typical values." in words(response)


@pytest.mark.parametrize("button", ["check", "confirm"])
def test_a_form_of_what_cannot_be_read_says_so_and_is_not_called_empty(
    browser: Client, predictor: Predictor, button: str
) -> None:
    response = browser.post(PAGE, {"horsepower": "12o", button: "24"})

    assert response.status_code == 422
    assert error_at(response, "horsepower")
    assert "Fill in at least one value" not in words(response)
    assert "0 of 24 features are yours" in words(response)


def test_what_equals_the_typical_value_is_the_persons_if_they_typed_it(
    browser: Client, predictor: Predictor
) -> None:
    browser.post(PAGE, typed(predictor))

    row = Prediction.objects.get()
    assert row.defaulted == []


def test_below_the_minimum_it_asks_once_more_before_it_sells(
    browser: Client, user: User, predictor: Predictor
) -> None:
    before = state()

    asked = browser.post(PAGE, FEW)

    price = predictor.price
    assert asked.status_code == 200
    assert "Only 2 of 24 features are yours" in words(asked)
    assert f"Estimate with 22 typical values for {price} credits" in words(asked)
    assert filled_in(asked.context["form"]) == FEW
    assert state() == before

    form = {**FEW, "form_key": form_key(asked), "confirm": "22"}
    answers = [browser.post(PAGE, form) for _ in range(2)]

    row = Prediction.objects.get()
    assert [answer["Location"] for answer in answers] == [f"/predictions/{row.pk}"] * 2
    assert account_of(user) == (1000, price)
    assert not list(breaches())


def test_at_the_minimum_it_does_not_ask(browser: Client, predictor: Predictor) -> None:
    assert browser.post(PAGE, ENOUGH).status_code == 302


@pytest.mark.parametrize("confirmed", ["21", "", "0", "-1", "yes", "22.0", "\x00", "²", "0" * 5000])
def test_only_as_much_is_assumed_as_was_agreed_to(
    browser: Client, predictor: Predictor, confirmed: str
) -> None:
    before = state()

    response = browser.post(PAGE, {**FEW, "confirm": confirmed})

    assert "Only 2 of 24 features are yours" in words(response)
    assert state() == before


def test_a_draft_is_asked_about_in_the_same_way(
    browser: Client, user: User, predictor: Predictor, make_draft: Callable[..., Prediction]
) -> None:
    draft = make_draft({"brand": "bmw"})
    path = f"/predictions/{draft.pk}"

    asked = browser.post(path, FEW)
    bought = browser.post(path, {**FEW, "confirm": "22"})

    assert (asked.status_code, bought.status_code) == (200, 302)
    assert "Only 2 of 24 features are yours" in words(asked)
    draft.refresh_from_db()
    assert draft.status == "queued"
    assert account_of(user) == (1000, predictor.price)


@pytest.mark.parametrize("name", DOMAINS)
def test_every_domain_sets_a_minimum_that_its_form_can_reach(name: str) -> None:
    domain = DOMAINS[name]

    assert 1 < domain.minimum_given <= len(domain.scored) / 2


def test_the_page_of_a_result_tells_what_was_given_from_what_was_assumed(
    browser: Client, predictor: Predictor
) -> None:
    bought = browser.post(PAGE, ENOUGH)
    assert predictor.current_version_id
    runner.run_queued(Prediction, predictor.current_version_id)

    page = browser.get(bought["Location"])

    given, _, assumed = page.content.decode().partition("What was assumed")
    given = given.partition("What you gave")[2]
    assert given.count("<dt>") == 4
    assert "typical" not in given
    assert assumed.count("<dt>") == 20
    assert assumed.count('<span class="tag">typical</span>') == 20
    weight = page.context["details"].reasons.factors + page.context["details"].reasons.more_factors
    assert {bar.label for bar in weight if not bar.origin} == {
        "Make",
        "Power",
        "Engine size",
        "Weight",
    }


@pytest.mark.parametrize(("left_out", "is_sure"), [(6, True), (7, False), (22, False)])
def test_a_range_is_called_sure_only_where_nearly_all_is_known(
    browser: Client, predictor: Predictor, left_out: int, is_sure: bool
) -> None:
    fields = dict(list(typed(predictor).items())[left_out:])
    bought = browser.post(PAGE, {**fields, "confirm": "24"})
    assert predictor.current_version_id
    runner.run_queued(Prediction, predictor.current_version_id)

    page = words(browser.get(bought["Location"]))

    assert ("Nine times in ten" in page) == is_sure
    assert ("Such ranges hold where nearly all features are known" in page) == (not is_sure)
    assert ("Ranges were measured where nearly all are known" in page) == (not is_sure)


def test_a_converted_value_has_no_more_digits_than_mean_something(
    browser: Client, predictor: Predictor
) -> None:
    fields = {**ENOUGH, "carlength": "4.4", "carlength_unit": "m", "boreratio": "3.18898"}
    bought = browser.post(PAGE, {**fields, "stroke": "81", "stroke_unit": "mm"})
    assert predictor.current_version_id
    runner.run_queued(Prediction, predictor.current_version_id)

    page = words(browser.get(bought["Location"]))

    assert "4.4 m = 173.2 in" in page
    assert "81 mm = 3.189 in" in page
    assert "Length 173.2 in" in page
    assert "3.18898" in page  # as it was typed
    assert "173.22" not in page


def test_what_follows_from_what_was_given_is_not_called_typical(
    browser: Client, predictors: dict[str, Predictor]
) -> None:
    fields = {"Height_cm": "180", "Weight_kg": "80", "confirm": "24"}

    bought = browser.post("/estimate/bioage_ridge", fields)

    page = browser.get(bought["Location"]).content.decode()
    index = page[page.index("<dt>Body mass index</dt>") :][:300]
    assert "24.7" in index
    assert '<span class="tag">worked out</span>' in index


# --- Nothing typed is lost -----------------------------------------------------------------------


def test_another_predictor_of_the_domain_takes_along_what_is_filled_in(
    browser: Client, predictors: dict[str, Predictor]
) -> None:
    before = state()
    fields = {**FEW, "horsepower": "90,5", "horsepower_unit": "kW", "stroke": "5-4", "check": "1"}

    switched = browser.post(PAGE, {**fields, "model": "linear_regression"})

    form = switched.context["form"]
    assert switched.context["predictor"].name == "linear_regression"
    assert filled_in(form) == {**FEW, "horsepower": "90,5", "stroke": "5-4"}
    assert form["horsepower unit"].value() == "kW"
    assert state() == before


def test_an_empty_form_goes_to_another_predictor_without_a_reproach(
    browser: Client, predictors: dict[str, Predictor]
) -> None:
    response = browser.post("/estimate/linear_regression", {"brand": "", "check": "1"})

    assert response.status_code == 200
    assert not response.context["form"].errors


def test_enter_in_a_field_presses_a_button_that_buys_nothing(
    browser: Client, predictor: Predictor, make_draft: Callable[..., Prediction]
) -> None:
    draft = make_draft(FEW)
    before = state()

    for path in (PAGE, f"/predictions/{draft.pk}"):
        for page in (browser.get(path), browser.post(path, FEW)):
            form = page.content.decode().partition('class="sale"')[2]
            buttons = re.findall(r"<button([^>]*)>", form)
            assert 'name="check"' in buttons[0]
        checked = browser.post(path, {**ENOUGH, "check": "1"})
        assert checked.status_code == 200
        assert "Nothing has been bought." in words(checked)

    assert state() == before


def test_what_is_filled_in_again_is_what_was_given(browser: Client, predictor: Predictor) -> None:
    bought = browser.post(PAGE, {**ENOUGH, "horsepower": "90", "horsepower_unit": "kW"})
    key = bought["Location"].rpartition("/")[2]

    page = browser.get(f"{PAGE}?like={key}")

    assert filled_in(page.context["form"]) == {**ENOUGH, "brand": "BMW", "horsepower": "90"}
    assert page.context["form"]["horsepower unit"].value() == "kW"
    assert f"{PAGE}?like={key}" in browser.get(bought["Location"]).content.decode()
