"""The rows of the root contract about predictions."""

import re
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from pytest_django import DjangoCaptureOnCommitCallbacks
from rest_framework.test import APIClient

from accounts.models import User
from billing.services import set_available
from mlmodels.models import Predictor
from predictions import notifications
from predictions.execution import claims
from predictions.models import Prediction
from predictions.services import request_prediction
from testing.root_contract import (
    CAR,
    assert_refused,
    job,
    order,
    run,
    send,
    state,
)

pytestmark = pytest.mark.django_db
UNKNOWN_JOB = "00000000-0000-4000-8000-000000000000"


# --- GET /predictors ------------------------------------------------------------------------------


def test_predictors_are_listed_cheapest_first(
    api: APIClient, predictors: dict[str, Predictor]
) -> None:
    response = api.get("/predictors")

    rows = sorted(predictors.values(), key=lambda row: (row.price, row.name))
    assert response.status_code == 200
    assert response.json() == {
        "models": [{"model_name": row.name, "price": row.price} for row in rows]
    }


def test_a_disabled_predictor_is_not_listed(api: APIClient, predictor: Predictor) -> None:
    Predictor.objects.filter(pk=predictor.pk).update(enabled=False)

    names = [row["model_name"] for row in api.get("/predictors").json()["models"]]

    others = Predictor.objects.exclude(pk=predictor.pk).values_list("name", flat=True)
    assert sorted(names) == sorted(others)


def test_an_empty_catalogue_is_an_empty_list(api: APIClient) -> None:
    response = api.get("/predictors")

    assert (response.status_code, response.json()) == (200, {"models": []})


# --- POST /predict --------------------------------------------------------------------------------


def test_a_submission_is_202_with_its_id_and_nothing_else(
    api: APIClient, predictor: Predictor
) -> None:
    response = order(api)

    prediction = Prediction.objects.get()
    assert response.status_code == 202
    assert response.json() == {"job_id": str(prediction.pk)}


def test_a_submission_holds_the_price_and_charges_nothing_yet(
    api: APIClient, user: User, predictor: Predictor
) -> None:
    order(api)

    assert state(user) == (1, 2, 1000, predictor.price)


def test_the_price_is_fixed_at_submission(api: APIClient, user: User, predictor: Predictor) -> None:
    price = predictor.price
    job_id = order(api).json()["job_id"]
    Predictor.objects.filter(pk=predictor.pk).update(price=900)

    run(job_id)

    assert state(user)[2:] == (1000 - price, 0)


@pytest.mark.parametrize(
    "data",
    [
        pytest.param({"brand": "bmw", "horsepower": 121}, id="bare-values"),
        pytest.param({"brand": ["bmw"], "horsepower": [121]}, id="one-item-lists"),
        pytest.param({"brand": "bmw", "horsepower": [121]}, id="mixed"),
        pytest.param({"CarName": "bmw 320i", "horsepower": 121}, id="CarName"),
        pytest.param({"CarName": ["BMW x3"], "horsepower": [121]}, id="CarName-in-a-list"),
    ],
)
def test_one_row_may_be_written_in_several_ways(
    api: APIClient, predictor: Predictor, data: dict[str, Any]
) -> None:
    response = order(api, data=data)

    used = Prediction.objects.get().data
    assert response.status_code == 202
    assert (used["brand"], used["horsepower"]) == ("bmw", 121)


@pytest.mark.parametrize(
    ("car_name", "brand"),
    [
        ("maxda rx3", "mazda"),
        ("porcshce panamera", "porsche"),
        ("toyouta tercel", "toyota"),
        ("vokswagen rabbit", "volkswagen"),
        ("vw dasher", "volkswagen"),
        ("Nissan clipper", "nissan"),
        ("buick century", "mercedes-benz"),
        ("alfa-romero giulia", "alfa-romero"),
        ("  saab   99e ", "saab"),
    ],
)
def test_a_car_name_is_reduced_to_its_make(
    api: APIClient, predictor: Predictor, car_name: str, brand: str
) -> None:
    order(api, data={"CarName": car_name})

    assert Prediction.objects.get().data["brand"] == brand


def test_features_left_out_take_their_default_and_are_named(
    api: APIClient, predictor: Predictor
) -> None:
    order(api, data={"brand": "bmw"})

    prediction = Prediction.objects.get()
    assert len(prediction.data) == 24
    assert sorted(prediction.defaulted) == sorted(set(prediction.data) - {"brand"})


