"""The two domains about age: their data, what they refuse, derive and doubt."""

from typing import Any

import pytest

from carprice.errors import InvalidInput
from mlmodels import catalogue
from mlmodels.domains import DOMAINS, biological_age, blood_age, car_price
from mlmodels.domains.base import Domain
from mlmodels.models import Predictor
from mlmodels.plausibility import ASSUMED, IMPLAUSIBLE, OUTSIDE, RARE, SLIP, warnings_of
from mlmodels.signature import Inputs, Signature

BIO, BLOOD = biological_age.DOMAIN, blood_age.DOMAIN


def signature_of(predictor: Predictor) -> Signature:
    assert predictor.current_version_id
    return catalogue.signature_of(predictor.current_version_id)


@pytest.fixture
def bio(predictors: dict[str, Predictor]) -> Predictor:
    return predictors["bioage_ridge"]


@pytest.fixture
def blood(predictors: dict[str, Predictor]) -> Predictor:
    return predictors["bloodage_ridge"]


# --- The data ------------------------------------------------------------------------------------


def test_the_published_ridge_is_reproduced_from_our_reading_of_the_data() -> None:
    from sklearn.linear_model import Ridge
    from sklearn.metrics import mean_absolute_error, r2_score
    from sklearn.model_selection import train_test_split
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    unused = {"Cognitive Function", "Pollution Exposure", "Sun Exposure"}
    columns = [name for name in biological_age.NUMBERS if name not in unused]
    people = BIO.load(BIO.data_path)
    train, test = train_test_split(people, test_size=0.2, random_state=42)

    model = make_pipeline(StandardScaler(), Ridge()).fit(train[columns], train[BIO.target])
    predicted = model.predict(test[columns])

    assert len(columns) == 11
    assert mean_absolute_error(test[BIO.target], predicted) == pytest.approx(4.2686, abs=5e-5)
    assert r2_score(test[BIO.target], predicted) == pytest.approx(0.92914, abs=5e-6)


def test_none_is_a_category_and_nothing_is_missing() -> None:
    people = BIO.load(BIO.data_path)

    assert people.shape == (3000, 27)
    assert not people.isna().any().any()
    assert (people["Chronic Diseases"] == "None").sum() == 1299


def test_blood_pressure_is_two_numbers() -> None:
    people = BIO.load(BIO.data_path)

    assert (people["BP_Systolic"][0], people["BP_Diastolic"][0]) == (151, 109)
    assert (people["BP_Systolic"] > people["BP_Diastolic"]).all()


def test_what_was_not_measured_stays_missing() -> None:
    people = BLOOD.load(BLOOD.data_path)

    assert len(people) == 10_949
    assert people["waist"].isna().sum() == 486
    assert set(people["gender"]) == {"male", "female"}
    assert "seqn" not in people.columns


@pytest.mark.parametrize("domain", [BIO, BLOOD], ids=lambda domain: domain.name)
def test_the_age_itself_is_no_feature(domain: Domain) -> None:
    names = [feature.name for feature in domain.scored]

    assert domain.target not in names
    assert "chronological_age" not in names


# --- What is refused -----------------------------------------------------------------------------

