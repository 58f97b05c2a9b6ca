"""The price of a car of 1985, in dollars, from its attributes. Data: mlmodels/data/README.md."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlmodels.domains import units
from mlmodels.domains.base import (
    Alias,
    Domain,
    FeatureSpec,
    PlausibilityCheck,
    PredictorSpec,
    paragraphs,
)
from mlmodels.domains.stacking import ridge_cv, stacked

if TYPE_CHECKING:
    import pandas as pd
    from sklearn.compose import ColumnTransformer, TransformedTargetRegressor
    from sklearn.ensemble import GradientBoostingRegressor
    from sklearn.pipeline import Pipeline

# The car_ID of the rows that have no price in the UCI original.
INVENTED_PRICES = (10, 45, 46, 130)
# In the UCI original, all eight cars that are called buick here are by Mercedes-Benz.
BRAND_REPAIRS = {
    "buick": "mercedes-benz",
    "maxda": "mazda",
    "porcshce": "porsche",
    "toyouta": "toyota",
    "vokswagen": "volkswagen",
    "vw": "volkswagen",
}

BRAND_LABELS = {"alfa-romero": "Alfa Romeo", "bmw": "BMW", "mercedes-benz": "Mercedes-Benz"} | {
    name: name.capitalize()
    for name in (
        "audi", "chevrolet", "dodge", "honda", "isuzu", "jaguar", "mazda", "mercury", "mitsubishi",
        "nissan", "peugeot", "plymouth", "porsche", "renault", "saab", "subaru", "toyota",
        "volkswagen", "volvo",
    )
}  # fmt: skip
DRIVE_LABELS = {"fwd": "front wheels", "rwd": "rear wheels", "4wd": "all four wheels"}
ENGINE_LABELS = {
    "dohc": "double overhead camshaft",
    "dohcv": "double overhead camshaft, V",
    "l": "side valves (L-head)",
    "ohc": "overhead camshaft",
    "ohcf": "overhead camshaft, flat",
    "ohcv": "overhead camshaft, V",
    "rotor": "rotary",
}
FUEL_SYSTEM_LABELS = {
    "1bbl": "one-barrel carburetor",
    "2bbl": "two-barrel carburetor",
    "4bbl": "four-barrel carburetor",
    "idi": "indirect injection (diesel)",
    "mfi": "mechanical injection",
    "mpfi": "multi-point injection",
    "spdi": "single-point injection, throttle body",
    "spfi": "single-point injection",
}

FEATURES = (
    FeatureSpec("brand", "Make", "category", choice_labels=BRAND_LABELS),
    FeatureSpec("horsepower", "Power", "integer", "hp", 1, 2000, other_units=units.KILOWATTS),
    FeatureSpec(
        "enginesize",
        "Engine size",
        "integer",
        "cu in",
        10,
        1000,
        "Displacement.",
        other_units=units.CUBIC_CENTIMETERS,
    ),
    FeatureSpec(
        "curbweight",
        "Weight",
        "integer",
        "lb",
        500,
        20000,
        "Of the empty car.",
        other_units=units.KILOGRAMS,
    ),
    FeatureSpec("carbody", "Body", "category"),
    FeatureSpec("fueltype", "Fuel", "category", choice_labels={"gas": "petrol (gas)"}),
    FeatureSpec(
        "aspiration",
        "Aspiration",
        "category",
        choice_labels={"std": "natural", "turbo": "turbocharged"},
    ),
    FeatureSpec("doornumber", "Doors", "category"),
    FeatureSpec("drivewheel", "Driven wheels", "category", choice_labels=DRIVE_LABELS),
    FeatureSpec(
        "citympg",
        "City mileage",
        "integer",
        "mpg",
        1,
        200,
        "Miles per US gallon.",
        other_units=units.LITERS_PER_100_KM,
    ),
    FeatureSpec(
        "highwaympg",
        "Highway mileage",
        "integer",
        "mpg",
        1,
        200,
        "Miles per US gallon.",
        other_units=units.LITERS_PER_100_KM,
    ),
    FeatureSpec("wheelbase", "Wheelbase", "number", "in", 20, 300, other_units=units.CENTIMETERS),
    FeatureSpec("carlength", "Length", "number", "in", 40, 500, other_units=units.CENTIMETERS),
    FeatureSpec("carwidth", "Width", "number", "in", 20, 150, other_units=units.CENTIMETERS),
    FeatureSpec("carheight", "Height", "number", "in", 20, 150, other_units=units.CENTIMETERS),
    FeatureSpec("enginelocation", "Engine location", "category"),
    FeatureSpec("enginetype", "Engine type", "category", choice_labels=ENGINE_LABELS),
    FeatureSpec("cylindernumber", "Cylinders", "category"),
    FeatureSpec("fuelsystem", "Fuel system", "category", choice_labels=FUEL_SYSTEM_LABELS),
    FeatureSpec(
        "boreratio",
        "Bore",
        "number",
        "in",
        0.5,
        10,
        "Of one cylinder.",
        other_units=units.CENTIMETERS,
    ),
    FeatureSpec(
        "stroke", "Stroke", "number", "in", 0.5, 10, "Of one piston.", other_units=units.CENTIMETERS
    ),
    FeatureSpec("compressionratio", "Compression ratio", "number", None, 1, 50),
    FeatureSpec("peakrpm", "Engine speed at peak power", "integer", "rpm", 500, 20000),
    FeatureSpec(
        "symboling", "Insurance risk", "integer", None, -3, 3, "From -3, safe, to 3, risky."
    ),
)


def clean_brand(car_name: str) -> str:
    """The make in a name such as "maxda rx3", spelled right: "mazda"."""
    words = car_name.lower().split()
    return BRAND_REPAIRS.get(words[0], words[0]) if words else ""


def _check_fuel(fuel: str, system: str) -> str:
    """A plausibility check."""
    if (fuel == "diesel") == (system == "idi"):
        return ""
    return "In the training data diesels, and only they, have indirect injection (idi)."


def _check_mileage(city: float, highway: float) -> str:
    """A plausibility check, in miles per gallon."""
    return "" if city <= highway else "It goes further on a gallon in the city than on a highway."


# `name_pattern` has to accept exactly the names that `clean_brand` turns into one of the brands, so
# it spells out what Python does: which characters `str.split` takes for a space, since \\s in JSON
# Schema means others, and which characters `str.lower` maps to each letter.
SPACE = r"[\t-\r\x1c-\x20\x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]"


def name_pattern(brands: Sequence[str]) -> str:
    """The regular expression of the names that `clean_brand` turns into one of `brands`."""
    spellings = [word for word in {*brands, *BRAND_REPAIRS} if clean_brand(word) in brands]
    brand = "|".join("".join(map(_any_case, word)) for word in sorted(spellings))
    return f"^{SPACE}*(?:{brand})(?:{SPACE}[^\\0]*)?$"


def _any_case(letter: str) -> str:
    """The character class of what `str.lower` maps to `letter`; for k, with the Kelvin sign."""
    cases = {letter, letter.upper(), "\N{KELVIN SIGN}"}
    return f"[{''.join(sorted(case for case in cases if case.lower() == letter))}]"


def load(path: Path) -> pd.DataFrame:
    """Read the features and, as the last column, `price` in dollars of 1985.

    Cars with an invented price are left out.
    """
    import pandas as pd

    cars = pd.read_csv(path)
    cars = cars[~cars["car_ID"].isin(INVENTED_PRICES)].reset_index(drop=True)
    cars["brand"] = cars["CarName"].map(clean_brand)
    return cars[[feature.name for feature in FEATURES] + ["price"]]


# --- Predictors ----------------------------------------------------------------------------------

CATEGORIES = [feature.name for feature in FEATURES if feature.type == "category"]
NUMBERS = [feature.name for feature in FEATURES if feature.type != "category"]
# Strictly positive measurements; the linear model takes their logarithm.
MEASUREMENTS = [name for name in NUMBERS if name != "symboling"]
CYLINDERS = ["two", "three", "four", "five", "six", "eight", "twelve"]


def _linear_regression() -> Pipeline:
    """Ridge regression of log price on log measurements and one-hot categories."""
    from sklearn.linear_model import Ridge
    from sklearn.pipeline import Pipeline

    return Pipeline([("columns", _logarithms()), ("model", _in_log_price(Ridge(alpha=2.0)))])


def _gradient_boosting() -> Pipeline:
    """The mean, in log price, of four stochastic boosters of depths 3 to 6."""
    from sklearn.ensemble import VotingRegressor
    from sklearn.pipeline import Pipeline

    boosters = [(f"depth_{depth}", _booster(depth)) for depth in (3, 4, 5, 6)]
    model = _in_log_price(VotingRegressor(boosters))
    return Pipeline([("columns", _one_number_per_feature()), ("model", model)])


def _random_forest() -> Pipeline:
    """A forest in dollars; 40 % of the features are tried at each split."""
    from sklearn.ensemble import RandomForestRegressor
    from sklearn.pipeline import Pipeline

    forest = RandomForestRegressor(n_estimators=100, max_features=0.4, random_state=0)
    return Pipeline([("columns", _one_number_per_feature()), ("model", forest)])


def _blend() -> TransformedTargetRegressor:
    """A stack, in log price, of a linear model, a booster and randomized trees."""
    from sklearn.ensemble import ExtraTreesRegressor
    from sklearn.pipeline import Pipeline

    trees = ExtraTreesRegressor(n_estimators=60, max_features=0.5, random_state=0)
    members = {
        "linear": Pipeline([("columns", _logarithms()), ("model", ridge_cv())]),
        "boosting": Pipeline([("columns", _one_number_per_feature()), ("model", _booster(4))]),
        "trees": Pipeline([("columns", _one_number_per_feature()), ("model", trees)]),
    }
    return _in_log_price(stacked(members))


def _booster(depth: int) -> GradientBoostingRegressor:
    from sklearn.ensemble import GradientBoostingRegressor

    return GradientBoostingRegressor(
        n_estimators=100,
        learning_rate=0.1,
        max_depth=depth,
        subsample=0.6,
        max_features=0.3,
        random_state=depth,
    )


def _logarithms() -> ColumnTransformer:
    """What linear models of log price need: log measurements and one-hot categories."""
    import numpy as np
    from sklearn.compose import ColumnTransformer
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler

    one_hot = OneHotEncoder(handle_unknown="ignore", sparse_output=False)
    log = FunctionTransformer(np.log, feature_names_out="one-to-one")
    return ColumnTransformer(
        [
            ("categories", one_hot, [name for name in CATEGORIES if name != "brand"]),
            ("brand", one_hot, ["brand"]),
            ("logs", make_pipeline(log, StandardScaler()), MEASUREMENTS),
            ("symboling", StandardScaler(), ["symboling"]),
        ],
        # A make may move the price more than the ridge penalty lets other categories.
        transformer_weights={"brand": 2.0},
    )


def _one_number_per_feature() -> ColumnTransformer:
    """What trees need: a make becomes its shrunken mean price, estimated out of fold."""
    from sklearn.compose import ColumnTransformer
    from sklearn.model_selection import KFold
    from sklearn.preprocessing import OrdinalEncoder, TargetEncoder

    unseen: dict[str, Any] = {"handle_unknown": "use_encoded_value", "unknown_value": -1}
    plain = [name for name in CATEGORIES if name not in {"brand", "cylindernumber"}]
    brand = TargetEncoder(
        target_type="continuous", cv=KFold(n_splits=5, shuffle=True, random_state=0)
    )
    return ColumnTransformer(
        [
            ("categories", OrdinalEncoder(**unseen), plain),
            ("cylinders", OrdinalEncoder(categories=[CYLINDERS], **unseen), ["cylindernumber"]),
            ("brand", brand, ["brand"]),
            ("numbers", "passthrough", NUMBERS),
        ]
    )


def _in_log_price(regressor: Any) -> TransformedTargetRegressor:
    """Fit on the logarithm of the price, predict in dollars."""
    import numpy as np
    from sklearn.compose import TransformedTargetRegressor

    return TransformedTargetRegressor(regressor, func=np.log, inverse_func=np.exp)


# --- What its users must know ---------------------------------------------------------------------

SOURCE = paragraphs("""
205 cars of the US market of 1985, one row a model and configuration, from Ward's Automotive
Yearbook and two insurance sources: the file CarPrice_Assignment.csv of Kaggle
(imgowthamg/car-price), a re-labeled edition of Schlimmer, J. (1985), Automobile, UCI Machine
Learning Repository, https://doi.org/10.24432/C5B01C.

