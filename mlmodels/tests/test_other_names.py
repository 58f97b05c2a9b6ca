"""Features, choices and units by the names that people, adverts and laboratories have for them."""

import json
import math
import time
from collections import defaultdict
from collections.abc import Iterable
from typing import Any

import pytest

from carprice.http.errors import InvalidInput
from mlmodels.domains import DOMAINS, units
from mlmodels.domains.base import Domain
from mlmodels.folding import fold
from mlmodels.signature import MAX_SUGGESTIONS, Inputs, OtherUnit, Signature
from mlmodels.training.train import signature_from_data

SIGNATURES = {
    name: signature_from_data(domain, domain.load(domain.data_path))
    for name, domain in DOMAINS.items()
}
CAR, BIO, BLOOD = "car_price", "biological_age", "blood_age"
each_domain = pytest.mark.parametrize("domain", DOMAINS.values(), ids=lambda domain: domain.name)


def check(domain: str, data: dict[str, Any]) -> Inputs:
    return DOMAINS[domain].check(SIGNATURES[domain], data)


def sent(domain: str, data: dict[str, Any]) -> dict[str, Any]:
    """What is used of a row, without what was left out."""
    inputs = check(domain, data)
    return {name: value for name, value in inputs.data.items() if name not in inputs.defaulted}


# --- No name means two things --------------------------------------------------------------------


def ambiguous(names: Iterable[tuple[str, str]]) -> dict[str, set[str]]:
    """The folded names that stand for nothing, or for more than one thing."""
    meanings = defaultdict(set)
    for name, meaning in names:
        meanings[fold(name)].add(meaning)
    return {name: each for name, each in meanings.items() if not name or len(each) > 1}


@each_domain
def test_no_name_is_that_of_two_features(domain: Domain) -> None:
    features = [(name, spec.name) for spec in domain.features for name in spec.names]
    aliases = [(name, alias.names[0]) for alias in domain.aliases for name in alias.names]

    assert ambiguous([*features, *aliases]) == {}


@each_domain
def test_no_other_quantity_has_a_name_of_a_feature(domain: Domain) -> None:
    names = {fold(name) for each in domain.other_quantities for name in each.names}

    assert not names & (set(domain.by_name) | {fold(name) for name in domain.refused_names})


@pytest.mark.parametrize("name", ["Urea", "Harnstoff", "serum urea"])
@pytest.mark.parametrize(
    ("value", "unit", "own"),
    [(5, "mmol/L", 14.007), (5, "ммоль/л", 14.007), (30, "mg/dL urea", 13.9936)],
)
def test_urea_is_taken_in_units_in_which_it_says_as_much_as_its_nitrogen(
    name: str, value: float, unit: str, own: float
) -> None:
    inputs = check(BLOOD, {name: {"value": value, "unit": unit}})

    assert inputs.data["bun"] == pytest.approx(own, rel=1e-5)
    assert inputs.entered["bun"]["value"] == value
    assert sent(BLOOD, {name: None, "gender": "female"}) == {"gender": "female"}


@each_domain
def test_no_name_that_is_refused_is_that_of_a_feature(domain: Domain) -> None:
    assert domain.target in domain.refused_names
    assert not {fold(name) for name in domain.refused_names} & set(domain.by_name)


@each_domain
def test_no_name_is_that_of_two_choices(domain: Domain) -> None:
    for feature in SIGNATURES[domain.name].features:
        assert ambiguous(feature._choice_spellings()) == {}, feature.name
        assert set(feature.choice_names) <= set(feature.choices or ()), feature.name


@each_domain
def test_no_name_is_that_of_two_units(domain: Domain) -> None:
    for feature in SIGNATURES[domain.name].features:
        own = [(name, "") for name in (feature.unit, *feature.unit_names) if name]
        others = [
            (name, other.unit)
            for other in feature.other_units
            for name in (other.unit, *other.names)
        ]
        assert ambiguous([*own, *others]) == {}, feature.name


