"""Everything of one's own as a ZIP."""

import csv
import io
import json
import tracemalloc
from collections.abc import Callable
from typing import Any
from zipfile import ZipFile

import pytest
from django.test import Client
from rest_framework.test import APIClient

from accounts.models import User
from accounts.tokens import open_session
from billing.models import LedgerEntry
from mlmodels.models import Predictor
from predictions import services, sharing
from predictions.execution import runner
from predictions.models import Prediction
from predictions.personal_data import export
from testing.fixtures import PASSWORD

pytestmark = pytest.mark.django_db
CAR = {"brand": "bmw", "horsepower": 121}
PATHS = ["/account/export", "/api/account/export"]


def opened(response: Any) -> ZipFile:
    assert response.streaming
    return ZipFile(io.BytesIO(b"".join(response.streaming_content)))


def table(archive: ZipFile, name: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(archive.read(name).decode())))


def records(archive: ZipFile, name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in archive.read(name).decode().splitlines()]


@pytest.fixture
def finished(user: User, predictor: Predictor) -> Prediction:
    row = services.request_prediction(user=user, predictor=predictor, data=CAR, explain=True)
    runner.run_queued(Prediction, row.version_id)
    services.name_prediction(user=user, prediction_id=row.pk, label="=1+1")
    return Prediction.objects.get(pk=row.pk)


def test_all_of_ones_own_is_in_it_and_nothing_of_others(
    browser: Client,
    user: User,
    make_user: Callable[..., User],
    predictor: Predictor,
    finished: Prediction,
) -> None:
    draft = services.create_draft(user=user, predictor=predictor, data={"x": 1}, explain=False)
    link = sharing.share(user=user, prediction_id=finished.pk)
    open_session(user)
    other = make_user("eve@example.com")
    services.request_prediction(user=other, predictor=predictor, data=CAR)

    archive = opened(browser.get("/account/export"))

    assert archive.testzip() is None
    account = json.loads(archive.read("account.json"))
    assert (account["email"], account["name"]) == ("ada@example.com", "Ada")
    (told,) = records(archive, "predictions.jsonl")
    assert (told["id"], told["value"]) == (str(finished.pk), finished.value)
    assert told["data"]["horsepower"] == 121
    assert told["explanation"]["contributions"]
    assert [row["id"] for row in records(archive, "drafts.jsonl")] == [str(draft.pk)]
    entries = LedgerEntry.objects.filter(account=user.pk)
    assert len(table(archive, "ledger.csv")) == entries.count()
    assert [row["prediction"] for row in table(archive, "share-links.csv")] == [str(finished.pk)]
    assert len(table(archive, "sessions.csv")) == 1
    everything = b"".join(archive.read(name) for name in archive.namelist()).decode()
    assert not [secret for secret in (link.token, user.password, PASSWORD) if secret in everything]


def test_a_text_that_would_be_a_formula_is_none(browser: Client, finished: Prediction) -> None:
    archive = opened(browser.get("/account/export"))

    assert table(archive, "predictions.csv")[0]["label"] == "'=1+1"
    assert records(archive, "predictions.jsonl")[0]["label"] == "=1+1"


def test_an_erased_prediction_is_in_none_of_the_lists(
    browser: Client, user: User, finished: Prediction
) -> None:
    services.erase(user=user, prediction_id=finished.pk)

    archive = opened(browser.get("/account/export"))

    assert table(archive, "predictions.csv") == []
    assert {row["kind"] for row in table(archive, "ledger.csv")} >= {"hold", "capture"}


@pytest.mark.parametrize("path", PATHS)
def test_it_is_given_a_few_times_an_hour(
    browser: Client, api: APIClient, settings: Any, path: str
) -> None:
    client = api if path.startswith("/api") else browser
    allowed = int(settings.THROTTLES["export"].partition("/")[0])

    statuses = [client.get(path).status_code for _ in range(allowed + 1)]

    assert statuses == [200] * allowed + [429]


@pytest.mark.parametrize("path", PATHS)
def test_it_is_given_to_nobody_else(path: str) -> None:
    assert Client().get(path).status_code in (302, 401)


def test_many_predictions_are_read_in_batches_and_never_all_in_memory(
    user: User, finished: Prediction, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export, "BATCH", 50)
    count = 2000
    drafts = [
        Prediction(
            user=user, predictor_id=finished.predictor_id, version_id=finished.version_id,
            status="draft", price=1, data={"filler": "x" * 5000},
        )
        for _ in range(count)
    ]  # fmt: skip
    Prediction.objects.bulk_create(drafts)
    size = sum(len(json.dumps(draft.data)) for draft in drafts)
    del drafts
    tracemalloc.start()

    total = sum(len(part) for part in export.stream(user))

    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert total > 0
    assert peak < size / 4
