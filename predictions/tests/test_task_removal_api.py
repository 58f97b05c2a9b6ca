"""Canceling and deleting a task at /api/tasks."""

import json
import re
from uuid import UUID

import pytest
from django.apps import apps
from rest_framework.test import APIClient

from accounts.models import User
from billing.models import LedgerEntry
from carprice.idempotency.models import IdempotencyKey
from mlmodels.models import Predictor
from predictions import services
from predictions.audit import breaches
from predictions.models import Prediction
from testing.tasks_api import (
    ENDED,
    KEYS,
    NO_TASK,
    ROUTES,
    Make,
    assert_refused,
    balance_and_held,
    cancel,
    delete,
    ids,
    read,
    stored_state,
    submit,
)

pytestmark = pytest.mark.django_db


# --- POST /api/tasks/{id}/cancel ------------------------------------------------------------------


@pytest.mark.parametrize("status", ["draft", "queued"])
def test_what_has_not_begun_can_be_canceled(
    api: APIClient, user: User, make_task: Make, status: str
) -> None:
    key = make_task(status)

    response = cancel(api, key)

    assert response.status_code == 200
    assert response.json() == read(api, key).json()
    assert (response.json()["status"], response.json()["charged"]) == ("canceled", 0)
    assert balance_and_held(user) == (1000, 0)
    assert not list(breaches())


@pytest.mark.parametrize("status", ["running", *ENDED])
def test_what_runs_or_has_ended_cannot_be_canceled(
    api: APIClient, user: User, make_task: Make, status: str
) -> None:
    key = make_task(status)
    before = stored_state(user)

    assert_refused(cancel(api, key), 409, "wrong_state")
    assert stored_state(user) == before


# --- DELETE ---------------------------------------------------------------------------------------


def holds_somewhere(text: str) -> list[str]:
    """The models that have a row with this text in any of its columns, but for random ids.

    Reports of predictors are left out: they have a thousand numbers with any four digits. So are
    Django's permissions, whose ids become large in the course of many tests.
    """
    by_itself = re.compile(rf"(?<![0-9a-f-]){re.escape(text)}(?![0-9a-f-])")
    return sorted(
        {
            model.__name__
            for model in apps.get_models()
            if model._meta.app_label != "auth"
            for row in model._default_manager.values()
            if by_itself.search(json.dumps({**row, "report": None}, default=str))
        }
    )


@pytest.mark.parametrize("status", ["draft", *ENDED])
def test_a_deleted_task_is_nowhere_any_more(api: APIClient, make_task: Make, status: str) -> None:
    key = make_task(status)
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
def test_a_deleted_tasks_ledger_stays(
    api: APIClient, user: User, make_task: Make, status: str
) -> None:
    key = make_task(status)
    before = list(LedgerEntry.objects.order_by("pk").values()), balance_and_held(user)

    delete(api, key)

    assert (list(LedgerEntry.objects.order_by("pk").values()), balance_and_held(user)) == before
    assert LedgerEntry.objects.filter(subject_id=key).count() == 2


@pytest.mark.parametrize("status", ["draft", *ENDED])
def test_deleting_erases_inputs_and_result(api: APIClient, make_task: Make, status: str) -> None:
    key = make_task(status, data={"horsepower": 1357, "CarName": "saab 99e"})
    assert holds_somewhere("1357") == ["Prediction"]

    delete(api, key)

    assert holds_somewhere("1357") == []
    assert holds_somewhere("saab") == ["PredictorVersion"]  # among the choices
    assert holds_somewhere("12345.5") == []


def test_deleting_takes_inputs_out_of_answers_kept_for_a_key(
    api: APIClient, make_task: Make, predictor: Predictor
) -> None:
    api.credentials(**api._credentials, HTTP_IDEMPOTENCY_KEY="one")  # type: ignore[attr-defined]
    first = submit(api, data={"horsepower": 1357})
    key = first.json()["task_id"]
    services.cancel(user=Prediction.objects.get(pk=key).user, prediction_id=UUID(key))
    assert "IdempotencyKey" in holds_somewhere("1357")

    delete(api, key)

    again = submit(api, data={"horsepower": 1357})
    assert holds_somewhere("1357") == []
    assert (again.status_code, again["Location"]) == (202, first["Location"])
    assert again["Idempotent-Replayed"] == "true"
    assert list(again.json()) == KEYS
    assert (again.json()["data"], again.json()["defaulted"]) == ({}, [])
    assert Prediction.objects.count() == 1


def test_deleting_leaves_other_answers_alone(
    api: APIClient, user: User, make_task: Make, predictor: Predictor
) -> None:
    key = make_task("draft", data={"horsepower": 1357})
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
    api: APIClient, user: User, make_task: Make, status: str
) -> None:
    key = make_task(status)
    before = stored_state(user)

    assert_refused(delete(api, key), 409, "wrong_state")
    assert stored_state(user) == before


def test_a_canceled_draft_can_be_deleted(api: APIClient, make_task: Make) -> None:
    key = make_task("draft")
    cancel(api, key)

    assert delete(api, key).status_code == 204
    assert read(api, key).status_code == 404
    assert not list(breaches())
