"""What is said of a result: its range, factors, warnings, gap and comparables."""

import re
from typing import Any
from uuid import UUID

import pytest
from django.test import Client
from rest_framework.test import APIClient

from accounts.models import User
from mlmodels.models import Predictor, PredictorVersion
from predictions.execution import runner
from predictions.models import Prediction

pytestmark = pytest.mark.django_db

CAR = {"brand": "bmw", "horsepower": 121}
PERSON = {"Height (cm)": 180, "Weight (kg)": 81}


def predict(
    api: APIClient, predictor: Predictor, data: dict[str, Any], explain: bool = True
) -> dict[str, Any]:
    """A finished task."""
    order = {"model_name": predictor.name, "data": data, "explain": explain}
    sent = api.post("/api/tasks/predict", order, format="json")
    assert sent.status_code == 202, sent.content
    assert predictor.current_version_id
    runner.run_queued(Prediction, predictor.current_version_id)
    task: dict[str, Any] = api.get(f"/api/tasks/{sent.json()['task_id']}").json()
    assert task["status"] == "finished"
    return task


def test_a_result_has_its_range_and_what_made_it(
    api: APIClient, predictors: dict[str, Predictor]
) -> None:
    result = predict(api, predictors["gradient_boosting"], CAR)["result"]

    assert result["interval"]["low"] < result["value"] < result["interval"]["high"]
    total = result["baseline"] + sum(factor["contribution"] for factor in result["factors"])
    assert total == pytest.approx(result["value"], rel=1e-6)
    assert len(result["factors"]) == 24
    sizes = [abs(factor["contribution"]) for factor in result["factors"]]
    assert sizes == sorted(sizes, reverse=True)


def test_each_factor_tells_its_value_and_which_way_it_moves_the_result(
    api: APIClient, predictor: Predictor
) -> None:
    task = predict(api, predictor, CAR)

    for factor in task["result"]["factors"]:
        size = factor["contribution"]
        assert factor["value"] == task["data"][factor["feature"]]
        assert factor["direction"] == ("raises" if size > 0 else "lowers" if size < 0 else "none")


def test_who_does_not_ask_for_factors_gets_a_range_alone(
    api: APIClient, predictor: Predictor
) -> None:
    result = predict(api, predictor, CAR, explain=False)["result"]

    assert (result["baseline"], result["factors"]) == (None, None)
    assert result["interval"]
    assert "comparables" not in result


def test_who_asks_and_who_does_not_are_scored_alike_in_one_claim(
    api: APIClient, predictor: Predictor
) -> None:
    order = {"model_name": predictor.name, "data": CAR}
    orders = [{**order, "explain": explain} for explain in (True, False)]
    keys = [
        api.post("/api/tasks/predict", order, format="json").json()["task_id"] for order in orders
    ]
    assert predictor.current_version_id
    assert runner.run_queued(Prediction, predictor.current_version_id) == 2

    explained, unexplained = (api.get(f"/api/tasks/{key}").json()["result"] for key in keys)

    assert explained["value"] == unexplained["value"]
    assert explained["factors"]
    assert unexplained["factors"] is None


def test_a_version_that_is_older_than_ranges_still_scores(
    api: APIClient, predictor: Predictor
) -> None:
    from mlmodels.catalogue import queries
    from mlmodels.serving import artefacts

    version = predictor.current_version
    assert version
    bare = artefacts.load(version).pipeline
    digest = artefacts.save(bare)
    PredictorVersion.objects.filter(pk=version.pk).update(
        artefact_sha256=digest, artefact_format=1, calibration=None
    )
    queries.summary_of.cache_clear()

    result = predict(api, predictor, CAR)["result"]
    queries.summary_of.cache_clear()

    assert result["value"] > 0
    assert (result["interval"], result["baseline"], result["factors"]) == (None, None, None)


def test_cars_have_three_comparables_with_price_and_what_differs(
    api: APIClient, predictor: Predictor
) -> None:
    task = predict(api, predictor, CAR)

    comparables = task["result"]["comparables"]
    assert len(comparables) == 3
    distances = [case["distance"] for case in comparables]
    assert distances == sorted(distances)
    for case in comparables:
        assert 5_000 <= case["target"] <= 45_400
        assert case["differences"]
        assert all(task["data"][name] != value for name, value in case["differences"].items())


def test_a_known_car_is_its_own_nearest(api: APIClient, predictor: Predictor) -> None:
    from mlmodels.domains import car_price

    cars = car_price.load(car_price.DOMAIN.data_path)
    known = {str(name): value for name, value in cars.iloc[150].items()}
    price = known.pop("price")

    nearest = predict(api, predictor, known)["result"]["comparables"][0]

    assert (nearest["target"], nearest["distance"]) == (price, 0)
    assert nearest["differences"] == {}


