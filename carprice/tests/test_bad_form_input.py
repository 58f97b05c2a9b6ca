"""Bad input in the estimate form and in the addresses of pages."""

import re
from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client
from rest_framework.test import APIClient

from accounts.models import User
from mlmodels.models import Predictor
from predictions.models import Prediction
from testing.bad_input import state

pytestmark = pytest.mark.django_db


@pytest.fixture
def browser(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


def typed(predictor: Predictor, **changes: str) -> dict[str, str]:
    """Every field of the estimate form filled in, with its typical value or another."""
    assert predictor.current_version
    defaults = {item["name"]: str(item["default"]) for item in predictor.current_version.signature}
    return {**defaults, **changes}


def field_error(response: Any, field: str) -> str:
    pattern = rf'<p class="error" id="id_{field}_error">(.*?)</p>'
    message = re.search(pattern, response.content.decode())
    assert message, f"no message at {field}"
    return message[1].strip()


def test_the_estimate_form_filled_in_is_accepted(
    browser: Client, user: User, predictor: Predictor
) -> None:
    response = browser.post("/estimate/random_forest", typed(predictor))

    prediction = Prediction.objects.get()
    assert (response.status_code, response["Location"]) == (302, f"/predictions/{prediction.pk}")
    assert state(user)[3:] == (1000, predictor.price)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("brand", "tesla"),
        ("brand", "<script>"),
        ("brand", "bmw\x00"),
        ("horsepower", "0"),
        ("horsepower", "2001"),
        ("horsepower", "110.5"),
        ("horsepower", "many"),
        ("horsepower", "9" * 5_000),
        ("horsepower", "-1"),
        ("stroke", "NaN"),
        ("stroke", "inf"),
        ("stroke", "-inf"),
        ("stroke", "1e999"),
        ("stroke", "0"),
        ("stroke", "11"),
        ("stroke", "3-2"),
        ("stroke", "<3"),
        ("stroke", "3.2 hp"),
        ("curbweight", "2,548"),
        ("stroke", "3.2\x00"),
        ("symboling", "4"),
    ],
)
def test_the_estimate_form_says_at_the_field_what_is_wrong(
    browser: Client, user: User, predictor: Predictor, field: str, value: str
) -> None:
    before = state(user)

    response = browser.post("/estimate/random_forest", typed(predictor, **{field: value}))

    assert response.status_code == 422
    assert field_error(response, field)
    assert state(user) == before


def test_an_empty_estimate_form_is_refused(
    browser: Client, user: User, predictor: Predictor
) -> None:
    before = state(user)

    response = browser.post("/estimate/random_forest", {})

    assert response.status_code == 422
    assert "Fill in at least one value" in response.content.decode()
    assert state(user) == before


def test_the_estimate_form_says_that_credits_are_too_few(
    make_user: Callable[..., User], predictor: Predictor
) -> None:
    poor = make_user("poor@example.com", credit=predictor.price - 1)
    before = state(poor)
    client = Client()
    client.force_login(poor)

    response = client.post("/estimate/random_forest", typed(predictor))

    assert response.status_code == 422
    price = predictor.price
    sentence = f"{price} credits are needed and {price - 1} are available."
    assert sentence in response.content.decode()
    assert state(poor) == before


@pytest.mark.parametrize("field", ["price", "status", "user", "hold", "id"])
def test_extra_fields_of_the_estimate_form_change_nothing(
    browser: Client, user: User, predictor: Predictor, field: str
) -> None:
    browser.post("/estimate/random_forest", typed(predictor, **{field: "1"}))

    prediction = Prediction.objects.get()
    assert (prediction.price, prediction.status) == (predictor.price, "queued")
    assert prediction.user == user
    assert field not in prediction.data


def test_an_estimate_form_from_another_site_is_refused(user: User, predictor: Predictor) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(user)
    before = state(user)

    response = client.post("/estimate/random_forest", typed(predictor))

    assert response.status_code == 403
    assert state(user) == before


@pytest.mark.parametrize(
    "path",
    [
        "/estimate/no_such",
        "/estimate/" + "x" * 5_000,
        "/predictions/00000000-0000-4000-8000-000000000000",
        "/predictions/1",
        "/predictions/%00",
        "/predictions/..%2Fx",
        "/predictions/" + "x" * 10_000,
        "/predictions/00000000-0000-4000-8000-000000000000/status",
    ],
    ids=lambda path: path[:50],
)
def test_a_page_of_nothing_is_a_404_page(browser: Client, predictor: Predictor, path: str) -> None:
    response = browser.get(path, HTTP_ACCEPT="text/html")

    assert response.status_code == 404
    assert "Error 404" in response.content.decode()


@pytest.mark.parametrize("part", ["", "/status"])
def test_the_page_of_anothers_prediction_is_like_one_of_none(
    browser: Client, api: APIClient, predictor: Predictor, make_user: Callable[..., User], part: str
) -> None:
    body = {"model_name": "random_forest", "data": {"brand": "bmw"}}
    job_id = api.post("/predict", body, format="json").json()["job_id"]
    stranger = Client()
    stranger.force_login(make_user("eve@example.com"))

    theirs = stranger.get(f"/predictions/{job_id}{part}")

    assert browser.get(f"/predictions/{job_id}{part}").status_code == 200
    assert theirs.status_code == 404
    missing = stranger.get(f"/predictions/00000000-0000-4000-8000-000000000000{part}")
    assert theirs.content == missing.content


@pytest.mark.parametrize("page", ["0", "-1", "abc", "1e9", "9" * 30, "%00"])
def test_an_odd_page_number_of_the_history_does_no_harm(browser: Client, page: str) -> None:
    assert browser.get(f"/predictions?page={page}").status_code == 200
