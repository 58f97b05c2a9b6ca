"""Drafts at /api/tasks: kept as given, edited and run."""

import json
from typing import Any

import pytest
from rest_framework.test import APIClient

from accounts.models import User
from billing.models import LedgerEntry
from mlmodels.models import Predictor
from predictions.audit import breaches
from predictions.execution import runner
from predictions.models import Prediction
from testing.tasks_api import (
    CAR,
    KEYS,
    STATUSES,
    Make,
    assert_refused,
    balance_and_held,
    cancel,
    create_draft,
    edit,
    error_fields,
    read,
    run,
    stored_state,
    submit,
)

pytestmark = pytest.mark.django_db


# --- Drafts ---------------------------------------------------------------------------------------


NO_FEATURE = ["data"]
# What is sent as `data`, and the features that are wrong in it.
DRAFTS: list[Any] = [
    pytest.param({}, NO_FEATURE, id="empty"),
    pytest.param({"horsepower": 121}, [], id="incomplete"),
    pytest.param(CAR, [], id="right"),
    pytest.param({"horsepower": -1}, ["horsepower"], id="outside-a-limit"),
    pytest.param({"brand": "tesla", "wings": 2}, ["brand", "wings"], id="unknown"),
    pytest.param({"horsepower": None}, NO_FEATURE, id="null"),
    pytest.param({"Horse Power": 121, "make": "Alfa Romeo", "doors": 4}, [], id="other-names"),
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
    response = create_draft(api, data=data)

    body = response.json()
    assert response.status_code == 201
    assert response["Location"] == f"/api/tasks/{body['task_id']}"
    assert list(body) == KEYS
    assert json.dumps(body["data"], sort_keys=True) == json.dumps(data, sort_keys=True)
    assert sorted(body["validation_errors"]) == sorted(wrong)
    assert body["defaulted"] == []
    assert read(api, body["task_id"]).json() == body
    assert balance_and_held(user) == (1000, 0)
    assert LedgerEntry.objects.count() == 1


@pytest.mark.parametrize(
    ("data", "given"),
    [
        ({}, 0),
        (None, 0),
        ("bmw", 0),
        ({"horsepower": 121}, 1),
        ({"CarName": "bmw x3", "stroke": 3}, 2),
        ({"horsepower": "5-4", "brand": "tesla", "stroke": 3}, 1),
        ({"Make": "bmw", "brand": "audi", "Power": 121, "doors": 4}, 3),
    ],
    ids=str,
)
def test_a_draft_says_before_it_is_paid_that_most_would_be_assumed(
    api: APIClient, predictor: Predictor, data: Any, given: int
) -> None:
    body = {"model_name": predictor.name, "data": data}

    created = api.post("/api/tasks", body, format="json").json()

    [warning] = created["warnings"]
    assert (warning["feature"], warning["code"]) == ("data", "mostly_assumed")
    assert warning["detail"].startswith(f"{given} of 24 features were given, and {24 - given} ")
    assert read(api, created["task_id"]).json()["warnings"] == [warning]


def test_a_draft_has_the_warnings_that_it_will_have_as_a_task(
    api: APIClient, predictor: Predictor
) -> None:
    signature = predictor.current_version.signature if predictor.current_version else []
    example = {item["name"]: item["default"] for item in signature}
    key = create_draft(api, data={**example, "horsepower": 999}).json()["task_id"]

    draft = read(api, key).json()["warnings"]

    assert draft[0]["code"] == "outside_training_range"
    assert run(api, key).json()["warnings"] == draft


def test_an_edit_keeps_data_as_given_too(api: APIClient, make_task: Make) -> None:
    key = make_task("draft")

    for data, wrong in (case.values for case in DRAFTS):
        response = edit(api, key, {"data": data})

        body = response.json()
        assert response.status_code == 200
        assert json.dumps(body["data"], sort_keys=True) == json.dumps(data, sort_keys=True)
        assert sorted(body["validation_errors"]) == sorted(wrong)


@pytest.mark.parametrize("fields", [{}, {"data": None}], ids=["absent", "null"])
def test_a_draft_may_say_nothing_yet(
    api: APIClient, predictor: Predictor, fields: dict[str, Any]
) -> None:
    body = create_draft(api, **fields).json()

    assert body["data"] == {}
    assert list(body["validation_errors"]) == NO_FEATURE


def test_a_feature_is_refused_in_a_draft_as_in_a_submission(
    api: APIClient, predictor: Predictor
) -> None:
    data = {"horsepower": -1, "brand": "tesla", "wings": 2}

    errors = create_draft(api, data=data).json()["validation_errors"]

    assert errors == submit(api, data=data).json()["errors"]


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
    assert error_fields(create_draft(api, **fields)) == names
    assert not Prediction.objects.exists()


def test_a_draft_of_no_model_is_400(api: APIClient, predictor: Predictor) -> None:
    assert error_fields(api.post("/api/tasks", {"data": CAR}, format="json")) == ["model_name"]


def test_a_drafts_price_is_the_current_one_until_it_is_run(
    api: APIClient, user: User, make_task: Make, predictor: Predictor
) -> None:
    key = make_task("draft")
    prices = []
    for price in (11, 12):
        Predictor.objects.filter(pk=predictor.pk).update(price=price)
        prices.append(read(api, key).json()["price"])
    prices.append(run(api, key).json()["price"])
    Predictor.objects.filter(pk=predictor.pk).update(price=13)

    prices.append(read(api, key).json()["price"])

    assert prices == [11, 12, 12, 12]
    assert balance_and_held(user) == (1000, 12)


def test_a_wrong_draft_runs_once_it_is_mended(
    api: APIClient, user: User, predictor: Predictor
) -> None:
    key = create_draft(api, data={"horsepower": -1}, explain=True).json()["task_id"]
    refused = run(api, key)
    mended = edit(api, key, {"data": {"CarName": "maxda rx3"}})

    accepted = run(api, key)

    body = accepted.json()
    assert error_fields(refused) == ["horsepower"]
    assert mended.json()["data"] == {"CarName": "maxda rx3"}
    assert (accepted.status_code, body["task_id"], body["status"]) == (202, key, "queued")
    assert body["data"]["brand"] == "mazda"
    assert (len(body["data"]), len(body["defaulted"]), body["explain"]) == (24, 23, True)
    assert balance_and_held(user) == (1000, predictor.price)
    assert not list(breaches())


def test_a_draft_is_scored_and_charged_like_any_other(
    api: APIClient, user: User, make_task: Make, predictor: Predictor
) -> None:
    key = make_task("draft")
    run(api, key)
    assert predictor.current_version_id
    runner.run_queued(Prediction, predictor.current_version_id)

    body = read(api, key).json()

    assert (body["status"], body["charged"]) == ("finished", predictor.price)
    assert balance_and_held(user) == (1000 - predictor.price, 0)
    assert not list(breaches())


# --- PATCH ----------------------------------------------------------------------------------------


def test_an_edit_replaces_the_whole_of_the_data(api: APIClient, make_task: Make) -> None:
    key = make_task("draft", explain=True)

    body = edit(api, key, {"data": {"stroke": 3}}).json()

    assert (body["data"], body["explain"]) == ({"stroke": 3}, True)
    assert read(api, key).json() == body


def test_an_edit_of_explain_leaves_the_data(api: APIClient, make_task: Make) -> None:
    body = edit(api, make_task("draft"), {"explain": True}).json()

    assert (body["data"], body["explain"]) == (CAR, True)


def test_both_are_edited_together(api: APIClient, make_task: Make) -> None:
    body = edit(api, make_task("draft"), {"explain": True, "data": {}}).json()

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
    api: APIClient, user: User, make_task: Make, body: Any, fields: list[str]
) -> None:
    key = make_task("draft")
    before = stored_state(user)

    assert error_fields(edit(api, key, body)) == fields
    assert stored_state(user) == before