NUMBER_TEXTS = ["180", "", True, None, [180], {"value": 180}, "NaN", float("nan"), float("inf")]
BAD_BIO: list[tuple[dict[str, Any], str, str]] = [
    *(({"Weight (kg)": value}, "Weight (kg)", "number") for value in NUMBER_TEXTS),
    ({}, "data", "at least one"),
    ({"chronological_age": 40}, "data", "at least one"),
    ({"weight": 80}, "weight", "Unknown"),
    ({"Age (years)": 40}, "Age (years)", "Unknown"),
    ({"Blood Pressure (s/d)": "120/80"}, "Blood Pressure (s/d)", "Unknown"),
    ({"gender": "Male"}, "gender", "Unknown"),
    ({"Gender": "male"}, "Gender", "Female, Male"),
    ({"Gender": "M"}, "Gender", "Female, Male"),
    ({"Gender": None}, "Gender", "Female, Male"),
    ({"Gender": 1}, "Gender", "Female, Male"),
    ({"Smoking Status": "Sometimes"}, "Smoking Status", "Current, Former, Never"),
    ({"Smoking Status": ""}, "Smoking Status", "Current, Former, Never"),
    ({"Diet": "Vegan"}, "Diet", "Balanced, High-fat, Low-carb, Vegetarian"),
    ({"Chronic Diseases": "none"}, "Chronic Diseases", "None"),
    ({"Chronic Diseases": None}, "Chronic Diseases", "None"),
    ({"Sleep Patterns": "Normal "}, "Sleep Patterns", "Normal"),
    ({"Height (cm)": 1.8}, "Height (cm)", "from 50 to 272 cm"),
    ({"Height (cm)": 273}, "Height (cm)", "from 50 to 272 cm"),
    ({"Height (cm)": -170}, "Height (cm)", "from 50 to 272 cm"),
    ({"Height (cm)": {"value": 170, "unit": "ft"}}, "Height (cm)", "cm, in"),
    ({"Height (cm)": {"value": "70", "unit": "in"}}, "Height (cm)", "number"),
    ({"Height (cm)": {"value": 170, "unit": "in"}}, "Height (cm)", "from 50 to 272 cm"),
    ({"Height (cm)": {"value": 70, "unit": "in", "note": ""}}, "Height (cm)", "number"),
    ({"Height (cm)": {"unit": "in"}}, "Height (cm)", "number"),
    ({"Stress Levels": {"value": 5, "unit": "points"}}, "Stress Levels", "number"),
    ({"Weight (kg)": 9}, "Weight (kg)", "from 10 to 635 kg"),
    ({"Weight (kg)": 10**20}, "Weight (kg)", "from 10 to 635 kg"),
    ({"BP_Systolic": 120.5}, "BP_Systolic", "whole number"),
    ({"BP_Systolic": "120/80"}, "BP_Systolic", "number"),
    ({"BP_Systolic": 0}, "BP_Systolic", "from 40 to 300 mmHg"),
    ({"BP_Diastolic": 1e308}, "BP_Diastolic", "from 20 to 200 mmHg"),
    ({"Bone Density (g/cm²)": -0.1}, "Bone Density (g/cm²)", "from 0 to 5"),
    ({"Vision Sharpness": 20}, "Vision Sharpness", "from 0 to 3"),
    ({"Hearing Ability (dB)": -1}, "Hearing Ability (dB)", "from 0 to 130"),
    ({"Stress Levels": 11}, "Stress Levels", "from 0 to 10"),
    ({"Sun Exposure": 25}, "Sun Exposure", "from 0 to 24"),
    ({"BMI": 0}, "BMI", "from 5 to 200"),
    ({"Weight (kg)": 80, "chronological_age": 131}, "chronological_age", "from 0 to 130"),
    ({"Weight (kg)": 80, "chronological_age": "forty"}, "chronological_age", "number"),
]
BAD_BLOOD: list[tuple[dict[str, Any], str, str]] = [
    *(({"albumin": value}, "albumin", "number") for value in NUMBER_TEXTS if value is not None),
    ({}, "data", "at least one"),
    ({"chronological_age": 40}, "data", "at least one"),
    ({"age": 40}, "age", "Unknown"),
    ({"seqn": 1}, "seqn", "Unknown"),
    ({"year": 2007}, "year", "Unknown"),
    ({"Albumin": 4}, "Albumin", "Unknown"),
    ({"gender": 1}, "gender", "female, male"),
    ({"gender": "Male"}, "gender", "female, male"),
    ({"gender": None}, "gender", "female, male"),
    ({"pregnant": 1}, "pregnant", "0, 1"),
    ({"pregnant": True}, "pregnant", "0, 1"),
    ({"pregnant": None}, "pregnant", "0, 1"),
    ({"pregnant": "yes"}, "pregnant", "0, 1"),
    ({"albumin": 45}, "albumin", "from 0.5 to 10 g/dL"),
    ({"albumin": {"value": 45, "unit": "mg/L"}}, "albumin", "g/dL, g/L"),
    ({"albumin": {"value": 450, "unit": "g/L"}}, "albumin", "from 0.5 to 10 g/dL"),
    ({"glucose": 5}, "glucose", "from 10 to 1500 mg/dL"),
    ({"glucose": {"value": 500, "unit": "mmol/L"}}, "glucose", "from 10 to 1500 mg/dL"),
    ({"glucose": {"value": None, "unit": "mmol/L"}}, "glucose", "number"),
    ({"glucose": {"value": 5, "unit": None}}, "glucose", "number"),
    ({"glucose": {"value": 5, "unit": "mmol/l"}}, "glucose", "mg/dL, mmol/L"),
    ({"hba1c": 0.055}, "hba1c", "from 1 to 25 %"),
    ({"hba1c": {"value": 40, "unit": "mmol/mol"}}, "hba1c", "number"),
    ({"creat": 80}, "creat", "from 0.05 to 30 mg/dL"),
    ({"lymph": 101}, "lymph", "from 0 to 100 %"),
    ({"neut": -1}, "neut", "from 0 to 100 %"),
    ({"wbc": 6900}, "wbc", "from 0.1 to 500"),
    ({"rbc": 4.6e6}, "rbc", "from 0.5 to 15"),
    ({"mcv": 9}, "mcv", "from 30 to 200 fL"),
    ({"sbp": 12}, "sbp", "from 40 to 300 mmHg"),
    ({"dbp": 0}, "dbp", "from 1 to 200 mmHg"),
    ({"height": 1.75}, "height", "from 50 to 272 cm"),
    ({"weight": 1e308}, "weight", "from 10 to 635 kg"),
    ({"totchol": 10**20}, "totchol", "from 20 to 1500 mg/dL"),
    ({"phpfast": -1}, "phpfast", "from 0 to 100 hours"),
    ({"albumin": 4, "chronological_age": -1}, "chronological_age", "from 0 to 130"),
]


