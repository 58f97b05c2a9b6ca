"""Thousands of rows: in order, charged exactly, stopped and gone on with."""

from typing import Any

import pytest
from carprice_client import InsufficientCredits, InvalidInput

from testing import fakes
from testing.http_proxy import FaultyProxy
from testing.processes import CREDIT, Customer

pytestmark = pytest.mark.processes

SUBMIT = ("POST", "/api/tasks/predict")


def rows(count: int) -> list[dict[str, int]]:
    return [{"horsepower": 60 + number % 200} for number in range(count)]


def test_300_rows_come_in_order_and_are_charged_once_each(
    shaken: Any, proxy: FaultyProxy, ada: Customer
) -> None:
    price = shaken.predictor(fakes.NAME).price
    ada.request("POST", "/balance", {"new_amount": 300 * price})
    proxy.lose_answers(*SUBMIT, times=20)
    proxy.refuse(*SUBMIT, 503, times=5, Retry_After="0")

    outcomes = list(shaken.predict_many(fakes.NAME, rows(300), concurrency=16))

    assert [outcome.index for outcome in outcomes] == list(range(300))
    assert [outcome.value for outcome in outcomes] == [
        100.0 * row["horsepower"] for row in rows(300)
    ]
    assert ada.balance() == 0
    assert len(ada.job_ids("/history")) == 300


def test_a_refused_row_stops_no_other(client: Any) -> None:
    outcomes = list(client.predict_many(fakes.NAME, [*rows(3), {"horsepower": "many"}, *rows(2)]))

    assert [outcome.task is None for outcome in outcomes] == [False] * 3 + [True] + [False] * 2
    with pytest.raises(InvalidInput) as raised:
        _ = outcomes[3].value
    assert list(raised.value.errors) == ["horsepower"]


def test_who_runs_out_of_credits_goes_on_with_the_same_key(client: Any, ada: Customer) -> None:
    price = client.predictor(fakes.NAME).price
    ada.request("POST", "/balance", {"new_amount": 20 * price})
    outcomes = client.predict_many(fakes.NAME, rows(50), idempotency_key="batch")
    values: list[float] = []
    with pytest.raises(InsufficientCredits):
        values.extend(outcome.value for outcome in outcomes)

    client.top_up(30 * price)
    rest = list(client.predict_many(fakes.NAME, rows(50), idempotency_key="batch"))

    assert values == [100.0 * row["horsepower"] for row in rows(50)[: len(values)]]
    assert len(rest) == 50
    assert ada.balance() == 0


def test_who_stops_reading_stops_buying(client: Any, ada: Customer) -> None:
    asked = iter(rows(1000))
    outcomes = client.predict_many(fakes.NAME, asked, concurrency=4)
    next(outcomes)

    outcomes.close()

    assert len(ada.job_ids("/history")) <= 8
    assert len(list(asked)) >= 992


def test_no_rows_are_no_outcomes(client: Any) -> None:
    assert list(client.predict_many(fakes.NAME, [])) == []


def test_a_concurrency_of_none_is_refused(client: Any) -> None:
    with pytest.raises(ValueError):  # noqa: PT011  # one of them is Python's own
        list(client.predict_many(fakes.NAME, rows(1), concurrency=0))
    assert client.wallet().available == CREDIT
