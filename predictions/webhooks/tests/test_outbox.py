"""Whatever ends a prediction writes its deliveries, in the same transaction."""

from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest
from django.core.management import call_command
from django.db import connection, transaction

from accounts.models import User
from carprice.db import cursors
from mlmodels.models import Predictor
from predictions import services as predictions
from predictions.execution import claims, recovery, runner, settlement
from predictions.execution.scoring import Outcome
from predictions.models import Prediction
from predictions.webhooks import signing, triggers
from predictions.webhooks.models import Delivery, Endpoint

pytestmark = pytest.mark.django_db

CAR = {"brand": "bmw", "horsepower": 121}


def add(user: User, **fields: Any) -> Endpoint:
    made: Endpoint = Endpoint.objects.create(
        user=user, url="https://example.com/", secret_seed=signing.new_seed(), **fields
    )
    return made


@pytest.fixture
def endpoint(user: User) -> Endpoint:
    return add(user)


@pytest.fixture
def buy(user: User, predictor: Predictor) -> Callable[[], Prediction]:
    return lambda: predictions.request_prediction(user=user, predictor=predictor, data=CAR)


def deliveries() -> list[tuple[UUID, UUID | None, str, str]]:
    columns = ("endpoint_id", "prediction_id", "kind", "state")
    return list(Delivery.objects.order_by("created_at", "id").values_list(*columns))


def test_a_prediction_that_waits_has_none(endpoint: Endpoint, buy: Any) -> None:
    buy()

    assert deliveries() == []


@pytest.mark.parametrize("by_ones", [False, True])
def test_one_that_finishes_has_one(
    endpoint: Endpoint, buy: Any, by_ones: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = buy()
    if by_ones:
        monkeypatch.setattr(settlement, "_charge_at_once", settlement._settle_in_steps)

    runner.run_queued(Prediction, row.version_id)

    assert deliveries() == [(endpoint.pk, row.pk, "prediction.finished", "pending")]


def test_one_that_fails_has_one(endpoint: Endpoint, buy: Any) -> None:
    row = buy()
    claim = claims.claim_first_attempts(Prediction, row.version_id)
    assert claim

    settlement.settle(claim, [Outcome(claim.rows[0], failure="invalid_input")])

    assert deliveries() == [(endpoint.pk, row.pk, "prediction.failed", "pending")]


def test_one_that_a_sweep_ends_has_one(endpoint: Endpoint, buy: Any) -> None:
    row = buy()
    Prediction.objects.filter(pk=row.pk).update(deadline_at="2020-01-01T00:00Z")

    recovery.recover()

    assert deliveries() == [(endpoint.pk, row.pk, "prediction.failed", "pending")]


def test_one_that_is_canceled_has_one(user: User, endpoint: Endpoint, buy: Any) -> None:
    row = buy()

    predictions.cancel(user=user, prediction_id=row.pk)

    assert deliveries() == [(endpoint.pk, row.pk, "prediction.canceled", "pending")]


def test_one_that_sql_ends_has_one(endpoint: Endpoint, buy: Any) -> None:
    row = buy()

    cursors.execute(
        "UPDATE predictions_prediction SET status = 'canceled', finished_at = queued_at"
    )

    assert deliveries() == [(endpoint.pk, row.pk, "prediction.canceled", "pending")]


def test_what_happens_to_it_after_its_end_adds_none(
    user: User, endpoint: Endpoint, buy: Any
) -> None:
    row = buy()
    runner.run_queued(Prediction, row.version_id)

    predictions.erase(user=user, prediction_id=row.pk)
    Prediction.objects.filter(pk=row.pk).update(finished_at="2020-01-01T00:00Z")

    assert len(deliveries()) == 1


def test_each_endpoint_that_is_on_has_one_and_nobody_elses(
    user: User, make_user: Any, endpoint: Endpoint, buy: Any
) -> None:
    second = add(user)
    add(user, disabled_at="2020-01-01T00:00Z", disabled_because="by_owner")
    add(make_user("eve@example.com"))
    row = buy()

    runner.run_queued(Prediction, row.version_id)

    assert {to for to, *_ in deliveries()} == {endpoint.pk, second.pk}


def test_an_end_that_is_rolled_back_leaves_none(user: User, endpoint: Endpoint, buy: Any) -> None:
    row = buy()

    with transaction.atomic():
        predictions.cancel(user=user, prediction_id=row.pk)
        transaction.set_rollback(True)

    assert deliveries() == []


@pytest.mark.skipif(connection.vendor != "sqlite", reason="PostgreSQL makes no table anew")
def test_a_trigger_that_went_with_its_table_is_made_anew(endpoint: Endpoint, buy: Any) -> None:
    cursors.execute(f"DROP TRIGGER {triggers.NAME}")

    triggers.restore(connection)
    row = buy()
    runner.run_queued(Prediction, row.version_id)

    assert len(deliveries()) == 1


@pytest.mark.skipif(connection.vendor != "sqlite", reason="PostgreSQL makes no table anew")
@pytest.mark.django_db(transaction=True)
def test_to_migrate_restores_the_trigger() -> None:
    cursors.execute(f"DROP TRIGGER {triggers.NAME}")

    call_command("migrate", verbosity=0)

    found = "SELECT COUNT(*) FROM sqlite_master WHERE type = 'trigger' AND name = %s"
    assert cursors.fetch_one(found, triggers.NAME) == (1,)
