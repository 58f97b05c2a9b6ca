"""GET /api/tasks/{id}?wait=: answered when the task ends, or the time is over."""

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any
from uuid import UUID

import pytest
from django.db import connections
from rest_framework.test import APIClient

from accounts.models import User
from predictions import services, waiting
from predictions.execution import claims, recovery, scoring, settlement
from predictions.models import Prediction
from testing.tasks_api import CAR, ENDED, NEVER, Failure, Make, claim_alone, error_fields, read

pytestmark = pytest.mark.django_db


@pytest.fixture
def aside() -> Iterator[Callable[..., Future[Any]]]:
    """Run a call on a thread of its own."""
    with ThreadPoolExecutor(12) as pool:

        def start(call: Callable[..., Any], *arguments: Any) -> Future[Any]:
            def run() -> Any:
                try:
                    return call(*arguments)
                finally:
                    connections.close_all()

            return pool.submit(run)

        yield start


def timed(call: Callable[..., Any], *arguments: Any) -> tuple[Any, float]:
    began = time.monotonic()
    answer = call(*arguments)
    return answer, time.monotonic() - began


def wait_until_awaited(count: int = 1) -> None:
    """Return when so many requests wait for tasks to end."""
    ends = time.monotonic() + 10
    while time.monotonic() < ends:
        if sum(len(events) for events in waiting._watcher()._awaited.values()) == count:
            return
        time.sleep(0.005)
    pytest.fail("nobody waits")


def finish(key: str) -> None:
    claim = claim_alone(UUID(key))
    settlement.settle(claim, [scoring.Outcome(claim.rows[0], 1.0)])


LONG_SECONDS = 15


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("end", ["finished", "failed", "canceled"])
def test_a_wait_is_over_as_soon_as_the_task_ends(
    api: APIClient, user: User, make_task: Make, aside: Callable[..., Future[Any]], end: str
) -> None:
    key = make_task("queued")
    waiter = aside(timed, read, api, key, NEVER)
    wait_until_awaited()

    if end == "canceled":
        services.cancel(user=user, prediction_id=UUID(key))
    else:
        claim = claim_alone(UUID(key))
        failure = Failure.INVALID_INPUT if end == "failed" else ""
        outcome = scoring.Outcome(claim.rows[0], None if failure else 1.0, failure=failure)
        settlement.settle(claim, [outcome])

    answer, seconds = waiter.result()
    assert (answer.status_code, answer.json()["status"]) == (200, end)
    assert seconds < LONG_SECONDS


@pytest.mark.django_db(transaction=True)
def test_all_who_wait_for_a_task_are_answered(
    api: APIClient, make_task: Make, aside: Callable[..., Future[Any]]
) -> None:
    keys = [make_task("queued"), make_task("queued")]
    waiters = [aside(timed, read, api, key, NEVER) for key in keys * 4]
    wait_until_awaited(8)

    for key in keys:
        finish(key)

    answers = [waiter.result() for waiter in waiters]
    assert {answer.json()["status"] for answer, _ in answers} == {"finished"}
    assert max(seconds for _, seconds in answers) < LONG_SECONDS


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("status", ["queued", "running", "draft"])
def test_what_does_not_end_is_answered_when_the_wait_is_over(
    api: APIClient, make_task: Make, status: str
) -> None:
    answer, seconds = timed(read, api, make_task(status), "0.3")

    assert answer.json()["status"] == status
    assert 0.3 <= seconds < LONG_SECONDS


@pytest.mark.django_db(transaction=True)
def test_a_wait_for_a_running_task_outlasts_its_going_back_to_the_queue(
    api: APIClient, make_task: Make, aside: Callable[..., Future[Any]]
) -> None:
    key = make_task("running")
    waiter = aside(timed, read, api, key, NEVER)
    wait_until_awaited()
    Prediction.objects.update(lease_expires_at="2000-01-01T00:00Z")
    recovery.recover()
    time.sleep(4 * waiting.POLL_SECONDS)
    waits_still = not waiter.done()

    claim = claims.claim_retry(Prediction, Prediction.objects.get().version_id)
    assert claim
    settlement.settle(claim, [scoring.Outcome(claim.rows[0], 1.0)])

    assert waits_still
    assert waiter.result()[0].json()["status"] == "finished"


