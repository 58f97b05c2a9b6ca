"""Drafts as a person saves, sees, mends and runs them."""

import re
from collections.abc import Callable
from html import escape, unescape
from typing import Any

import pytest
from django.test import Client

from accounts.models import User
from mlmodels.catalogue import pricing
from mlmodels.models import Predictor
from predictions import services
from predictions.audit import breaches
from predictions.models import Prediction
from predictions.pages.feature_fields import LONGEST_TEXT
from testing.pages import (
    CAR,
    account_of,
    browser_of,
    error_at,
    filled_in,
    state,
    typed,
    words,
)

pytestmark = pytest.mark.django_db


# --- Saving a draft -------------------------------------------------------------------------------


def test_a_draft_keeps_what_was_filled_in_and_holds_nothing(
    browser: Client, user: User, predictor: Predictor
) -> None:
    response = browser.post(
        "/estimate/random_forest", {"brand": "bmw", "stroke": "3,5", "doornumber": "", "save": "1"}
    )

    draft = Prediction.objects.get()
    assert (response.status_code, response["Location"]) == (302, f"/predictions/{draft.pk}")
    assert (draft.status, draft.data) == ("draft", {"brand": "bmw", "stroke": 3.5})
    assert account_of(user) == (1000, 0)


@pytest.mark.parametrize(
    ("field", "value", "kept"),
    [
        ("horsepower", "many", "many"),
        ("horsepower", "5-4", "5-4"),
        ("horsepower", "1,234", "1,234"),
        ("horsepower", "99999", 99999),
        ("horsepower", "110.5", 110.5),
        ("horsepower", "1e999", "1e999"),
        ("horsepower", "NaN", "NaN"),
        ("horsepower", "1_0", "1_0"),
        ("brand", "trabant", "trabant"),
        ("stroke", "<3", "<3"),
    ],
)
def test_a_draft_keeps_input_that_is_incomplete_or_wrong(
    browser: Client, predictor: Predictor, field: str, value: str, kept: Any
) -> None:
    browser.post("/estimate/random_forest", {field: value, "save": "1"})

    draft = Prediction.objects.get()
    assert draft.data == {field: kept}
    page = browser.get(f"/predictions/{draft.pk}")
    assert page.status_code == 200
    assert error_at(page, field)
    assert page.context["form"][field].value() == value
    assert f'value="{escape(value)}"' in page.content.decode()


def test_a_draft_of_the_empty_form_is_empty(browser: Client, predictor: Predictor) -> None:
    browser.post("/estimate/random_forest", {"brand": "", "horsepower": " ", "save": "1"})

    draft = Prediction.objects.get()
    assert draft.data == {}
    assert "Fill in at least one value" in words(browser.get(f"/predictions/{draft.pk}"))


@pytest.mark.parametrize("field", ["horsepower", "brand"])
@pytest.mark.parametrize("value", ["1\x00", "9" * (LONGEST_TEXT + 1), "x" * 1_000_000])
def test_what_cannot_be_kept_is_refused_at_its_field(
    browser: Client, predictor: Predictor, field: str, value: str
) -> None:
    before = state()

    response = browser.post(
        "/estimate/random_forest", {**typed(predictor, **{field: value}), "save": "1"}
    )

    assert response.status_code == 422
    assert error_at(response, field)
    assert state() == before


def test_half_a_character_does_no_harm(browser: Client, predictor: Predictor) -> None:
    response = browser.generic(
        "POST",
        "/estimate/random_forest",
        "save=1&brand=%ED%A0%80%FF&horsepower=%ED%A0%80",
        content_type="application/x-www-form-urlencoded",
    )

    assert response.status_code == 422
    assert error_at(response, "brand")
    assert not Prediction.objects.exists()


def test_a_draft_of_a_predictor_that_is_not_on_sale_is_a_404(
    browser: Client, predictor: Predictor
) -> None:
    Predictor.objects.update(enabled=False)

    response = browser.post("/estimate/random_forest", {**typed(predictor), "save": "1"})

    assert response.status_code == 404
    assert not Prediction.objects.exists()


