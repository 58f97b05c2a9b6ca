"""The price of a car of 1985, in dollars, from its attributes. Data: mlmodels/data/README.md."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from django.utils.translation import gettext as _

from mlmodels.domains import units
from mlmodels.domains.base import (
    IDENTIFIES_A_ROW,
    IS_PREDICTED,
    Alias,
    Domain,
    FeatureGroup,
    FeatureSpec,
    PlausibilityCheck,
    PredictorSpec,
    paragraphs,
)
from mlmodels.domains.stacking import ridge_cv, stacked
from mlmodels.folding import LONGEST, fold
from mlmodels.signature import Signature

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

# Other names of makes, misspellings too; `BRAND_REPAIRS` has those of the data.
BRAND_NAMES = {
    "alfa-romero": ("Alfa Romeo", "Alfa", "Alpha Romeo"),
    "chevrolet": ("Chevy", "Chev", "Chevi"),
    "jaguar": ("Jag",),
    "mercedes-benz": ("Mercedes", "Merc", "Benz", "Daimler-Benz", "MB"),
    "mitsubishi": ("Mitsu",),
    "nissan": ("Datsun",),
    "peugeot": ("Peugot",),
    "porsche": ("Porshe",),
    "volkswagen": ("Volkswagon",),
}
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

BODY_NAMES = {
    "sedan": ("saloon", "limousine", "notchback", "berline", "4-door sedan", "4dr saloon"),
    "wagon": ("estate", "estate car", "station wagon", "kombi", "combi", "break", "touring"),
    "hatchback": ("hatch", "liftback", "fastback", "3-door hatchback", "5-door hatchback"),
    "convertible": ("cabriolet", "cabrio", "roadster", "drophead", "soft top"),
    "hardtop": ("hard top",),
}
FUEL_NAMES = {
    "gas": ("petrol", "gasoline", "benzin", "benzine", "benzina", "essence", "unleaded", "Super"),
    "diesel": ("gazole", "gasoil", "derv", "gasóleo", "turbodiesel", "turbo diesel"),
}
ASPIRATION_NAMES = {
    "std": ("standard", "naturally aspirated", "atmospheric", "non-turbo"),
    "turbo": ("turbocharger", "turbo charged"),
}
# Adverts count the hatch as a door.
DOOR_NAMES = {
    "two": ("2", "3", "2-door", "3-door", "two-door", "three-door", "2 doors", "3 doors", "2/3",
            "three", "2dr", "3dr", "2-türig", "3-türig"),
    "four": ("4", "5", "4-door", "5-door", "four-door", "five-door", "4 doors", "5 doors", "4/5",
             "five", "4dr", "5dr", "4-türig", "5-türig"),
}  # fmt: skip
DRIVE_NAMES = {
    "fwd": ("front", "front wheel", "front wheel drive", "Frontantrieb", "Vorderradantrieb"),
    "rwd": ("rear", "rear wheel", "rear wheel drive", "Heckantrieb", "Hinterradantrieb"),
    "4wd": ("awd", "4x4", "all wheel", "all wheel drive", "four wheel drive", "4 wheel drive",
            "Allrad", "Allradantrieb", "quattro"),
}  # fmt: skip
ENGINE_NAMES = {
    "dohc": ("twin cam",),
    "l": ("l-head", "side valve", "flathead"),
    "ohc": ("sohc", "single overhead camshaft"),
    "ohcf": ("boxer", "flat"),
    "rotor": ("wankel",),
}
CYLINDER_NUMBERS = {
    "two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "eight": 8, "twelve": 12,
}  # fmt: skip
CYLINDER_NAMES = {
    word: (str(number), f"{number} cylinders", f"{number} cyl", f"{word} cylinders",
           f"{number} cylinder", f"{word} cylinder", f"{number} Zylinder", f"{number} Zyl",
           f"{number} Zyl.", f"straight {number}", f"straight {word}", f"inline {word}",
           f"inline {number}", f"I{number}", f"R{number}", f"V{number}", f"flat {number}")
    for word, number in CYLINDER_NUMBERS.items()
}  # fmt: skip
FUEL_SYSTEM_NAMES = {
    "1bbl": ("1-barrel", "one barrel"),
    "2bbl": ("2-barrel", "two barrel"),
    "4bbl": ("4-barrel", "four barrel"),
    "idi": ("indirect injection",),
    "mfi": ("mechanical fuel injection",),
    "mpfi": ("mpi", "multipoint fuel injection", "multi-point fuel injection"),
    "spdi": ("throttle body injection", "tbi"),
    "spfi": ("spi", "single-point fuel injection"),
}

# Other names are the headers of the UCI original, and what adverts say.
FEATURES = (
    FeatureSpec(
        "brand", "Make", "category", choice_labels=BRAND_LABELS, choice_names=BRAND_NAMES,
        other_names=("manufacturer", "marque"),
    ),
    FeatureSpec(
        "horsepower", "Power", "integer", "hp", 1, 2000, other_units=units.POWER,
        other_names=("hp", "bhp", "engine power"),
    ),
    FeatureSpec(
        "enginesize", "Engine size", "integer", "cu in", 10, 1000, "Displacement.",
        other_units=units.DISPLACEMENT,
        other_names=("displacement", "engine displacement", "engine capacity", "cubic capacity"),
    ),
    FeatureSpec(
        "curbweight", "Weight", "integer", "lb", 500, 20000, "Of the empty car.",
        other_units=units.CAR_WEIGHTS, other_names=("kerb weight", "empty weight"),
    ),
    FeatureSpec(
        "carbody", "Body", "category", choice_names=BODY_NAMES,
        other_names=("body-style", "body type"),
    ),
    FeatureSpec(
        "fueltype", "Fuel", "category", choice_labels={"gas": "petrol (gas)"},
        choice_names=FUEL_NAMES,
    ),
    FeatureSpec(
        "aspiration", "Aspiration", "category",
        choice_labels={"std": "natural", "turbo": "turbocharged"}, choice_names=ASPIRATION_NAMES,
    ),
    FeatureSpec(
        "doornumber", "Doors", "category", choice_names=DOOR_NAMES,
        other_names=("num-of-doors", "number of doors"),
    ),
    FeatureSpec(
        "drivewheel", "Driven wheels", "category", choice_labels=DRIVE_LABELS,
        choice_names=DRIVE_NAMES,
        other_names=("drive-wheels", "drive", "drivetrain", "drive train", "wheel drive"),
    ),
    FeatureSpec(
        "citympg", "City mileage", "integer", "mpg", 1, 200, "Miles per US gallon.",
        other_units=units.MILEAGE, other_names=("mpg city",),
    ),
    FeatureSpec(
        "highwaympg", "Highway mileage", "integer", "mpg", 1, 200, "Miles per US gallon.",
        other_units=units.MILEAGE, other_names=("mpg highway", "hwy-mpg"),
    ),
    FeatureSpec("wheelbase", "Wheelbase", "number", "in", 20, 300, other_units=units.CAR_LENGTHS),
    FeatureSpec("carlength", "Length", "number", "in", 40, 500, other_units=units.CAR_LENGTHS),
    FeatureSpec("carwidth", "Width", "number", "in", 20, 150, other_units=units.CAR_LENGTHS),
    FeatureSpec(
        "carheight", "Body height", "number", "in", 20, 150, other_units=units.CAR_LENGTHS,
        other_names=("height",),
    ),
    FeatureSpec(
        "enginelocation", "Engine location", "category", choice_names={"rear": ("back",)}
    ),
    FeatureSpec(
        "enginetype", "Engine type", "category", choice_labels=ENGINE_LABELS,
        choice_names=ENGINE_NAMES,
    ),
    FeatureSpec(
        "cylindernumber", "Cylinders", "category", choice_names=CYLINDER_NAMES,
        other_names=("num-of-cylinders", "number of cylinders", "cyl"),
    ),
    FeatureSpec(
        "fuelsystem", "Fuel system", "category", choice_labels=FUEL_SYSTEM_LABELS,
        choice_names=FUEL_SYSTEM_NAMES,
    ),
    FeatureSpec(
        "boreratio", "Bore", "number", "in", 0.5, 10, "Of one cylinder.",
        other_units=units.CYLINDER_LENGTHS,
    ),
    FeatureSpec(
        "stroke", "Stroke", "number", "in", 0.5, 10, "Of one piston.",
        other_units=units.CYLINDER_LENGTHS,
    ),
    FeatureSpec(
        "compressionratio", "Compression ratio", "number", None, 1, 50,
        other_names=("compression",),
    ),
    FeatureSpec(
        "peakrpm", "Engine speed at peak power", "integer", "rpm", 500, 20000,
        other_names=("rpm",),
    ),
    FeatureSpec(
        "symboling", "Insurance risk", "integer", None, -3, 3, "From -3, safe, to 3, risky.",
    ),
)  # fmt: skip

# Columns of the data and of the UCI original.
REFUSED_NAMES = {
    "car_ID": IDENTIFIES_A_ROW,
    "normalized-losses": "No predictor uses this: leave it out.",
    "price": IS_PREDICTED,
}

# The makes by all their folded names.
MAKES = {
    fold(name): brand
    for brand, label in BRAND_LABELS.items()
    for name in (brand, label, *BRAND_NAMES.get(brand, ()))
} | {fold(name): brand for name, brand in BRAND_REPAIRS.items()}
LONGEST_MAKE = 3  # words


def clean_brand(car_name: str) -> str:
    """The make in a name such as "maxda rx3", spelled right: "mazda".

    Of a name that begins with none, its first word.
    """
    return _find_make(car_name) or next(iter(car_name[:LONGEST].split()), "")


def _find_make(name: str) -> str | None:
    """The make that a name begins with."""
    if name in BRAND_LABELS:
        return name
    words = name[:LONGEST].split()[:LONGEST_MAKE]
    beginnings = (fold("".join(words[:count])) for count in range(len(words), 0, -1))
    return next((MAKES[beginning] for beginning in beginnings if beginning in MAKES), None)


def _check_fuel(fuel: str, system: str) -> str:
    """A plausibility check."""
    if (fuel == "diesel") == (system == "idi"):
        return ""
    return _("In the training data diesels, and only they, have indirect injection (idi).")


def _check_mileage(city: float, highway: float) -> str:
    """A plausibility check, in miles per gallon."""
    if city <= highway:
        return ""
    return _("It goes further on a gallon in the city than on a highway.")


def name_pattern(signature: Signature) -> str:
    """The regular expression of names of cars that `clean_brand` turns into one of the makes."""
    makes = next(feature.choices or () for feature in signature.features if feature.name == "brand")
    names = [*BRAND_REPAIRS, *(name for names in BRAND_NAMES.values() for name in names), *makes]
    known = sorted({name.lower() for name in names if clean_brand(name) in makes})
    return f"^(?:{'|'.join(''.join(map(_any_case, name)) for name in known)})(?: [^\\0]*)?$"


def _any_case(letter: str) -> str:
    return f"[{letter.upper()}{letter}]" if letter.isalpha() else letter


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
CYLINDERS = list(CYLINDER_NUMBERS)


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
    # Make, power, engine size and weight halve the mean error that the typical car has.
    minimum_given=4,
    caveat="Dollars of 1985: the models learned from 201 cars sold in the United States that year.",
    data_file="car_price.csv",
    features=FEATURES,
    load=load,
    refused_names=REFUSED_NAMES,
    aliases=(
        Alias(
            ("brand",),
            ("CarName", "car"),
            lambda name: (clean_brand(name),),
            name_pattern,
        ),
    ),
    repairs={"brand": lambda name: _find_make(name) or name},
    icon="car",
    example={
        "brand": "volvo",
        "carbody": "sedan",
        "horsepower": 114,
        "enginesize": 141,
        "curbweight": 2952,
        "fueltype": "gas",
        "aspiration": "std",
        "doornumber": "four",
        "drivewheel": "rwd",
        "citympg": 23,
        "highwaympg": 28,
        "wheelbase": 109.1,
        "carlength": 188.8,
        "carwidth": 68.9,
        "carheight": 55.5,
        "enginelocation": "front",
        "enginetype": "ohc",
        "cylindernumber": "four",
        "fuelsystem": "mpfi",
    },
    named_by={"brand": "%s", "carbody": "%s", "horsepower": "%s hp"},
    groups=(
        FeatureGroup(
            "The car",
            (
                "brand",
                "carbody",
                "horsepower",
                "enginesize",
                "curbweight",
                "fueltype",
                "doornumber",
                "drivewheel",
            ),
            is_open=True,
        ),
        FeatureGroup("Mileage", ("citympg", "highwaympg")),
        FeatureGroup("Dimensions", ("wheelbase", "carlength", "carwidth", "carheight")),
        FeatureGroup(
            "The engine in detail",
            (
                "aspiration",
                "cylindernumber",
                "enginetype",
                "enginelocation",
                "fuelsystem",
                "boreratio",
                "stroke",
                "compressionratio",
                "peakrpm",
            ),
        ),
        FeatureGroup("Insurance", ("symboling",)),
    ),
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