def test_each_domain_has_forty_wrong_inputs() -> None:
    assert min(len(BAD_BIO), len(BAD_BLOOD)) >= 40


@pytest.mark.parametrize(("data", "field", "words"), BAD_BIO)
def test_bad_input_about_a_person_is_refused_by_name_and_with_what_is_allowed(
    bio: Predictor, data: dict[str, Any], field: str, words: str
) -> None:
    with pytest.raises(InvalidInput) as refused:
        catalogue.check_inputs(bio, data)

    assert list(refused.value.errors) == [field]
    assert words in refused.value.errors[field][0]


@pytest.mark.parametrize(("data", "field", "words"), BAD_BLOOD)
def test_bad_input_about_blood_is_refused_by_name_and_with_what_is_allowed(
    blood: Predictor, data: dict[str, Any], field: str, words: str
) -> None:
    with pytest.raises(InvalidInput) as refused:
        catalogue.check_inputs(blood, data)

    assert list(refused.value.errors) == [field]
    assert words in refused.value.errors[field][0]


# --- What is taken -------------------------------------------------------------------------------


def check(predictor: Predictor, **data: Any) -> Inputs:
    return catalogue.check_inputs(predictor, data)


def test_a_value_in_another_unit_is_converted_and_kept_as_given(blood: Predictor) -> None:
    inputs = check(
        blood, glucose={"value": 5.0, "unit": "mmol/L"}, height={"value": 70, "unit": "in"}
    )

    assert inputs.data["glucose"] == pytest.approx(90.08)
    assert inputs.data["height"] == pytest.approx(177.8)
    assert inputs.entered == {
        "glucose": {"value": 5.0, "unit": "mmol/L"},
        "height": {"value": 70, "unit": "in"},
    }


def test_what_was_not_measured_may_be_left_out_or_null(blood: Predictor) -> None:
    inputs = check(blood, albumin=4.2, waist=None)

    assert inputs.data["waist"] is None
    assert inputs.data["crp"] is None
    assert inputs.data["pregnant"] == "0"
    assert "crp" in inputs.defaulted
    assert "waist" not in inputs.defaulted


def test_the_body_mass_index_follows_from_height_and_weight_if_it_is_left_out(
    bio: Predictor,
) -> None:
    inputs = catalogue.check_inputs(bio, {"Height (cm)": 180, "Weight (kg)": 81})

    assert inputs.data["BMI"] == pytest.approx(25.0)
    assert "BMI" in inputs.defaulted


def test_a_given_body_mass_index_stays(bio: Predictor) -> None:
    inputs = catalogue.check_inputs(bio, {"Height (cm)": 180, "Weight (kg)": 81, "BMI": 30})

    assert inputs.data["BMI"] == 30


def test_without_height_and_weight_the_index_is_typical_or_unknown(
    bio: Predictor, blood: Predictor
) -> None:
    typical = signature_of(bio).example()["BMI"]

    assert catalogue.check_inputs(bio, {"Diet": "Balanced"}).data["BMI"] == typical
    assert check(blood, albumin=4.2).data["bmi"] is None