# --- The page of a draft --------------------------------------------------------------------------


def test_a_draft_shows_what_was_given_and_what_is_typical_of_the_rest(
    browser: Client, predictor: Predictor, make_draft: Callable[..., Prediction]
) -> None:
    page = browser.get(f"/predictions/{make_draft(CAR).pk}")

    form = page.context["form"]
    assert filled_in(form) == {"brand": "BMW", "horsepower": "121"}
    assert f'placeholder="typical: {typed(predictor)["curbweight"]} lb"' in page.content.decode()
    assert "2 of 24 features are yours, 22 are typical values." in words(page)
    assert not form.errors
    assert f"Estimate for {predictor.price} credits" in words(page)


def test_a_draft_shows_errors_at_their_fields_and_names_them_on_top(
    browser: Client, make_draft: Callable[..., Prediction]
) -> None:
    page = browser.get(f"/predictions/{make_draft({'horsepower': 0, 'symboling': 9}).pk}")

    assert "Enter a number from 1 to 2000" in error_at(page, "horsepower")
    assert error_at(page, "symboling")
    assert not error_at(page, "brand")
    assert '<a href="#id_horsepower">' in page.content.decode()
    assert '<details class="group" open>' in page.content.decode()
    assert "<title>Draft" in page.content.decode()


ODD = [
    None,
    [],
    [1, 2, 3],
    "text",
    7,
    True,
    {},
    {"horsepower": [1, 2]},
    {"horsepower": {"a": {"b": ["c"]}}},
    {"horsepower": "121"},
    {"horsepower": True},
    {"horsepower": None},
    {"horsepower": 10**300},
    {"brand": 5},
    {"brand": "trabant"},
    {"brand": ["bmw"]},
    {"brand": "bmw", "CarName": "audi 100"},
    {"CarName": 5},
    {"CarName": ""},
    {"<script>alert(1)</script>": "<b>"},
    {"": ""},
    {"ключ \u202e": "日本 \U0001f697"},
    {f"k{number}": number for number in range(1000)},
    {"x" * 10_000: "y" * 9_000},
]


@pytest.mark.parametrize("data", ODD, ids=lambda data: repr(data)[:30])
def test_a_draft_of_any_shape_is_shown(
    browser: Client, api: Any, predictor: Predictor, data: Any
) -> None:
    body = {"model_name": "random_forest", "data": data}
    draft_id = api.post("/api/tasks", body, format="json").json()["task_id"]

    page = browser.get(f"/predictions/{draft_id}")

    assert page.status_code == 200
    assert len(page.content) < 60_000
    assert b"<script>alert" not in page.content
    assert f"Estimate for {predictor.price} credits" in words(page)
    assert browser.get("/predictions").status_code == 200
    assert browser.get(f"/estimate/random_forest?like={draft_id}").status_code == 200
    assert browser.get(f"/predictions/{draft_id}/delete").status_code == 200


def test_what_a_form_cannot_take_over_from_an_earlier_one_is_told(
    browser: Client, make_draft: Callable[..., Prediction]
) -> None:
    draft = make_draft({**CAR, "horsepower": {"value": 121, "unit": "parsec"}})

    page = words(browser.get(f"/estimate/random_forest?like={draft.pk}"))

    assert "This form cannot show all that was given before" in page
    assert "parsec" in page


