"""Checking one row of features: what is taken, what is filled in, what each refusal says."""

import json
import math
from typing import Any

import jsonschema
import pytest

from carprice.http.errors import InvalidInput
from mlmodels.domains.car_price import DOMAIN
from mlmodels.signature import Feature, Signature
from mlmodels.training.train import signature_from_data

FUEL = Feature("fuel", "Fuel", "category", "gas", choices=("diesel", "gas"))
POWER = Feature("power", "Power", "integer", 95, "hp", 1, 2000, (48.0, 262.0))
STROKE = Feature("stroke", "Stroke", "number", 3.25, "in", 0.5, 10, (2.07, 4.17))
RISK = Feature("risk", "Risk", "integer", 1, None, -3, 3, (-2.0, 3.0))
SIGNATURE = Signature((FUEL, POWER, STROKE, RISK))


@pytest.fixture(scope="module")
def cars() -> Signature:
    return signature_from_data(DOMAIN, DOMAIN.load(DOMAIN.data_path))


def refusal(data: dict[str, Any]) -> dict[str, list[str]]:
    """The messages by field for a row that is refused."""
    with pytest.raises(InvalidInput) as refused:
        SIGNATURE.check(data)
    return refused.value.errors


# --- What is taken -------------------------------------------------------------------------------


def test_a_complete_row_is_used_as_it_is() -> None:
    row = {"fuel": "diesel", "power": 110, "stroke": 3.4, "risk": -3}

    inputs = SIGNATURE.check(row)

    assert (inputs.data, inputs.defaulted) == (row, [])


def test_what_is_left_out_takes_its_default_and_is_named() -> None:
    inputs = SIGNATURE.check({"power": 110})

    assert inputs.data == {"fuel": "gas", "power": 110, "stroke": 3.25, "risk": 1}
    assert inputs.defaulted == ["fuel", "stroke", "risk"]


def test_the_used_row_is_in_the_signatures_order() -> None:
    inputs = SIGNATURE.check({"risk": 0, "stroke": 3, "power": 1, "fuel": "gas"})

    assert list(inputs.data) == ["fuel", "power", "stroke", "risk"]


def test_a_value_equal_to_its_default_is_not_called_defaulted() -> None:
    assert "power" not in SIGNATURE.check({"power": 95}).defaulted


@pytest.mark.parametrize(
    ("feature", "value"),
    [
        (POWER, 1),
        (POWER, 2000),
        (STROKE, 0.5),
        (STROKE, 10),
        (STROKE, 10.0),
        (RISK, -3),
        (RISK, 0),
        (RISK, 3),
        (FUEL, "gas"),
    ],
)
def test_the_limits_themselves_are_allowed(feature: Feature, value: Any) -> None:
    assert feature.check(value) == value


@pytest.mark.parametrize("value", [1, 47, 263, 2000])
def test_what_the_training_data_does_not_span_is_still_taken(value: int) -> None:
    assert POWER.check(value) == value


def test_a_whole_float_becomes_the_integer_it_is() -> None:
    value = POWER.check(110.0)

    assert (value, type(value)) == (110, int)


# --- What is refused -----------------------------------------------------------------------------

NO_NUMBERS = [None, True, False, "3", "", "NaN", "three", [], [3], {}, {"value": 3}, b"3"]


@pytest.mark.parametrize("feature", [POWER, STROKE, RISK], ids=lambda feature: feature.name)
@pytest.mark.parametrize("value", NO_NUMBERS, ids=repr)
def test_what_is_no_number_is_refused(feature: Feature, value: Any) -> None:
    with pytest.raises(ValueError, match="Enter a "):
        feature.check(value)


@pytest.mark.parametrize("feature", [POWER, STROKE, RISK], ids=lambda feature: feature.name)
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_what_is_not_finite_is_refused(feature: Feature, value: float) -> None:
    with pytest.raises(ValueError, match="Enter a "):
        feature.check(value)


@pytest.mark.parametrize(
    ("feature", "value"),
    [
        (POWER, 0),
        (POWER, 2001),
        (POWER, -1),
        (POWER, 2**63),
        (POWER, 10**400),
        (POWER, -(10**400)),
        (POWER, 1e308),
        (STROKE, 0.49),
        (STROKE, 10.01),
        (STROKE, 10**400),
        (RISK, -4),
        (RISK, 4),
    ],
    ids=lambda value: value.name if isinstance(value, Feature) else str(value)[:12],
)
def test_what_is_out_of_range_is_refused(feature: Feature, value: float) -> None:
    with pytest.raises(ValueError, match="from"):
        feature.check(value)


@pytest.mark.parametrize("value", [110.5, 0.9, 1.0000001])
def test_a_fraction_is_no_integer(value: float) -> None:
    with pytest.raises(ValueError, match="Enter a "):
        POWER.check(value)


@pytest.mark.parametrize(
    "value", ["gasp", "g a z", "", "electric", "gas" * 100, None, 0, True, ["gas"], {}]
)
def test_what_is_no_choice_is_refused(value: Any) -> None:
    with pytest.raises(ValueError, match="diesel, gas"):
        FUEL.check(value)


