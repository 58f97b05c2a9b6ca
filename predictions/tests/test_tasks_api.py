"""Every route of /api/tasks, to the letter of the contract."""

import json
import re
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote
from uuid import UUID

import pytest
from django.apps import apps
from django.db import connection, connections
from django.test.utils import CaptureQueriesContext
from rest_framework.test import APIClient

from accounts.models import User
from billing.models import CreditAccount, LedgerEntry
from billing.services import set_available
from carprice.db.dialect import Moment
from carprice.idempotency.models import IdempotencyKey
from mlmodels.models import Predictor
from predictions import services, waiting
from predictions.audit import breaches
from predictions.execution import claims, recovery, runner, scoring, settlement
from predictions.models import Prediction

pytestmark = pytest.mark.django_db

CAR = {"brand": "bmw", "horsepower": 121}
NO_TASK = "00000000-0000-4000-8000-000000000000"
KEYS = [
    "task_id",
    "status",
    "model_name",
    "model_version",
    "domain",
    "price",
    "charged",
    "explain",
    "data",
    "defaulted",
    "entered",
    "warnings",
    "validation_errors",
    "position",
    "created_at",
    "queued_at",
    "started_at",
    "finished_at",
    "result",
    "error",
]
STATUSES = ["draft", "queued", "running", "finished", "failed", "canceled"]
ENDED = ["finished", "failed", "canceled"]
Status = Prediction.Status
Failure = Prediction.Failure
Make = Callable[..., str]
ClientOf = Callable[[User], APIClient]
MakeUser = Callable[..., User]


# --- Helpers -------------------------------------------------------------------------------------


@pytest.fixture
def make(user: User, predictor: Predictor) -> Make:
    """A task of the user in any status; returns its id."""

    def make(
        status: str,
        *,
        of: User = user,
        by: Predictor = predictor,
        data: Any = CAR,
        explain: bool = False,
        failure: str = Failure.INVALID_INPUT,
    ) -> str:
        if status == "draft":
            row = services.create_draft(user=of, predictor=by, data=data, explain=explain)
            return str(row.pk)
        row = services.request_prediction(user=of, predictor=by, data=data, explain=explain)
        if status == "canceled":
            services.cancel(user=of, prediction_id=row.pk)
        if status in ("running", "finished", "failed"):
            claim = claim_alone(row.pk)
            if status != "running":
                outcome = scoring.Outcome(
                    claim.rows[0],
                    value=12345.5 if status == "finished" else None,
                    failure="" if status == "finished" else failure,
                )
                settlement.settle(claim, [outcome])
        return str(row.pk)

    return make


def claim_alone(key: UUID) -> claims.Claim:
    """Claim a row as a worker does, and leave all others as they were."""
    version_id = Prediction.objects.get(pk=key).version_id
    claim = claims.claim_first_attempts(Prediction, version_id)
    assert claim
    own = [row for row in claim.rows if row.id == key]
    others = [row for row in claim.rows if row.id != key]
    settlement.give_back(claims.Claim(Prediction, claim.token, version_id, others))
    return claims.Claim(Prediction, claim.token, version_id, own)


def ask(api: APIClient, **changes: Any) -> Any:
    """POST /api/tasks/predict."""
    body = {"model_name": "random_forest", "data": CAR, **changes}
    return api.post("/api/tasks/predict", body, format="json")


def keep(api: APIClient, **fields: Any) -> Any:
    """POST /api/tasks."""
    return api.post("/api/tasks", {"model_name": "random_forest", **fields}, format="json")


def change(api: APIClient, task_id: str, body: Any) -> Any:
    return api.patch(f"/api/tasks/{task_id}", body, format="json")


def run(api: APIClient, task_id: str, body: Any = None) -> Any:
    return api.post(f"/api/tasks/{task_id}/run", body, format="json")


def cancel(api: APIClient, task_id: str, body: Any = None) -> Any:
    return api.post(f"/api/tasks/{task_id}/cancel", body, format="json")


def delete(api: APIClient, task_id: str) -> Any:
    return api.delete(f"/api/tasks/{task_id}")


def read(api: APIClient, task_id: str, wait: str | None = None) -> Any:
    return api.get(f"/api/tasks/{task_id}", {} if wait is None else {"wait": wait})


def ids(response: Any) -> list[str]:
    assert response.status_code == 200
    assert set(response.json()) == {"next", "previous", "results"}
    return [item["task_id"] for item in response.json()["results"]]


def money(user: User) -> tuple[int, int]:
    account = CreditAccount.objects.get(pk=user.pk)
    return account.balance, account.held


def everything(user: User) -> tuple[Any, ...]:
    """What a refused request must leave as it was."""
    columns = ("pk", "status", "data", "explain", "price", "value", "erased_at", "hold")
    rows = list(Prediction.objects.order_by("pk").values_list(*columns))
    return rows, LedgerEntry.objects.count(), money(user)


def assert_refused(response: Any, status: int, code: str) -> dict[str, Any]:
    """The error body of the contract; returns it."""
    assert response.status_code == status
    assert response["Content-Type"] == "application/json"
    body: dict[str, Any] = response.json()
    assert body["code"] == code
    assert body["detail"]
    extra = {400: {"errors"}, 402: {"required", "available"}}.get(status, set())
    assert set(body) == {"code", "detail"} | extra
    return body


def named(response: Any) -> list[str]:
    """The fields that a 400 names."""
    errors = assert_refused(response, 400, "invalid_request")["errors"]
    for messages in errors.values():
        assert messages
        assert all(isinstance(message, str) for message in messages)
    return sorted(errors)


# --- The task object -----------------------------------------------------------------------------


