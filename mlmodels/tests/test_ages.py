"""The two domains about age: their data, derived features and warnings."""

from typing import Any

import pytest

from mlmodels.catalogue import queries
from mlmodels.domains import DOMAINS, biological_age, blood_age, car_price
from mlmodels.domains.base import Domain
from mlmodels.models import Predictor
from mlmodels.serving.input_warnings import (
    IMPLAUSIBLE,
    MOSTLY_ASSUMED,
    OUTSIDE,
    RARE,
    UNIT_SLIP,
    warnings_of,
)
from mlmodels.signature import Inputs, Signature

BIO, BLOOD = biological_age.DOMAIN, blood_age.DOMAIN


def signature_of(predictor: Predictor) -> Signature:
    assert predictor.current_version_id
    return queries.signature_of(predictor.current_version_id)


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


# --- What is taken -------------------------------------------------------------------------------


def check(predictor: Predictor, **data: Any) -> Inputs:
    return queries.check_inputs(predictor, data)


def test_a_value_in_another_unit_is_converted_and_kept_as_sent(blood: Predictor) -> None:
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
    inputs = check(blood, albumin=4.2, waist=None, gender=None)

    assert inputs.data["waist"] is None
    assert inputs.data["crp"] is None
    assert inputs.data["pregnant"] == "0"
    assert inputs.data["gender"] == "female"
    assert {"crp", "waist", "gender"} <= set(inputs.defaulted)


def test_a_body_mass_index_that_is_null_follows_from_height_and_weight(bio: Predictor) -> None:
    inputs = queries.check_inputs(bio, {"Height (cm)": 180, "Weight (kg)": 81, "BMI": None})

    assert inputs.data["BMI"] == pytest.approx(25.0)


def test_an_age_that_is_null_is_compared_with_nothing(blood: Predictor) -> None:
    inputs = check(blood, albumin=4.2, chronological_age=None)

    assert BLOOD.age_gap_of(52.5, inputs.data) is None


def test_the_body_mass_index_follows_from_height_and_weight_if_it_is_left_out(
    bio: Predictor,
) -> None:
    inputs = queries.check_inputs(bio, {"Height (cm)": 180, "Weight (kg)": 81})

    assert inputs.data["BMI"] == pytest.approx(25.0)
    assert "BMI" in inputs.defaulted


def test_a_body_mass_index_that_was_sent_stays(bio: Predictor) -> None:
    inputs = queries.check_inputs(bio, {"Height (cm)": 180, "Weight (kg)": 81, "BMI": 30})

    assert inputs.data["BMI"] == 30


def test_without_height_and_weight_the_index_is_typical_or_unknown(
    bio: Predictor, blood: Predictor
) -> None:
    typical = signature_of(bio).example()["BMI"]

    assert queries.check_inputs(bio, {"Diet": "Balanced"}).data["BMI"] == typical
    assert check(blood, albumin=4.2).data["bmi"] is None


def test_the_gap_is_the_estimate_minus_the_age_that_was_entered() -> None:
    assert BIO.age_gap_of(52.5, {"chronological_age": 50}) == 2.5
    assert BIO.age_gap_of(52.5, {}) is None
    assert BIO.age_gap_of(52.5, {"chronological_age": None}) is None


# --- Warnings ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "feature", "code", "detail"),
    [
        ({"Height (cm)": 72}, "Height (cm)", OUTSIDE, "Known cases go from 141"),
        ({"Height (cm)": 68}, "Height (cm)", UNIT_SLIP, "172.7 cm"),
        ({"Weight (kg)": 180}, "Weight (kg)", UNIT_SLIP, "81.65 kg"),
        ({"Cholesterol Level (mg/dL)": 1500}, "Cholesterol Level (mg/dL)", UNIT_SLIP, "10 times"),
        ({"Blood Glucose Level (mg/dL)": 12}, "Blood Glucose Level (mg/dL)", UNIT_SLIP, "120"),
        ({"BMI": 40.0}, "BMI", IMPLAUSIBLE, "body mass index of 25"),
        ({"BP_Systolic": 80, "BP_Diastolic": 110}, "BP_Systolic", IMPLAUSIBLE, "not above"),
    ],
)
def test_an_implausible_person_gets_a_warning(
    bio: Predictor, changes: dict[str, Any], feature: str, code: str, detail: str
) -> None:
    typical = signature_of(bio).example()

    warnings = warnings_of(BIO, signature_of(bio), {**typical, **changes})

    [warning] = [each for each in warnings if (each.feature, each.code) == (feature, code)]
    assert detail in warning.detail


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
def test_an_implausible_blood_test_gets_a_warning(
    blood: Predictor, data: dict[str, Any], feature: str, code: str
) -> None:
    inputs = queries.check_inputs(blood, data)

    warnings = warnings_of(BLOOD, signature_of(blood), inputs.data)

    assert (feature, code) in {(each.feature, each.code) for each in warnings}


def test_a_training_range_holds_nothing_that_is_refused(predictors: dict[str, Predictor]) -> None:
    for predictor in predictors.values():
        for feature in signature_of(predictor).scored:
            for end in feature.training_range or ():
                assert feature.check(end) == end


def test_a_rare_category_gets_a_warning(predictors: dict[str, Predictor]) -> None:
    predictor = predictors["random_forest"]
    inputs = queries.check_inputs(predictor, {"enginelocation": "rear"})

    warnings = warnings_of(car_price.DOMAIN, signature_of(predictor), inputs.data)

    assert [(each.feature, each.code) for each in warnings] == [("enginelocation", RARE)]


def test_the_typical_case_gets_no_warning_but_of_assumptions(
    predictors: dict[str, Predictor],
) -> None:
    for predictor in predictors.values():
        signature = signature_of(predictor)
        warnings = warnings_of(DOMAINS[predictor.domain], signature, signature.example())
        assert {warning.code for warning in warnings} <= {MOSTLY_ASSUMED}


@pytest.mark.parametrize(("left_out", "expected"), [(6, []), (7, ["7 of 24 features"])])
def test_a_row_of_which_much_was_left_out_gets_a_warning(
    predictors: dict[str, Predictor], left_out: int, expected: list[str]
) -> None:
    predictor = predictors["random_forest"]
    sent = dict(list(signature_of(predictor).example().items())[left_out:])
    inputs = queries.check_inputs(predictor, sent)

    warnings = warnings_of(car_price.DOMAIN, signature_of(predictor), inputs.data, inputs.defaulted)

    assert [warning.detail.partition(" were left out")[0] for warning in warnings] == expected


def test_a_null_counts_as_left_out(blood: Predictor) -> None:
    inputs = check(blood, **dict.fromkeys(blood_age.NUMBERS), gender="female", pregnant="0")

    warnings = warnings_of(BLOOD, signature_of(blood), inputs.data, inputs.defaulted)

    assert [(warning.feature, warning.code) for warning in warnings] == [("data", MOSTLY_ASSUMED)]