@pytest.mark.parametrize("value", ["text", True, 0, 2001, 110.5])
def test_the_message_for_a_number_says_what_is_allowed(value: Any) -> None:
    (message,) = refusal({"power": value})["power"]

    assert "from 1 to 2000 hp" in message


def test_the_message_for_a_number_without_a_unit_names_the_limits() -> None:
    assert "from -3 to 3." in refusal({"risk": 4})["risk"][0]


def test_the_message_for_an_integer_says_that_it_must_be_whole() -> None:
    assert "whole number" in refusal({"power": 110.5})["power"][0]


def test_the_message_for_a_category_lists_the_choices() -> None:
    assert refusal({"fuel": "coal"}) == {"fuel": ["Choose one of: diesel, gas."]}


def test_the_messages_repeat_nothing_that_was_sent() -> None:
    messages = json.dumps(refusal({"fuel": "<script>", "power": "<b>", "stroke": "' OR 1=1"}))

    assert not [word for word in ("script", "<b>", "OR 1=1") if word in messages]


def test_an_unknown_feature_is_refused_by_its_name() -> None:
    assert refusal({"power": 110, "wings": 2}) == {"wings": ["Unknown feature."]}


def test_every_bad_feature_is_named_at_once() -> None:
    errors = refusal({"fuel": "coal", "power": 0, "stroke": "x", "risk": True, "wings": 2})

    assert sorted(errors) == ["fuel", "power", "risk", "stroke", "wings"]


def test_a_row_needs_one_feature_at_least() -> None:
    assert list(refusal({})) == ["data"]


# --- As it is stored and described ---------------------------------------------------------------


def test_a_signature_survives_being_stored() -> None:
    stored = json.loads(json.dumps(SIGNATURE.to_json()))

    assert Signature.from_json(stored) == SIGNATURE


def test_the_cars_signature_survives_being_stored(cars: Signature) -> None:
    stored = json.loads(json.dumps(cars.to_json()))

    assert Signature.from_json(stored) == cars


def test_the_example_is_accepted(cars: Signature) -> None:
    example = cars.example()

    assert cars.check(example).data == example


def test_the_defaults_are_the_typical_car(cars: Signature) -> None:
    assert (
        cars.example()
        | {
            "brand": "toyota",
            "fueltype": "gas",
            "carbody": "sedan",
            "horsepower": 95,
            "wheelbase": 97.0,
            "symboling": 1,
        }
        == cars.example()
    )


def test_the_training_ranges_are_what_the_data_spans(cars: Signature) -> None:
    ranges = {feature.name: feature.training_range for feature in cars.features}

    assert ranges["horsepower"] == (48.0, 262.0)
    assert ranges["stroke"] == (2.07, 4.17)
    assert ranges["brand"] is None


def test_every_training_range_is_within_the_hard_limits(cars: Signature) -> None:
    for feature in cars.features:
        if feature.training_range and feature.minimum is not None and feature.maximum is not None:
            low, high = feature.training_range
            assert feature.minimum <= low <= high <= feature.maximum


def test_the_choices_are_what_the_data_has(cars: Signature) -> None:
    choices = {feature.name: feature.choices for feature in cars.features}

    assert choices["fueltype"] == ("diesel", "gas")
    assert len(choices["brand"] or ()) == 22
    assert choices["horsepower"] is None


@pytest.mark.parametrize(
    ("data", "valid"),
    [
        ({"brand": "bmw"}, True),
        ({"brand": "bmw", "horsepower": 110, "stroke": 3.2, "symboling": -3}, True),
        ({}, False),
        ({"brand": "tesla"}, False),
        ({"horsepower": 0}, False),
        ({"horsepower": 110.5}, False),
        ({"horsepower": True}, False),
        ({"horsepower": "110"}, False),
        ({"stroke": 11}, False),
        ({"wings": 2}, False),
        ({"brand": "Alfa Romeo", "doornumber": 4, "cylindernumber": "6"}, True),
        ({"doornumber": 6}, False),
        ({"horsepower": None, "stroke": 3.2}, True),
        ({"horsepower": None, "brand": None}, False),
        ({"wings": None, "stroke": 3.2}, False),
        ({"stroke": {"value": 83, "unit": "mm"}}, True),
        ({"stroke": {"value": 3.2, "unit": "in"}}, True),
        ({"stroke": {"value": 83, "unit": "in"}}, False),
        ({"stroke": {"value": 0.83, "unit": "mm"}}, False),
        ({"stroke": {"value": None, "unit": "mm"}}, False),
        ({"citympg": {"value": 0, "unit": "l/100 km"}}, False),
    ],
)
def test_the_json_schema_and_the_check_agree(
    cars: Signature, data: dict[str, Any], valid: bool
) -> None:
    validator = jsonschema.Draft202012Validator(cars.json_schema())

    try:
        cars.check(data)
        accepted = True
    except InvalidInput:
        accepted = False

    assert (validator.is_valid(data), accepted) == (valid, valid)