@pytest.mark.parametrize(
    ("data", "name", "value"),
    [
        ([1, 2], "data", "[1, 2]"),
        ({"horsepower": [1, 2]}, "horsepower", "[1, 2]"),
        ({"brand": ["bmw"]}, "brand", '["bmw"]'),
        ({"wheels": {"front": 2}}, "wheels", '{"front": 2}'),
        ({"brand": "bmw", "CarName": "audi"}, "CarName", '"audi"'),
    ],
    ids=str,
)
def test_a_draft_names_what_its_form_cannot_show(
    browser: Client, make_draft: Callable[..., Prediction], data: Any, name: str, value: str
) -> None:
    page = unescape(browser.get(f"/predictions/{make_draft(data).pk}").content.decode())

    assert "This form cannot show all that was given before" in page
    assert f"<bdi>{name}</bdi>: <code><bdi>{value}</bdi></code>" in page


def test_a_draft_that_can_be_shown_whole_names_nothing(
    browser: Client, make_draft: Callable[..., Prediction]
) -> None:
    page = browser.get(f"/predictions/{make_draft({'horsepower': '', **CAR}).pk}")

    assert "cannot show" not in words(page)


def test_a_draft_given_by_the_name_of_a_car_shows_its_make(
    browser: Client, make_draft: Callable[..., Prediction]
) -> None:
    page = browser.get(f"/predictions/{make_draft({'CarName': 'maxda rx3'}).pk}")

    assert page.context["form"]["brand"].value() == "Mazda"
    assert "cannot show" not in words(page)


def test_a_draft_given_by_other_names_shows_what_they_mean(
    browser: Client, make_draft: Callable[..., Prediction]
) -> None:
    data = {
        "Make": "Alfa Romeo",
        "Doors": 4,
        "Power": {"value": 90, "unit": "KW"},
        "Weight": {"value": 2600, "unit": "lbs"},
        "stroke": None,
    }

    page = browser.get(f"/predictions/{make_draft(data).pk}")

    form = page.context["form"]
    assert (form["brand"].value(), form["doornumber"].value()) == ("Alfa Romeo", "four")
    assert (form["horsepower"].value(), form["horsepower unit"].value()) == ("90", "kW")
    assert (form["curbweight"].value(), form["curbweight unit"].value()) == ("2600", "lb")
    assert not form["stroke"].value()
    assert "cannot show" not in words(page)


@pytest.mark.parametrize(
    ("data", "shown"),
    [
        ({"carbody": "tank"}, '<option value="tank" selected>tank<'),
        ({"carbody": ["sedan"]}, '<option value="" selected>typical: sedan<'),
        ({}, '<option value="" selected>typical: sedan<'),
    ],
    ids=str,
)
def test_a_select_never_shows_a_choice_that_was_not_made(
    browser: Client, make_draft: Callable[..., Prediction], data: Any, shown: str
) -> None:
    page = browser.get(f"/predictions/{make_draft(data).pk}").content.decode()

    [select] = re.findall(r'<select name="carbody".*?</select>', page, re.DOTALL)
    assert shown in select
    assert select.count("selected") == 1


def test_a_draft_says_the_price_of_now(
    browser: Client, user: User, predictor: Predictor, make_draft: Callable[..., Prediction]
) -> None:
    draft = make_draft(CAR)
    pricing.set_price(predictor_id=predictor.pk, price=77, actor=user)

    page = words(browser.get(f"/predictions/{draft.pk}"))

    assert "Estimate for 77 credits" in page


def test_a_draft_outlives_the_sale_of_its_predictor(
    browser: Client, predictor: Predictor, make_draft: Callable[..., Prediction]
) -> None:
    draft = make_draft(CAR)
    Predictor.objects.update(enabled=False)

    page = browser.get(f"/predictions/{draft.pk}")
    saved = browser.post(
        f"/predictions/{draft.pk}", {**typed(predictor, horsepower="99"), "save": "1"}
    )
    run = browser.post(f"/predictions/{draft.pk}", typed(predictor))

    assert "not on sale at the moment" in words(page)
    assert "Estimate for" not in words(page)
    assert (saved.status_code, run.status_code) == (302, 422)
    draft.refresh_from_db()
    assert (draft.status, draft.data["horsepower"]) == ("draft", 99)


