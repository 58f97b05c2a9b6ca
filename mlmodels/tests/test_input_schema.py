"""The input schema of each domain and the service take the same rows, as far as a schema can say.

It lists names; that their case, blanks and dashes make no difference is beyond it. So what the
schema accepts the service accepts, and of rows with listed names they accept the same.
"""

from typing import Any

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from carprice.http.errors import InvalidInput
from mlmodels.domains import DOMAINS
from mlmodels.domains.car_price import BRAND_NAMES, BRAND_REPAIRS
from mlmodels.folding import fold
from mlmodels.signature import Feature, Signature
from mlmodels.training.train import signature_from_data

SIGNATURES = {
    name: signature_from_data(domain, domain.load(domain.data_path))
    for name, domain in DOMAINS.items()
}
SCHEMAS = {
    name: jsonschema.Draft202012Validator(DOMAINS[name].input_schema(signature))
    for name, signature in SIGNATURES.items()
}
OPEN = Signature(
    (Feature("size", "Size", "number", 1.0), Feature("low", "", "integer", 1, None, 0))
)
FEATURES = [
    pytest.param(domain, feature, id=f"{domain}-{feature.name}")
    for domain, signature in SIGNATURES.items()
    for feature in signature.features
]
CARS = SCHEMAS["car_price"]


def accepted(domain: str, data: dict[str, Any]) -> bool:
    """Whether the service takes a row; its parser refuses a text with a NUL."""
    if any("\0" in value for value in data.values() if isinstance(value, str)):
        return False
    try:
        DOMAINS[domain].check(SIGNATURES[domain], data)
    except InvalidInput:
        return False
    return True


def in_schema(domain: str, data: dict[str, Any]) -> bool:
    return bool(SCHEMAS[domain].is_valid(data))


# --- Rows at random ------------------------------------------------------------------------------

INVALID: st.SearchStrategy[Any] = st.sampled_from(
    [None, True, False, "", "3", [], {}, 0, 0.5, -1, 10**400, 1e308, -1e308]
)


def numbers(low: float, high: float) -> st.SearchStrategy[Any]:
    """Mostly numbers between two limits, and what is just beside them."""
    near = st.sampled_from([low, high, low - 1, high + 1, low - 1e-9, high + 1e-9, float(high)])
    return st.integers(int(low), int(high)) | st.floats(low, high) | near


def values(feature: Feature) -> st.SearchStrategy[Any]:
    """Mostly what a feature takes by a listed name, and what is just beside it."""
    if feature.type == "category":
        listed = [name for name, _ in feature._choice_spellings()]
        return st.sampled_from(listed) | INVALID
    own = numbers(feature.minimum or 0, feature.maximum or 0)
    return own | own.map(lambda number: {"value": number, "unit": feature.unit}) | INVALID


@st.composite
def rows(draw: st.DrawFn, domain: str) -> dict[str, Any]:
    """At most four features by any of their listed names, sometimes one twice or an unknown one."""
    row = {}
    named = {feature.name: feature for feature in SIGNATURES[domain].features}
    for spec in draw(st.lists(st.sampled_from(DOMAINS[domain].features), max_size=4)):
        row[draw(st.sampled_from(spec.names))] = draw(values(named[spec.name]))
    if draw(st.integers(0, 19)) == 0:
        row[draw(st.sampled_from(["wings", "", "data", "price"]))] = 1
    return row


def sends_null_beside_a_value(domain: str, row: dict[str, Any]) -> bool:
    """The service takes what was sent twice if one of both is null; the schema does not."""
    if None not in row.values():
        return False
    sent = [DOMAINS[domain].by_name.get(fold(name)) for name in row]
    return any(sent.count(feature) > 1 for feature in sent)


@pytest.mark.parametrize("domain", DOMAINS)
def test_the_schema_and_the_service_take_the_same_rows(domain: str) -> None:
    @settings(max_examples=200, deadline=None)
    @given(rows(domain))
    def check(row: dict[str, Any]) -> None:
        if sends_null_beside_a_value(domain, row):
            assert not in_schema(domain, row)
        else:
            assert in_schema(domain, row) == accepted(domain, row)

    check()


SPACES = st.text(" \t\n\r\x0b\x0c\x1c\x1f\x85\xa0\u2003\u200b\u2028\u3000\ufeff\0", max_size=2)


def mixed_case(word: str) -> st.SearchStrategy[str]:
    """A word in mixed case; a Kelvin sign is a K."""
    letters = [st.sampled_from([c, c.upper(), "\N{KELVIN SIGN}" if c == "k" else c]) for c in word]
    return st.tuples(*letters).map("".join)


def car_names() -> st.SearchStrategy[str]:
    brands = next(f.choices or () for f in SIGNATURES["car_price"].features if f.name == "brand")
    others = [name for names in BRAND_NAMES.values() for name in names]
    makes = st.sampled_from([*brands, *others, *BRAND_REPAIRS, "lada", "bm", "bmwx"])
    rest = st.one_of(st.just(""), st.text(max_size=3).map(lambda text: f" {text}"))
    return st.tuples(SPACES, makes.flatmap(mixed_case), SPACES, rest).map("".join)


