"""A person's age from body measures, senses and habits. Data: mlmodels/data/README.md."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from mlmodels.domains import units
from mlmodels.domains.base import (
    Derivation,
    Domain,
    FeatureGroup,
    FeatureSpec,
    PlausibilityCheck,
    PredictorSpec,
    paragraphs,
)
from mlmodels.domains.people import (
    AGE_IS_PREDICTED,
    CHOLESTEROL_NAMES,
    CHRONOLOGICAL_AGE,
    DIASTOLIC_NAMES,
    NO_NAMES,
    NORMAL_BODY_MASS_INDEX,
    NORMAL_CHOLESTEROL,
    NORMAL_DIASTOLIC,
    NORMAL_GLUCOSE,
    NORMAL_SYSTOLIC,
    SEX_HEADERS,
    SEX_NAMES,
    SYSTOLIC_NAMES,
    YES_NAMES,
    blood_pressure,
    body_mass_index,
    check_blood_pressure,
    check_body_mass_index,
)
from mlmodels.domains.stacking import ridge_cv, stacked

if TYPE_CHECKING:
    import pandas as pd
    from sklearn.compose import ColumnTransformer
    from sklearn.ensemble import HistGradientBoostingRegressor, StackingRegressor
    from sklearn.pipeline import Pipeline

HEIGHT, WEIGHT, BMI = "Height (cm)", "Weight (kg)", "BMI"
SYSTOLIC, DIASTOLIC = "BP_Systolic", "BP_Diastolic"
TARGET = "Age (years)"

NONE = ("no", *NO_NAMES, "none at all", "nothing")  # other names of the category None
DISEASES = {
    "None": NONE,
    "Hypertension": ("high blood pressure",),
    "Diabetes": ("diabetic", "type 2 diabetes"),
    "Heart Disease": ("cardiac disease", "heart disorder"),
}
LEVELS = {"Low": ("little",), "Moderate": ("medium", "average"), "High": ("much",)}
ALCOHOL = {
    "None": (*NONE, "never"),
    "Occasional": ("occasionally", "sometimes"),
    "Frequent": ("frequently", "often"),
}
MEDICATION = {
    "None": NONE,
    "Occasional": ("occasionally", "sometimes"),
    "Regular": ("regularly", "daily"),
}

FEATURES = (
    FeatureSpec(
        "Gender", "Sex", "category", other_names=SEX_HEADERS,
        choice_names={"Male": SEX_NAMES["male"], "Female": SEX_NAMES["female"]},
    ),
    CHRONOLOGICAL_AGE,
    FeatureSpec(
        HEIGHT, "Height", "number", "cm", 50, 272, other_units=units.HEIGHTS,
        other_names=("body height", "stature"),
    ),
    FeatureSpec(
        WEIGHT, "Weight", "number", "kg", 10, 635, other_units=units.WEIGHTS,
        other_names=("body weight",),
    ),
    FeatureSpec(
        SYSTOLIC, "Blood pressure, upper", "integer", "mmHg", 40, 300, "Systolic: the larger one.",
        other_units=units.PRESSURE, other_names=SYSTOLIC_NAMES,
    ),
    FeatureSpec(
        DIASTOLIC, "Blood pressure, lower", "integer", "mmHg", 20, 200, "Diastolic: the smaller.",
        other_units=units.PRESSURE, other_names=DIASTOLIC_NAMES,
    ),
    FeatureSpec(
        "Vision Sharpness", "Vision", "number", None, 0, 3, "1 is sharp, 0.2 the worst measured.",
        other_names=("visual acuity",),
    ),
    FeatureSpec(
        "Hearing Ability (dB)", "Hearing threshold", "number", "dB", 0, 130, "Higher is worse.",
        other_names=("Hearing",),
    ),
    FeatureSpec(
        "Bone Density (g/cm²)", "Bone density", "number", "g/cm²", 0, 5,
        other_units=units.BONE_DENSITY, other_names=("BMD", "bone mineral density"),
    ),
    FeatureSpec(
        "Cognitive Function", "Cognitive score", "number", None, 0, 200, "Higher is better.",
        other_names=("Cognition",),
    ),
    FeatureSpec(
        "Cholesterol Level (mg/dL)", "Cholesterol", "number", "mg/dL", 20, 1500,
        other_units=units.CHOLESTEROL, other_names=CHOLESTEROL_NAMES,
    ),
    FeatureSpec(
        "Blood Glucose Level (mg/dL)", "Blood glucose", "number", "mg/dL", 10, 1500,
        other_units=units.GLUCOSE,
        other_names=("glucose", "blood sugar", "glucose level", "Glukose"),
    ),
    FeatureSpec(BMI, "Body mass index", "number", "kg/m²", 5, 200, "Follows from the others."),
    FeatureSpec(
        "Physical Activity Level", "Physical activity", "category", choice_names=LEVELS,
        other_names=("activity", "activity level"),
    ),
    FeatureSpec(
        "Smoking Status", "Smoking", "category", other_names=("smoker",),
        choice_names={
            "Current": ("smoker", "current smoker", "yes", *YES_NAMES, "smokes"),
            "Former": ("ex-smoker", "former smoker", "past", "quit"),
            "Never": ("non-smoker", "never smoked", "no", *NO_NAMES),
        },
    ),
    FeatureSpec(
        "Alcohol Consumption", "Alcohol", "category", choice_names=ALCOHOL,
        other_names=("drinking",),
    ),
    FeatureSpec(
        "Diet", "Diet", "category",
        choice_names={"Vegetarian": ("veggie",), "Balanced": ("mixed",)},
    ),
    FeatureSpec(
        "Chronic Diseases", "Chronic disease", "category", choice_names=DISEASES,
    ),
    FeatureSpec("Medication Use", "Medication", "category", choice_names=MEDICATION),
    FeatureSpec("Family History", "Family history", "category", choice_names=DISEASES),
    FeatureSpec(
        "Mental Health Status", "Mental health", "category",
        choice_names={"Excellent": ("very good",), "Poor": ("bad",)},
    ),
    FeatureSpec(
        "Sleep Patterns", "Sleep", "category", choice_names={"Insomnia": ("sleepless",)},
        other_names=("sleep pattern",),
    ),
    FeatureSpec(
        "Stress Levels", "Stress", "number", None, 0, 10, "From 0 to 10.",
        other_names=("stress level",),
    ),
    FeatureSpec("Pollution Exposure", "Pollution", "number", None, 0, 10, "From 0 to 10."),
    FeatureSpec(
        "Sun Exposure", "Sun", "number", "hours", 0, 24, "A day.", other_units=units.MINUTES
    ),
    FeatureSpec(
        "Education Level", "Education", "category",
        choice_names={
            "None": NONE,
            "High School": ("secondary school", "secondary"),
            "Undergraduate": ("bachelor", "bachelors", "bachelor's", "college"),
            "Postgraduate": ("master", "masters", "master's", "phd", "doctorate"),
        },
    ),
    FeatureSpec(
        "Income Level", "Income", "category", choice_names={"Medium": ("middle", "average")}
    ),
)  # fmt: skip

CATEGORIES = [feature.name for feature in FEATURES if feature.type == "category"]
NUMBERS = [feature.name for feature in FEATURES if feature.type != "category" and feature.scored]


def load(path: Path) -> pd.DataFrame:
    """Read the features and, as the last column, the age in years.

    The word None is a category in this file, not a missing value.
    """
    import pandas as pd

    people = pd.read_csv(path, keep_default_na=False)
    pressure = people["Blood Pressure (s/d)"].str.split("/", n=1, expand=True).astype(int)
    people[SYSTOLIC], people[DIASTOLIC] = pressure[0], pressure[1]
    return people[[feature.name for feature in FEATURES if feature.scored] + [TARGET]]


# --- Predictors ----------------------------------------------------------------------------------


def _ridge() -> Pipeline:
    """Ridge regression on standardized numbers and one-hot categories."""
    from sklearn.linear_model import Ridge
    from sklearn.pipeline import Pipeline

    return Pipeline([("columns", _standardized()), ("model", Ridge(alpha=1.0))])


def _gradient_boosting() -> Pipeline:
    """Boosted trees on numbers as they are and categories as codes."""
    from sklearn.pipeline import Pipeline

    return Pipeline([("columns", _ordinal()), ("model", _boosted_trees())])


def _blend() -> StackingRegressor:
    """A stack of an additive model of splines and of boosted trees."""
    from sklearn.pipeline import Pipeline

    splines = Pipeline([("columns", _splines()), ("model", ridge_cv())])
    return stacked({"splines": splines, "trees": _gradient_boosting()})


def _boosted_trees() -> HistGradientBoostingRegressor:
    from sklearn.ensemble import HistGradientBoostingRegressor

    return HistGradientBoostingRegressor(
        max_iter=300, learning_rate=0.05, max_leaf_nodes=8, min_samples_leaf=20,
        l2_regularization=1.0, early_stopping=False, random_state=0,
    )  # fmt: skip


def _standardized() -> ColumnTransformer:
    """Numbers with mean 0 and variance 1, and one-hot categories."""
    from sklearn.compose import ColumnTransformer
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    one_hot = OneHotEncoder(handle_unknown="ignore", sparse_output=False)
    return ColumnTransformer(
        [("categories", one_hot, CATEGORIES), ("numbers", StandardScaler(), NUMBERS)]
    )


def _splines() -> ColumnTransformer:
    """Cubic splines of each number and one-hot categories, for an additive model."""
    from sklearn.compose import ColumnTransformer
    from sklearn.preprocessing import OneHotEncoder, SplineTransformer

    one_hot = OneHotEncoder(handle_unknown="ignore", sparse_output=False)
    splines = SplineTransformer(n_knots=5, degree=3, extrapolation="linear")
    return ColumnTransformer([("categories", one_hot, CATEGORIES), ("numbers", splines, NUMBERS)])


def _ordinal() -> ColumnTransformer:
    """What trees need: categories as codes, numbers as they are."""
    from sklearn.compose import ColumnTransformer
    from sklearn.preprocessing import OrdinalEncoder

    codes = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1)
    return ColumnTransformer(
        [("categories", codes, CATEGORIES), ("numbers", "passthrough", NUMBERS)]
    )


# --- What its users must know ---------------------------------------------------------------------

SOURCE = paragraphs("""
3,000 invented people aged 18 to 89: Train.csv of Kaggle's Human Age Prediction Synthetic Dataset
(abdullah0a, August 2024), from https://github.com/hargunoberoi/biological-age-predictor.

