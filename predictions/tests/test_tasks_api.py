"""The task that /api/tasks shows, how one is submitted, and who may do what."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote
from uuid import UUID

import pytest
from rest_framework.test import APIClient

from accounts.models import User
from billing.services import set_available
from mlmodels.models import Predictor
from predictions.models import Prediction
from testing.fixtures import MakeUser
from testing.tasks_api import (
    CAR,
    EVERY_LIST,
    KEYS,
    LISTS,
    NO_TASK,
    ROUTES,
    STATUSES,
    Failure,
    Make,
    assert_refused,
    balance_and_held,
    cancel,
    create_draft,
    edit,
    error_fields,
    ids,
    read,
    run,
    stored_state,
    submit,
)

pytestmark = pytest.mark.django_db


# --- The task object ------------------------------------------------------------------------------


@pytest.mark.parametrize("status", STATUSES)
def test_a_task_has_the_same_keys_in_every_status(
    api: APIClient, make_task: Make, status: str
) -> None:
    body = read(api, make_task(status)).json()

    assert list(body) == KEYS
    assert body["status"] == status


@pytest.mark.parametrize(
    ("status", "filled"),
    [
        ("draft", []),
        ("queued", ["position", "queued_at"]),
        ("running", ["queued_at", "started_at"]),
        ("finished", ["queued_at", "started_at", "finished_at", "result"]),
        ("failed", ["queued_at", "started_at", "finished_at", "error"]),
        ("canceled", ["queued_at", "finished_at"]),
    ],
)
def test_what_is_not_so_yet_is_null(
    api: APIClient, make_task: Make, predictor: Predictor, status: str, filled: list[str]
) -> None:
    body = read(api, make_task(status)).json()

    nullable = ["position", "queued_at", "started_at", "finished_at", "result", "error"]
    assert [key for key in nullable if body[key] is not None] == filled
    assert body["charged"] == (predictor.price if status == "finished" else 0)
    assert body["price"] == predictor.price
    assert body["validation_errors"] == {}
    assert [each["code"] for each in body["warnings"]] == ["mostly_assumed"]


def test_a_task_shows_what_was_requested(
    api: APIClient, make_task: Make, predictor: Predictor
) -> None:
    key = make_task("queued")

    body = read(api, key).json()

    assert predictor.current_version
    assert body["task_id"] == key == str(UUID(key))
    assert body["model_name"] == "random_forest"
    assert body["model_version"] == predictor.current_version.label
    assert body["domain"] == "car_price"
    assert len(body["data"]) == 24
    assert {name: body["data"][name] for name in CAR} == CAR
    assert sorted(body["defaulted"]) == sorted(set(body["data"]) - set(CAR))
    assert (body["position"], body["explain"]) == (1, False)


def test_a_result_has_a_value_and_its_unit(api: APIClient, make_task: Make) -> None:
    result = read(api, make_task("finished")).json()["result"]

    assert set(result) >= {"value", "unit", "interval", "baseline", "factors"}
    assert (result["value"], result["unit"], result["factors"]) == (12345.5, "USD", None)
    assert result["interval"]["low"] < 12345.5 < result["interval"]["high"]
    assert result["interval"]["coverage"] == 0.9
    assert "1985" in result["note"]


@pytest.mark.parametrize("failure", Failure.values)
def test_an_error_has_a_code_and_a_sentence(api: APIClient, make_task: Make, failure: str) -> None:
    error = read(api, make_task("failed", failure=failure)).json()["error"]

    assert error == {"code": failure, "detail": Failure(failure).label}


def test_times_are_iso_8601_in_utc_and_follow_each_other(api: APIClient, make_task: Make) -> None:
    body = read(api, make_task("finished")).json()

    times = [body[key] for key in ("created_at", "queued_at", "started_at", "finished_at")]
    moments = [datetime.fromisoformat(text) for text in times]
    assert all(text.endswith("Z") for text in times)
    assert moments == sorted(moments)
    assert abs(moments[0] - datetime.now(UTC)) < timedelta(minutes=1)


@pytest.mark.parametrize("send", [submit, create_draft])
def test_explain_is_kept_and_false_if_left_out(
    api: APIClient, predictor: Predictor, send: Callable[..., Any]
) -> None:
    kept = [send(api, **sent).json()["explain"] for sent in ({"explain": True}, {})]

    assert kept == [True, False]


# --- POST /api/tasks/predict ----------------------------------------------------------------------


def test_a_submission_is_202_with_its_location_and_the_task(
    api: APIClient, user: User, predictor: Predictor
) -> None:
    response = submit(api, explain=True)

    body = response.json()
    assert response.status_code == 202
    assert response["Location"] == f"/api/tasks/{body['task_id']}"
    assert api.get(response["Location"]).json() == body
    assert (body["status"], body["explain"], body["price"]) == ("queued", True, predictor.price)
    assert balance_and_held(user) == (1000, predictor.price)


def test_the_price_is_fixed_when_it_is_submitted(
    api: APIClient, make_task: Make, predictor: Predictor
) -> None:
    keys = [make_task(status) for status in ("queued", "running", "finished", "failed", "canceled")]
    price = predictor.price
    Predictor.objects.update(price=999)

    assert {read(api, key).json()["price"] for key in keys} == {price}


@pytest.mark.parametrize(
    ("changes", "fields"),
    [
        ({"data": {}}, ["data"]),
        ({"data": None}, ["data"]),
        ({"data": []}, ["data"]),
        ({"data": "bmw"}, ["data"]),
        ({"data": [CAR]}, ["data"]),
        ({"data": {"horsepower": [121]}}, ["horsepower"]),
        (
            {"data": {"horsepower": -1, "wings": 2, "brand": "tesla"}},
            ["brand", "horsepower", "wings"],
        ),
        ({"data": {"horsepower": True, "stroke": None}}, ["horsepower"]),
        ({"data": {"horsepower": None, "stroke": None}}, ["data"]),
        ({"data": {"make": "bmw", "brand": "bmw"}}, ["make"]),
        ({"data": {"Horse Power": 121, "HORSEPOWER": 121}}, ["HORSEPOWER"]),
        ({"data": {"brand": "bmw", "CarName": "bmw x3"}}, ["CarName"]),
        ({"explain": 1}, ["explain"]),
        ({"explain": "true"}, ["explain"]),
        ({"explain": None}, ["explain"]),
        ({"model_name": 7}, ["model_name"]),
        ({"model_name": ""}, ["model_name"]),
        ({"model_name": None}, ["model_name"]),
        ({"price": 1}, ["price"]),
        ({"status": "finished", "user": 1, "task_id": NO_TASK}, ["status", "task_id", "user"]),
    ],
)
def test_a_bad_submission_is_400_and_names_each_field(
    api: APIClient, user: User, predictor: Predictor, changes: dict[str, Any], fields: list[str]
) -> None:
    before = stored_state(user)

    assert error_fields(submit(api, **changes)) == fields
    assert stored_state(user) == before


@pytest.mark.parametrize("field", ["model_name", "data"])
def test_a_submission_needs_both_fields(api: APIClient, predictor: Predictor, field: str) -> None:
    body = {"model_name": "random_forest", "data": CAR}
    del body[field]

    response = api.post("/api/tasks/predict", body, format="json")

    assert error_fields(response) == [field]


@pytest.mark.parametrize("path", ["/api/tasks/predict", "/api/tasks"])
def test_an_unknown_model_is_404_before_errors_in_its_data(
    api: APIClient, user: User, predictor: Predictor, path: str
) -> None:
    Predictor.objects.filter(name="linear_regression").update(enabled=False)

    for name in ("no_such", "linear_regression", "random_forest ", "RANDOM_FOREST"):
        response = api.post(path, {"model_name": name, "data": {"wings": 2}}, format="json")
        assert_refused(response, 404, "predictor_not_found")
    assert not Prediction.objects.exists()


def test_too_few_credits_is_402_and_changes_nothing(
    api: APIClient, user: User, predictor: Predictor
) -> None:
    set_available(user_id=user.pk, new_amount=predictor.price - 1)
    before = stored_state(user)

    body = assert_refused(submit(api), 402, "insufficient_credits")

    assert (body["required"], body["available"]) == (predictor.price, predictor.price - 1)
    assert stored_state(user) == before


def test_answers_have_the_features_choices_and_units_own_names(
    api: APIClient, predictor: Predictor
) -> None:
    sent = {
        "Make": "Alfa Romeo",
        "num-of-doors": 4,
        "Fuel": "Petrol",
        "Power": {"value": 90, "unit": "kw"},
        "Weight": {"value": 2600, "unit": "lbs"},
        "stroke": None,
    }

    body = submit(api, data=sent).json()

    used = {name: value for name, value in body["data"].items() if name not in body["defaulted"]}
    assert used == {
        "brand": "alfa-romero",
        "doornumber": "four",
        "fueltype": "gas",
        "horsepower": 121,
        "curbweight": 2600,
    }
    assert body["entered"] == {"horsepower": {"value": 90, "unit": "kW"}}
    assert "stroke" in body["defaulted"]


def test_an_unknown_make_is_refused_with_the_nearest(api: APIClient, predictor: Predictor) -> None:
    errors = submit(api, data={"brand": "Peugoot"}).json()["errors"]

    assert errors["brand"][0].startswith("Peugoot? Did you mean peugeot? Choose one of: alfa-rom")


def test_a_car_name_is_sent_instead_of_a_brand(api: APIClient, predictor: Predictor) -> None:
    body = submit(api, data={"CarName": "vw dasher"}).json()

    assert body["data"]["brand"] == "volkswagen"
    assert "CarName" not in body["data"]
    assert "brand" not in body["defaulted"]


# --- Whose it is, and what an id is ---------------------------------------------------------------


EVERY_ROUTE = pytest.mark.parametrize("route", ROUTES)


@EVERY_ROUTE
def test_anothers_task_is_answered_like_a_missing_one(
    api: APIClient, user: User, make_task: Make, make_user: MakeUser, route: str
) -> None:
    other = make_user("bob@example.com")
    keys = [make_task(status, of=other) for status in STATUSES]
    before = stored_state(user)

    missing = ROUTES[route](api, NO_TASK)

    assert_refused(missing, 404, "not_found")
    for key in keys:
        foreign = ROUTES[route](api, key)
        assert (foreign.status_code, foreign.content) == (404, missing.content)
        own = {"X-Request-ID": "", "RateLimit": ""}
        assert {**foreign.headers, **own} == {**missing.headers, **own}
    assert stored_state(user) == before


@EVERY_LIST
def test_the_tasks_of_others_are_not_listed(
    api: APIClient, make_task: Make, make_user: MakeUser, path: str
) -> None:
    make_task("queued", of=make_user("bob@example.com"))

    assert ids(api.get(path)) == []


ODD_IDS = [
    "1", "-1", "0", "null", "None", "%00", "a%00b", "x" * 3000, "..", "%2e%2e", "..%2f..%2fx",
    "00000000-0000-0000-0000-00000000000g", "'; DROP TABLE users; --", "{}", "[]", "urn:uuid:",
    "\U0001f697", "%ff%fe", " ", "%20", "0x" + "1" * 30, "1_" * 16, "+" + "1" * 31, "１" * 32,
    "-" * 32, "{" + "1" * 32, NO_TASK + "0", NO_TASK[:-1], NO_TASK + "%0a",
]  # fmt: skip


@EVERY_ROUTE
def test_an_odd_id_is_404(api: APIClient, user: User, make_task: Make, route: str) -> None:
    make_task("draft")
    before = stored_state(user)

    for odd in ODD_IDS:
        response = ROUTES[route](api, odd if "%" in odd else quote(odd))
        assert_refused(response, 404, "not_found")
    assert stored_state(user) == before


@pytest.mark.parametrize(
    "spell",
    [
        str.upper,
        lambda key: key.replace("-", ""),
        lambda key: f"{{{key}}}",
        lambda key: f"urn:uuid:{key}",
    ],
    ids=["capitals", "without-hyphens", "in-braces", "urn"],
)
def test_another_spelling_of_an_id_is_the_same_task_or_none(
    api: APIClient, make_task: Make, spell: Callable[[str], str]
) -> None:
    key = make_task("queued")

    response = read(api, quote(spell(key)))

    assert response.status_code == 404 or response.json()["task_id"] == key


# --- Who may, and how -----------------------------------------------------------------------------


ALLOWED = {
    "/api/tasks": {"GET", "POST"},
    "/api/tasks/predict": {"POST"},
    "/api/tasks/history": {"GET"},
    "/api/tasks/running": {"GET"},
    f"/api/tasks/{NO_TASK}": {"GET", "PATCH", "DELETE"},
    f"/api/tasks/{NO_TASK}/run": {"POST"},
    f"/api/tasks/{NO_TASK}/cancel": {"POST"},
}
METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE"]


@pytest.mark.parametrize("path", ALLOWED)
def test_without_a_token_it_is_401(db: None, path: str) -> None:
    for method in METHODS:
        response = APIClient().generic(method, path)

        assert_refused(response, 401, "not_authenticated")
        assert response["WWW-Authenticate"] == "Bearer"


@pytest.mark.parametrize("path", ALLOWED)
def test_a_wrong_method_is_405_and_names_the_right_ones(api: APIClient, path: str) -> None:
    for method in sorted(set(METHODS) - ALLOWED[path]):
        response = api.generic(method, path)

        assert_refused(response, 405, "method_not_allowed")
        assert set(response["Allow"].split(", ")) - {"OPTIONS", "HEAD"} == ALLOWED[path]


@pytest.mark.parametrize("path", [path for path in ALLOWED if "POST" in ALLOWED[path]])
@pytest.mark.parametrize("content_type", ["text/plain", "multipart/form-data; boundary=x"])
def test_another_content_type_is_415(api: APIClient, path: str, content_type: str) -> None:
    response = api.generic("POST", path, "{}", content_type)

    assert_refused(response, 415, "unsupported_media_type")


@pytest.mark.parametrize("path", [path for path in ALLOWED if "POST" in ALLOWED[path]])
@pytest.mark.parametrize("body", ["{", "[" * 10_000, '{"data": NaN}', '{"data": 1e999}', "\udcff"])
def test_what_is_no_json_is_400(api: APIClient, path: str, body: str) -> None:
    content: Any = body.encode(errors="surrogateescape")

    error_fields(api.generic("POST", path, content, "application/json"))


def test_a_number_that_is_not_known_is_sent_as_null(api: APIClient) -> None:
    body: Any = b'{"data": {"stroke": NaN}}'

    response = api.generic("POST", "/api/tasks/predict", body, "application/json")

    assert error_fields(response) == ["stroke"]
    assert "Send null for what is not known." in response.content.decode()


def test_refusals_come_in_the_order_of_the_contract(
    api: APIClient, user: User, make_task: Make, predictor: Predictor
) -> None:
    key = make_task("queued")
    set_available(user_id=user.pk, new_amount=0)

    answers = [
        edit(api, NO_TASK, {}),  # 400 before 404
        run(api, NO_TASK, {"x": 1}),
        cancel(api, NO_TASK, {"x": 1}),
        edit(api, key, {"x": 1}),  # 400 before 409
        run(api, key),  # 409 before 402
        run(api, make_task("draft", data={})),  # 400 before 402
        submit(api, model_name="no_such"),  # 404 before 402
        submit(api, data={}),
    ]

    statuses = [answer.status_code for answer in answers]
    assert statuses == [400, 400, 400, 400, 409, 400, 404, 400]


@pytest.mark.parametrize("path", [*LISTS, "/api/tasks/running", "/api/tasks/{key}"])
def test_a_browser_gets_the_browsable_api(user: User, make_task: Make, path: str) -> None:
    client = APIClient()
    client.force_login(user)

    response = client.get(path.format(key=make_task("finished")), HTTP_ACCEPT="text/html")

    assert response.status_code == 200
    assert response["Content-Type"].startswith("text/html")