@each_domain
def test_every_unit_is_listed_with_its_other_names(domain: Domain) -> None:
    named = {spec.unit for spec in domain.features if spec.unit}

    assert named <= set(units.NAMES)


@each_domain
def test_every_name_of_every_choice_is_understood(domain: Domain) -> None:
    for feature in SIGNATURES[domain.name].features:
        for name, choice in feature._choice_spellings():
            for text in (name, name.upper(), f" {name}\u200b"):
                assert sent(domain.name, {feature.name: text}) == {feature.name: choice}


@each_domain
def test_every_name_of_every_feature_is_understood(domain: Domain) -> None:
    example = SIGNATURES[domain.name].example()
    for spec in domain.scored:
        value = example[spec.name]
        for name in spec.names:
            for text in (name, name.upper(), f"_{name.replace(' ', '-')} "):
                if value is not None:
                    assert sent(domain.name, {text: value}) == {spec.name: value}


# --- Headers of the data -------------------------------------------------------------------------


def test_a_row_of_the_uci_original_is_taken() -> None:
    row = {
        "symboling": 0, "make": "peugot", "fuel-type": "diesel", "aspiration": "turbo",
        "num-of-doors": "four", "body-style": "sedan", "drive-wheels": "rwd",
        "engine-location": "front", "wheel-base": 107.9, "length": 186.7, "width": 68.4,
        "height": 56.7, "curb-weight": 3252, "engine-type": "l", "num-of-cylinders": "four",
        "engine-size": 152, "fuel-system": "idi", "bore": 3.7, "stroke": 3.52,
        "compression-ratio": 21.0, "horsepower": 95, "peak-rpm": 4150, "city-mpg": 28,
        "highway-mpg": 33,
    }  # fmt: skip

    inputs = check(CAR, row)

    assert inputs.defaulted == []
    assert (inputs.data["brand"], inputs.data["boreratio"]) == ("peugeot", 3.7)


@pytest.mark.parametrize("domain", [CAR, BIO, BLOOD])
def test_a_row_of_each_data_file_is_taken_under_its_headers(domain: str) -> None:
    """Without the columns that are refused by name: numbers of rows, and what is predicted."""
    import pandas as pd

    refused = list(DOMAINS[domain].refused_names)
    table = pd.read_csv(DOMAINS[domain].data_path, keep_default_na=False, na_values=[""])
    for number in (0, 1, 5, 25, 180):
        row = json.loads(table.drop(columns=refused, errors="ignore").iloc[number].to_json())
        expected = DOMAINS[domain].load(DOMAINS[domain].data_path)

        used = check(domain, row).data

        known = {name: value for name, value in used.items() if value is not None}
        car_id = table.get("car_ID")
        where = number if car_id is None else _position(int(car_id[number]))
        if where is not None:
            loaded = expected.iloc[where].to_dict()
            assert known == {name: pytest.approx(loaded[name]) for name in known}


def _position(car_id: int) -> int | None:
    """The row of a car in the loaded table, from which those with invented prices are gone."""
    from mlmodels.domains.car_price import INVENTED_PRICES

    if car_id in INVENTED_PRICES:
        return None
    return car_id - 1 - sum(invented < car_id for invented in INVENTED_PRICES)


def test_a_row_of_nhanes_is_taken() -> None:
    row = {"RIAGENDR": 2, "BMXHT": 154.7, "LBXSAL": 3.6, "LBXWBCSI": 8.5, "LBXGH": 5.7}

    assert sent(BLOOD, row) == {
        "gender": "female", "height": 154.7, "albumin": 3.6, "wbc": 8.5, "hba1c": 5.7,
    }  # fmt: skip


@pytest.mark.parametrize("text", ["120/80", " 120 / 80 ", "120/80 mmHg", "１２０/８０", "120⁄80"])
@pytest.mark.parametrize("name", ["Blood Pressure (s/d)", "blood_pressure_(S/D)", "BP"])
def test_blood_pressure_may_be_one_text(name: str, text: str) -> None:
    assert sent(BIO, {name: text}) == {"BP_Systolic": 120, "BP_Diastolic": 80}
    assert sent(BLOOD, {name: text}) == {"sbp": 120, "dbp": 80}