def test_saving_a_draft_replaces_its_data_and_keeps_the_rest(
    browser: Client, predictor: Predictor, make_draft: Callable[..., Prediction]
) -> None:
    draft = make_draft({**CAR, "nonsense": 1}, explain=True)

    response = browser.post(
        f"/predictions/{draft.pk}",
        {"brand": "bmw", "horsepower": "99", "save": "1"},
        follow=True,
    )

    draft.refresh_from_db()
    assert (draft.status, draft.explain) == ("draft", True)
    assert draft.data == {"brand": "bmw", "horsepower": 99}
    assert "Saved as a draft." in words(response)


def test_what_was_given_stays_given_where_it_is_typical(
    browser: Client, predictor: Predictor, make_draft: Callable[..., Prediction]
) -> None:
    typical = int(typed(predictor)["horsepower"])
    draft = make_draft({"horsepower": typical, "brand": "bmw"})

    filled = {"brand": "bmw", "horsepower": str(typical), "confirm": "22"}
    browser.post(f"/predictions/{draft.pk}", filled)

    draft.refresh_from_db()
    assert draft.status == "queued"
    assert "horsepower" not in draft.defaulted
    assert "stroke" in draft.defaulted


def test_a_draft_is_mended_and_run_at_the_price_of_now(
    browser: Client, user: User, predictor: Predictor, make_draft: Callable[..., Prediction]
) -> None:
    draft = make_draft({"horsepower": "many", "nonsense": 1}, explain=True)
    pricing.set_price(predictor_id=predictor.pk, price=77, actor=user)

    response = browser.post(f"/predictions/{draft.pk}", typed(predictor, horsepower="121"))

    assert (response.status_code, response["Location"]) == (302, f"/predictions/{draft.pk}")
    draft.refresh_from_db()
    assert (draft.status, draft.price, draft.explain) == ("queued", 77, True)
    assert draft.data["horsepower"] == 121
    assert account_of(user) == (1000, 77)
    assert not list(breaches())


@pytest.mark.parametrize(
    ("field", "value"), [("horsepower", "0"), ("brand", "tesla"), ("stroke", "x")]
)
def test_a_draft_that_is_still_wrong_is_not_run(
    browser: Client,
    predictor: Predictor,
    make_draft: Callable[..., Prediction],
    field: str,
    value: str,
) -> None:
    draft = make_draft(CAR)
    before = state()

    response = browser.post(f"/predictions/{draft.pk}", typed(predictor, **{field: value}))

    assert response.status_code == 422
    assert error_at(response, field)
    assert f'value="{value}"' in response.content.decode()
    assert state() == before


def test_a_draft_that_cannot_be_paid_stays_one(
    make_user: Callable[..., User], predictor: Predictor
) -> None:
    poor = make_user("poor@example.com", credit=predictor.price - 1)
    draft = services.create_draft(user=poor, predictor=predictor, data=CAR, explain=False)
    before = state()

    response = browser_of(poor).post(f"/predictions/{draft.pk}", typed(predictor))

    assert response.status_code == 422
    price = predictor.price
    assert f"{price} credits are needed and {price - 1} are available." in words(response)
    assert state() == before


def test_a_draft_sent_twice_is_run_once(
    browser: Client, user: User, predictor: Predictor, make_draft: Callable[..., Prediction]
) -> None:
    draft = make_draft(CAR)

    for _ in range(2):
        response = browser.post(f"/predictions/{draft.pk}", typed(predictor), follow=True)

    assert response.redirect_chain == [(f"/predictions/{draft.pk}", 302)]
    assert "no longer a draft" in words(response)
    assert account_of(user) == (1000, predictor.price)


def test_what_is_no_draft_cannot_be_saved(
    browser: Client, predictor: Predictor, finished: Prediction
) -> None:
    before = state()

    response = browser.post(f"/predictions/{finished.pk}", {**typed(predictor), "save": "1"})

    assert response.status_code == 302
    assert state() == before
