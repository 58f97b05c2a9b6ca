"""An adult's age from a blood test and body measures. Data: mlmodels/data/README.md."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from django.utils.translation import gettext as _

from mlmodels.domains import units
from mlmodels.domains.base import (
    IDENTIFIES_A_ROW,
    Derivation,
    Domain,
    FeatureGroup,
    FeatureSpec,
    OtherQuantity,
    PlausibilityCheck,
    PredictorSpec,
    ReferenceRange,
    paragraphs,
)
from mlmodels.domains.people import (
    ADA,
    AGE_IS_PREDICTED,
    ATP,
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
from mlmodels.signature import OtherUnit

if TYPE_CHECKING:
    import pandas as pd
    from sklearn.compose import ColumnTransformer
    from sklearn.ensemble import HistGradientBoostingRegressor, StackingRegressor
    from sklearn.pipeline import Pipeline

TARGET = "age"
SEXES = {1: "male", 2: "female"}
ABIM = "American Board of Internal Medicine, 2024"


def _measured(
    name: str,
    label: str,
    unit: str | None,
    minimum: float,
    maximum: float,
    note: str = "",
    *,
    other_units: tuple[OtherUnit, ...] = (),
    other_names: tuple[str, ...] = (),
) -> FeatureSpec:
    """A number that may be null because it was not measured."""
    return FeatureSpec(
        name,
        label,
        "number",
        unit,
        minimum,
        maximum,
        note,
        optional=True,
        other_units=other_units,
        other_names=other_names,
    )


# Other names are those of NHANES, where its unit is the same, and of laboratory sheets.
FEATURES = (
    FeatureSpec(
        "gender", "Sex", "category", other_names=("RIAGENDR", *SEX_HEADERS),
        choice_names={
            "male": ("1", *SEX_NAMES["male"]),  # as NHANES codes it
            "female": ("2", *SEX_NAMES["female"]),
        },
    ),
    CHRONOLOGICAL_AGE,
    _measured(
        "height", "Height", "cm", 50, 272, other_units=units.HEIGHTS,
        other_names=("BMXHT", "body height", "stature", "height cm"),
    ),
    _measured(
        "weight", "Weight", "kg", 10, 635, other_units=units.WEIGHTS,
        other_names=("BMXWT", "body weight", "weight kg"),
    ),
    _measured(
        "sbp", "Blood pressure, upper", "mmHg", 40, 300, "Systolic: the larger one.",
        other_units=units.PRESSURE, other_names=SYSTOLIC_NAMES,
    ),
    _measured(
        "hba1c", "HbA1c", "%", 1, 25, "Glycated hemoglobin.", other_units=units.HBA1C,
        other_names=("LBXGH", "A1c", "glycated hemoglobin", "glycated haemoglobin",
                     "glycohemoglobin", "hemoglobin A1c", "haemoglobin A1c"),
    ),
    _measured(
        "totchol", "Cholesterol", "mg/dL", 20, 1500, other_units=units.CHOLESTEROL,
        other_names=("LBXTC", *CHOLESTEROL_NAMES),
    ),
    _measured(
        "creat", "Creatinine", "mg/dL", 0.05, 30, other_units=units.CREATININE,
        other_names=("LBXSCR", "serum creatinine", "crea", "krea", "kreatinin"),
    ),
    _measured(
        "bun", "Urea nitrogen", "mg/dL", 0.5, 300, other_units=units.UREA_NITROGEN,
        other_names=("LBXSBU", "blood urea nitrogen", "serum urea nitrogen"),
    ),
    _measured(
        "albumin", "Albumin", "g/dL", 0.5, 10, other_units=units.GRAMS_PER_LITER,
        other_names=("LBXSAL", "serum albumin", "alb"),
    ),
    _measured(
        "glucose", "Blood glucose", "mg/dL", 10, 1500, other_units=units.GLUCOSE,
        other_names=("LBXSGL", "serum glucose", "blood sugar", "fasting glucose", "glu", "gluc",
                     "glucose fasting", "Glukose"),
    ),
    FeatureSpec(
        "pregnant", "Pregnant", "category", choice_labels={"0": "no", "1": "yes"},
        choice_names={
            "0": ("false", "n", "not pregnant", *NO_NAMES),
            "1": ("true", "y", "pregnant", *YES_NAMES),
        },
        other_names=("pregnancy",),
    ),
    _measured(
        "bmi", "Body mass index", "kg/m²", 5, 200, "Follows from height and weight.",
        other_names=("BMXBMI",),
    ),
    _measured(
        "waist", "Waist", "cm", 20, 350, other_units=units.GIRTHS,
        other_names=("BMXWAIST", "waist circumference"),
    ),
    _measured(
        "dbp", "Blood pressure, lower", "mmHg", 1, 200, "Diastolic: the smaller one.",
        other_units=units.PRESSURE, other_names=DIASTOLIC_NAMES,
    ),
    _measured(
        "hdl", "HDL cholesterol", "mg/dL", 1, 300, other_units=units.CHOLESTEROL,
        other_names=("LBDHDD", "HDL-C", "HDL chol"),
    ),
    _measured(
        "crp", "C-reactive protein", "mg/dL", 0, 100, other_units=units.C_REACTIVE_PROTEIN,
        other_names=("LBXCRP", "hs-CRP", "hsCRP", "CRP hs"),
    ),
    _measured(
        "alp", "Alkaline phosphatase", "U/L", 1, 5000, other_units=units.ENZYMES,
        other_names=("LBXSAPSI", "alk phos", "ALKP", "AP"),
    ),
    _measured(
        "ggt", "Gamma-GT", "U/L", 1, 10000, other_units=units.ENZYMES,
        other_names=("LBXSGTSI", "GGTP", "γ-GT", "y-GT", "gamma-glutamyl transferase",
                     "gamma glutamyl transpeptidase"),
    ),
    _measured(
        "ttbl", "Bilirubin", "mg/dL", 0, 60, other_units=units.BILIRUBIN,
        other_names=("LBXSTB", "total bilirubin", "bilirubin total", "TBIL", "T-Bil", "bili",
                     "Bilirubin gesamt", "Gesamtbilirubin"),
    ),
    _measured(
        "uap", "Uric acid", "mg/dL", 0.1, 60, other_units=units.URATE,
        other_names=("LBXSUA", "urate", "Harnsäure"),
    ),
    _measured(
        "wbc", "White cells", "1000/µL", 0.1, 500, other_units=units.WHITE_CELLS,
        other_names=("LBXWBCSI", "white blood cells", "white blood cell count", "WBC count",
                     "leukocytes", "leucocytes", "leukozyten", "WCC", "white cell count"),
    ),
    _measured(
        "lymph", "Lymphocytes", "%", 0, 100, other_units=units.SHARES,
        other_names=("LBXLYPCT", "lymphocytes %", "lymph %", "lymphs", "Lymphozyten"),
    ),
    _measured(
        "monopa", "Monocytes", "%", 0, 100, other_units=units.SHARES,
        other_names=("LBXMOPCT", "monocytes %", "mono %", "monos"),
    ),
    _measured(
        "neut", "Neutrophils", "%", 0, 100, other_units=units.SHARES,
        other_names=("LBXNEPCT", "neutrophils %", "neut %", "segmented neutrophils", "Neutrophile"),
    ),
    _measured(
        "eosnpa", "Eosinophils", "%", 0, 100, other_units=units.SHARES,
        other_names=("LBXEOPCT", "eosinophils %", "eos %", "eos"),
    ),
    _measured(
        "basopa", "Basophils", "%", 0, 100, other_units=units.SHARES,
        other_names=("LBXBAPCT", "basophils %", "baso %", "basos"),
    ),
    _measured(
        "rbc", "Red cells", "million/µL", 0.5, 15, other_units=units.RED_CELLS,
        other_names=("LBXRBCSI", "red blood cells", "red blood cell count", "RBC count",
                     "erythrocytes", "erythrozyten"),
    ),
    _measured(
        "mcv", "Red cell volume", "fL", 30, 200, "The mean of a red cell.",
        other_names=("LBXMCVSI", "mean cell volume", "mean corpuscular volume"),
    ),
    _measured(
        "rdw", "Red cell width", "%", 5, 60, "How much red cells differ in size.",
        other_names=("LBXRDW", "RDW-CV", "red cell distribution width"),
    ),
    _measured(
        "phpfast", "Hours since eating", "hours", 0, 100, other_units=units.MINUTES,
        other_names=("fasting hours", "hours fasted"),
    ),
)  # fmt: skip

# A mole of urea has two of nitrogen, and urea nitrogen is told by pairs of them.
UREA = OtherQuantity(
    "bun",
    ("urea", "serum urea", "blood urea", "Harnstoff", "мочевина"),
    units.UREA_NITROGEN,
    'Urea weighs more than its nitrogen: send {"value": ..., "unit": "mmol/L"} or "mg/dL of urea" '
    "as its unit; or send urea nitrogen as bun.",
)

REFUSED_NAMES = {
    "seqn": IDENTIFIES_A_ROW,
    "year": "This is the year of the survey, and is no feature: leave it out.",
    **dict.fromkeys((TARGET, "age (years)", "RIDAGEYR", "Alter"), AGE_IS_PREDICTED),
}

CATEGORIES = [feature.name for feature in FEATURES if feature.type == "category"]
NUMBERS = [feature.name for feature in FEATURES if feature.type != "category" and feature.scored]
SKEWED = ["crp", "ggt", "glucose", "hba1c", "creat", "alp", "ttbl", "bun", "wbc"]
WHITE_CELLS = ("lymph", "monopa", "neut", "eosnpa", "basopa")


def load(path: Path) -> pd.DataFrame:
    """Read the features and, as the last column, the age in years; not measured is NaN."""
    import pandas as pd

    people = pd.read_csv(path)
    people["gender"] = people["gender"].map(SEXES)
    people["pregnant"] = people["pregnant"].astype(str)
    return people[[feature.name for feature in FEATURES if feature.scored] + [TARGET]]


def _check_white_cells(*shares: float) -> str:
    """A plausibility check, in percent."""
    total = sum(shares)
    if 95 <= total <= 105:
        return ""
    sentence = _("The five kinds of white cells add up to %(total)s %%.")
    return sentence % {"total": f"{total:.0f}"}


def _check_pregnancy(pregnant: str, sex: str) -> str:
    return _("A man is said to be pregnant.") if (pregnant, sex) == ("1", "male") else ""


# --- Predictors ----------------------------------------------------------------------------------


def _ridge() -> Pipeline:
    """Ridge regression on splines; what is missing becomes the median."""
    from sklearn.linear_model import Ridge
    from sklearn.pipeline import Pipeline

    return Pipeline([("columns", _splines()), ("model", Ridge(alpha=1.0))])


def _gradient_boosting() -> Pipeline:
    """Boosted trees on imputed numbers and categories as codes."""
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
        max_iter=400, learning_rate=0.05, max_leaf_nodes=31, min_samples_leaf=20,
        l2_regularization=5.0, max_features=0.2, early_stopping=False, random_state=0,
    )  # fmt: skip


def _splines() -> ColumnTransformer:
    """Cubic splines of each imputed number and one-hot categories, for an additive model.

    Skewed measurements are put on a logarithmic scale first.
    """
    import numpy as np
    from sklearn.compose import ColumnTransformer
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, SplineTransformer

    one_hot = OneHotEncoder(handle_unknown="ignore", sparse_output=False)
    log = FunctionTransformer(np.log1p, feature_names_out="one-to-one")
    symmetric = [name for name in NUMBERS if name not in SKEWED]

    def splines() -> SplineTransformer:
        return SplineTransformer(n_knots=5, degree=3, knots="quantile", extrapolation="linear")

    return ColumnTransformer(
        [
            ("categories", one_hot, CATEGORIES),
            ("symmetric", make_pipeline(SimpleImputer(strategy="median"), splines()), symmetric),
            ("skewed", make_pipeline(SimpleImputer(strategy="median"), log, splines()), SKEWED),
        ]
    )


def _ordinal() -> ColumnTransformer:
    """What trees need: categories as codes, and numbers with the median for what is missing.

    The trees could take missing values as they are. But few people in the data lack many values,
    so trees learn little of that, and where most values are missing their errors are larger than
    with the median.
    """
    from sklearn.compose import ColumnTransformer
    from sklearn.impute import SimpleImputer
    from sklearn.preprocessing import OrdinalEncoder

    codes = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1)
    return ColumnTransformer(
        [("categories", codes, CATEGORIES), ("numbers", SimpleImputer(strategy="median"), NUMBERS)]
    )


# --- What its users must know ---------------------------------------------------------------------

SOURCE = paragraphs("""
10,949 US adults aged 20 and over, examined from 2007 to 2010 in the National Health and Nutrition
Examination Survey (NHANES) of the NCHS, CDC. Taken are the people of the cycles 2007 and 2009 with
albumin and white cells measured, from the table NHANES4 of the R package BioAge,
https://github.com/dayoonkwon/BioAge by Kwon and Belsky (2021), GeroScience 43, 2795-2808,
https://doi.org/10.1007/s11357-021-00480-5.