@pytest.mark.parametrize("status", STATUSES)
def test_a_task_has_the_same_keys_in_every_status(api: APIClient, make: Make, status: str) -> None:
    body = read(api, make(status)).json()

    assert list(body) == KEYS
    assert body["status"] == status


@pytest.mark.parametrize(
    ("status", "told"),
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
    api: APIClient, make: Make, predictor: Predictor, status: str, told: list[str]
) -> None:
    body = read(api, make(status)).json()

    nullable = ["position", "queued_at", "started_at", "finished_at", "result", "error"]
    assert [key for key in nullable if body[key] is not None] == told
    assert body["charged"] == (predictor.price if status == "finished" else 0)
    assert body["price"] == predictor.price
    assert body["validation_errors"] == {}
    assert [each["code"] for each in body["warnings"]] == ["mostly_assumed"] * (status != "draft")


def test_a_task_tells_what_was_asked(api: APIClient, make: Make, predictor: Predictor) -> None:
    key = make("queued")

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


def test_a_result_has_a_value_and_its_unit(api: APIClient, make: Make) -> None:
    result = read(api, make("finished")).json()["result"]

    assert set(result) >= {"value", "unit", "interval", "baseline", "factors"}
    assert (result["value"], result["unit"], result["factors"]) == (12345.5, "USD", None)
    assert result["interval"]["low"] < 12345.5 < result["interval"]["high"]
    assert result["interval"]["coverage"] == 0.9
    assert "1985" in result["note"]


@pytest.mark.parametrize("failure", Failure.values)
def test_an_error_has_a_code_and_a_sentence(api: APIClient, make: Make, failure: str) -> None:
    error = read(api, make("failed", failure=failure)).json()["error"]

    assert error == {"code": failure, "detail": Failure(failure).label}


def test_times_are_iso_8601_in_utc_and_follow_each_other(api: APIClient, make: Make) -> None:
    body = read(api, make("finished")).json()

    times = [body[key] for key in ("created_at", "queued_at", "started_at", "finished_at")]
    moments = [datetime.fromisoformat(text) for text in times]
    assert all(text.endswith("Z") for text in times)
    assert moments == sorted(moments)
    assert abs(moments[0] - datetime.now(UTC)) < timedelta(minutes=1)


@pytest.mark.parametrize("send", [ask, keep])
def test_explain_is_kept_and_false_if_left_out(
    api: APIClient, predictor: Predictor, send: Callable[..., Any]
) -> None:
    told = [send(api, **sent).json()["explain"] for sent in ({"explain": True}, {})]

    assert told == [True, False]


# --- POST /api/tasks/predict ---------------------------------------------------------------------


def test_a_submission_is_202_with_its_location_and_the_task(
    api: APIClient, user: User, predictor: Predictor
) -> None:
    response = ask(api, explain=True)

    body = response.json()
    assert response.status_code == 202
    assert response["Location"] == f"/api/tasks/{body['task_id']}"
    assert api.get(response["Location"]).json() == body
    assert (body["status"], body["explain"], body["price"]) == ("queued", True, predictor.price)
    assert money(user) == (1000, predictor.price)


def test_the_price_is_fixed_when_it_is_submitted(
    api: APIClient, make: Make, predictor: Predictor
) -> None:
    keys = [make(status) for status in ("queued", "running", "finished", "failed", "canceled")]
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
        ({"data": {"horsepower": True, "stroke": None}}, ["horsepower", "stroke"]),
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
    before = everything(user)

    assert named(ask(api, **changes)) == fields
    assert everything(user) == before


@pytest.mark.parametrize("field", ["model_name", "data"])
def test_a_submission_needs_both_fields(api: APIClient, predictor: Predictor, field: str) -> None:
    body = {"model_name": "random_forest", "data": CAR}
    del body[field]

    response = api.post("/api/tasks/predict", body, format="json")

    assert named(response) == [field]


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
    before = everything(user)

    body = assert_refused(ask(api), 402, "insufficient_credits")

    assert (body["required"], body["available"]) == (predictor.price, predictor.price - 1)
    assert everything(user) == before


def test_a_car_name_is_sent_instead_of_a_brand(api: APIClient, predictor: Predictor) -> None:
    body = ask(api, data={"CarName": "vw dasher"}).json()

    assert body["data"]["brand"] == "volkswagen"
    assert "CarName" not in body["data"]
    assert "brand" not in body["defaulted"]


# --- Drafts --------------------------------------------------------------------------------------

NO_FEATURE = ["data"]
# What is sent as `data`, and the features that are wrong in it.
DRAFTS: list[Any] = [
    pytest.param({}, NO_FEATURE, id="empty"),
    pytest.param({"horsepower": 121}, [], id="incomplete"),
    pytest.param(CAR, [], id="right"),
    pytest.param({"horsepower": -1}, ["horsepower"], id="outside-a-limit"),
    pytest.param({"brand": "tesla", "wings": 2}, ["brand", "wings"], id="unknown"),
    pytest.param({"horsepower": None}, ["horsepower"], id="null-for-a-number"),
    pytest.param({"horsepower": "121"}, ["horsepower"], id="text-for-a-number"),
    pytest.param({"horsepower": {"hp": [1, {"a": None}]}}, ["horsepower"], id="nested"),
    pytest.param({"horsepower": [121]}, ["horsepower"], id="list-for-a-number"),
    pytest.param({"horsepower": 10**30}, ["horsepower"], id="huge-integer"),
    pytest.param({"stroke": 1234.5}, ["stroke"], id="large-number"),
    pytest.param({"horsepower": 121.5}, ["horsepower"], id="half-a-horse"),
    pytest.param({"CarName": "bmw x3"}, [], id="CarName"),
    pytest.param({"CarName": 7}, ["CarName"], id="CarName-of-another-type"),
    pytest.param({"CarName": "bmw x3", "brand": "bmw"}, ["CarName"], id="CarName-and-brand"),
    pytest.param({"CarName": "   "}, ["brand"], id="CarName-blank"),
    pytest.param({"": 1, "a b": 2, "\U0001f697": 3}, ["", "a b", "\U0001f697"], id="odd-names"),
    pytest.param([], NO_FEATURE, id="list"),
    pytest.param([CAR], NO_FEATURE, id="list-of-one"),
    pytest.param("bmw", NO_FEATURE, id="text"),
    pytest.param("", NO_FEATURE, id="empty-text"),
    pytest.param(7, NO_FEATURE, id="integer"),
    pytest.param(0, NO_FEATURE, id="zero"),
    pytest.param(1.5, NO_FEATURE, id="number"),
    pytest.param(True, NO_FEATURE, id="true"),
    pytest.param(False, NO_FEATURE, id="false"),
]