License: CC BY 4.0; modified as described below.
""")

FAULTS = paragraphs("""
Four prices are invented, since the original has none: these cars are left out of training and
scoring, so 201 remain.

Eight Mercedes-Benz cars are called buick: the make is put right.

Makes are misspelt (maxda, porcshce, toyouta, vokswagen, vw, Nissan): repaired; 22 remain.

Model names are partly invented: only the make is used.

A few blanks of the original (doors, bore, stroke, power) were filled in silently: kept, since
they are too few to matter.

Fuel follows from the fuel system, and sizes go up and down together: the linear model is
regularized, and how a contribution is shared out among such features says little.

Several categories and makes occur once: a fold that has not seen one takes it for none, and one
that is rare is pointed out.

Eighteen cars have everything but name, insurance risk and price in common with another: no
predictor can tell those prices apart.
""")

OUT_OF_SCOPE = paragraphs("""
Valuing a car of today: prices are those of the United States of 1985, in the dollars of that
year.

Used cars: nothing here knows how old a car is, how far it has gone or what state it is in.

Buying, selling, insuring or taxing a real car.

Makes, engines or fuels that were not sold there then, such as electric cars.

Saying what causes a price: contributions tell how the predictor gets to its figure, not what a
change to the car would be worth.
""")


DOMAIN = Domain(
    name="car_price",
    title="Price of a car",
    target="price",
    unit="USD",
    decimals=0,
    caveat="Dollars of 1985: the models learned from 201 cars sold in the United States that year.",
    data_file="car_price.csv",
    features=FEATURES,
    load=load,
    aliases={"CarName": Alias("brand", clean_brand, name_pattern)},
    source=SOURCE,
    faults=FAULTS,
    out_of_scope=OUT_OF_SCOPE,
    predictors=(
        PredictorSpec(
            "linear_regression",
            "Linear regression",
            "Ridge regression on log price",
            "A weighted sum of the car's attributes. Simple, and the easiest to follow.",
            _linear_regression,
        ),
        PredictorSpec(
            "gradient_boosting",
            "Gradient boosting",
            "Mean of four gradient-boosted ensembles on log price",
            "Many small trees, each mending what the ones before it got wrong.",
            _gradient_boosting,
        ),
        PredictorSpec(
            "random_forest",
            "Random forest",
            "Random forest of 100 trees",
            "The average of many trees that each saw other cars and other attributes.",
            _random_forest,
        ),
        PredictorSpec(
            "car_price_blend",
            "Blend",
            "Weighted sum of ridge regression, boosting and extra trees on log price",
            "Three different ways of learning, each mending the others' errors.",
            _blend,
        ),
    ),
    relative_errors=True,
    plausibility_checks=(
        PlausibilityCheck(("fueltype", "fuelsystem"), _check_fuel),
        PlausibilityCheck(("citympg", "highwaympg"), _check_mileage),
    ),
    comparable_by=tuple(feature.name for feature in FEATURES),
    group="brand",
)