@pytest.mark.parametrize(
    ("data", "named"),
    [
        pytest.param({}, ["data"], id="no-feature"),
        pytest.param({"horsepower": []}, ["horsepower"], id="no-row"),
        pytest.param({"horsepower": [121, 122]}, ["horsepower"], id="two-rows"),
        pytest.param({"brand": ["bmw"] * 2, "stroke": [3] * 2}, ["brand", "stroke"], id="2x2"),
        pytest.param({"brand": ["bmw"], "stroke": [3, 3]}, ["stroke"], id="ragged"),
        pytest.param({"horsepower": [[121]]}, ["horsepower"], id="a-list-in-a-list"),
        pytest.param({"wings": 2}, ["wings"], id="unknown-feature"),
        pytest.param({"horsepower": 0}, ["horsepower"], id="below-the-limit"),
        pytest.param({"horsepower": 2001}, ["horsepower"], id="above-the-limit"),
        pytest.param({"brand": "tesla"}, ["brand"], id="unknown-category"),
        pytest.param({"CarName": 7}, ["CarName"], id="CarName-no-text"),
        pytest.param({"CarName": "bmw", "brand": "bmw"}, ["CarName"], id="CarName-and-brand"),
        pytest.param({"price": 1, "stroke": "x"}, ["price", "stroke"], id="several-at-once"),
    ],
)
def test_bad_data_is_400_and_names_each_feature(
    api: APIClient, user: User, predictor: Predictor, data: Any, named: list[str]
) -> None:
    before = state(user)

    response = order(api, data=data)

    assert sorted(assert_refused(response, 400, "invalid_request")) == named
    assert state(user) == before


@pytest.mark.parametrize("car_name", ["tesla model s", "", "   "])
def test_an_unknown_make_in_a_car_name_is_400(
    api: APIClient, user: User, predictor: Predictor, car_name: str
) -> None:
    before = state(user)

    response = order(api, data={"CarName": car_name})

    assert assert_refused(response, 400, "invalid_request").keys() <= {"brand", "CarName"}
    assert state(user) == before


@pytest.mark.parametrize("field", ["model_name", "data"])
def test_a_submission_needs_both_fields(
    api: APIClient, user: User, predictor: Predictor, field: str
) -> None:
    before = state(user)
    body: dict[str, Any] = {"model_name": "random_forest", "data": CAR}
    del body[field]

    response = api.post("/predict", body, format="json")

    assert list(assert_refused(response, 400, "invalid_request")) == [field]
    assert state(user) == before


@pytest.mark.parametrize("name", ["no_such", "Random_Forest", "car_price", "1", "../x", "🚗"])
def test_an_unknown_model_is_404(
    api: APIClient, user: User, predictor: Predictor, name: str
) -> None:
    before = state(user)

    response = order(api, model_name=name)

    assert_refused(response, 404, "predictor_not_found")
    assert state(user) == before


def test_a_disabled_predictor_cannot_be_bought(
    api: APIClient, user: User, predictor: Predictor
) -> None:
    Predictor.objects.filter(pk=predictor.pk).update(enabled=False)
    before = state(user)

    response = order(api)

    assert_refused(response, 404, "predictor_not_found")
    assert state(user) == before


@pytest.mark.parametrize("missing", [1, 40])
def test_too_few_credits_is_402_with_what_is_needed_and_there(
    api: APIClient, user: User, predictor: Predictor, missing: int
) -> None:
    available = max(0, predictor.price - missing)
    set_available(user_id=user.pk, new_amount=available)
    before = state(user)

    response = order(api)

    assert_refused(response, 402, "insufficient_credits")
    assert response.json()["required"] == predictor.price
    assert response.json()["available"] == available
    assert state(user) == before


def test_the_last_credits_can_be_spent(api: APIClient, user: User, predictor: Predictor) -> None:
    set_available(user_id=user.pk, new_amount=predictor.price)

    assert order(api).status_code == 202
    assert_refused(order(api), 402, "insufficient_credits")


def test_credits_that_are_held_cannot_be_spent_again(
    api: APIClient, user: User, predictor: Predictor
) -> None:
    set_available(user_id=user.pk, new_amount=2 * predictor.price - 1)
    order(api)

    response = order(api)

    assert_refused(response, 402, "insufficient_credits")
    assert response.json()["available"] == predictor.price - 1