License: public-use files of the US government under the NCHS data user agreement, which allows
statistical analysis only, and no attempt to identify anyone.
""")

FAULTS = paragraphs("""
Age is top-coded: 80 stands for 80 and above (6.5 % of the people). Kept; errors there are not
true errors, and estimates hardly go beyond.

Missing values are normal: every predictor takes the median for them.

Laboratory values more than five standard deviations from the mean were set to missing by the
package: extreme patients are not represented.

Treated disease is invisible: drugs for blood pressure, diabetes or cholesterol shift the values
and were not recorded.

Some groups were sampled more often than others, and the weights are not used: fine for
predicting, not for statements about a population.

Glucose depends on the last meal: the hours since are a feature.

The five kinds of white cells add up to about 100 %, and the body mass index follows from height
and weight: the spline model is regularized, and contradictions are pointed out.

A few odd readings remain, such as a lower blood pressure of 8 mmHg: kept, since they are too few
to matter.
""")

OUT_OF_SCOPE = paragraphs("""
Medical decisions: it finds the age at which such values are typical, not how healthy somebody is
or how long they will live.

Insurance, employment or any other judgment of a person.

People under 20, of whom there are none, and statements about ages above 80, which are all called
80.

Reading the difference to your age as a verdict: estimates lean towards the mean, so the young
seem older and the old younger than they are, by many years at both ends.