@pytest.mark.parametrize(("data", "wrong"), DRAFTS)
def test_a_draft_keeps_data_as_given_and_tells_what_is_wrong(
    api: APIClient, user: User, predictor: Predictor, data: Any, wrong: list[str]
) -> None:
    response = keep(api, data=data)

    body = response.json()
    assert response.status_code == 201
    assert response["Location"] == f"/api/tasks/{body['task_id']}"
    assert list(body) == KEYS
    assert json.dumps(body["data"], sort_keys=True) == json.dumps(data, sort_keys=True)
    assert sorted(body["validation_errors"]) == sorted(wrong)
    assert body["defaulted"] == []
    assert read(api, body["task_id"]).json() == body
    assert money(user) == (1000, 0)
    assert LedgerEntry.objects.count() == 1


def test_an_edit_keeps_data_as_given_too(api: APIClient, make: Make) -> None:
    key = make("draft")

    for data, wrong in (case.values for case in DRAFTS):
        response = change(api, key, {"data": data})

        body = response.json()
        assert response.status_code == 200
        assert json.dumps(body["data"], sort_keys=True) == json.dumps(data, sort_keys=True)
        assert sorted(body["validation_errors"]) == sorted(wrong)


@pytest.mark.parametrize("fields", [{}, {"data": None}], ids=["absent", "null"])
def test_a_draft_may_say_nothing_yet(
    api: APIClient, predictor: Predictor, fields: dict[str, Any]
) -> None:
    body = keep(api, **fields).json()

    assert body["data"] == {}
    assert list(body["validation_errors"]) == NO_FEATURE


def test_a_feature_is_refused_in_a_draft_as_in_a_submission(
    api: APIClient, predictor: Predictor
) -> None:
    data = {"horsepower": -1, "brand": "tesla", "wings": 2}

    told = keep(api, data=data).json()["validation_errors"]

    assert told == ask(api, data=data).json()["errors"]


@pytest.mark.parametrize(
    ("fields", "names"),
    [
        ({"explain": 1}, ["explain"]),
        ({"model_name": None}, ["model_name"]),
        ({"price": 1, "data": {}}, ["price"]),
        ({"data": "x" * 20_000}, ["data"]),
    ],
)
def test_a_draft_may_be_wrong_only_in_its_data(
    api: APIClient, predictor: Predictor, fields: dict[str, Any], names: list[str]
) -> None:
    assert named(keep(api, **fields)) == names
    assert not Prediction.objects.exists()


def test_a_draft_of_no_model_is_400(api: APIClient, predictor: Predictor) -> None:
    assert named(api.post("/api/tasks", {"data": CAR}, format="json")) == ["model_name"]


def test_a_drafts_price_is_the_current_one_until_it_is_run(
    api: APIClient, user: User, make: Make, predictor: Predictor
) -> None:
    key = make("draft")
    prices = []
    for price in (11, 12):
        Predictor.objects.filter(pk=predictor.pk).update(price=price)
        prices.append(read(api, key).json()["price"])
    prices.append(run(api, key).json()["price"])
    Predictor.objects.filter(pk=predictor.pk).update(price=13)

    prices.append(read(api, key).json()["price"])

    assert prices == [11, 12, 12, 12]
    assert money(user) == (1000, 12)


def test_a_wrong_draft_runs_once_it_is_mended(
    api: APIClient, user: User, predictor: Predictor
) -> None:
    key = keep(api, data={"horsepower": -1}, explain=True).json()["task_id"]
    refused = run(api, key)
    mended = change(api, key, {"data": {"CarName": "maxda rx3"}})

    accepted = run(api, key)

    body = accepted.json()
    assert named(refused) == ["horsepower"]
    assert mended.json()["data"] == {"CarName": "maxda rx3"}
    assert (accepted.status_code, body["task_id"], body["status"]) == (202, key, "queued")
    assert body["data"]["brand"] == "mazda"
    assert (len(body["data"]), len(body["defaulted"]), body["explain"]) == (24, 23, True)
    assert money(user) == (1000, predictor.price)
    assert not list(breaches())


def test_a_draft_is_scored_and_charged_like_any_other(
    api: APIClient, user: User, make: Make, predictor: Predictor
) -> None:
    key = make("draft")
    run(api, key)
    assert predictor.current_version_id
    runner.run_queued(Prediction, predictor.current_version_id)

    body = read(api, key).json()

    assert (body["status"], body["charged"]) == ("finished", predictor.price)
    assert money(user) == (1000 - predictor.price, 0)
    assert not list(breaches())


# --- PATCH ---------------------------------------------------------------------------------------