@pytest.mark.parametrize(
    ("name", "feature"),
    [
        ("Bone Density (g/cm2)", "Bone Density (g/cm²)"),
        ("bone_density_(g/cm^2)", "Bone Density (g/cm²)"),
        ("Bone Density", "Bone Density (g/cm²)"),
        ("Height", "Height (cm)"),
        ("weight_kg", "Weight (kg)"),
        ("bmi", "BMI"),
        ("Cholesterol", "Cholesterol Level (mg/dL)"),
    ],
)
def test_a_header_needs_neither_its_unit_nor_its_case(name: str, feature: str) -> None:
    value = SIGNATURES[BIO].example()[feature]

    assert sent(BIO, {name: value}) == {feature: value}


# --- Categories ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "value", "feature", "choice"),
    [
        ("brand", "Alfa Romeo", "brand", "alfa-romero"),
        ("brand", "Mercedes", "brand", "mercedes-benz"),
        ("brand", "Benz", "brand", "mercedes-benz"),
        ("brand", "VW", "brand", "volkswagen"),
        ("brand", "Chevy", "brand", "chevrolet"),
        ("brand", "Peugot", "brand", "peugeot"),
        ("brand", "BMW", "brand", "bmw"),
        ("brand", "maxda", "brand", "mazda"),
        ("brand", "porcshce panamera", "brand", "porsche"),
        ("brand", "buick", "brand", "mercedes-benz"),
        ("doornumber", 4, "doornumber", "four"),
        ("doornumber", 4.0, "doornumber", "four"),
        ("doornumber", "２", "doornumber", "two"),
        ("Doors", "4-door", "doornumber", "four"),
        ("doornumber", "FOUR", "doornumber", "four"),
        ("Cylinders", 6, "cylindernumber", "six"),
        ("cylindernumber", "12", "cylindernumber", "twelve"),
        ("cylindernumber", "V8", "cylindernumber", "eight"),
        ("Fuel", "petrol", "fueltype", "gas"),
        ("fueltype", "Gasoline", "fueltype", "gas"),
        ("fueltype", "Benzin", "fueltype", "gas"),
        ("fueltype", "petrol (gas)", "fueltype", "gas"),
        ("drivewheel", "AWD", "drivewheel", "4wd"),
        ("drivewheel", "4x4", "drivewheel", "4wd"),
        ("drivewheel", "4×4", "drivewheel", "4wd"),
        ("drivewheel", "front wheel drive", "drivewheel", "fwd"),
        ("carbody", "saloon", "carbody", "sedan"),
        ("carbody", "Estate", "carbody", "wagon"),
        ("aspiration", "natural", "aspiration", "std"),
        ("brand", "Merc", "brand", "mercedes-benz"),
        ("carbody", "4dr saloon", "carbody", "sedan"),
        ("carbody", "5-door hatchback", "carbody", "hatchback"),
        ("doors", "5dr", "doornumber", "four"),
        ("doors", "five", "doornumber", "four"),
        ("doors", "4-türig", "doornumber", "four"),
        ("doors", "2dr", "doornumber", "two"),
        ("cylinders", "6 cylinder", "cylindernumber", "six"),
        ("cylinders", "6-cylinder", "cylindernumber", "six"),
        ("cylinders", "straight 6", "cylindernumber", "six"),
        ("cylinders", "4 Zyl", "cylindernumber", "four"),
        ("drive", "Allrad", "drivewheel", "4wd"),
        ("drive", "quattro", "drivewheel", "4wd"),
        ("drive", "Frontantrieb", "drivewheel", "fwd"),
        ("drive", "Heckantrieb", "drivewheel", "rwd"),
        ("fuel", "Turbodiesel", "fueltype", "diesel"),
        ("fuel", "Super", "fueltype", "gas"),
        ("fuel", "unleaded", "fueltype", "gas"),
    ],
)
def test_a_car_is_described_as_in_an_advert(
    name: str, value: Any, feature: str, choice: str
) -> None:
    assert sent(CAR, {name: value}) == {feature: choice}