Identifying the people in the data, which the agreement they come under forbids.
""")


DOMAIN = Domain(
    name="blood_age",
    title="Age by blood test",
    target=TARGET,
    unit="years",
    # The form's first eight bring the mean error from 15.5 years to 12.8; all bring it to 8.4.
    minimum_given=8,
    caveat="An estimate and no medical advice: it is the age at which such values are typical.",
    data_file="biological_age_nhanes.csv",
    features=FEATURES,
    load=load,
    other_quantities=(UREA,),
    refused_names=REFUSED_NAMES,
    derivations=(Derivation("bmi", ("height", "weight"), body_mass_index),),
    plausibility_checks=(
        PlausibilityCheck(("bmi", "height", "weight"), check_body_mass_index),
        PlausibilityCheck(("sbp", "dbp"), check_blood_pressure),
        PlausibilityCheck(WHITE_CELLS, _check_white_cells),
        PlausibilityCheck(("pregnant", "gender"), _check_pregnancy),
    ),
    age_gap_to=CHRONOLOGICAL_AGE.name,
    aliases=(blood_pressure("sbp", "dbp"),),
    icon="blood",
    named_by={
        "gender": "%s",
        CHRONOLOGICAL_AGE.name: "aged %s",
        "hba1c": "HbA1c %s %%",
        "glucose": "glucose %s mg/dL",
    },
    groups=(
        FeatureGroup(
            "You", ("gender", CHRONOLOGICAL_AGE.name, "height", "weight", "sbp"), is_open=True
        ),
        FeatureGroup(
            "The usual tests",
            ("hba1c", "totchol", "creat", "bun", "albumin", "glucose"),
            is_open=True,
        ),
        FeatureGroup("Body and circumstances", ("pregnant", "waist", "dbp", "bmi", "phpfast")),
        FeatureGroup("Fats, liver and inflammation", ("hdl", "crp", "alp", "ggt", "ttbl", "uap")),
        FeatureGroup("White cells", ("wbc", *WHITE_CELLS)),
        FeatureGroup("Red cells", ("rbc", "mcv", "rdw")),
    ),
    reference_ranges={
        "bmi": NORMAL_BODY_MASS_INDEX,
        "sbp": NORMAL_SYSTOLIC,
        "dbp": NORMAL_DIASTOLIC,
        "totchol": NORMAL_CHOLESTEROL,
        "glucose": NORMAL_GLUCOSE,
        "hba1c": ReferenceRange(ADA.partition(",")[0], None, 5.7),
        "hdl": ReferenceRange(ATP, 40, None),
        "albumin": ReferenceRange(ABIM, 3.5, 5.5),
        "alp": ReferenceRange(ABIM, 30, 120),
        "bun": ReferenceRange(ABIM, 8, 20),
        "creat": ReferenceRange(ABIM, 0.5, 1.3),
        "crp": ReferenceRange(ABIM, None, 0.8),
        "lymph": ReferenceRange(ABIM, 18, 42),
        "mcv": ReferenceRange(ABIM, 80, 98),
        "rdw": ReferenceRange(ABIM, 9, 14.5),
        "ttbl": ReferenceRange(ABIM, 0.3, 1),
        "wbc": ReferenceRange(ABIM, 4, 11),
    },
    source=SOURCE,
    faults=FAULTS,
    out_of_scope=OUT_OF_SCOPE,
    predictors=(
        PredictorSpec(
            "bloodage_ridge",
            "Ridge regression",
            "Ridge regression on a curve for each measurement",
            "Adds up what each measurement says by itself. What is missing is taken for typical.",
            _ridge,
        ),
        PredictorSpec(
            "bloodage_gradient_boosting",
            "Gradient boosting",
            "Histogram-based gradient boosting",
            "Many small trees, each mending what the ones before it got wrong.",
            _gradient_boosting,
        ),
        PredictorSpec(
            "bloodage_blend",
            "Blend",
            "Weighted sum of gradient boosting and an additive spline model",
            "Trees find what measurements say together, curves keep it smooth.",
            _blend,
        ),
    ),
)