def test_an_edit_replaces_the_whole_of_the_data(api: APIClient, make: Make) -> None:
    key = make("draft", explain=True)

    body = change(api, key, {"data": {"stroke": 3}}).json()

    assert (body["data"], body["explain"]) == ({"stroke": 3}, True)
    assert read(api, key).json() == body


def test_an_edit_of_explain_leaves_the_data(api: APIClient, make: Make) -> None:
    body = change(api, make("draft"), {"explain": True}).json()

    assert (body["data"], body["explain"]) == (CAR, True)


def test_both_are_edited_together(api: APIClient, make: Make) -> None:
    body = change(api, make("draft"), {"explain": True, "data": {}}).json()

    assert (body["data"], body["explain"]) == ({}, True)


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        ({}, ["body"]),
        (None, ["body"]),
        ([], ["body"]),
        ("data", ["body"]),
        ({"explain": "yes"}, ["explain"]),
        ({"explain": None}, ["explain"]),
        ({"explain": 0, "data": {}}, ["explain"]),
        ({"data": {}, "model_name": "linear_regression"}, ["model_name"]),
        ({"data": {}, "price": 0, "status": "queued"}, ["price", "status"]),
        ({"data": "x" * 20_000}, ["data"]),
    ],
)
def test_a_bad_edit_is_400_and_changes_nothing(
    api: APIClient, user: User, make: Make, body: Any, fields: list[str]
) -> None:
    key = make("draft")
    before = everything(user)

    assert named(change(api, key, body)) == fields
    assert everything(user) == before


@pytest.mark.parametrize("status", STATUSES[1:])
def test_only_a_draft_can_be_edited(api: APIClient, user: User, make: Make, status: str) -> None:
    key = make(status)
    before = everything(user)

    assert_refused(change(api, key, {"data": {}}), 409, "wrong_state")
    assert everything(user) == before


# --- POST /api/tasks/{id}/run --------------------------------------------------------------------


def test_a_run_is_202_with_its_location_and_the_task(
    api: APIClient, make: Make, predictor: Predictor
) -> None:
    key = make("draft")

    response = run(api, key)

    assert response.status_code == 202
    assert response["Location"] == f"/api/tasks/{key}"
    assert response.json() == read(api, key).json()
    assert (response.json()["status"], response.json()["position"]) == ("queued", 1)


@pytest.mark.parametrize("body", [None, {}])
def test_a_run_needs_no_body(api: APIClient, make: Make, body: Any) -> None:
    assert run(api, make("draft"), body).status_code == 202


@pytest.mark.parametrize(
    ("body", "fields"), [({"explain": True}, ["explain"]), ([], ["body"]), ("x", ["body"])]
)
@pytest.mark.parametrize("act", [run, cancel])
def test_a_body_is_400_where_none_is_asked_for(
    api: APIClient, user: User, make: Make, act: Any, body: Any, fields: list[str]
) -> None:
    key = make("draft")
    before = everything(user)

    assert named(act(api, key, body)) == fields
    assert everything(user) == before


def test_a_draft_that_does_not_validate_is_400_and_stays_one(
    api: APIClient, user: User, make: Make
) -> None:
    wrong = [case.values for case in DRAFTS if case.values[1]]
    keys = [make("draft", data=data) for data, _ in wrong]
    before = everything(user)

    for key, (_, fields) in zip(keys, wrong, strict=True):
        assert named(run(api, key)) == sorted(fields)
    assert len(wrong) > 20
    assert everything(user) == before


def test_a_draft_too_dear_is_402_and_stays_one(
    api: APIClient, user: User, make: Make, predictor: Predictor
) -> None:
    key = make("draft")
    Predictor.objects.filter(pk=predictor.pk).update(price=1001)
    before = everything(user)

    body = assert_refused(run(api, key), 402, "insufficient_credits")

    assert (body["required"], body["available"]) == (1001, 1000)
    assert everything(user) == before


def test_a_draft_whose_predictor_went_off_sale_is_404_and_stays_one(
    api: APIClient, user: User, make: Make, predictor: Predictor
) -> None:
    key = make("draft", data={"wings": 2})
    Predictor.objects.filter(pk=predictor.pk).update(enabled=False)
    before = everything(user)

    assert_refused(run(api, key), 404, "predictor_not_found")
    assert everything(user) == before
    assert read(api, key).json()["status"] == "draft"
    assert change(api, key, {"data": CAR}).status_code == 200


@pytest.mark.parametrize("status", STATUSES[1:])
def test_only_a_draft_can_be_run(api: APIClient, user: User, make: Make, status: str) -> None:
    key = make(status)
    before = everything(user)

    assert_refused(run(api, key), 409, "wrong_state")
    assert everything(user) == before


# --- POST /api/tasks/{id}/cancel -----------------------------------------------------------------


@pytest.mark.parametrize("status", ["draft", "queued"])
def test_what_has_not_begun_can_be_canceled(
    api: APIClient, user: User, make: Make, status: str
) -> None:
    key = make(status)

    response = cancel(api, key)

    assert response.status_code == 200
    assert response.json() == read(api, key).json()
    assert (response.json()["status"], response.json()["charged"]) == ("canceled", 0)
    assert money(user) == (1000, 0)
    assert not list(breaches())


@pytest.mark.parametrize("status", ["running", *ENDED])
def test_what_runs_or_has_ended_cannot_be_canceled(
    api: APIClient, user: User, make: Make, status: str
) -> None:
    key = make(status)
    before = everything(user)

    assert_refused(cancel(api, key), 409, "wrong_state")
    assert everything(user) == before


# --- DELETE --------------------------------------------------------------------------------------