@pytest.mark.parametrize(
    ("domain", "name", "value", "feature", "choice"),
    [
        (BIO, "Gender", "M", "Gender", "Male"),
        (BIO, "sex", "f", "Gender", "Female"),
        (BIO, "Diet", "low carb", "Diet", "Low-carb"),
        (BIO, "Smoking", "non-smoker", "Smoking Status", "Never"),
        (BIO, "Chronic Diseases", "None", "Chronic Diseases", "None"),
        (BIO, "Chronic Diseases", "none", "Chronic Diseases", "None"),
        (BLOOD, "gender", 1, "gender", "male"),
        (BLOOD, "gender", 2.0, "gender", "female"),
        (BLOOD, "Sex", "F", "gender", "female"),
        (BLOOD, "pregnant", True, "pregnant", "1"),
        (BLOOD, "pregnant", False, "pregnant", "0"),
        (BLOOD, "pregnant", "Yes", "pregnant", "1"),
        (BLOOD, "pregnant", "false", "pregnant", "0"),
        (BLOOD, "pregnant", 0, "pregnant", "0"),
        (BLOOD, "pregnant", "nein", "pregnant", "0"),
        (BLOOD, "pregnant", "да", "pregnant", "1"),
        (BLOOD, "Geschlecht", "weiblich", "gender", "female"),
        (BIO, "Geschlecht", "männlich", "Gender", "Male"),
        (BIO, "Sex", "муж", "Gender", "Male"),
        (BIO, "Sex", "жен.", "Gender", "Female"),
        (BIO, "Smoking", "нет", "Smoking Status", "Never"),
        (BIO, "Smoking", "ja", "Smoking Status", "Current"),
    ],
)
def test_a_person_is_described_in_more_words_than_one(
    domain: str, name: str, value: Any, feature: str, choice: str
) -> None:
    assert sent(domain, {name: value}) == {feature: choice}


def test_none_the_word_is_a_category_and_null_is_not() -> None:
    inputs = check(BIO, {"Education Level": None, "Family History": "None", "Diet": "Balanced"})

    assert inputs.data["Family History"] == "None"
    assert inputs.data["Education Level"] == SIGNATURES[BIO].example()["Education Level"]
    assert "Education Level" in inputs.defaulted
    assert "Family History" not in inputs.defaulted


@pytest.mark.parametrize(
    ("name", "feature"),
    [
        ("WCC", "wbc"),
        ("Harnsäure", "uap"),
        ("Glukose", "glucose"),
        ("Glucose (fasting)", "glucose"),
        ("Cholesterin", "totchol"),
        ("Lymphozyten", "lymph"),
        ("Neutrophile", "neut"),
        ("Bilirubin gesamt", "ttbl"),
    ],
)
def test_a_laboratory_may_write_german(name: str, feature: str) -> None:
    assert sent(BLOOD, {name: 40}) == {feature: 40}


