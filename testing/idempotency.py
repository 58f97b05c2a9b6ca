"""What the tests of `Idempotency-Key` share."""

import json
from datetime import timedelta
from typing import Any

import pytest
from django.db.models.functions import Now
from rest_framework.test import APIClient

from accounts.models import User
from billing.models import CreditAccount, LedgerEntry
from carprice.idempotency.models import IdempotencyKey
from mlmodels.models import Predictor
from predictions import services
from predictions.models import Prediction

CAR = {"brand": "bmw", "horsepower": 121}
ASK = {"model_name": "random_forest", "data": CAR}


def send(api: APIClient, path: str, body: Any = ASK, key: str | None = "k") -> Any:
    """POST a JSON value, or bytes as they are, with a key."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    headers = {} if key is None else {"HTTP_IDEMPOTENCY_KEY": key}
    return api.generic("POST", path, content, "application/json", **headers)  # type: ignore[arg-type]


@pytest.fixture
def draft(user: User, predictor: Predictor) -> Prediction:
    return services.create_draft(user=user, predictor=predictor, data=CAR, explain=False)


@pytest.fixture(params=["predict", "tasks-predict", "run"])
def submission(request: pytest.FixtureRequest, draft: Prediction) -> tuple[str, Any]:
    """The path and the body of a good request to each route that submits."""
    chosen: dict[str, tuple[str, Any]] = {
        "predict": ("/predict", ASK),
        "tasks-predict": ("/api/tasks/predict", ASK),
        "run": (f"/api/tasks/{draft.pk}/run", {}),
    }
    return chosen[request.param]


def state(user: User) -> tuple[int, ...]:
    """Drafts, other predictions, ledger entries, balance and held credits."""
    account = CreditAccount.objects.get(pk=user.pk)
    return (
        Prediction.objects.filter(status="draft").count(),
        Prediction.objects.exclude(status="draft").count(),
        LedgerEntry.objects.filter(account=account).count(),
        account.balance,
        account.held,
    )


def assert_same_answer(first: Any, again: Any) -> None:
    assert again.status_code == first.status_code
    assert again.json() == first.json()
    assert again.headers.get("Location") == first.headers.get("Location")
    assert again["Content-Type"] == first["Content-Type"]


def age(**by: float) -> None:
    """Make every stored answer older by that much."""
    IdempotencyKey.objects.update(created_at=Now() - timedelta(**by))
