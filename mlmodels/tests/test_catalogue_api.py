"""The catalogue at /api/predictors, and what it says a predictor takes."""

from collections.abc import Callable
from typing import Any

import jsonschema
import pytest
from rest_framework.test import APIClient

from accounts.models import User
from mlmodels.catalogue import ranking
from mlmodels.domains.car_price import DOMAIN
from mlmodels.models import Predictor, PredictorVersion
from predictions.models import Prediction

LINE = [
    "model_name",
    "title",
    "domain",
    "algorithm",
    "price",
    "target",
    "unit",
    "metrics",
    "trained_at",
    "version",
]
FEATURE = [
    "name",
    "label",
    "type",
    "unit",
    "default",
    "optional",
    "minimum",
    "maximum",
    "training_range",
    "choices",
    "units",
    "help",
]
ABSENT = [
    "no_such",
    "RANDOM_FOREST",
    "random_forest%00",
    "%00",
    "%F0%9F%98%80",
    "x" * 10_000,
    "1",
    "x'%20OR%201=1--",
]


def get(api: APIClient, path: str) -> Any:
    response = api.get(path)
    assert response.status_code == 200, response.content
    return response.json()


def refusal(response: Any, status: int) -> dict[str, Any]:
    assert response.status_code == status
    return dict(response.json())


# --- GET /api/predictors -------------------------------------------------------------------------


@pytest.mark.django_db
@pytest.mark.parametrize("path", ["/api/predictors", "/api/predictors/random_forest"])
def test_a_stranger_is_refused(path: str) -> None:
    assert refusal(APIClient().get(path), 401)["code"] == "not_authenticated"


@pytest.mark.django_db
def test_an_empty_catalogue_is_an_empty_array(api: APIClient) -> None:
    assert get(api, "/api/predictors") == []


@pytest.mark.usefixtures("predictors")
def test_the_catalogue_is_an_array_cheapest_first(api: APIClient) -> None:
    lines = get(api, "/api/predictors")

    prices = [line["price"] for line in lines]
    assert prices == sorted(prices)
    assert {line["model_name"] for line in lines} == set(
        Predictor.objects.values_list("name", flat=True)
    )
    assert all(list(line) == LINE for line in lines)


def equals_of_forest() -> list[str]:
    """The predictors whose errors differ by no more than chance."""
    return ranking.equals_of(Predictor.objects.on_sale().with_version())["random_forest"]


def test_predictors_that_are_as_good_name_each_other(
    api: APIClient, predictors: dict[str, Predictor]
) -> None:
    folds = {"linear_regression": [5.0, 6.0, 7.0], "random_forest": [5.1, 5.9, 7.0]}
    for name, errors in folds.items():
        version = predictors[name].current_version
        assert version
        metrics = {**version.metrics, "mae": 6.0, "mae_by_fold": errors}
        PredictorVersion.objects.filter(pk=version.pk).update(metrics=metrics)

    lines = {line["model_name"]: line for line in api.get("/api/predictors").json()}
    one = api.get("/api/predictors/random_forest").json()

    assert lines["linear_regression"]["metrics"]["as_good_as"] == ["random_forest"]
    assert lines["random_forest"]["metrics"] == one["metrics"]
    assert one["metrics"]["as_good_as"] == ["linear_regression"]
    assert not lines["bioage_blend"]["metrics"]["quick_estimate"]


def test_a_line_describes_its_predictor(api: APIClient, predictor: Predictor) -> None:
    version = predictor.current_version
    assert version

    line = next(x for x in get(api, "/api/predictors") if x["model_name"] == predictor.name)

    assert line == {
        "model_name": "random_forest",
        "title": "Random forest",
        "domain": "car_price",
        "algorithm": "Random forest of 100 trees",
        "price": predictor.price,
        "target": "price",
        "unit": "USD",
        "metrics": {**version.metrics, "as_good_as": equals_of_forest()},
        "trained_at": version.trained_at.isoformat().replace("+00:00", "Z"),
        "version": version.label,
    }


def test_what_is_off_sale_or_does_not_load_is_left_out(
    api: APIClient, predictors: dict[str, Predictor]
) -> None:
    names = sorted(predictors)
    Predictor.objects.filter(name=names[0]).update(enabled=False)
    PredictorVersion.objects.filter(predictor__name=names[1]).update(fault="gone")

    listed = {line["model_name"] for line in get(api, "/api/predictors")}

    assert listed == set(names[2:])


