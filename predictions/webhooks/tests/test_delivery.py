"""From an ended prediction to the receiver, with a crash at each step on the way."""

import base64
import hashlib
import hmac
import json
import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.db import transaction
from django.db.models.functions import Now
from rest_framework.test import APIClient

from accounts.models import User
from mlmodels.models import Predictor
from predictions import services as predictions
from predictions.execution import runner
from predictions.models import Prediction
from predictions.webhooks import delivery, services, signing, transport
from predictions.webhooks.delivery import Outcome
from predictions.webhooks.models import MAX_ATTEMPTS, WAITS, Delivery, Endpoint
from testing.fixtures import AtOnce
from testing.processes import eventually
from testing.webhooks import HOST, Network, Receiver, reply

pytestmark = pytest.mark.django_db

CAR = {"brand": "bmw", "horsepower": 121}


class Crash(BaseException):
    """The worker is gone."""


@pytest.fixture
def endpoint(user: User, network: Network) -> Endpoint:
    return services.create(user=user, url=f"https://{HOST}/hook")


@pytest.fixture
def message(endpoint: Endpoint) -> Delivery:
    return services.send_test(user=endpoint.user, endpoint_id=endpoint.pk)


def work() -> int:
    """Serve what is due as a worker's threads do; returns how many claims there were."""
    claims = 0
    while claim := delivery._claim_any():
        delivery.serve(claim)
        if claim.was_failing:
            delivery._slots_of_failing.release()
        claims += 1
    return claims


def pass_time(**span: float) -> None:
    """Let time pass for what waits."""
    back = timedelta(**span)
    for row in Delivery.objects.all():
        Delivery.objects.filter(pk=row.pk).update(next_attempt_at=row.next_attempt_at - back)
    for each in Endpoint.objects.exclude(busy_until=None):
        since = each.failing_since and each.failing_since - back
        assert each.busy_until
        changes = {"busy_until": each.busy_until - back, "failing_since": since}
        Endpoint.objects.filter(pk=each.pk).update(**changes)


def is_signed_with(secret: str, received: Any) -> list[bool]:
    key = base64.b64decode(secret.removeprefix("whsec_"))
    name, at = received.headers["webhook-id"], received.headers["webhook-timestamp"]
    digest = hmac.new(key, f"{name}.{at}.".encode() + received.body, hashlib.sha256).digest()
    own = f"v1,{base64.b64encode(digest).decode()}"
    return [each == own for each in received.headers["webhook-signature"].split(" ")]


def test_a_prediction_that_ended_is_delivered_as_the_api_has_it(
    user: User, endpoint: Endpoint, receiver: Receiver, predictor: Predictor, api: APIClient
) -> None:
    row = predictions.request_prediction(user=user, predictor=predictor, data=CAR, explain=True)
    runner.run_queued(Prediction, row.version_id)

    work()

    (received,) = receiver.received
    event = json.loads(received.body)
    assert event["type"] == "prediction.finished"
    assert event["data"] == api.get(f"/api/tasks/{row.pk}").json()
    assert event["data"]["status"] == "finished"
    assert received.headers["content-type"] == "application/json"
    assert is_signed_with(signing.secret_of(endpoint.secret_seed), received) == [True]
    sent = Delivery.objects.get()
    assert received.headers["webhook-id"] == sent.message_id
    assert (sent.state, sent.attempts, sent.last_status) == ("delivered", 1, 204)


def test_what_was_delivered_is_not_sent_again(message: Delivery, receiver: Receiver) -> None:
    work()
    pass_time(days=1)

    assert work() == 0
    assert len(receiver.received) == 1


def test_a_prediction_that_was_deleted_meanwhile_is_not_sent(
    user: User, endpoint: Endpoint, receiver: Receiver, predictor: Predictor
) -> None:
    row = predictions.request_prediction(user=user, predictor=predictor, data=CAR)
    predictions.cancel(user=user, prediction_id=row.pk)
    predictions.erase(user=user, prediction_id=row.pk)

    work()

    assert receiver.received == []
    assert Delivery.objects.get().last_failure == "erased"
    assert Endpoint.objects.get().failing_since is None


# --- Failures, retries and the switch ---


def test_a_failure_is_retried_on_schedule_with_the_same_id(
    message: Delivery, receiver: Receiver
) -> None:
    receiver.answers = [reply(500)]

    for number, wait in enumerate(WAITS, 1):
        work()
        assert len(receiver.received) == number
        pass_time(seconds=0.9 * wait.total_seconds())
        work()
        assert len(receiver.received) == number
        pass_time(seconds=0.25 * wait.total_seconds() + 300)
    work()

    message.refresh_from_db()
    assert (message.state, message.attempts) == ("failed", MAX_ATTEMPTS)
    assert {each.headers["webhook-id"] for each in receiver.received} == {message.message_id}
    assert Endpoint.objects.get().disabled_because == "failing"


