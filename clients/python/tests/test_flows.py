"""What a customer does with the client, against the real service; sync and async alike."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from carprice_client import (
    InsufficientCredits,
    InvalidInput,
    NotEnded,
    NotFound,
    PredictionFailed,
    PredictorNotFound,
    WrongState,
)

from testing import fakes
from testing.processes import CREDIT, Customer, Service, eventually

pytestmark = pytest.mark.processes

CAR = {"brand": "bmw", "horsepower": 121}


def price_of(client: Any, name: str = fakes.NAME) -> int:
    return int(client.predictor(name).price)


def test_predictors_are_listed_cheapest_first_and_described_one_by_one(client: Any) -> None:
    on_sale = client.predictors(domain="car_price")

    one = client.predictor("random_forest")

    assert [row.price for row in on_sale] == sorted(row.price for row in on_sale)
    assert {row.domain for row in on_sale} == {"car_price"}
    assert one.trained_at.tzinfo is not None
    assert {feature.name for feature in one.signature} >= set(one.example)
    assert one.input_schema["type"] == "object"


def test_credits_are_topped_up_and_every_posting_is_listed(client: Any) -> None:
    topped_up = client.top_up(250)

    wallet = client.wallet()
    amounts = [row.amount for row in client.transactions(kind="top_up")]
    assert (wallet.balance, wallet.held, wallet.available) == (CREDIT + 250, 0, CREDIT + 250)
    assert (topped_up.transaction.amount, topped_up.wallet) == (250, wallet)
    assert amounts == [250, CREDIT]


def test_a_prediction_is_explained_and_charged(client: Any) -> None:
    task = client.predict("random_forest", CAR, explain=True)

    assert (task.status, task.charged, task.explain) == ("finished", task.price, True)
    assert task.result.interval.low <= task.value <= task.result.interval.high
    assert task.result.baseline + sum(f.contribution for f in task.result.factors) == (
        pytest.approx(task.value)
    )
    assert task.finished_at >= task.created_at
    assert client.wallet().available == CREDIT - task.price


def test_a_failed_prediction_has_no_value_and_costs_nothing(client: Any) -> None:
    task = client.predict(fakes.NAME, {"horsepower": fakes.RAISE})

    with pytest.raises(PredictionFailed) as raised:
        _ = task.value

    assert (task.status, str(raised.value)) == ("failed", task.error.detail)
    assert client.wallet().available == CREDIT


def test_a_key_buys_once(client: Any) -> None:
    first = client.submit(fakes.NAME, {"horsepower": 100}, idempotency_key="mine")

    again = client.submit(fakes.NAME, {"horsepower": 100}, idempotency_key="mine")

    assert again.task_id == first.task_id
    assert client.wait(first.task_id).value == 10_000
    assert client.wallet().available == CREDIT - first.price


def test_who_waits_too_short_gets_the_task_and_can_go_on(client: Any, service: Service) -> None:
    with service.closed_gate():
        with pytest.raises(NotEnded) as raised:
            client.predict(
                fakes.NAME, {"horsepower": fakes.GATED}, timeout=0.5, idempotency_key="mine"
            )
        running = list(client.running())

    assert raised.value.idempotency_key == "mine"
    assert [row.task_id for row in running] == [raised.value.task.task_id]
    assert client.wait(raised.value.task.task_id).status == "finished"


def test_a_queued_task_is_canceled_and_only_once(client: Any, service: Service) -> None:
    with service.closed_gate():
        # Both of the worker's processes wait at the gate.
        for _ in range(2):
            client.submit(fakes.NAME, {"horsepower": fakes.GATED})
            eventually(service.waiting)
        eventually(lambda: len(list(client.history(status="running"))) == 2)
        queued = client.submit(fakes.NAME, {"horsepower": 100})
        canceled = client.cancel(queued.task_id)
        with pytest.raises(WrongState):
            client.cancel(queued.task_id)

    assert (canceled.status, canceled.charged) == ("canceled", 0)
    eventually(lambda: not list(client.running()))
    assert client.wallet().available == CREDIT - 2 * queued.price


def test_a_deleted_task_is_gone(client: Any) -> None:
    task = client.predict(fakes.NAME, {"horsepower": 100})

    client.delete(task.task_id)

    with pytest.raises(NotFound):
        client.get(task.task_id)
    assert list(client.history()) == []


def test_a_draft_is_mended_and_run(client: Any) -> None:
    draft = client.draft("random_forest", {"horsepower": "many"})
    mended = client.edit(draft.task_id, CAR)

    task = client.wait(client.run(draft.task_id).task_id)

    assert (draft.status, list(draft.validation_errors)) == ("draft", ["horsepower"])
    assert mended.validation_errors == {}
    assert (task.task_id, task.status) == (draft.task_id, "finished")


def test_what_if_compares_with_the_task(client: Any) -> None:
    task = client.predict("random_forest", CAR)

    answer = client.what_if(task.task_id, {"horsepower": 200})

    assert answer.before.value == task.value
    assert (answer.changed, answer.left) == ({"horsepower": 200}, 19)
    assert client.wallet().available == CREDIT - task.price


def test_history_runs_through_all_pages_and_filters(client: Any) -> None:
    drafts = [client.draft(fakes.NAME, {"horsepower": number}) for number in range(120)]
    bought = client.predict(fakes.NAME, {"horsepower": 100})

    listed = [row.task_id for row in client.history()]

    assert listed == [bought.task_id, *(row.task_id for row in reversed(drafts))]
    assert [row.task_id for row in client.history(status="finished")] == [bought.task_id]
    tomorrow = datetime.now(UTC) + timedelta(days=1)
    assert list(client.history(created_after=tomorrow)) == []


def test_errors_are_typed_and_say_what_the_server_says(client: Any, ada: Customer) -> None:
    ada.request("POST", "/balance", {"new_amount": 1})

    with pytest.raises(InvalidInput) as invalid:
        client.submit("random_forest", {"horsepower": "many", "wings": 2})
    with pytest.raises(InsufficientCredits) as poor:
        client.submit("random_forest", CAR)
    with pytest.raises(PredictorNotFound):
        client.submit("no such", CAR)

    status, body = ada.call(
        "POST", "/api/tasks/predict", {"model_name": "random_forest", "data": CAR}
    )
    assert set(invalid.value.errors) == {"horsepower", "wings"}
    assert (poor.value.status, str(poor.value)) == (status, body["detail"])
    assert (poor.value.required, poor.value.available) == (body["required"], 1)