def test_the_gap_is_the_estimate_less_the_age_given() -> None:
    assert BIO.gap_of(52.5, {"chronological_age": 50}) == {"age_gap": 2.5}
    assert BIO.gap_of(52.5, {}) == {}
    assert BIO.gap_of(52.5, {"chronological_age": None}) == {}


# --- What is doubted -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "feature", "code", "words"),
    [
        ({"Height (cm)": 72}, "Height (cm)", OUTSIDE, "Known cases go from 141"),
        ({"Height (cm)": 68}, "Height (cm)", SLIP, "172.7 cm"),
        ({"Weight (kg)": 180}, "Weight (kg)", SLIP, "81.65 kg"),
        ({"Cholesterol Level (mg/dL)": 1500}, "Cholesterol Level (mg/dL)", SLIP, "10 times"),
        ({"Blood Glucose Level (mg/dL)": 12}, "Blood Glucose Level (mg/dL)", SLIP, "120"),
        ({"BMI": 40.0}, "BMI", IMPLAUSIBLE, "body mass index of 25"),
        ({"BP_Systolic": 80, "BP_Diastolic": 110}, "BP_Systolic", IMPLAUSIBLE, "not above"),
    ],
)
def test_what_is_odd_about_a_person_is_told(
    bio: Predictor, changes: dict[str, Any], feature: str, code: str, words: str
) -> None:
    typical = signature_of(bio).example()

    found = warnings_of(BIO, signature_of(bio), {**typical, **changes})

    [told] = [each for each in found if (each.feature, each.code) == (feature, code)]
    assert words in told.detail


@pytest.mark.parametrize(
    ("data", "feature", "code"),
    [
        ({"lymph": 30, "monopa": 8, "neut": 10, "eosnpa": 2, "basopa": 1}, "lymph", IMPLAUSIBLE),
        ({"gender": "male", "pregnant": "1"}, "pregnant", IMPLAUSIBLE),
        ({"sbp": 70, "dbp": 90}, "sbp", IMPLAUSIBLE),
        ({"height": 170, "weight": 70, "bmi": 40}, "bmi", IMPLAUSIBLE),
        ({"glucose": 900}, "glucose", OUTSIDE),
    ],
)
def test_what_is_odd_about_blood_is_told(
    blood: Predictor, data: dict[str, Any], feature: str, code: str
) -> None:
    inputs = catalogue.check_inputs(blood, data)

    found = warnings_of(BLOOD, signature_of(blood), inputs.data)

    assert (feature, code) in {(each.feature, each.code) for each in found}


def test_a_rare_category_is_told(predictors: dict[str, Predictor]) -> None:
    predictor = predictors["random_forest"]
    inputs = catalogue.check_inputs(predictor, {"enginelocation": "rear"})

    found = warnings_of(car_price.DOMAIN, signature_of(predictor), inputs.data)

    assert [(each.feature, each.code) for each in found] == [("enginelocation", RARE)]


def test_the_typical_case_is_not_odd(predictors: dict[str, Predictor]) -> None:
    for predictor in predictors.values():
        signature = signature_of(predictor)
        found = warnings_of(DOMAINS[predictor.domain], signature, signature.example())
        assert {warning.code for warning in found} <= {ASSUMED}  # of a blood test nothing is typical


@pytest.mark.parametrize(("left_out", "told"), [(6, []), (7, ["7 of 24 features"])])
def test_it_is_told_where_much_was_left_out(
    predictors: dict[str, Predictor], left_out: int, told: list[str]
) -> None:
    predictor = predictors["random_forest"]
    given = dict(list(signature_of(predictor).example().items())[left_out:])
    inputs = catalogue.check_inputs(predictor, given)

    found = warnings_of(car_price.DOMAIN, signature_of(predictor), inputs.data, inputs.defaulted)

    assert [warning.detail.partition(" were left out")[0] for warning in found] == told


def test_what_is_said_not_to_be_measured_counts_as_left_out(blood: Predictor) -> None:
    inputs = check(blood, **dict.fromkeys(blood_age.NUMBERS), gender="female", pregnant="0")

    found = warnings_of(BLOOD, signature_of(blood), inputs.data, inputs.defaulted)

    assert [(warning.feature, warning.code) for warning in found] == [("data", ASSUMED)]