# --- Units ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("domain", "feature", "value", "unit", "own", "canonical"),
    [
        (CAR, "horsepower", 74.57, "kw", 100, "kW"),
        (CAR, "horsepower", 100, "PS", 99, "PS"),
        (CAR, "horsepower", 100, "ch", 99, "PS"),
        (CAR, "horsepower", 100, "bhp", 100, None),
        (CAR, "enginesize", 1998, "ccm", 122, "cc"),
        (CAR, "enginesize", 1998, "cm3", 122, "cc"),
        (CAR, "enginesize", 1998, "cm³", 122, "cc"),
        (CAR, "enginesize", 2, "L", 122, "L"),
        (CAR, "enginesize", 2, "litres", 122, "L"),
        (CAR, "enginesize", 122, "cubic inches", 122, None),
        (CAR, "citympg", 8, "L/100km", 29, "l/100 km"),
        (CAR, "citympg", 30, "mpg (imp)", 25, "mpg (imp)"),
        (CAR, "citympg", 30, "UK mpg", 25, "mpg (imp)"),
        (CAR, "highwaympg", 12, "km/L", 28, "km/l"),
        (CAR, "curbweight", 1200, "kgs", 2646, "kg"),
        (CAR, "curbweight", 2500, "lbs", 2500, None),
        (CAR, "carlength", 4572, "mm", 180, "mm"),
        (CAR, "carlength", 4.572, "m", 180, "m"),
        (CAR, "carlength", 15, "ft", 180, "ft"),
        (CAR, "stroke", 12.7, "mm", 0.5, "mm"),
        (CAR, "horsepower", 100, "PS (DIN)", 99, "PS"),
        (CAR, "horsepower", 100, "DIN hp", 99, "PS"),
        (CAR, "horsepower", 100, "hk", 99, "PS"),
        (CAR, "enginesize", 2000, "cubic cm", 122, "cc"),
        (CAR, "enginesize", 2, "л", 122, "L"),
        (CAR, "citympg", 8, "ltr/100km", 29, "l/100 km"),
        (CAR, "citympg", 8, "litres/100 km", 29, "l/100 km"),
        (CAR, "citympg", 8, "liter per 100 km", 29, "l/100 km"),
        (CAR, "citympg", 8, "л/100км", 29, "l/100 km"),
        (CAR, "curbweight", 1.2, "t", 2646, "t"),
        (CAR, "curbweight", 1200, "кг", 2646, "kg"),
        (CAR, "carlength", 4572, "мм", 180, "mm"),
        (CAR, "carlength", 457.2, "см", 180, "cm"),
        (CAR, "peakrpm", 5000, "об/мин", 5000, None),
        (BLOOD, "glucose", 5, "ммоль/л", 90.08, "mmol/L"),
        (BLOOD, "albumin", 45, "г/л", 4.5, "g/L"),
        (BLOOD, "crp", 5, "мг/л", 0.5, "mg/L"),
        (BLOOD, "alp", 70, "Ед/л", 70, None),
        (BLOOD, "wbc", 6.9, "10^9/л", 6.9, None),
        (BLOOD, "wbc", 6.9, "тыс/мкл", 6.9, None),
        (BLOOD, "wbc", 6.9, "thous/ul", 6.9, None),
        (BLOOD, "rbc", 4.6, "10^12/л", 4.6, None),
        (BLOOD, "rbc", 4.6, "млн/мкл", 4.6, None),
        (BLOOD, "rbc", 4.6, "Mio./µl", 4.6, None),
        (BLOOD, "mcv", 90, "фл", 90, None),
        (BLOOD, "sbp", 120, "мм рт. ст.", 120, None),
        (BLOOD, "sbp", 120, "mm/Hg", 120, None),
        (BLOOD, "hba1c", 5.5, "% (NGSP)", 5.5, None),
        (BLOOD, "hba1c", 5.5, "DCCT %", 5.5, None),
        (BLOOD, "hba1c", 42, "IFCC", 5.99416, "mmol/mol"),
        (BLOOD, "hba1c", 42, "mmol/mol Hb", 5.99416, "mmol/mol"),
        (CAR, "peakrpm", 5000, "1/min", 5000, None),
        (CAR, "peakrpm", 5000, "min⁻¹", 5000, None),
        (BIO, "Height (cm)", 1.8, "m", 180, "m"),
        (BIO, "Height (cm)", 6, "feet", 182.88, "ft"),
        (BIO, "Weight (kg)", 154, "lbs", 69.853225, "lb"),
        (BIO, "Weight (kg)", 11, "stone", 69.853225, "st"),
        (BIO, "BP_Systolic", 120, "mmHg", 120, None),
        (BIO, "BP_Systolic", 16, "kPa", 120, "kPa"),
        (BIO, "Bone Density (g/cm²)", 1.1, "g/cm2", 1.1, None),
        (BIO, "Bone Density (g/cm²)", 1100, "mg/cm2", 1.1, "mg/cm²"),
        (BLOOD, "sbp", 120, "mm Hg", 120, None),
        (BLOOD, "hba1c", 42, "mmol/mol", 5.99416, "mmol/mol"),
        (BLOOD, "hba1c", 5.5, "%", 5.5, None),
        (BLOOD, "creat", 88.42, "umol/L", 1, "µmol/L"),
        (BLOOD, "creat", 88.42, "\N{MICRO SIGN}mol/l", 1, "µmol/L"),
        (BLOOD, "creat", 88.42, "\N{GREEK SMALL LETTER MU}mol/l", 1, "µmol/L"),
        (BLOOD, "creat", 10, "mg/l", 1, "mg/L"),
        (BLOOD, "glucose", 5, "mmol/l", 90.08, "mmol/L"),
        (BLOOD, "glucose", 0.9, "g/l", 90, "g/L"),
        (BLOOD, "totchol", 5, "mmol/l", 193.35, "mmol/L"),
        (BLOOD, "bun", 30, "mg/dL urea", 13.9936, "mg/dL of urea"),
        (BLOOD, "albumin", 45, "g/l", 4.5, "g/L"),
        (BLOOD, "crp", 5, "mg/l", 0.5, "mg/L"),
        (BLOOD, "crp", 100, "nmol/L", 1.05, "nmol/L"),
        (BLOOD, "uap", 0.36, "mmol/L", 6.05194, "mmol/L"),
        (BLOOD, "alp", 70, "IU/L", 70, None),
        (BLOOD, "alp", 1.2, "µkat/l", 72, "µkat/L"),
        (BLOOD, "wbc", 6.9, "10^9/L", 6.9, None),
        (BLOOD, "wbc", 6.9, "10⁹/l", 6.9, None),
        (BLOOD, "wbc", 6.9, "10*9/L", 6.9, None),
        (BLOOD, "wbc", 6.9, "G/L", 6.9, None),
        (BLOOD, "wbc", 6.9, "x10E3/uL".removeprefix("x"), 6.9, None),
        (BLOOD, "wbc", 6.9, "K/uL", 6.9, None),
        (BLOOD, "wbc", 6900, "/µL", 6.9, "/µL"),
        (BLOOD, "rbc", 4.6, "10^12/L", 4.6, None),
        (BLOOD, "rbc", 4.6, "T/L", 4.6, None),
        (BLOOD, "rbc", 4.6, "Mio/µl", 4.6, None),
        (BLOOD, "lymph", 0.3, "L/L", 30, "fraction"),
        (BLOOD, "phpfast", 90, "min", 1.5, "min"),
    ],
)
def test_a_value_is_taken_in_the_unit_it_is_printed_in(
    domain: str, feature: str, value: float, unit: str, own: float, canonical: str | None
) -> None:
    inputs = check(domain, {feature: {"value": value, "unit": unit}})

    assert inputs.data[feature] == pytest.approx(own, rel=1e-5)
    entered = {feature: {"value": value, "unit": canonical}} if canonical else {}
    assert inputs.entered == entered


