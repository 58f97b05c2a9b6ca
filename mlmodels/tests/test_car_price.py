"""The car data: what is cleaned, what is left out, and how a name becomes a make."""

import hashlib
from typing import TYPE_CHECKING

import pytest
from sklearn.pipeline import Pipeline

from carprice.http.errors import InvalidInput
from mlmodels.domains.base import PredictorSpec
from mlmodels.domains.car_price import DOMAIN, FEATURES, INVENTED_PRICES, clean_brand
from mlmodels.training.train import signature_from_data

if TYPE_CHECKING:
    import pandas as pd

SHA256 = "2d180da826cd6acca256c4e797beac0aae5b4b37fbb774afc1b90ae8319c5b65"
BRANDS = [
    "alfa-romero",
    "audi",
    "bmw",
    "chevrolet",
    "dodge",
    "honda",
    "isuzu",
    "jaguar",
    "mazda",
    "mercedes-benz",
    "mercury",
    "mitsubishi",
    "nissan",
    "peugeot",
    "plymouth",
    "porsche",
    "renault",
    "saab",
    "subaru",
    "toyota",
    "volkswagen",
    "volvo",
]


@pytest.fixture(scope="module")
def raw() -> "pd.DataFrame":
    import pandas as pd

    return pd.read_csv(DOMAIN.data_path)


@pytest.fixture(scope="module")
def cars() -> "pd.DataFrame":
    return DOMAIN.load(DOMAIN.data_path)


# --- The data ------------------------------------------------------------------------------------


def test_the_data_is_the_file_that_its_readme_describes() -> None:
    assert hashlib.sha256(DOMAIN.data_path.read_bytes()).hexdigest() == SHA256


def test_201_cars_are_kept(raw: "pd.DataFrame", cars: "pd.DataFrame") -> None:
    assert (len(raw), len(cars)) == (205, 201)


def test_the_invented_prices_are_neither_trained_nor_scored_on(
    raw: "pd.DataFrame", cars: "pd.DataFrame"
) -> None:
    kept = raw[~raw["car_ID"].isin([10, 45, 46, 130])]

    assert INVENTED_PRICES == (10, 45, 46, 130)
    assert cars["price"].tolist() == kept["price"].tolist()
    assert cars["curbweight"].tolist() == kept["curbweight"].tolist()


def test_22_makes_remain(cars: "pd.DataFrame") -> None:
    assert sorted(cars["brand"].unique()) == BRANDS


@pytest.mark.parametrize(
    ("brand", "count"),
    [("mazda", 17), ("porsche", 4), ("toyota", 32), ("volkswagen", 12), ("nissan", 18)],
)
def test_a_misspelt_make_joins_the_right_one(cars: "pd.DataFrame", brand: str, count: int) -> None:
    assert (cars["brand"] == brand).sum() == count


def test_the_eight_cars_called_buick_are_mercedes(
    raw: "pd.DataFrame", cars: "pd.DataFrame"
) -> None:
    called_buick = raw[raw["CarName"].str.startswith("buick")]["car_ID"].tolist()

    assert called_buick == list(range(68, 76))
    assert (cars["brand"] == "mercedes-benz").sum() == 8


def test_the_inputs_are_the_23_columns_of_the_contract_and_the_make(raw: "pd.DataFrame") -> None:
    columns = list(raw.columns[raw.columns.get_loc("symboling") : -1])
    columns.remove("CarName")

    assert columns[-1] == "highwaympg"
    assert len(columns) == 23
    assert sorted(feature.name for feature in FEATURES) == sorted([*columns, "brand"])


def test_no_input_is_the_price_or_the_row_number() -> None:
    assert not {"price", "car_ID", "CarName"} & {feature.name for feature in FEATURES}


def test_no_value_is_missing(cars: "pd.DataFrame") -> None:
    assert not cars.isna().any().any()


def test_every_car_of_the_data_is_within_the_hard_limits(cars: "pd.DataFrame") -> None:
    signature = signature_from_data(DOMAIN, cars)

    for car in cars.drop(columns="price").to_dict("records"):
        row = {str(name): value for name, value in car.items()}
        assert signature.check(row).data == row


def test_the_data_is_not_changed_on_disk_by_loading_it() -> None:
    before = DOMAIN.data_path.read_bytes()

    DOMAIN.load(DOMAIN.data_path)

    assert DOMAIN.data_path.read_bytes() == before


# --- Names of cars -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "brand"),
    [
        ("bmw 320i", "bmw"),
        ("maxda rx3", "mazda"),
        ("porcshce panamera", "porsche"),
        ("toyouta tercel", "toyota"),
        ("vokswagen rabbit", "volkswagen"),
        ("vw rabbit", "volkswagen"),
        ("Nissan versa", "nissan"),
        ("buick skyhawk", "mercedes-benz"),
        ("alfa-romero Quadrifoglio", "alfa-romero"),
        ("  SAAB   99le  ", "saab"),
        ("audi", "audi"),
        ("Alfa Romeo Giulia", "alfa-romero"),
        ("Mercedes-Benz 240D", "mercedes-benz"),
        ("MERCEDES  BENZ 240D", "mercedes-benz"),
        ("Benz", "mercedes-benz"),
        ("VW Golf", "volkswagen"),
        ("Chevy Nova", "chevrolet"),
        ("Peugot 504", "peugeot"),
        ("ｂｍｗ 320i", "bmw"),
        ("b\u200bmw", "bmw"),
        ("bmwx", "bmwx"),
        ("alfax romeo", "alfax"),
        ("x" * 100_000, "x" * 200),
        ("", ""),
        ("   ", ""),
        ("tesla model s", "tesla"),
    ],
)
def test_a_name_is_reduced_to_the_make_spelt_right(name: str, brand: str) -> None:
    assert clean_brand(name) == brand