@pytest.mark.django_db(transaction=True)
def test_a_wait_for_a_draft_that_is_run_is_over_as_soon_as_it_ends(
    api: APIClient, user: User, make_task: Make, aside: Callable[..., Future[Any]]
) -> None:
    key = make_task("draft")
    services.edit_draft(user=user, prediction_id=UUID(key), changes={"data": CAR})
    waiter = aside(timed, read, api, key, NEVER)
    wait_until_awaited()
    services.run_draft(user=user, prediction_id=UUID(key))
    time.sleep(4 * waiting.POLL_SECONDS)
    waits_still = not waiter.done()

    finish(key)

    answer, seconds = waiter.result()
    assert waits_still
    assert answer.json()["status"] == "finished"
    assert seconds < LONG_SECONDS


@pytest.mark.parametrize("status", ENDED)
def test_what_has_ended_is_answered_at_once(api: APIClient, make_task: Make, status: str) -> None:
    answer, seconds = timed(read, api, make_task(status), NEVER)

    assert answer.json()["status"] == status
    assert seconds < LONG_SECONDS


@pytest.mark.django_db(transaction=True)
def test_a_task_deleted_while_it_is_awaited_is_404(
    api: APIClient, user: User, make_task: Make, aside: Callable[..., Future[Any]]
) -> None:
    key = make_task("queued")
    waiter = aside(read, api, key, NEVER)
    wait_until_awaited()

    services.cancel(user=user, prediction_id=UUID(key))
    services.erase(user=user, prediction_id=UUID(key))

    assert waiter.result().status_code in (200, 404)  # whether it looked in between


@pytest.mark.django_db(transaction=True)
def test_whoever_finds_no_wait_slot_is_answered_at_once(
    api: APIClient,
    make_task: Make,
    aside: Callable[..., Future[Any]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(waiting, "_wait_slots", threading.BoundedSemaphore(2))
    queued, draft = make_task("queued"), make_task("draft")
    waiters = [aside(read, api, queued, NEVER) for _ in range(2)]
    wait_until_awaited(2)

    answers = [timed(read, api, key, NEVER) for key in (queued, draft)]

    assert [answer.json()["status"] for answer, _ in answers] == ["queued", "draft"]
    assert max(seconds for _, seconds in answers) < LONG_SECONDS
    assert not any(waiter.done() for waiter in waiters)
    finish(queued)
    assert [waiter.result().json()["status"] for waiter in waiters] == ["finished"] * 2


@pytest.mark.django_db(transaction=True)
def test_a_wait_slot_is_released(
    api: APIClient, make_task: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(waiting, "_wait_slots", threading.BoundedSemaphore(1))
    keys = [make_task("queued"), make_task("draft"), make_task("running")]

    seconds = [timed(read, api, key, "0.2")[1] for key in keys]

    assert min(seconds) >= 0.2


BAD_WAITS = [
    "-1", "-0.1", "31", "30.1", "1e9", "1e999", "abc", "", " 5", "5 ", "1_0", "٣", "0x5",
    "nan", "NaN", "inf", "Infinity", "-inf", "5s", "true", "null", "1,5", "5\x00", "9" * 400,
]  # fmt: skip


def test_a_bad_wait_is_400(api: APIClient, make_task: Make) -> None:
    key = make_task("queued")

    for wait in BAD_WAITS:
        assert error_fields(read(api, key, wait=wait)) == ["wait"], wait


def test_a_good_wait_is_taken(api: APIClient, make_task: Make) -> None:
    key = make_task("finished")

    for wait in ["0", "0.0", "00", "30", "30.0", "3e1", "-0"]:
        assert read(api, key, wait=wait).status_code == 200, wait


def test_other_parameters_are_400(api: APIClient, make_task: Make) -> None:
    path = f"/api/tasks/{make_task('finished')}"

    assert error_fields(api.get(f"{path}?wait=1&wait=2")) == ["wait"]
    assert error_fields(api.get(f"{path}?waits=1&page_size=1")) == ["page_size", "waits"]