@pytest.mark.parametrize(("ngsp", "ifcc"), [(5, 31), (6, 42), (7, 53), (8, 64), (9, 75), (10, 86)])
def test_hba1c_converts_as_ngsp_tabulates(ngsp: float, ifcc: float) -> None:
    """The table at http://www.ngsp.org/ifcc.asp, whose figures are rounded."""
    data = check(BLOOD, {"hba1c": {"value": ifcc, "unit": "mmol/mol"}}).data

    assert data["hba1c"] == pytest.approx(ngsp, abs=0.05)


def test_a_unit_converts_back() -> None:
    for other in (OtherUnit("x", 4.0, offset=2.0), OtherUnit("y", 4.0, reciprocal=True)):
        assert other.from_own(other.to_own(8.0)) == 8.0


def test_an_offset_makes_no_amount_of_less_than_nothing() -> None:
    assert math.isnan(OtherUnit("x", 4.0, offset=2.0).to_own(-0.1))


# --- Rows ----------------------------------------------------------------------------------------


def test_a_null_beside_another_spelling_is_left_out() -> None:
    row = {"brand": None, "CarName": "bmw x3", "Make": None, "stroke": None, "Bore": 3.3}

    assert sent(CAR, row) == {"brand": "bmw", "boreratio": 3.3}