License: MIT, on weak evidence: one public copy keeps that license beside the table.
""")

FAULTS = paragraphs("""
The people are generated: age drives their measurements directly, and most habits carry no signal.
This is said with each result, and the accuracy says nothing about real people.

The word None is a category in five columns and looks like a gap: it is read as a word, and
nothing is missing.

Blood pressure is a text such as 151/109: it is split into two whole numbers.

Bone density is negative for 14 people, and vision sits at its floor of 0.2 for 440: kept, since
all is generated; a negative density is refused as input.

Levels are not those of real people, glucose for one is 127 mg/dL on average: kept.

The body mass index is exactly weight by height squared: it is derived where it is left out, and a
contradiction is pointed out.
""")

OUT_OF_SCOPE = paragraphs("""
Any statement about the health, the age or the life expectancy of a real person.

Medical decisions, insurance or employment.

People under 18 or over 89: there are none in the data.

Finding out what keeps people young: that habits hardly matter here is how the data were
generated.

Reading the difference to your age as a verdict: estimates lean towards the mean, so that the
young seem older and the old younger than they are.
""")


DOMAIN = Domain(
    name="biological_age",
    title="Biological age",
    target=TARGET,
    unit="years",
    # The form's first eight bring the mean error from 18 years to 4; with seven it is 11.
    minimum_given=8,
    caveat="An estimate and no medical advice: the models learned from 3,000 invented people.",
    data_file="biological_age.csv",
    features=FEATURES,
    load=load,
    refused_names=dict.fromkeys((TARGET, "age", "Alter"), AGE_IS_PREDICTED),
    derivations=(Derivation(BMI, (HEIGHT, WEIGHT), body_mass_index),),
    plausibility_checks=(
        PlausibilityCheck((BMI, HEIGHT, WEIGHT), check_body_mass_index),
        PlausibilityCheck((SYSTOLIC, DIASTOLIC), check_blood_pressure),
    ),
    age_gap_to=CHRONOLOGICAL_AGE.name,
    aliases=(blood_pressure(SYSTOLIC, DIASTOLIC),),
    icon="body",
    example={
        "Gender": "Female",
        CHRONOLOGICAL_AGE.name: 46,
        HEIGHT: 169,
        WEIGHT: 68,
        SYSTOLIC: 138,
        DIASTOLIC: 86,
        "Cholesterol Level (mg/dL)": 215,
        "Blood Glucose Level (mg/dL)": 110,
        "Bone Density (g/cm²)": 1.08,
        "Vision Sharpness": 0.5,
        "Hearing Ability (dB)": 47,
        "Cognitive Function": 66,
        "Physical Activity Level": "Moderate",
        "Smoking Status": "Never",
        "Alcohol Consumption": "Occasional",
        "Diet": "Balanced",
        "Chronic Diseases": "None",
        "Medication Use": "None",
        "Family History": "None",
        "Mental Health Status": "Good",
        "Sleep Patterns": "Normal",
        "Stress Levels": 4,
        "Pollution Exposure": 3,
        "Sun Exposure": 5,
        "Education Level": "Undergraduate",
        "Income Level": "Medium",
    },
    named_by={"Gender": "%s", CHRONOLOGICAL_AGE.name: "aged %s", BMI: "BMI %s"},
    groups=(
        FeatureGroup("You", ("Gender", CHRONOLOGICAL_AGE.name, HEIGHT, WEIGHT), is_open=True),
        FeatureGroup(
            "Measurements",
            (
                SYSTOLIC,
                DIASTOLIC,
                "Vision Sharpness",
                "Hearing Ability (dB)",
                "Bone Density (g/cm²)",
                "Cognitive Function",
                "Cholesterol Level (mg/dL)",
                "Blood Glucose Level (mg/dL)",
                BMI,
            ),
            is_open=True,
        ),
        FeatureGroup(
            "Habits",
            (
                "Physical Activity Level",
                "Smoking Status",
                "Alcohol Consumption",
                "Diet",
                "Sleep Patterns",
                "Stress Levels",
                "Sun Exposure",
                "Pollution Exposure",
            ),
        ),
        FeatureGroup(
            "Health and background",
            (
                "Chronic Diseases",
                "Medication Use",
                "Family History",
                "Mental Health Status",
                "Education Level",
                "Income Level",
            ),
        ),
    ),
    reference_ranges={
        BMI: NORMAL_BODY_MASS_INDEX,
        SYSTOLIC: NORMAL_SYSTOLIC,
        DIASTOLIC: NORMAL_DIASTOLIC,
        "Cholesterol Level (mg/dL)": NORMAL_CHOLESTEROL,
        "Blood Glucose Level (mg/dL)": NORMAL_GLUCOSE,
    },
    source=SOURCE,
    faults=FAULTS,
    out_of_scope=OUT_OF_SCOPE,
    predictors=(
        PredictorSpec(
            "bioage_ridge",
            "Ridge regression",
            "Ridge regression on standardized measurements",
            "A weighted sum of the measurements. Simple, and the easiest to follow.",
            _ridge,
        ),
        PredictorSpec(
            "bioage_gradient_boosting",
            "Gradient boosting",
            "Histogram-based gradient boosting",
            "Many small trees, each mending what the ones before it got wrong.",
            _gradient_boosting,
        ),
        PredictorSpec(
            "bioage_blend",
            "Blend",
            "Weighted sum of an additive spline model and gradient boosting",
            "Smooth curves for each measurement, corrected by small trees.",
            _blend,
        ),
    ),
)