@settings(max_examples=300, deadline=None)
@given(car_names())
def test_the_service_takes_all_names_that_the_schema_takes(name: str) -> None:
    assert accepted("car_price", {"CarName": name}) or not CARS.is_valid({"CarName": name})


@pytest.mark.parametrize(
    ("name", "valid"),
    [
        ("bmw x3", True),
        ("BMW", True),
        ("Alfa Romeo Giulia", True),
        ("Mercedes-Benz 240D", True),
        ("vw dasher", True),
        ("tesla model s", False),
        ("bmwx", False),
        ("", False),
        (" ", False),
        (3, False),
        (["bmw"], False),
    ],
)
def test_the_schema_and_the_service_take_the_same_names(name: Any, valid: bool) -> None:
    row = {"CarName": name}

    assert (CARS.is_valid(row), accepted("car_price", row)) == (valid, valid)


@pytest.mark.parametrize("domain", ["biological_age", "blood_age"])
@pytest.mark.parametrize("upper", [39, 40, 99, 100, 250, 299, 300, 301, 1200])
@pytest.mark.parametrize("lower", ["19", "20", "80", "199", "200", "201", "", "80/60", "80 mmHg"])
def test_the_service_takes_all_pressures_that_the_schema_takes(
    domain: str, upper: int, lower: str
) -> None:
    row = {"Blood Pressure (s/d)": f"{upper}/{lower}"}

    assert accepted(domain, row) or not in_schema(domain, row)
    assert in_schema(domain, {"Blood Pressure (s/d)": "120/80"})


@pytest.mark.parametrize(
    ("row", "valid"),
    [
        ({"urea": {"value": 5, "unit": "mmol/L"}}, True),
        ({"Harnstoff": {"value": 30, "unit": "mg/dL of urea"}}, True),
        ({"urea": {"value": 30, "unit": "mg/dL"}}, False),
        ({"urea": {"value": 500, "unit": "mmol/L"}}, False),
        ({"urea": 30}, False),
        ({"urea": {"value": 5, "unit": "mmol/L"}, "bun": 14}, False),
    ],
)
def test_the_schema_and_the_service_take_the_same_urea(row: dict[str, Any], valid: bool) -> None:
    assert (in_schema("blood_age", row), accepted("blood_age", row)) == (valid, valid)


# --- Limits --------------------------------------------------------------------------------------


@pytest.mark.parametrize(("domain", "feature"), FEATURES)
def test_the_schema_and_the_service_take_the_same_limits(domain: str, feature: Feature) -> None:
    candidates: list[Any] = list(feature.choices or ())
    for limit in (feature.minimum, feature.maximum):
        if limit is not None:
            candidates += [limit, float(limit), limit - 1e-6, limit + 1e-6, limit - 1, limit + 1]
    others = {} if feature.scored else {SIGNATURES[domain].scored[0].name: None}

    taken = [accepted(domain, {feature.name: value, **others}) for value in candidates]

    assert taken == [in_schema(domain, {feature.name: value, **others}) for value in candidates]
    assert any(taken) == feature.scored


@pytest.mark.parametrize(("domain", "feature"), FEATURES)
def test_the_limits_in_another_unit_are_those_of_the_own(domain: str, feature: Feature) -> None:
    if not feature.scored:
        return
    for other in feature.other_units:
        schema = feature._numbers_in(other)
        for limit, outside in (("minimum", 0.99), ("maximum", 1.01)):
            if not schema.get(limit):
                continue  # zero, of which there is no less
            for value, valid in ((schema[limit], True), (schema[limit] * outside, False)):
                row = {feature.name: {"value": value, "unit": other.unit}}
                assert in_schema(domain, row) == valid, row
                if valid or feature.type == "number":  # whole numbers are rounded
                    assert accepted(domain, row) == valid, row


def test_a_limit_that_a_feature_does_not_have_is_not_in_its_schema() -> None:
    properties = OPEN.json_schema()["properties"]

    assert properties == {
        "size": {"type": ["number", "null"], "default": 1.0},
        "low": {"type": ["integer", "null"], "minimum": 0, "default": 1},
    }


# --- Null, and names that exclude each other -----------------------------------------------------


@pytest.mark.parametrize("domain", DOMAINS)
def test_every_feature_may_be_null_but_not_all(domain: str) -> None:
    example = SIGNATURES[domain].example()
    given = next(name for name, value in example.items() if value is not None)
    nulls = dict.fromkeys(example)

    for row, valid in (({**nulls, given: example[given]}, True), (nulls, False), ({}, False)):
        assert (in_schema(domain, row), accepted(domain, row)) == (valid, valid)


@pytest.mark.parametrize("domain", ["biological_age", "blood_age"])
@pytest.mark.parametrize("name", ["chronological_age", "Your age"])
def test_the_age_alone_is_no_row(domain: str, name: str) -> None:
    row = {name: 40}

    assert (in_schema(domain, row), accepted(domain, row)) == (False, False)


def test_a_name_and_a_make_together_fit_neither() -> None:
    for row in ({"CarName": "bmw x1", "brand": "bmw"}, {"make": "bmw", "brand": "bmw"}):
        assert (CARS.is_valid(row), accepted("car_price", row)) == (False, False)


@pytest.mark.parametrize("domain", DOMAINS)
def test_it_is_a_json_schema(domain: str) -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMAS[domain].schema)
