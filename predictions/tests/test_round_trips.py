"""How often a request or a batch waits for PostgreSQL or Redis."""

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from django.db import close_old_connections
from rest_framework.test import APIClient

from accounts.models import User
from billing.models import CreditAccount
from mlmodels.models import Predictor
from predictions import notifications
from predictions.execution import runner
from predictions.models import Prediction
from predictions.services import request_prediction
from testing.fixtures import ClientOf, MakeUser
from testing.processes import eventually, needs_redis
from testing.round_trips import POSTGRESQL, REDIS, round_trips

pytestmark = [pytest.mark.postgresql, needs_redis, pytest.mark.django_db(transaction=True)]

CAR = {"brand": "bmw", "horsepower": 121}
ASK = {"model_name": "random_forest", "data": CAR}
SUBMISSIONS = 20
WARM_UPS = 6  # psycopg prepares a statement that was sent five times


@pytest.fixture
def api(client_of: ClientOf, user: User, predictor: Predictor) -> APIClient:
    """Of a process that has answered often: its connection has prepared the statements."""
    client = client_of(user)
    for _ in range(WARM_UPS):
        job = client.post("/predict", ASK, format="json").json()["job_id"]
        task = client.post("/api/tasks/predict", ASK, format="json").json()["task_id"]
        for path in (f"/predict?job_id={job}", f"/api/tasks/{task}", "/api/tasks"):
            assert client.get(path).status_code == 200
    return client


def exchanges(request: Callable[[], Any]) -> Counter[str]:
    """What a request costs, with all that comes before it and is published after it."""
    eventually(notifications._publisher()._idle.is_set)
    with round_trips() as counted:
        close_old_connections()  # as at the beginning of each request
        request()
        eventually(notifications._publisher()._idle.is_set)
    return counted


@pytest.mark.parametrize(
    ("path", "postgresql"),
    [("/predict", 2), ("/api/tasks/predict", 3)],  # the session, all of it; the position
)
def test_a_submission(api: APIClient, path: str, postgresql: int) -> None:
    counted = [exchanges(lambda: api.post(path, ASK, format="json")) for _ in range(SUBMISSIONS)]

    assert Prediction.objects.count() == SUBMISSIONS + 2 * WARM_UPS
    *statements, most = sorted(each[POSTGRESQL] for each in counted)
    assert set(statements) == {postgresql}
    assert most <= postgresql + 1  # every ten seconds the queue is counted
    assert sorted(each[REDIS] for each in counted)[-2] == 1  # the message
    assert max(each[REDIS] for each in counted) <= 2  # a slice of the throttles, once in a while
    assert sorted(each.total() for each in counted)[-2] <= 4


def test_a_submission_with_a_key(api: APIClient) -> None:
    counted = exchanges(
        lambda: api.post("/predict", ASK, format="json", HTTP_IDEMPOTENCY_KEY="one")
    )

    # The session; BEGIN, the key, all of it, the answer, COMMIT.
    assert counted[POSTGRESQL] == 6


@pytest.mark.parametrize("path", ["/predict?job_id={}", "/api/tasks/{}"])
@pytest.mark.parametrize("status", ["queued", "finished"])
def test_a_status(api: APIClient, path: str, status: str) -> None:
    key = api.post("/predict", ASK, format="json").json()["job_id"]
    if status == "finished":
        Prediction.objects.filter(pk=key).update(
            status=status, value=1.0, finished_at="2026-01-01T00:00Z"
        )

    counted = exchanges(lambda: api.get(path.format(key)))

    assert counted == {POSTGRESQL: 2}


def test_a_page_of_tasks(api: APIClient) -> None:
    counted = exchanges(lambda: api.get("/api/tasks"))

    assert counted == {POSTGRESQL: 3}  # the session, the rows, their positions


@pytest.mark.parametrize("rows", [1, 5, 64])
def test_a_settled_batch(
    make_user: MakeUser, predictor: Predictor, rows: int, settings: Any
) -> None:
    users = [make_user(f"{number}@example.com") for number in range(3)]
    version_id: Any = predictor.current_version_id

    def run() -> Counter[str]:
        for number in range(rows):
            user = users[number % len(users)]
            request_prediction(user=user, predictor=predictor, data=CAR)
        return exchanges(lambda: runner.run_first_attempts(Prediction, version_id))

    settings.CLAIM_ROWS = 64
    CreditAccount.objects.update(balance=1_000_000)
    counted = [run() for _ in range(WARM_UPS + 1)][-1]

    assert counted == {POSTGRESQL: 2}  # the claim, and all of the settlement
    assert Prediction.objects.filter(status="finished").count() == (WARM_UPS + 1) * rows