def holds_somewhere(text: str) -> list[str]:
    """The models that have a row with this text in any of its columns, but for random ids.

    Reports of predictors are left out: they have a thousand numbers with any four digits.
    """
    by_itself = re.compile(rf"(?<![0-9a-f-]){re.escape(text)}(?![0-9a-f-])")
    return sorted(
        {
            model.__name__
            for model in apps.get_models()
            for row in model._default_manager.values()
            if by_itself.search(json.dumps({**row, "report": None}, default=str))
        }
    )


@pytest.mark.parametrize("status", ["draft", *ENDED])
def test_a_deleted_task_is_nowhere_any_more(api: APIClient, make: Make, status: str) -> None:
    key = make(status)
    missing = read(api, NO_TASK).json()

    response = delete(api, key)

    assert (response.status_code, response.content) == (204, b"")
    assert [act(api, key).json() for act in ROUTES.values()] == [missing] * 6
    assert api.get("/predict", {"job_id": key}).status_code == 404
    for path in ("/api/tasks", "/api/tasks/history", "/api/tasks/running"):
        assert ids(api.get(path)) == []
    for path in ("/history", "/running"):
        assert api.get(path).json() == {"job_ids": []}
    assert not list(breaches())


@pytest.mark.parametrize("status", ENDED)
def test_a_deleted_tasks_ledger_stays(api: APIClient, user: User, make: Make, status: str) -> None:
    key = make(status)
    before = list(LedgerEntry.objects.order_by("pk").values()), money(user)

    delete(api, key)

    assert (list(LedgerEntry.objects.order_by("pk").values()), money(user)) == before
    assert LedgerEntry.objects.filter(subject_id=key).count() == 2


@pytest.mark.parametrize("status", ["draft", *ENDED])
def test_deleting_erases_inputs_and_result(api: APIClient, make: Make, status: str) -> None:
    key = make(status, data={"horsepower": 1357, "CarName": "saab 99e"})
    assert holds_somewhere("1357") == ["Prediction"]

    delete(api, key)

    assert holds_somewhere("1357") == []
    assert holds_somewhere("saab") == ["PredictorVersion"]  # among the choices
    assert holds_somewhere("12345.5") == []


def test_deleting_takes_inputs_out_of_answers_kept_for_a_key(
    api: APIClient, make: Make, predictor: Predictor
) -> None:
    api.credentials(**api._credentials, HTTP_IDEMPOTENCY_KEY="one")  # type: ignore[attr-defined]
    first = ask(api, data={"horsepower": 1357})
    key = first.json()["task_id"]
    services.cancel(user=Prediction.objects.get(pk=key).user, prediction_id=UUID(key))
    assert "IdempotencyKey" in holds_somewhere("1357")

    delete(api, key)

    again = ask(api, data={"horsepower": 1357})
    assert holds_somewhere("1357") == []
    assert (again.status_code, again["Location"]) == (202, first["Location"])
    assert again["Idempotent-Replayed"] == "true"
    assert list(again.json()) == KEYS
    assert (again.json()["data"], again.json()["defaulted"]) == ({}, [])
    assert Prediction.objects.count() == 1


def test_deleting_leaves_other_answers_alone(
    api: APIClient, user: User, make: Make, predictor: Predictor
) -> None:
    key = make("draft", data={"horsepower": 1357})
    api.post(f"/api/tasks/{key}/run", HTTP_IDEMPOTENCY_KEY="run")
    other = api.post(
        "/api/tasks/predict",
        {"model_name": "random_forest", "data": {"horsepower": 1468}},
        format="json",
        HTTP_IDEMPOTENCY_KEY="other",
    )
    cancel(api, key)

    delete(api, key)

    bodies = dict(IdempotencyKey.objects.values_list("key", "body"))
    assert json.loads(bodies["run"])["data"] == {}
    assert json.loads(bodies["other"]) == other.json()


@pytest.mark.parametrize("status", ["queued", "running"])
def test_what_has_not_ended_cannot_be_deleted(
    api: APIClient, user: User, make: Make, status: str
) -> None:
    key = make(status)
    before = everything(user)

    assert_refused(delete(api, key), 409, "wrong_state")
    assert everything(user) == before


def test_a_canceled_draft_can_be_deleted(api: APIClient, make: Make) -> None:
    key = make("draft")
    cancel(api, key)

    assert delete(api, key).status_code == 204
    assert read(api, key).status_code == 404
    assert not list(breaches())


# --- GET /api/tasks/{id}?wait= -------------------------------------------------------------------


@pytest.fixture
def aside() -> Iterator[Callable[..., Future[Any]]]:
    """Run a call on a thread of its own."""
    with ThreadPoolExecutor(12) as pool:

        def start(call: Callable[..., Any], *arguments: Any) -> Future[Any]:
            def run() -> Any:
                try:
                    return call(*arguments)
                finally:
                    connections.close_all()

            return pool.submit(run)

        yield start


def timed(call: Callable[..., Any], *arguments: Any) -> tuple[Any, float]:
    began = time.monotonic()
    answer = call(*arguments)
    return answer, time.monotonic() - began


def wait_until_awaited(count: int = 1) -> None:
    """Return when so many requests wait for tasks to end."""
    ends = time.monotonic() + 10
    while time.monotonic() < ends:
        if sum(len(events) for events in waiting._watcher()._awaited.values()) == count:
            return
        time.sleep(0.005)
    pytest.fail("nobody waits")


def finish(key: str) -> None:
    claim = claim_alone(UUID(key))
    settlement.settle(claim, [scoring.Outcome(claim.rows[0], 1.0)])


