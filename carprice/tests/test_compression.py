"""Answers are compressed for those who take it, and are the same for all."""

import gzip
from typing import Any

import pytest
from django.http import StreamingHttpResponse
from django.test import Client
from rest_framework.test import APIClient

from accounts.models import User
from mlmodels.models import Predictor
from predictions.api import root_contract
from predictions.services import request_prediction
from testing.fixtures import ClientOf

pytestmark = pytest.mark.django_db

GZIP: dict[str, Any] = {"HTTP_ACCEPT_ENCODING": "br, gzip"}


def body_of(response: Any) -> bytes:
    is_streamed = isinstance(response, StreamingHttpResponse)
    body: bytes = b"".join(response) if is_streamed else response.content
    return gzip.decompress(body) if response.get("Content-Encoding") == "gzip" else body


@pytest.mark.parametrize("path", ["/api/schema", "/api/predictors", "/api/catalogue-of-nothing"])
def test_what_is_sent_is_the_same(api_client: APIClient, path: str) -> None:
    plain, compressed = api_client.get(path), api_client.get(path, **GZIP)

    assert body_of(compressed) == plain.content
    assert not plain.has_header("Content-Encoding")
    is_long = len(plain.content) >= 1024
    assert (compressed.get("Content-Encoding") == "gzip") is is_long
    assert ("Accept-Encoding" in compressed.get("Vary", "")) is is_long
    assert int(compressed["Content-Length"]) == len(compressed.content)


@pytest.fixture
def api_client(client_of: ClientOf, user: User, predictor: Predictor) -> APIClient:
    return client_of(user)


def test_a_page_is_compressed_and_its_length_differs_each_time(client: Client) -> None:
    pages = [client.get("/account/sign-in", **GZIP) for _ in range(12)]

    assert {page.get("Content-Encoding") for page in pages} == {"gzip"}
    assert b"csrfmiddlewaretoken" in body_of(pages[0])
    assert len({len(page.content) for page in pages}) > 3


def test_a_streamed_history_is_compressed(
    api_client: APIClient, user: User, predictor: Predictor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(root_contract, "BATCH", 2)
    for _ in range(5):
        request_prediction(user=user, predictor=predictor, data={"horsepower": 90})

    plain, compressed = api_client.get("/history"), api_client.get("/history", **GZIP)

    assert compressed["Content-Encoding"] == "gzip"
    assert body_of(compressed) == body_of(plain)


def test_head_tells_what_get_would_send(api_client: APIClient) -> None:
    head = api_client.head("/api/schema", **GZIP)

    assert head["Content-Encoding"] == "gzip"
    assert head.content == b""


def test_a_small_answer_is_left_as_it_is(api_client: APIClient) -> None:
    answer = api_client.get("/balance", **GZIP)

    assert not answer.has_header("Content-Encoding")
    assert answer.json() == {"amount": 1000}
