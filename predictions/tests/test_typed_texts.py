"""Numbers that people type with their unit, or two at once, into a form."""

from collections.abc import Callable
from html import unescape
from typing import Any

import pytest
from django.http import QueryDict
from django.test import Client

from accounts.models import User
from mlmodels.catalogue.queries import signature_of
from mlmodels.domains import DOMAINS
from mlmodels.models import Predictor
from predictions.models import Prediction
from predictions.pages.forms import FeaturesForm
from testing.pages import account_of, error_at, filled_in, state

pytestmark = pytest.mark.django_db

CARS, BODIES, BLOOD = "random_forest", "bioage_ridge", "bloodage_ridge"


@pytest.fixture
def form_of(predictors: dict[str, Predictor]) -> Callable[..., FeaturesForm]:
    def fill_in(predictor: str, **texts: str) -> FeaturesForm:
        row = predictors[predictor]
        assert row.current_version_id
        data = QueryDict(mutable=True)
        data.update(texts)
        return FeaturesForm(DOMAINS[row.domain], signature_of(row.current_version_id), data)

    return fill_in


def in_unit(value: float, unit: str) -> dict[str, Any]:
    return {"value": value, "unit": unit}


@pytest.mark.parametrize(
    ("predictor", "field", "text", "value"),
    [
        (CARS, "horsepower", "75 kW", in_unit(75, "kW")),
        (CARS, "horsepower", "75,5kilowatts", in_unit(75.5, "kW")),
        (CARS, "horsepower", "100 bhp", 100),
        (CARS, "enginesize", "1600 ccm", in_unit(1600, "cc")),
        (CARS, "enginesize", "1 600 cm³", in_unit(1600, "cc")),
        (CARS, "citympg", "8,5 l/100km", in_unit(8.5, "l/100 km")),
        (CARS, "curbweight", "1'500 (kg)", in_unit(1500, "kg")),
        (CARS, "peakrpm", "5000 1/min", 5000),
        (CARS, "peakrpm", "5000/min", 5000),
        (BLOOD, "glucose", "5.2 mmol/l", in_unit(5.2, "mmol/L")),
        (BLOOD, "height", "1,80 m", in_unit(1.8, "m")),
        (BLOOD, "wbc", "5.4 1000/µL", 5.4),
        (BLOOD, "wbc", "5.4 x 10^9/L", 5.4),
        (BLOOD, "hba1c", "5.4 %", 5.4),
    ],
)
def test_a_number_with_its_unit_is_both(
    form_of: Callable[..., FeaturesForm], predictor: str, field: str, text: str, value: Any
) -> None:
    names = {form_of(predictor).add_prefix(name): name for name in form_of(predictor).fields}
    form = form_of(predictor, **{field: text})

    form.check()

    assert form.submitted_data == {names[field]: value}
    assert (form.given, form.errors) == (1, {})


@pytest.mark.parametrize(
    ("predictor", "field", "text"),
    [
        (CARS, "horsepower", "75 mg"),
        (CARS, "curbweight", "5.4 %"),
        (CARS, "compressionratio", "9 kW"),
        (CARS, "compressionratio", "9 -"),
        (CARS, "horsepower", "70-75 kW"),
        (CARS, "horsepower", "about 75 kW"),
        (CARS, "horsepower", "75 kW 3"),
        (CARS, "horsepower", "kW"),
        (BLOOD, "wbc", "5-1000/µL"),
        (BLOOD, "wbc", "5^1000/µL"),
        (BLOOD, "lymph", "5.4 1"),
        (BLOOD, "glucose", "5.4 H"),
    ],
)
def test_anything_else_beside_a_number_stays_and_is_not_read(
    form_of: Callable[..., FeaturesForm], predictor: str, field: str, text: str
) -> None:
    names = {form_of(predictor).add_prefix(name): name for name in form_of(predictor).fields}
    form = form_of(predictor, **{field: text})

    form.check()

    assert list(form.errors) == [names[field]]
    assert form[names[field]].value() == text
    assert form.given == 0


def test_the_unit_that_was_typed_is_selected_when_the_form_is_shown_again(
    browser: Client, predictor: Predictor
) -> None:
    fields = {"horsepower": "75 kW", "horsepower_unit": "hp", "curbweight": "2,548 kg"}

    response = browser.post("/estimate/random_forest", fields)

    form = response.context["form"]
    assert filled_in(form) == {"horsepower": "75", "curbweight": "2,548"}
    assert form["horsepower unit"].value() == "kW"
    assert form["curbweight unit"].value() == "kg"
    assert "two ways: write 2548 or 2.548" in unescape(error_at(response, "curbweight"))


def test_a_field_that_is_sent_twice_is_not_taken_apart(
    browser: Client, user: User, predictor: Predictor
) -> None:
    response = browser.post("/estimate/random_forest", {"horsepower": ["75 kW", "80 kW"]})

    assert "Give this once." in error_at(response, "horsepower")
    assert account_of(user) == (1000, 0)


def test_a_draft_keeps_a_number_with_the_unit_that_was_typed(
    browser: Client, predictor: Predictor
) -> None:
    browser.post("/estimate/random_forest", {"horsepower": "75 kW", "save": "1"})

    assert Prediction.objects.get().data == {"horsepower": in_unit(75, "kW")}


# --- Two numbers in one field ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "upper", "lower"),
    [
        ({"upper": "120/80"}, 120, 80),
        ({"upper": "120 / 80 mmHg", "lower": " "}, 120, 80),
        ({"upper": "16/11", "upper_unit": "kPa"}, in_unit(16, "kPa"), in_unit(11, "kPa")),
        ({"upper": "120/80 mmHg", "upper_unit": "kPa"}, 120, 80),
    ],
)
def test_both_blood_pressures_fill_both_fields(
    form_of: Callable[..., FeaturesForm], fields: dict[str, str], upper: Any, lower: Any
) -> None:
    names = pressures(form_of(BODIES))
    texts = {rename(name, form_of(BODIES)): text for name, text in fields.items()}

    form = form_of(BODIES, **texts)
    form.check()

    assert form.submitted_data == dict(zip(names, (upper, lower), strict=True))
    assert (form.given, form.errors) == (2, {})


def pressures(form: FeaturesForm) -> list[str]:
    return [each.name for each in form.signature.features if "Blood pressure" in each.label]


def rename(name: str, form: FeaturesForm) -> str:
    """The field's name in HTML, of upper, lower or the unit of either."""
    place, _, unit = name.partition("_")
    feature = pressures(form)[place == "lower"]
    return form.add_prefix(f"{feature} {unit}" if unit else feature)


@pytest.mark.parametrize(
    ("upper", "lower", "sentence"),
    [
        ("120/80", "70", "Write its own value alone, since “Blood pressure, lower” is filled in."),
        ("[120, 80]", "", "Write the number alone"),
        ("120/80/60", "", "Write the number alone, without “/80/60”."),
    ],
)
def test_what_is_not_both_blood_pressures_gets_a_sentence(
    browser: Client, predictors: dict[str, Predictor], upper: str, lower: str, sentence: str
) -> None:
    blank = browser.get(f"/estimate/{BODIES}").context["form"]
    field = rename("upper", blank)
    before = state()

    response = browser.post(
        f"/estimate/{BODIES}", {field: upper, rename("lower", blank): lower, "confirm": "99"}
    )

    assert response.status_code == 422
    assert unescape(error_at(response, field)).startswith(sentence)
    assert response.context["form"][pressures(blank)[0]].value() == upper
    assert state() == before