def test_a_success_ends_the_failing(message: Delivery, receiver: Receiver) -> None:
    receiver.answers = [reply(503), reply(200)]

    work()
    failed = Endpoint.objects.get().failing_since
    pass_time(seconds=10)
    work()

    message.refresh_from_db()
    assert failed
    assert Endpoint.objects.get().failing_since is None
    assert (message.state, message.attempts, message.last_failure) == ("delivered", 2, "")


def test_one_message_that_always_fails_does_not_switch_off(
    endpoint: Endpoint, message: Delivery, receiver: Receiver
) -> None:
    Delivery.objects.filter(pk=message.pk).update(attempts=MAX_ATTEMPTS - 1)
    receiver.answers = [reply(500)]

    work()

    message.refresh_from_db()
    endpoint.refresh_from_db()
    assert message.state == "failed"
    assert endpoint.is_enabled


def test_410_switches_off_at_once(message: Delivery, receiver: Receiver) -> None:
    receiver.answers = [reply(410)]

    work()

    assert Endpoint.objects.get().disabled_because == "gone"


@pytest.mark.parametrize("status", [199, 300, 302, 400, 404, 500])
def test_only_2xx_is_success(message: Delivery, receiver: Receiver, status: int) -> None:
    receiver.answers = [reply(status)]

    work()

    message.refresh_from_db()
    assert (message.state, message.last_failure) == ("pending", "status")


def test_what_waits_is_sent_once_it_is_on_again(
    user: User, endpoint: Endpoint, message: Delivery, receiver: Receiver
) -> None:
    services.change(user=user, endpoint_id=endpoint.pk, enabled=False)
    assert work() == 0
    services.change(user=user, endpoint_id=endpoint.pk, enabled=True)

    work()

    assert len(receiver.received) == 1


def test_after_a_failure_the_endpoint_is_left_alone_for_a_while(
    user: User, endpoint: Endpoint, message: Delivery, receiver: Receiver
) -> None:
    services.send_test(user=user, endpoint_id=endpoint.pk)
    receiver.answers = [reply(500)]

    assert work() == 1
    assert len(receiver.received) == 1


def test_where_nothing_gets_through_half_of_the_slots_are_taken(
    make_user: Any, network: Network, receiver: Receiver
) -> None:
    for number in range(delivery.SLOTS + 1):
        user = make_user(f"{number}@example.com")
        failing = services.create(user=user, url=f"https://{HOST}/{number}")
        services.send_test(user=user, endpoint_id=failing.pk)
    Endpoint.objects.update(failing_since=Now())

    claims = [delivery._claim_any() for _ in range(delivery.SLOTS)]

    taken = [claim for claim in claims if claim]
    assert len(taken) == delivery.SLOTS // 2
    for _ in taken:
        delivery._slots_of_failing.release()


# --- A crash at each step ---


def crash(*_: Any, **__: Any) -> Any:
    raise Crash