@pytest.mark.parametrize("broker", ["redis://127.0.0.1:1/0", "amqp://guest:guest@127.0.0.1:1//"])
def test_a_submission_is_202_although_the_broker_is_unreachable(
    api: APIClient,
    user: User,
    predictor: Predictor,
    settings: Any,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks,
    broker: str,
) -> None:
    settings.CELERY_BROKER_URL = broker
    settings.BROKER_KIND = broker.partition(":")[0]
    publisher = notifications.Publisher()
    publisher.start()
    monkeypatch.setattr(notifications, "_current", publisher)

    with django_capture_on_commit_callbacks(execute=True):
        response = order(api)

    deadline = time.monotonic() + 20
    while "The broker took no message" not in caplog.text and time.monotonic() < deadline:
        time.sleep(0.01)
    publisher.flush(timeout=0)
    assert response.status_code == 202
    assert state(user) == (1, 2, 1000, predictor.price)
    assert "The broker took no message" in caplog.text


# --- GET /predict ---------------------------------------------------------------------------------


def test_a_waiting_job_has_no_end_and_no_result(api: APIClient, predictor: Predictor) -> None:
    job_id = order(api).json()["job_id"]

    response = job(api, job_id)

    answer = response.json()
    assert response.status_code == 200
    assert re.fullmatch(r"\d\d/\d\d/\d{4}, \d\d:\d\d:\d\d", answer.pop("created_at"))
    assert answer == {
        "job_id": job_id,
        "status": "queued",
        "model_name": "random_forest",
        "finished_at": None,
        "result": None,
    }


def test_a_finished_job_has_a_plain_number_and_is_charged(
    api: APIClient, user: User, predictor: Predictor
) -> None:
    job_id = order(api).json()["job_id"]
    prediction = run(job_id)

    answer = job(api, job_id).json()

    assert answer["status"] == "finished"
    assert isinstance(answer["result"], float)
    assert answer["result"] == prediction.value
    assert 5_000 < answer["result"] < 50_000
    assert re.fullmatch(r"\d\d/\d\d/\d{4}, \d\d:\d\d:\d\d", answer["finished_at"])
    assert state(user)[2:] == (1000 - predictor.price, 0)


def test_a_failed_job_has_an_end_no_result_and_costs_nothing(
    api: APIClient, user: User, predictor: Predictor, settings: Any, tmp_path: Any
) -> None:
    settings.MODELS_DIR = tmp_path
    job_id = order(api).json()["job_id"]
    run(job_id)

    answer = job(api, job_id).json()

    assert (answer["status"], answer["result"]) == ("failed", None)
    assert answer["finished_at"] is not None
    assert state(user)[2:] == (1000, 0)


@pytest.mark.parametrize("field", ["created_at", "finished_at"])
def test_times_are_written_day_first_in_utc(
    api: APIClient, predictor: Predictor, field: str
) -> None:
    job_id = order(api).json()["job_id"]
    run(job_id)
    moment = datetime(2025, 5, 10, 15, 0, 0, 999_999, tzinfo=UTC)
    Prediction.objects.filter(pk=job_id).update(**{field: moment})

    assert job(api, job_id).json()[field] == "10/05/2025, 15:00:00"


def test_a_job_may_be_asked_for_in_a_json_body(api: APIClient, predictor: Predictor) -> None:
    job_id = order(api).json()["job_id"]

    in_body = send(api, "/predict", f'{{"job_id": "{job_id}"}}'.encode(), method="GET")

    assert in_body.status_code == 200
    assert in_body.content == job(api, job_id).content


@pytest.mark.parametrize("form", [str.upper, "{{{}}}".format, "urn:uuid:{}".format])
def test_another_spelling_of_an_id_is_the_same_job_or_none(
    api: APIClient, predictor: Predictor, form: Callable[[str], str]
) -> None:
    job_id = order(api).json()["job_id"]

    response = job(api, form(job_id))

    if response.status_code == 200:
        assert response.json()["job_id"] == job_id
    else:
        assert_refused(response, 404, "not_found")


def test_the_job_of_another_user_is_answered_like_one_that_does_not_exist(
    api: APIClient,
    predictor: Predictor,
    make_user: Callable[..., User],
    client_of: Callable[[User], APIClient],
) -> None:
    job_id = order(api).json()["job_id"]
    stranger = client_of(make_user("eve@example.com"))

    theirs = job(stranger, job_id)

    assert_refused(theirs, 404, "not_found")
    assert theirs.content == job(stranger, UNKNOWN_JOB).content


