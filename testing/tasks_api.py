"""What the tests of /api/tasks share: requests, answers, and tasks in any status."""

from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest
from rest_framework.test import APIClient

from accounts.models import User
from billing.models import CreditAccount, LedgerEntry
from mlmodels.models import Predictor
from predictions import services
from predictions.execution import claims, scoring, settlement
from predictions.models import Prediction

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
Failure = Prediction.Failure
Make = Callable[..., str]


@pytest.fixture
def make_task(user: User, predictor: Predictor) -> Make:
    """A task of the user in any status; returns its id."""

    def make_task(
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

    return make_task


def claim_alone(key: UUID) -> claims.Claim:
    """Claim a row as a worker does, and leave all others as they were."""
    version_id = Prediction.objects.get(pk=key).version_id
    claim = claims.claim_first_attempts(Prediction, version_id)
    assert claim
    own = [row for row in claim.rows if row.id == key]
    others = [row for row in claim.rows if row.id != key]
    settlement.give_back(claims.Claim(Prediction, claim.token, version_id, others))
    return claims.Claim(Prediction, claim.token, version_id, own)


def submit(api: APIClient, **changes: Any) -> Any:
    """POST /api/tasks/predict."""
    body = {"model_name": "random_forest", "data": CAR, **changes}
    return api.post("/api/tasks/predict", body, format="json")


def create_draft(api: APIClient, **fields: Any) -> Any:
    """POST /api/tasks."""
    return api.post("/api/tasks", {"model_name": "random_forest", **fields}, format="json")


def edit(api: APIClient, task_id: str, body: Any) -> Any:
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


def balance_and_held(user: User) -> tuple[int, int]:
    account = CreditAccount.objects.get(pk=user.pk)
    return account.balance, account.held


def stored_state(user: User) -> tuple[Any, ...]:
    """What a refused request must leave as it was."""
    columns = ("pk", "status", "data", "explain", "price", "value", "erased_at", "hold")
    rows = list(Prediction.objects.order_by("pk").values_list(*columns))
    return rows, LedgerEntry.objects.count(), balance_and_held(user)


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


def error_fields(response: Any) -> list[str]:
    """The fields that a 400 names."""
    errors = assert_refused(response, 400, "invalid_request")["errors"]
    for messages in errors.values():
        assert messages
        assert all(isinstance(message, str) for message in messages)
    return sorted(errors)


NEVER = "30"  # none of these tests takes so long
LISTS = ["/api/tasks", "/api/tasks/history"]
EVERY_LIST = pytest.mark.parametrize("path", [*LISTS, "/api/tasks/running"])
ROUTES: dict[str, Callable[[APIClient, str], Any]] = {
    "read": read,
    "wait": lambda api, key: read(api, key, wait=NEVER),
    "edit": lambda api, key: edit(api, key, {"explain": True}),
    "run": run,
    "cancel": cancel,
    "delete": delete,
}
