"""GET /history of more than is sent at a time."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection
from django.http import StreamingHttpResponse
from django.test.utils import CaptureQueriesContext
from rest_framework.test import APIClient

from accounts.models import User
from carprice.db.dialect import Moment
from mlmodels.models import Predictor
from predictions import services
from predictions.api import root_contract
from predictions.models import Prediction
from predictions.services import request_prediction
from testing.fixtures import ClientOf, MakeUser

pytestmark = pytest.mark.django_db

CAR = {"brand": "bmw", "horsepower": 121}
BATCH = 5


@pytest.fixture(autouse=True)
def _small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(root_contract, "BATCH", BATCH)


@pytest.fixture
def submit(make_user: MakeUser, predictor: Predictor) -> Callable[[int], list[str]]:
    """Makes jobs of one user, and returns their ids, newest first."""
    user = make_user("ada@example.com", credit=100_000)

    def submit(count: int) -> list[str]:
        rows = [request_prediction(user=user, predictor=predictor, data=CAR) for _ in range(count)]
        return [str(row.pk) for row in reversed(rows)]

    return submit


@pytest.fixture
def api(client_of: ClientOf, submit: object) -> APIClient:
    return client_of(User.objects.get(email="ada@example.com"))


def body_of(response: Any) -> Any:
    """What a client reads, once all of it is sent."""
    if isinstance(response, StreamingHttpResponse):
        return json.loads(b"".join(response))
    return response.json()


@pytest.mark.parametrize("jobs", [0, 1, BATCH - 1, BATCH, BATCH + 1, 2 * BATCH, 3 * BATCH + 2])
def test_all_jobs_are_told_whatever_their_number(
    api: APIClient, submit: Callable[[int], list[str]], jobs: int
) -> None:
    job_ids = submit(jobs)

    response = api.get("/history")

    assert response.status_code == 200
    assert response["Content-Type"] == "application/json"
    assert body_of(response) == {"job_ids": job_ids}


def test_rows_of_one_instant_come_once_and_newest_hold_first(
    api: APIClient, submit: Callable[[int], list[str]]
) -> None:
    job_ids = submit(3 * BATCH)
    moment: Any = Prediction.objects.latest("hold_id").queued_at
    Prediction.objects.update(queued_at=Moment(moment))

    assert body_of(api.get("/history")) == {"job_ids": job_ids}


def test_what_happens_while_it_is_sent_doubles_and_loses_nothing(
    api: APIClient, submit: Callable[[int], list[str]]
) -> None:
    job_ids = submit(3 * BATCH)
    user = User.objects.get(email="ada@example.com")

    parts = iter(api.get("/history"))
    text = next(parts)
    submit(2)
    for job_id in (job_ids[0], job_ids[BATCH]):  # one that is sent, one that is not
        services.cancel(user=user, prediction_id=job_id)  # type: ignore[arg-type]
        services.erase(user=user, prediction_id=job_id)  # type: ignore[arg-type]
    text += b"".join(parts)

    sent = json.loads(text)["job_ids"]
    assert sent == [job_id for job_id in job_ids if job_id != job_ids[BATCH]]


def test_no_query_reads_more_than_a_batch(
    api: APIClient, submit: Callable[[int], list[str]]
) -> None:
    submit(4 * BATCH)

    with CaptureQueriesContext(connection) as queries:
        body_of(api.get("/history"))

    of_jobs = [query["sql"] for query in queries if "predictions_prediction" in query["sql"]]
    batches = [sql for sql in of_jobs if sql.endswith(f"LIMIT {BATCH}")]
    last_rows = [sql for sql in of_jobs if sql.endswith("LIMIT 21")]  # as `get` has it, by its id
    assert (len(batches), len(last_rows), len(of_jobs)) == (5, 4, 9)


def test_a_head_has_no_body(api: APIClient, submit: Callable[[int], list[str]]) -> None:
    submit(2 * BATCH)

    response = api.head("/history")

    assert (response.status_code, b"".join(response)) == (200, b"")