@pytest.mark.parametrize("where", ["query", "body"])
@pytest.mark.parametrize(
    "job_id",
    [
        pytest.param(UNKNOWN_JOB, id="unknown"),
        pytest.param("", id="empty"),
        pytest.param(" ", id="blank"),
        pytest.param("1", id="a-digit"),
        pytest.param("../x", id="a-path"),
        pytest.param("' OR 1=1 --", id="sql"),
        pytest.param("é" * 36, id="not-ascii"),
        pytest.param("１" * 32, id="full-width-digits"),
        pytest.param("x" * 1000, id="1000-characters"),
    ],
)
def test_any_unknown_string_is_404(
    api: APIClient, predictor: Predictor, where: str, job_id: str
) -> None:
    if where == "query":
        response = job(api, job_id)
    else:
        response = send(api, "/predict", f'{{"job_id": "{job_id}"}}'.encode(), method="GET")

    assert_refused(response, 404, "not_found")


@pytest.mark.parametrize("job_id", ["%00", "x" * 10_000])
def test_an_odd_string_in_the_query_is_404(api: APIClient, job_id: str) -> None:
    response = api.get(f"/predict?job_id={job_id}")

    assert_refused(response, 404, "not_found")


@pytest.mark.parametrize("job_id", ["1", "1.5", "true", "null", "[]", '["x"]', "{}", '{"a":1}'])
def test_a_job_id_of_another_type_is_400(api: APIClient, job_id: str) -> None:
    body = f'{{"job_id": {job_id}}}'

    response = send(api, "/predict", body.encode(), method="GET")

    assert list(assert_refused(response, 400, "invalid_request")) == ["job_id"]


def test_asking_for_no_job_is_400(api: APIClient) -> None:
    response = api.get("/predict")

    assert list(assert_refused(response, 400, "invalid_request")) == ["job_id"]


def test_an_unknown_query_parameter_is_400(api: APIClient) -> None:
    response = api.get("/predict", {"job_id": UNKNOWN_JOB, "verbose": "1"})

    assert list(assert_refused(response, 400, "invalid_request")) == ["verbose"]


# --- GET /history and GET /running ----------------------------------------------------------------


def test_history_and_running_are_empty_at_first(api: APIClient) -> None:
    assert api.get("/history").json() == {"job_ids": []}
    assert api.get("/running").json() == {"job_ids": []}


def test_history_lists_the_newest_submission_first(
    api: APIClient, predictors: dict[str, Predictor]
) -> None:
    names = [name for name, row in predictors.items() if row.domain == "car_price"]
    ids = [order(api, model_name=name).json()["job_id"] for name in [*names, *names]]

    response = api.get("/history")

    assert (response.status_code, response.json()) == (200, {"job_ids": ids[::-1]})


def test_history_keeps_what_has_ended_and_running_drops_it(
    api: APIClient, predictors: dict[str, Predictor]
) -> None:
    done = order(api, model_name="linear_regression").json()["job_id"]
    waiting = order(api, model_name="random_forest").json()["job_id"]
    run(done)

    assert api.get("/history").json() == {"job_ids": [waiting, done]}
    assert api.get("/running").json() == {"job_ids": [waiting]}


def test_a_job_that_a_worker_has_claimed_is_running(api: APIClient, predictor: Predictor) -> None:
    job_id = order(api).json()["job_id"]
    assert predictor.current_version_id
    claims.claim_first_attempts(Prediction, predictor.current_version_id)

    assert job(api, job_id).json()["status"] == "running"
    assert api.get("/running").json() == {"job_ids": [job_id]}


def test_drafts_are_in_neither_list(api: APIClient, user: User, predictor: Predictor) -> None:
    assert predictor.current_version_id
    Prediction.objects.create(
        user=user,
        predictor=predictor,
        version_id=predictor.current_version_id,
        status=Prediction.Status.DRAFT,
        price=predictor.price,
        data={},
    )

    assert api.get("/history").json() == {"job_ids": []}
    assert api.get("/running").json() == {"job_ids": []}


@pytest.mark.parametrize("path", ["/history", "/running"])
def test_the_jobs_of_others_are_not_listed(
    api: APIClient, predictor: Predictor, make_user: Callable[..., User], path: str
) -> None:
    other = make_user("bob@example.com")
    request_prediction(user=other, predictor=predictor, data=CAR)

    assert api.get(path).json() == {"job_ids": []}