def test_what_is_wrong_with_names_and_values_is_told_at_once() -> None:
    row = {"CarName": 7, "make": "bmw", "brand": "audi", "Power": -1, "wings": 2}

    with pytest.raises(InvalidInput) as refused:
        check(CAR, row)

    assert set(refused.value.errors) == {"CarName", "make", "horsepower", "wings"}


def test_what_was_sent_is_repeated_only_where_a_name_may_be_meant() -> None:
    with pytest.raises(InvalidInput) as refused:
        check(CAR, {"carbody": "<script>", "fueltype": "dies\u202eal", "drivewheel": "x" * 99})

    assert "script" not in refused.value.errors["carbody"][0]
    assert refused.value.errors["fueltype"][0].startswith("diesal? Did you mean diesel? Choose")
    assert "xxx" not in refused.value.errors["drivewheel"][0]


def test_a_row_of_many_unknown_names_is_refused_soon() -> None:
    row = {f"horsepowe{number}": 1 for number in range(20_000)}
    before = time.process_time()

    with pytest.raises(InvalidInput) as refused:
        check(CAR, row)

    assert time.process_time() - before < 1
    suggested = [each for each in refused.value.errors.values() if "horsepower" in each[0]]
    assert len(suggested) == MAX_SUGGESTIONS


# --- Versions ------------------------------------------------------------------------------------


@each_domain
def test_the_names_are_stored_with_a_version(domain: Domain) -> None:
    signature = SIGNATURES[domain.name]

    stored = json.loads(json.dumps(signature.to_json()))

    assert Signature.from_json(stored) == signature


def test_a_version_from_before_there_were_names_still_works() -> None:
    stored = json.loads(json.dumps(SIGNATURES[CAR].to_json()))
    for feature in stored:
        del feature["choice_names"], feature["unit_names"]
        for unit in feature["other_units"]:
            del unit["names"], unit["offset"]
    old = Signature.from_json(stored)

    row = {"CarName": "maxda rx3", "Fuel": "Gas", "Power": {"value": 90, "unit": "KW"}}
    inputs = DOMAINS[CAR].check(old, row)

    assert (inputs.data["brand"], inputs.data["fueltype"]) == ("mazda", "gas")
    assert inputs.data["horsepower"] == 121
    assert DOMAINS[CAR].input_schema(old)["properties"]["CarName"]


# --- As a form shows it --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("domain", "row", "shown"),
    [
        (CAR, {"Make": "Alfa Romeo", "doors": 4}, {"brand": "alfa-romero", "doornumber": "four"}),
        (CAR, {"brand": "Trabant 601", "wings": None}, {"brand": "Trabant 601", "wings": None}),
        (CAR, {"stroke": None, "Bore": "3.3"}, {"boreratio": "3.3"}),
        (BLOOD, {"MCV": {"value": 90, "unit": "fl"}}, {"mcv": 90}),
        (BLOOD, {"A1c": {"value": "42", "unit": "mmol / mol"}},
         {"hba1c": {"value": "42", "unit": "mmol/mol"}}),
        (BLOOD, {"A1c": {"value": 42, "unit": "mol"}}, {"hba1c": {"value": 42, "unit": "mol"}}),
        (BLOOD, {"A1c": {"value": 42, "unit": 7}}, {"hba1c": {"value": 42, "unit": 7}}),
        (BLOOD, {"A1c": {"unit": "%"}}, {"hba1c": {"unit": "%"}}),
    ],
)  # fmt: skip
def test_a_draft_is_shown_by_own_names_as_far_as_they_are_known(
    domain: str, row: dict[str, Any], shown: dict[str, Any]
) -> None:
    named = DOMAINS[domain].resolve_aliases(row)

    assert SIGNATURES[domain].with_own_names(named) == shown