@pytest.mark.usefixtures("predictors")
def test_one_domain_can_be_asked_for(api: APIClient, predictor: Predictor) -> None:
    Predictor.objects.filter(pk=predictor.pk).update(domain="weather")

    listed = get(api, "/api/predictors?domain=car_price")

    assert listed
    assert predictor.name not in {line["model_name"] for line in listed}


@pytest.mark.usefixtures("predictors")
@pytest.mark.parametrize("domain", ["weather", "", "CAR_PRICE", "%00", "car_price'--"])
def test_an_unknown_domain_is_refused_with_the_known_ones(api: APIClient, domain: str) -> None:
    body = refusal(api.get(f"/api/predictors?domain={domain}"), 400)

    assert list(body["errors"]) == ["domain"]
    assert "car_price" in body["errors"]["domain"][0]


@pytest.mark.django_db
@pytest.mark.parametrize("query", ["page=1", "price=10"])
def test_an_unknown_parameter_is_named(api: APIClient, query: str) -> None:
    body = refusal(api.get(f"/api/predictors?{query}"), 400)

    assert list(body["errors"]) == [query.split("=")[0]]


# --- GET /api/predictors/{model_name} ------------------------------------------------------------


@pytest.mark.usefixtures("predictors")
def test_one_predictor_is_its_line_and_what_it_takes(api: APIClient) -> None:
    one = get(api, "/api/predictors/random_forest")

    line = next(x for x in get(api, "/api/predictors") if x["model_name"] == "random_forest")
    assert list(one) == [*LINE, "signature", "example", "input_schema"]
    assert {key: one[key] for key in LINE} == line


@pytest.mark.usefixtures("predictors")
def test_each_feature_has_every_key_and_null_where_it_does_not_apply(api: APIClient) -> None:
    features = {
        item["name"]: item for item in get(api, "/api/predictors/random_forest")["signature"]
    }

    assert list(features) == [feature.name for feature in DOMAIN.features]
    assert all(list(item) == FEATURE for item in features.values())
    assert features["horsepower"] == {
        "name": "horsepower",
        "label": "Power",
        "type": "integer",
        "unit": "hp",
        "default": 95,
        "optional": False,
        "minimum": 1,
        "maximum": 2000,
        "training_range": [48, 262],
        "choices": None,
        "units": ["hp", "kW", "PS"],
        "help": None,
    }
    assert features["fueltype"] == {
        "name": "fueltype",
        "label": "Fuel",
        "type": "category",
        "unit": None,
        "default": "gas",
        "optional": False,
        "minimum": None,
        "maximum": None,
        "training_range": None,
        "choices": ["diesel", "gas"],
        "units": None,
        "help": None,
    }


def test_the_example_is_accepted_and_fits_the_schema(
    api: APIClient, predictors: dict[str, Predictor]
) -> None:
    for name in predictors:
        one = get(api, f"/api/predictors/{name}")

        response = api.post("/predict", {"model_name": name, "data": one["example"]}, format="json")

        assert response.status_code == 202
        jsonschema.validate(one["example"], one["input_schema"])
    assert Prediction.objects.count() == len(predictors)


@pytest.mark.usefixtures("predictors")
def test_the_schema_is_a_json_schema_without_nulls(api: APIClient) -> None:
    schema = get(api, "/api/predictors/random_forest")["input_schema"]

    jsonschema.Draft202012Validator.check_schema(schema)
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert schema["additionalProperties"] is False
    assert set(schema["properties"]) == set(DOMAIN.all_names)
    assert None not in [
        value for described in schema["properties"].values() for value in described.values()
    ]


@pytest.mark.usefixtures("predictors")
@pytest.mark.parametrize("name", ABSENT)
def test_an_unknown_predictor_is_not_found(api: APIClient, name: str) -> None:
    assert refusal(api.get(f"/api/predictors/{name}"), 404)["code"] == "predictor_not_found"


def test_one_that_cannot_be_bought_is_like_one_that_is_unknown(
    api: APIClient, predictors: dict[str, Predictor]
) -> None:
    unknown = refusal(api.get("/api/predictors/no_such"), 404)
    Predictor.objects.filter(name="random_forest").update(enabled=False)
    PredictorVersion.objects.filter(predictor__name="linear_regression").update(fault="gone")

    for name in ("random_forest", "linear_regression"):
        assert refusal(api.get(f"/api/predictors/{name}"), 404) == unknown


@pytest.mark.usefixtures("predictors")
def test_the_catalogue_is_the_same_for_everybody(
    api: APIClient, make_user: Callable[..., User], client_of: Callable[[User], APIClient]
) -> None:
    other = client_of(make_user("bob@example.com", credit=0))

    assert get(other, "/api/predictors") == get(api, "/api/predictors")