@pytest.mark.parametrize("status", STATUSES[1:])
def test_only_a_draft_can_be_edited(
    api: APIClient, user: User, make_task: Make, status: str
) -> None:
    key = make_task(status)
    before = stored_state(user)

    assert_refused(edit(api, key, {"data": {}}), 409, "wrong_state")
    assert stored_state(user) == before


# --- POST /api/tasks/{id}/run ---------------------------------------------------------------------


def test_a_run_is_202_with_its_location_and_the_task(
    api: APIClient, make_task: Make, predictor: Predictor
) -> None:
    key = make_task("draft")

    response = run(api, key)

    assert response.status_code == 202
    assert response["Location"] == f"/api/tasks/{key}"
    assert response.json() == read(api, key).json()
    assert (response.json()["status"], response.json()["position"]) == ("queued", 1)


@pytest.mark.parametrize("body", [None, {}])
def test_a_run_needs_no_body(api: APIClient, make_task: Make, body: Any) -> None:
    assert run(api, make_task("draft"), body).status_code == 202


@pytest.mark.parametrize(
    ("body", "fields"), [({"explain": True}, ["explain"]), ([], ["body"]), ("x", ["body"])]
)
@pytest.mark.parametrize("act", [run, cancel])
def test_a_body_is_400_where_none_is_asked_for(
    api: APIClient, user: User, make_task: Make, act: Any, body: Any, fields: list[str]
) -> None:
    key = make_task("draft")
    before = stored_state(user)

    assert error_fields(act(api, key, body)) == fields
    assert stored_state(user) == before


def test_a_draft_that_does_not_validate_is_400_and_stays_one(
    api: APIClient, user: User, make_task: Make
) -> None:
    wrong = [case.values for case in DRAFTS if case.values[1]]
    keys = [make_task("draft", data=data) for data, _ in wrong]
    before = stored_state(user)

    for key, (_, fields) in zip(keys, wrong, strict=True):
        assert error_fields(run(api, key)) == sorted(fields)
    assert len(wrong) > 20
    assert stored_state(user) == before


def test_a_draft_too_dear_is_402_and_stays_one(
    api: APIClient, user: User, make_task: Make, predictor: Predictor
) -> None:
    key = make_task("draft")
    Predictor.objects.filter(pk=predictor.pk).update(price=1001)
    before = stored_state(user)

    body = assert_refused(run(api, key), 402, "insufficient_credits")

    assert (body["required"], body["available"]) == (1001, 1000)
    assert stored_state(user) == before


def test_a_draft_whose_predictor_went_off_sale_is_404_and_stays_one(
    api: APIClient, user: User, make_task: Make, predictor: Predictor
) -> None:
    key = make_task("draft", data={"wings": 2})
    Predictor.objects.filter(pk=predictor.pk).update(enabled=False)
    before = stored_state(user)

    assert_refused(run(api, key), 404, "predictor_not_found")
    assert stored_state(user) == before
    assert read(api, key).json()["status"] == "draft"
    assert edit(api, key, {"data": CAR}).status_code == 200


@pytest.mark.parametrize("status", STATUSES[1:])
def test_only_a_draft_can_be_run(api: APIClient, user: User, make_task: Make, status: str) -> None:
    key = make_task(status)
    before = stored_state(user)

    assert_refused(run(api, key), 409, "wrong_state")
    assert stored_state(user) == before
