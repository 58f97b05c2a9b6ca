"""The package by itself: what it imports, and what it makes of answers it does not know."""

import ast
import sys
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import assert_type

import carprice_client
import httpx
import pytest
from carprice_client import ApiError, Outcome, Task, Throttled, UnexpectedAnswer, Wallet
from carprice_client.errors import error_of
from carprice_client.models import parse

FOLDER = Path(carprice_client.__file__).parent


def imported() -> Iterator[str]:
    for path in FOLDER.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                yield from (alias.name for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                yield node.module or ""


def test_the_client_needs_httpx_and_nothing_of_the_service() -> None:
    packages = {name.partition(".")[0] for name in imported()}

    assert packages - sys.stdlib_module_names == {"carprice_client", "httpx"}


def test_both_clients_have_the_same_methods() -> None:
    kinds = (carprice_client.Client, carprice_client.AsyncClient)

    names = [{name for name in vars(kind) if not name.startswith("_")} for kind in kinds]

    assert names[0] == names[1]


async def types_of_what_both_answer(
    client: carprice_client.Client, other: carprice_client.AsyncClient
) -> None:
    """Not run, but checked by mypy."""
    assert_type(client.wallet(), Wallet)
    assert_type(client.predict("model", {}, explain=True), Task)
    assert_type(client.history(status="finished"), Iterator[Task])
    assert_type(client.predict_many("model", []), Iterator[Outcome])
    assert_type(await other.wallet(), Wallet)
    assert_type(other.history(), AsyncIterator[Task])
    client.wallet(5)  # type: ignore[call-arg]  # an error, as it should be


def test_members_that_are_not_known_are_left_out() -> None:
    body = {"balance": 3, "held": 1, "available": 2, "currency": "EUR"}

    assert parse(Wallet, body) == Wallet(balance=3, held=1, available=2)


@pytest.mark.parametrize("body", [None, [], "wallet", {"balance": 3}])
def test_an_answer_of_another_kind_is_named(body: object) -> None:
    with pytest.raises(UnexpectedAnswer, match="no Wallet"):
        parse(Wallet, body)
    with pytest.raises(UnexpectedAnswer, match="no Task"):
        parse(Task, body)


def test_an_unknown_code_is_an_api_error() -> None:
    body = {"code": "teapot", "detail": "Short and stout."}

    error = error_of(httpx.Response(418, json=body))

    assert isinstance(error, ApiError)
    assert (type(error), error.status, error.code) == (ApiError, 418, "teapot")
    assert str(error) == "Short and stout."


@pytest.mark.parametrize("content", [b"", b"<html>", b"[]", b'{"code": "x"}', b"null"])
def test_an_error_that_is_not_the_apis_is_unexpected(content: bytes) -> None:
    assert isinstance(error_of(httpx.Response(502, content=content)), UnexpectedAnswer)


def test_retry_after_is_seconds_or_a_date() -> None:
    body = {"code": "too_many_requests", "detail": "Later."}
    soon = format_datetime(datetime.now(UTC) + timedelta(seconds=30), usegmt=True)

    errors = [
        error_of(httpx.Response(429, json=body, headers={"Retry-After": value}))
        for value in ("7", soon, "soon", "")
    ]

    seconds = [error.retry_after for error in errors if isinstance(error, Throttled)]
    assert seconds[0] == 7
    assert seconds[1] == pytest.approx(30, abs=2)
    assert seconds[2:] == [None, None]