NEVER = "30"  # none of these tests takes so long
LONG_SECONDS = 15


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("end", ["finished", "failed", "canceled"])
def test_a_wait_is_over_as_soon_as_the_task_ends(
    api: APIClient, user: User, make: Make, aside: Callable[..., Future[Any]], end: str
) -> None:
    key = make("queued")
    waiter = aside(timed, read, api, key, NEVER)
    wait_until_awaited()

    if end == "canceled":
        services.cancel(user=user, prediction_id=UUID(key))
    else:
        claim = claim_alone(UUID(key))
        failure = Failure.INVALID_INPUT if end == "failed" else ""
        outcome = scoring.Outcome(claim.rows[0], None if failure else 1.0, failure=failure)
        settlement.settle(claim, [outcome])

    answer, seconds = waiter.result()
    assert (answer.status_code, answer.json()["status"]) == (200, end)
    assert seconds < LONG_SECONDS


@pytest.mark.django_db(transaction=True)
def test_all_who_wait_for_a_task_are_answered(
    api: APIClient, make: Make, aside: Callable[..., Future[Any]]
) -> None:
    keys = [make("queued"), make("queued")]
    waiters = [aside(timed, read, api, key, NEVER) for key in keys * 4]
    wait_until_awaited(8)

    for key in keys:
        finish(key)

    answers = [waiter.result() for waiter in waiters]
    assert {answer.json()["status"] for answer, _ in answers} == {"finished"}
    assert max(seconds for _, seconds in answers) < LONG_SECONDS


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("status", ["queued", "running", "draft"])
def test_what_does_not_end_is_answered_when_the_wait_is_over(
    api: APIClient, make: Make, status: str
) -> None:
    answer, seconds = timed(read, api, make(status), "0.3")

    assert answer.json()["status"] == status
    assert 0.3 <= seconds < LONG_SECONDS


@pytest.mark.django_db(transaction=True)
def test_a_wait_for_a_running_task_outlasts_its_going_back_to_the_queue(
    api: APIClient, make: Make, aside: Callable[..., Future[Any]]
) -> None:
    key = make("running")
    waiter = aside(timed, read, api, key, NEVER)
    wait_until_awaited()
    Prediction.objects.update(lease_expires_at="2000-01-01T00:00Z")
    recovery.recover()
    time.sleep(4 * waiting.POLL_SECONDS)
    waits_still = not waiter.done()

    claim = claims.claim_retry(Prediction, Prediction.objects.get().version_id)
    assert claim
    settlement.settle(claim, [scoring.Outcome(claim.rows[0], 1.0)])

    assert waits_still
    assert waiter.result()[0].json()["status"] == "finished"


@pytest.mark.parametrize("status", ENDED)
def test_what_has_ended_is_answered_at_once(api: APIClient, make: Make, status: str) -> None:
    answer, seconds = timed(read, api, make(status), NEVER)

    assert answer.json()["status"] == status
    assert seconds < LONG_SECONDS


@pytest.mark.django_db(transaction=True)
def test_a_task_deleted_while_it_is_awaited_is_404(
    api: APIClient, user: User, make: Make, aside: Callable[..., Future[Any]]
) -> None:
    key = make("queued")
    waiter = aside(read, api, key, NEVER)
    wait_until_awaited()

    services.cancel(user=user, prediction_id=UUID(key))
    services.erase(user=user, prediction_id=UUID(key))

    assert waiter.result().status_code in (200, 404)  # whether it looked in between