@pytest.mark.parametrize("step", ["begin_attempt", "attempt", "record"])
def test_a_worker_that_dies_leaves_the_message_to_another(
    message: Delivery, receiver: Receiver, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    """Before an attempt is counted, before it is made, and after the answer came."""
    with monkeypatch.context() as patch:
        patch.setattr(delivery, step, crash)
        with pytest.raises(Crash):
            work()
    sent_before = len(receiver.received)
    assert work() == 0  # its claim is good for a while

    pass_time(seconds=61)
    work()

    message.refresh_from_db()
    assert message.state == "delivered"
    assert (sent_before, len(receiver.received)) == ((1, 2) if step == "record" else (0, 1))
    assert {each.headers["webhook-id"] for each in receiver.received} == {message.message_id}


def test_a_worker_that_dies_before_it_lets_go_holds_nothing_up_for_long(
    user: User, endpoint: Endpoint, message: Delivery, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(delivery, "_held", crash)
        with pytest.raises(Crash):
            work()
    second = services.send_test(user=user, endpoint_id=endpoint.pk)
    assert work() == 0

    pass_time(seconds=61)
    work()

    second.refresh_from_db()
    assert second.state == "delivered"


def test_a_message_that_kills_each_worker_is_given_up(
    message: Delivery, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delivery, "attempt", crash)
    for _ in range(MAX_ATTEMPTS):
        with pytest.raises(Crash):
            work()
        pass_time(days=2)

    work()

    message.refresh_from_db()
    assert (message.state, message.attempts, message.last_failure) == (
        "failed",
        MAX_ATTEMPTS,
        "lost",
    )


def test_a_claim_that_has_run_out_sends_nothing(
    endpoint: Endpoint, message: Delivery, receiver: Receiver
) -> None:
    slow = delivery.claim_endpoint(Endpoint.objects)
    assert slow
    pass_time(seconds=61)
    work()

    delivery.serve(slow)

    assert len(receiver.received) == 1


def test_an_attempt_that_is_begun_twice_is_made_once(message: Delivery) -> None:
    claim = delivery.claim_endpoint(Endpoint.objects)
    assert claim

    begun = [delivery.begin_attempt(claim) for _ in range(2)]

    assert begun[0]
    assert begun[1] is None


def test_what_is_resent_during_an_attempt_is_sent_again(
    user: User, message: Delivery, receiver: Receiver
) -> None:
    claim = delivery.claim_endpoint(Endpoint.objects)
    assert claim
    begun = delivery.begin_attempt(claim)
    assert begun
    services.resend(user=user, endpoint_id=message.endpoint_id, delivery_id=message.pk)
    delivery.record(claim, begun, Outcome(200))

    delivery.serve(claim)

    message.refresh_from_db()
    assert (message.state, len(receiver.received)) == ("delivered", 1)


def test_an_endpoint_that_is_deleted_during_an_attempt_changes_nothing(
    user: User, endpoint: Endpoint, message: Delivery
) -> None:
    claim = delivery.claim_endpoint(Endpoint.objects)
    assert claim
    begun = delivery.begin_attempt(claim)
    assert begun
    services.delete(user=user, endpoint_id=endpoint.pk)

    delivery.record(claim, begun, Outcome(500, "status"))

    assert not Delivery.objects.exists()


@pytest.mark.django_db(transaction=True)
@pytest.mark.postgresql
def test_of_two_workers_at_once_one_claims_an_endpoint(message: Delivery, at_once: AtOnce) -> None:
    claims = at_once([lambda: delivery.claim_endpoint(Endpoint.objects)] * 4)

    assert len([claim for claim in claims if claim]) == 1


@pytest.mark.django_db(transaction=True)
@pytest.mark.postgresql
def test_an_endpoint_that_is_being_deleted_holds_up_no_end(
    user: User, endpoint: Endpoint, predictor: Predictor, at_once: AtOnce
) -> None:
    row = predictions.request_prediction(user=user, predictor=predictor, data=CAR)

    with transaction.atomic():
        endpoint.delete()
        at_once([lambda: predictions.cancel(user=user, prediction_id=row.pk)])

    assert Prediction.objects.get().status == "canceled"
    assert work() == 0  # its delivery has no endpoint any more


@pytest.mark.django_db(transaction=True)
def test_a_sweep_waits_for_no_delivery(
    message: Delivery, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    hangs, done = threading.Event(), threading.Event()
    post: Callable[..., int] = transport.post

    def slow(*arguments: Any) -> int:
        hangs.wait(10)
        try:
            return post(*arguments)
        finally:
            done.set()

    monkeypatch.setattr(transport, "post", slow)

    delivery.start_due()
    assert not done.is_set()
    hangs.set()

    eventually(lambda: Delivery.objects.get().state == "delivered")
    eventually(lambda: Endpoint.objects.get().claim is None)
    eventually(lambda: delivery._slots._value == delivery.SLOTS)


# --- Secrets ---


def test_for_a_day_both_secrets_sign(
    user: User, endpoint: Endpoint, message: Delivery, receiver: Receiver
) -> None:
    old = signing.secret_of(endpoint.secret_seed)
    new = signing.secret_of(services.rotate_secret(user=user, endpoint_id=endpoint.pk).secret_seed)
    work()
    Endpoint.objects.update(previous_until=Now() - timedelta(seconds=1))
    services.resend(user=user, endpoint_id=message.endpoint_id, delivery_id=message.pk)
    work()

    first, second = receiver.received
    assert is_signed_with(new, first) == [True, False]
    assert is_signed_with(old, first) == [False, True]
    assert is_signed_with(new, second) == [True]


def test_with_another_secret_key_nothing_is_signed_wrongly(
    user: User, endpoint: Endpoint, message: Delivery, receiver: Receiver, settings: Any
) -> None:
    settings.SECRET_KEY = "another" * 10

    work()
    lost = Endpoint.objects.get()
    services.rotate_secret(user=user, endpoint_id=endpoint.pk)
    work()

    assert (lost.disabled_because, lost.failing_since) == ("secret_lost", None)
    secret = signing.secret_of(Endpoint.objects.get().secret_seed)
    assert [is_signed_with(secret, each) for each in receiver.received] == [[True]]


def test_the_database_does_not_tell_the_secret(endpoint: Endpoint) -> None:
    secret = signing.secret_of(endpoint.secret_seed).removeprefix("whsec_")
    stored = " ".join(map(str, Endpoint.objects.values_list().get()))

    assert secret not in stored
    assert base64.b64decode(secret).hex() not in stored


# --- Purging ---


def test_old_deliveries_are_purged_a_few_at_a_time(
    endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(services, "PURGED_AT_ONCE", 2)
    for days in (29, 31, 32, 33):
        Delivery.objects.create(
            endpoint=endpoint, kind="webhook.test", created_at=Now() - timedelta(days=days)
        )
    Delivery.objects.create(
        endpoint_id=uuid4(), kind="webhook.test", created_at=Now() - timedelta(days=31)
    )

    purged = [services.purge_old() for _ in range(3)]

    assert purged == [2, 2, 0]
    assert Delivery.objects.count() == 1
