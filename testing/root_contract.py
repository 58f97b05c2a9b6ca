"""What the tests of the root contract share: requests to it, and what a refusal looks like."""

from typing import Any

from rest_framework.test import APIClient

from accounts.models import User
from billing.models import CreditAccount, LedgerEntry
from predictions.execution import runner
from predictions.models import Prediction
from testing.fixtures import PASSWORD

ACCOUNT = {"name": "Bob", "email": "bob@example.com", "password": PASSWORD}
CAR = {"brand": "bmw", "horsepower": 121}


def state(user: User) -> tuple[int, int, int, int]:
    """Everything a refused request must leave as it was."""
    account = CreditAccount.objects.get(pk=user.pk)
    return (
        Prediction.objects.count(),
        LedgerEntry.objects.count(),
        account.balance,
        account.held,
    )


def send(
    api: APIClient,
    path: str,
    body: bytes,
    *,
    method: str = "POST",
    content_type: str = "application/json",
) -> Any:
    """A request with exactly this body."""
    return api.generic(method, path, body, content_type)  # type: ignore[arg-type]  # takes bytes


def order(api: APIClient, **changes: Any) -> Any:
    """POST /predict."""
    body = {"model_name": "random_forest", "data": CAR, **changes}
    return api.post("/predict", body, format="json")


def job(api: APIClient, job_id: str) -> Any:
    return api.get("/predict", {"job_id": job_id})


def set_amount(api: APIClient, amount: Any) -> Any:
    return api.post("/balance", {"new_amount": amount}, format="json")


def run(job_id: str) -> Prediction:
    """Do what a worker does with a job."""
    runner.run_queued(Prediction, Prediction.objects.get(pk=job_id).version_id)
    return Prediction.objects.get(pk=job_id)


def assert_refused(response: Any, status: int, code: str) -> dict[str, Any]:
    """The error body of the contract; returns its `errors`."""
    assert response.status_code == status
    assert response["Content-Type"] == "application/json"
    body = response.json()
    assert body["code"] == code
    assert isinstance(body["detail"], str)
    assert body["detail"]
    expected = {"code", "detail"} | ({"errors"} if status == 400 else set())
    assert set(body) - {"required", "available"} == expected
    for messages in body.get("errors", {}).values():
        assert messages
        assert all(isinstance(message, str) for message in messages)
    return dict(body.get("errors", {}))