@pytest.mark.parametrize("brand", BRANDS)
def test_a_clean_make_stays_as_it_is(brand: str) -> None:
    assert clean_brand(brand) == brand


def test_every_name_of_the_data_becomes_one_of_the_makes(raw: "pd.DataFrame") -> None:
    assert {clean_brand(name) for name in raw["CarName"]} == set(BRANDS)


def test_a_name_takes_the_place_of_the_make() -> None:
    resolved = DOMAIN.resolve_aliases({"CarName": "maxda glc", "stroke": 3})

    assert resolved == {"brand": "mazda", "stroke": 3}


def test_resolving_a_name_leaves_what_was_sent_alone() -> None:
    sent = {"CarName": "maxda glc"}

    DOMAIN.resolve_aliases(sent)

    assert sent == {"CarName": "maxda glc"}


@pytest.mark.parametrize(
    "data",
    [
        {"CarName": "bmw x3", "brand": "bmw"},
        {"brand": "bmw", "CarName": "bmw x3"},
        {"CarName": 7},
        {"CarName": ["bmw"]},
    ],
)
def test_a_name_that_cannot_be_used_is_refused_by_its_name(data: dict[str, object]) -> None:
    with pytest.raises(InvalidInput) as refused:
        DOMAIN.resolve_aliases(data)

    assert list(refused.value.errors) == ["CarName"]


# --- The predictors ------------------------------------------------------------------------------


def test_the_predictors_are_named_as_in_the_contract_and_a_better_one_is_added() -> None:
    names = [spec.name for spec in DOMAIN.predictors]

    assert names == [
        "linear_regression",
        "gradient_boosting",
        "random_forest",
        "car_price_blend",
    ]


@pytest.mark.parametrize("spec", DOMAIN.predictors, ids=lambda spec: spec.name)
def test_a_predictor_is_built_unfitted_from_the_raw_columns(
    spec: PredictorSpec, cars: "pd.DataFrame"
) -> None:
    pipeline = spec.build()
    assert not hasattr(pipeline, "n_features_in_")

    fitted = pipeline.fit(cars.drop(columns="price"), cars["price"])

    assert fitted.n_features_in_ == 24


@pytest.mark.parametrize("spec", DOMAIN.predictors, ids=lambda spec: spec.name)
@pytest.mark.parametrize(
    "feature", [feature.name for feature in FEATURES if feature.type == "category"]
)
def test_a_category_that_was_never_seen_is_tolerated(
    fitted: dict[str, Pipeline], cars: "pd.DataFrame", spec: PredictorSpec, feature: str
) -> None:
    car = cars.drop(columns="price").head(1).assign(**{feature: "never-seen"})

    price = fitted[spec.name].predict(car)

    assert price.shape == (1,)
    assert 1_000 < price[0] < 100_000


@pytest.fixture(scope="module")
def fitted(cars: "pd.DataFrame") -> dict[str, Pipeline]:
    """Every predictor, fitted on all cars."""
    inputs, price = cars.drop(columns="price"), cars["price"]
    return {spec.name: spec.build().fit(inputs, price) for spec in DOMAIN.predictors}


@pytest.mark.parametrize("name", [spec.name for spec in DOMAIN.predictors])
def test_a_predictor_fits_the_cars_it_was_trained_on(
    fitted: dict[str, Pipeline], cars: "pd.DataFrame", name: str
) -> None:
    estimates = fitted[name].predict(cars.drop(columns="price"))

    relative_error = abs(estimates / cars["price"] - 1).mean()
    assert relative_error < 0.09


@pytest.mark.parametrize("name", [spec.name for spec in DOMAIN.predictors])
def test_the_order_of_rows_and_the_rows_beside_change_no_estimate(
    fitted: dict[str, Pipeline], cars: "pd.DataFrame", name: str
) -> None:
    inputs = cars.drop(columns="price").head(20)

    together = fitted[name].predict(inputs)
    backwards = fitted[name].predict(inputs[::-1])[::-1]
    alone = [fitted[name].predict(inputs.iloc[[row]])[0] for row in range(20)]

    assert together == pytest.approx(backwards, rel=1e-9)
    assert together == pytest.approx(alone, rel=1e-9)


@pytest.mark.parametrize("name", [spec.name for spec in DOMAIN.predictors])
def test_a_porsche_costs_more_than_a_chevrolet(
    fitted: dict[str, Pipeline], cars: "pd.DataFrame", name: str
) -> None:
    inputs = cars.drop(columns="price")

    porsche = fitted[name].predict(inputs[cars["brand"] == "porsche"])
    chevrolet = fitted[name].predict(inputs[cars["brand"] == "chevrolet"])

    assert min(porsche) > 2 * max(chevrolet)