def test_the_gap_to_the_age_that_was_entered_is_returned(
    api: APIClient, predictors: dict[str, Predictor]
) -> None:
    task = predict(api, predictors["bioage_ridge"], {**PERSON, "chronological_age": 50})

    result = task["result"]
    assert result["age_gap"] == pytest.approx(result["value"] - 50)
    assert "chronological_age" not in [factor["feature"] for factor in result["factors"]]
    assert "no medical advice" in result["note"]


def test_the_age_changes_nothing_but_the_gap(
    api: APIClient, predictors: dict[str, Predictor]
) -> None:
    predictor = predictors["bioage_blend"]

    young = predict(api, predictor, {**PERSON, "chronological_age": 20})["result"]
    old = predict(api, predictor, {**PERSON, "chronological_age": 80})["result"]
    unsaid = predict(api, predictor, PERSON)["result"]

    assert young["value"] == old["value"] == unsaid["value"]
    assert young["age_gap"] - old["age_gap"] == pytest.approx(60)
    assert "age_gap" not in unsaid


def test_a_value_in_another_unit_is_returned_in_both(
    api: APIClient, predictors: dict[str, Predictor]
) -> None:
    data = {"glucose": {"value": 5.0, "unit": "mmol/L"}}

    task = predict(api, predictors["bloodage_ridge"], data)

    assert task["data"]["glucose"] == pytest.approx(90.08)
    assert task["entered"] == data


def test_warnings_are_returned_with_the_task_at_once(
    api: APIClient, predictors: dict[str, Predictor]
) -> None:
    order = {"model_name": "bioage_ridge", "data": {"Height (cm)": 68}}

    task = api.post("/api/tasks/predict", order, format="json").json()

    codes = {(warning["feature"], warning["code"]) for warning in task["warnings"]}
    assert ("Height (cm)", "suspected_unit_slip") in codes
    assert ("Height (cm)", "outside_training_range") in codes


def test_a_unit_that_was_sent_is_no_slip(api: APIClient, predictors: dict[str, Predictor]) -> None:
    order = {
        "model_name": "bioage_ridge",
        "data": {"Height (cm)": {"value": 26.8, "unit": "in"}, "Weight (kg)": 180},
    }

    task = api.post("/api/tasks/predict", order, format="json").json()

    codes = {(warning["feature"], warning["code"]) for warning in task["warnings"]}
    assert ("Height (cm)", "outside_training_range") in codes
    assert ("Height (cm)", "suspected_unit_slip") not in codes
    assert ("Weight (kg)", "suspected_unit_slip") in codes


def test_deleting_a_task_erases_what_made_it_and_what_was_entered(
    api: APIClient, predictors: dict[str, Predictor]
) -> None:
    task = predict(api, predictors["bloodage_ridge"], {"glucose": {"value": 5.0, "unit": "mmol/L"}})

    assert api.delete(f"/api/tasks/{task['task_id']}").status_code == 204

    row = Prediction.objects.get(pk=UUID(task["task_id"]))
    assert (row.data, row.entered, row.explanation, row.value) == ({}, None, None, None)


@pytest.mark.parametrize("name", ["random_forest", "bioage_blend", "bloodage_gradient_boosting"])
def test_a_page_shows_the_range_and_the_reasons(
    client: Client, user: User, predictors: dict[str, Predictor], name: str
) -> None:
    predictor = predictors[name]
    client.force_login(user)
    form = client.get(f"/estimate/{name}").context["form"]
    example = form.signature.example()
    filled = {
        form.add_prefix(key): "" if value is None else value for key, value in example.items()
    }

    bought = client.post(f"/estimate/{name}", {**filled, "confirm": len(filled)})
    assert bought.status_code == 302, bought.context["form"].errors
    assert predictor.current_version_id
    runner.run_queued(Prediction, predictor.current_version_id)
    page = client.get(bought["Location"]).content.decode()

    # The example of a blood test has nothing measured.
    range_text = "It may be between" if name.startswith("bloodage") else "Nine times in ten"
    assert range_text in page
    assert "Why this figure" in page
    assert ("Known cases most like it" in page) == (name == "random_forest")


def test_a_form_takes_another_unit(
    client: Client, user: User, predictors: dict[str, Predictor]
) -> None:
    client.force_login(user)
    filled = {"gender": "female", "pregnant": "0", "height": "70", "height_unit": "in"}
    form = client.get("/estimate/bloodage_ridge").context["form"]
    blank = {form.add_prefix(key): "" for key in form.fields}

    fields = {**blank, **filled, "confirm": "27"}
    bought = client.post("/estimate/bloodage_ridge", fields)

    assert bought.status_code == 302, bought.context["form"].errors
    row = Prediction.objects.get()
    assert row.data["height"] == pytest.approx(177.8)
    assert row.entered == {"height": {"value": 70, "unit": "in"}}
    again = client.get(f"/estimate/bloodage_ridge?like={row.pk}").content.decode()
    assert re.search('<option value="in"[^>]* selected', again)