@pytest.mark.django_db(transaction=True)
def test_whoever_finds_no_place_to_wait_is_answered_at_once(
    api: APIClient,
    make: Make,
    aside: Callable[..., Future[Any]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(waiting, "_wait_slots", threading.BoundedSemaphore(2))
    queued, draft = make("queued"), make("draft")
    waiters = [aside(read, api, queued, NEVER) for _ in range(2)]
    wait_until_awaited(2)

    answers = [timed(read, api, key, NEVER) for key in (queued, draft)]

    assert [answer.json()["status"] for answer, _ in answers] == ["queued", "draft"]
    assert max(seconds for _, seconds in answers) < LONG_SECONDS
    assert not any(waiter.done() for waiter in waiters)
    finish(queued)
    assert [waiter.result().json()["status"] for waiter in waiters] == ["finished"] * 2


@pytest.mark.django_db(transaction=True)
def test_a_place_to_wait_is_given_back(
    api: APIClient, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(waiting, "_wait_slots", threading.BoundedSemaphore(1))
    keys = [make("queued"), make("draft"), make("running")]

    seconds = [timed(read, api, key, "0.2")[1] for key in keys]

    assert min(seconds) >= 0.2


BAD_WAITS = [
    "-1", "-0.1", "31", "30.1", "1e9", "1e999", "abc", "", " 5", "5 ", "1_0", "٣", "0x5",
    "nan", "NaN", "inf", "Infinity", "-inf", "5s", "true", "null", "1,5", "5\x00", "9" * 400,
]  # fmt: skip


def test_a_bad_wait_is_400(api: APIClient, make: Make) -> None:
    key = make("queued")

    for wait in BAD_WAITS:
        assert named(read(api, key, wait=wait)) == ["wait"], wait


def test_a_good_wait_is_taken(api: APIClient, make: Make) -> None:
    key = make("finished")

    for wait in ["0", "0.0", "00", "30", "30.0", "3e1", "-0"]:
        assert read(api, key, wait=wait).status_code == 200, wait


def test_other_parameters_are_400(api: APIClient, make: Make) -> None:
    path = f"/api/tasks/{make('finished')}"

    assert named(api.get(f"{path}?wait=1&wait=2")) == ["wait"]
    assert named(api.get(f"{path}?waits=1&page_size=1")) == ["page_size", "waits"]


# --- Lists ---------------------------------------------------------------------------------------

LISTS = ["/api/tasks", "/api/tasks/history"]
BOTH = pytest.mark.parametrize("path", LISTS)


@pytest.fixture
def one_of_each(make: Make) -> dict[str, str]:
    """A task in each status, by its status; the oldest first."""
    keys = {status: make(status) for status in STATUSES}
    for minutes, key in enumerate(reversed(keys.values())):
        moment = datetime(2026, 5, 10, 12, tzinfo=UTC) - timedelta(minutes=minutes)
        Prediction.objects.filter(pk=key).update(created_at=Moment(moment))
    return keys


@BOTH
def test_a_list_of_nothing_is_an_empty_page(api: APIClient, path: str) -> None:
    assert api.get(path).json() == {"next": None, "previous": None, "results": []}


@BOTH
def test_a_list_has_all_drafts_too_newest_first(
    api: APIClient, one_of_each: dict[str, str], path: str
) -> None:
    response = api.get(path)

    assert ids(response) == list(one_of_each.values())[::-1]
    for item in response.json()["results"]:
        assert item == read(api, item["task_id"]).json()


@BOTH
def test_a_list_of_one_status(api: APIClient, one_of_each: dict[str, str], path: str) -> None:
    for status in STATUSES:
        assert ids(api.get(path, {"status": status})) == [one_of_each[status]]


@BOTH
def test_a_list_of_one_model_on_sale_or_not(
    api: APIClient, make: Make, predictors: dict[str, Predictor], path: str
) -> None:
    keys = {name: make("draft", by=row) for name, row in predictors.items()}
    Predictor.objects.filter(name="random_forest").update(enabled=False)

    for name, key in keys.items():
        assert ids(api.get(path, {"model_name": name})) == [key]


@BOTH
def test_a_list_of_one_domain(api: APIClient, one_of_each: dict[str, str], path: str) -> None:
    assert len(ids(api.get(path, {"domain": "car_price"}))) == 6


@BOTH
def test_a_list_of_a_time_leaves_its_limits_out(
    api: APIClient, one_of_each: dict[str, str], path: str
) -> None:
    times = {"created_after": "2026-05-10T11:55:00Z", "created_before": "2026-05-10T12:00:00Z"}

    found = ids(api.get(path, times))

    assert found == [one_of_each[status] for status in STATUSES[4:0:-1]]


@BOTH
def test_filters_are_combined(api: APIClient, one_of_each: dict[str, str], path: str) -> None:
    chosen = {"status": "failed", "model_name": "random_forest", "domain": "car_price"}

    assert ids(api.get(path, chosen)) == [one_of_each["failed"]]
    assert ids(api.get(path, {**chosen, "created_after": "2026-05-10T11:59:30Z"})) == []


BAD_FILTERS = [
    ("status=done", "status"),
    ("status=", "status"),
    ("status=QUEUED", "status"),
    ("status=done' OR 1=1--", "status"),
    ("status=draft&status=queued", "status"),
    ("model_name=", "model_name"),
    (f"model_name={'x' * 61}", "model_name"),
    ("domain=cars", "domain"),
    ("domain=", "domain"),
    ("created_after=2026-05-10T12:00:00", "created_after"),
    ("created_after=yesterday", "created_after"),
    ("created_before=9999-99-99", "created_before"),
    ("created_after=2026-05-11T00:00:00Z&created_before=2026-05-10T00:00:00Z", "created_after"),
    ("cursor=abc", "cursor"),
    ("cursor=", "cursor"),
    ("page_size=0", "page_size"),
    ("page_size=-1", "page_size"),
    ("page_size=ten", "page_size"),
    ("page=2", "page"),
    ("ordering=user__password", "ordering"),
    ("user=1", "user"),
]


@BOTH
def test_a_bad_filter_is_400_and_named(api: APIClient, predictor: Predictor, path: str) -> None:
    for query, field in BAD_FILTERS:
        assert named(api.get(f"{path}?{query}")) == [field], query


@BOTH
def test_a_list_of_an_unknown_model_is_404(api: APIClient, predictor: Predictor, path: str) -> None:
    assert_refused(api.get(path, {"model_name": "no_such"}), 404, "predictor_not_found")


def test_running_lists_what_waits_or_runs(api: APIClient, one_of_each: dict[str, str]) -> None:
    response = api.get("/api/tasks/running")

    assert ids(response) == [one_of_each["running"], one_of_each["queued"]]
    assert [item["position"] for item in response.json()["results"]] == [None, 1]


@pytest.mark.parametrize("name", ["status", "model_name", "created_after", "wait"])
def test_running_has_no_filters(api: APIClient, name: str) -> None:
    assert named(api.get("/api/tasks/running", {name: "queued"})) == [name]


EVERY_LIST = pytest.mark.parametrize("path", [*LISTS, "/api/tasks/running"])


def walk(api: APIClient, url: str | None, meanwhile: Callable[[], Any]) -> list[list[str]]:
    """The pages from `url` on; something happens after each."""
    pages = []
    while url:
        response = api.get(url)
        pages.append(ids(response))
        url = response.json()["next"]
        meanwhile()
    return pages


@EVERY_LIST
def test_pages_are_stable_while_tasks_are_added(api: APIClient, make: Make, path: str) -> None:
    keys = [make("queued") for _ in range(7)]

    pages = walk(api, f"{path}?page_size=3", lambda: make("queued"))

    met = [key for page in pages for key in page]
    assert [len(page) for page in pages] == [3, 3, 1]
    assert sorted(met) == sorted(keys)


@BOTH
def test_pages_are_stable_while_tasks_end_and_are_deleted(
    api: APIClient, make: Make, user: User, path: str
) -> None:
    keys = [make("queued") for _ in range(8)]
    first = api.get(f"{path}?page_size=3")
    seen = ids(first)
    for key in seen:
        cancel(api, key)
    delete(api, seen[-1])

    pages = walk(api, first.json()["next"], lambda: None)

    assert sorted([*seen, *(key for page in pages for key in page)]) == sorted(keys)


@EVERY_LIST
def test_a_page_has_fifty_and_a_hundred_at_most(
    api: APIClient, user: User, make: Make, path: str
) -> None:
    set_available(user_id=user.pk, new_amount=1_000_000)
    for _ in range(102):
        make("queued")

    queries = ("", "?page_size=101", "?page_size=9")

    assert [len(ids(api.get(f"{path}{query}"))) for query in queries] == [50, 100, 9]


@EVERY_LIST
def test_a_filter_goes_along_with_the_cursor(api: APIClient, make: Make, path: str) -> None:
    for _ in range(3):
        make("queued")
        make("draft")
    query = "?page_size=2" if path.endswith("running") else "?page_size=2&status=queued"

    pages = walk(api, f"{path}{query}", lambda: None)

    assert [len(page) for page in pages] == [2, 1]


def test_a_cursor_is_good_for_its_own_user_only(
    api: APIClient, make: Make, make_user: MakeUser, client_of: ClientOf
) -> None:
    for _ in range(2):
        make("queued")
    following = api.get("/api/tasks?page_size=1").json()["next"]

    stolen = client_of(make_user("bob@example.com")).get(following)

    assert named(stolen) == ["cursor"]


@EVERY_LIST
def test_a_long_page_takes_no_more_queries_than_a_short_one(
    api: APIClient, make: Make, path: str
) -> None:
    counts = []

    for _ in range(3):
        for status in ("queued", "running", "draft"):
            make(status)
        with CaptureQueriesContext(connection) as queries:
            api.get(path)
        counts.append(len(queries))

    assert counts[1] == counts[2]  # the first fills this process's caches


# --- Whose it is, and what an id is --------------------------------------------------------------

ROUTES: dict[str, Callable[[APIClient, str], Any]] = {
    "read": read,
    "wait": lambda api, key: read(api, key, wait=NEVER),
    "change": lambda api, key: change(api, key, {"explain": True}),
    "run": run,
    "cancel": cancel,
    "delete": delete,
}
EVERY_ROUTE = pytest.mark.parametrize("route", ROUTES)


@EVERY_ROUTE
def test_anothers_task_is_answered_like_a_missing_one(
    api: APIClient, user: User, make: Make, make_user: MakeUser, route: str
) -> None:
    other = make_user("bob@example.com")
    keys = [make(status, of=other) for status in STATUSES]
    before = everything(user)

    missing = ROUTES[route](api, NO_TASK)

    assert_refused(missing, 404, "not_found")
    for key in keys:
        foreign = ROUTES[route](api, key)
        assert (foreign.status_code, foreign.content) == (404, missing.content)
        assert dict(foreign.headers) == dict(missing.headers)
    assert everything(user) == before


@EVERY_LIST
def test_the_tasks_of_others_are_not_listed(
    api: APIClient, make: Make, make_user: MakeUser, path: str
) -> None:
    make("queued", of=make_user("bob@example.com"))

    assert ids(api.get(path)) == []


ODD_IDS = [
    "1", "-1", "0", "null", "None", "%00", "a%00b", "x" * 3000, "..", "%2e%2e", "..%2f..%2fx",
    "00000000-0000-0000-0000-00000000000g", "'; DROP TABLE users; --", "{}", "[]", "urn:uuid:",
    "\U0001f697", "%ff%fe", " ", "%20", "0x" + "1" * 30, "1_" * 16, "+" + "1" * 31, "１" * 32,
    "-" * 32, "{" + "1" * 32, NO_TASK + "0", NO_TASK[:-1], NO_TASK + "%0a",
]  # fmt: skip


@EVERY_ROUTE
def test_an_odd_id_is_404(api: APIClient, user: User, make: Make, route: str) -> None:
    make("draft")
    before = everything(user)

    for odd in ODD_IDS:
        response = ROUTES[route](api, odd if "%" in odd else quote(odd))
        assert_refused(response, 404, "not_found")
    assert everything(user) == before


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
    api: APIClient, make: Make, spell: Callable[[str], str]
) -> None:
    key = make("queued")

    response = read(api, quote(spell(key)))

    assert response.status_code == 404 or response.json()["task_id"] == key


# --- Who may, and how ----------------------------------------------------------------------------

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

    named(api.generic("POST", path, content, "application/json"))


def test_refusals_come_in_the_order_of_the_contract(
    api: APIClient, user: User, make: Make, predictor: Predictor
) -> None:
    key = make("queued")
    set_available(user_id=user.pk, new_amount=0)

    answers = [
        change(api, NO_TASK, {}),  # 400 before 404
        run(api, NO_TASK, {"x": 1}),
        cancel(api, NO_TASK, {"x": 1}),
        change(api, key, {"x": 1}),  # 400 before 409
        run(api, key),  # 409 before 402
        run(api, make("draft", data={})),  # 400 before 402
        ask(api, model_name="no_such"),  # 404 before 402
        ask(api, data={}),
    ]

    statuses = [answer.status_code for answer in answers]
    assert statuses == [400, 400, 400, 400, 409, 400, 404, 400]


@pytest.mark.parametrize("path", [*LISTS, "/api/tasks/running", "/api/tasks/{key}"])
def test_a_browser_gets_the_browsable_api(user: User, make: Make, path: str) -> None:
    client = APIClient()
    client.force_login(user)

    response = client.get(path.format(key=make("finished")), HTTP_ACCEPT="text/html")

    assert response.status_code == 200
    assert response["Content-Type"].startswith("text/html")
