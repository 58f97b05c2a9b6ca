"""How long a worker waits before it connects again, and what counts as a lost connection."""

from types import SimpleNamespace

import pytest
from celery.exceptions import WorkerShutdown
from celery.worker import state
from kombu import Connection
from redis import exceptions

from carprice.broker import reconnecting
from carprice.broker.reconnecting import MAX_PAUSE_SECONDS, STABLE_SECONDS, PauseBeforeConnecting
from carprice.celery import app


class Clock:
    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1000.0
        monkeypatch.setattr(
            reconnecting, "time", SimpleNamespace(monotonic=lambda: self.now, sleep=self._sleep)
        )

    def _sleep(self, seconds: float) -> None:
        self.now += seconds

    def pause(self, step: PauseBeforeConnecting) -> float:
        """For how long the step keeps its worker from a new connection."""
        before = self.now
        step.start(None)
        return self.now - before


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


def test_the_first_connection_is_made_at_once(clock: Clock) -> None:
    assert clock.pause(PauseBeforeConnecting(None)) == 0


def test_each_connection_that_is_lost_soon_makes_the_pause_longer(clock: Clock) -> None:
    step = PauseBeforeConnecting(None)

    pauses = [clock.pause(step) for _ in range(9)]

    assert pauses == [0, 0.5, 1, 2, 4, 8, MAX_PAUSE_SECONDS, MAX_PAUSE_SECONDS, MAX_PAUSE_SECONDS]


def test_after_a_good_connection_there_is_no_pause(clock: Clock) -> None:
    step = PauseBeforeConnecting(None)
    for _ in range(5):
        clock.pause(step)

    clock.now += STABLE_SECONDS + 1

    assert [clock.pause(step), clock.pause(step)] == [0, 0.5]


def test_a_worker_that_pauses_can_be_stopped(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    step = PauseBeforeConnecting(None)
    clock.pause(step)
    monkeypatch.setattr(state, "should_stop", 0)

    with pytest.raises(WorkerShutdown):
        step.start(None)


def test_workers_take_the_step_before_all_others() -> None:
    assert PauseBeforeConnecting in app.steps["consumer"]
    consumer = SimpleNamespace(steps=["connection", "mingle"])

    step = PauseBeforeConnecting(consumer)
    step.include(consumer)

    assert consumer.steps == [step, "connection", "mingle"]


def test_a_channel_that_is_closed_makes_a_worker_start_over() -> None:
    assert app.conf.broker_channel_error_retry


@pytest.mark.parametrize(
    "answer",
    [
        exceptions.OutOfMemoryError("command not allowed"),
        exceptions.ReadOnlyError("You can't write against a read only replica."),
        exceptions.ResponseError("UNBLOCKED client unblocked via CLIENT UNBLOCK"),
        exceptions.ResponseError("MISCONF Redis is configured to save RDB snapshots"),
        exceptions.ResponseError("NOREPLICAS Not enough good replicas to write."),
    ],
    ids=lambda answer: str(answer)[:10],
)
def test_a_redis_that_refuses_counts_as_lost(answer: Exception) -> None:
    connection = Connection("redis://localhost")

    assert isinstance(answer, connection.connection_errors)
    assert isinstance(answer, connection.recoverable_connection_errors)
