"""Notifying workers delays nobody, and is repeated when the broker is back."""

import os
import signal
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import redis
from django.conf import settings
from pytest_django.fixtures import Settings

from predictions import notifications
from predictions.models import Prediction
from predictions.notifications import notify_workers
from predictions.worker import Backoff
from testing.processes import empty_redis_database, eventually, needs_redis

AT_ONCE_SECONDS = 0.2  # generous: it takes microseconds
A, B = uuid.UUID(int=1), uuid.UUID(int=2)
NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)

NOTIFY_AND_END = f"""
import uuid, django
django.setup()
from predictions.models import Prediction
from predictions.notifications import notify_workers
notify_workers(Prediction, uuid.UUID("{A}"))
"""


@pytest.fixture
def _own_publisher(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """As in a process that has not notified yet; what it could not publish ends with the test."""
    monkeypatch.setattr(notifications, "_current", None)
    yield
    if notifications._current is not None:
        notifications._current._stopping.set()


@pytest.fixture
def broker(settings: Settings, tmp_path: Path, _own_publisher: None) -> Path:
    """An embedded broker's directory."""
    directory = tmp_path / "broker"
    settings.CELERY_BROKER_URL = "embedded://localhost"
    settings.BROKER_KIND = "embedded"
    settings.PUBLISH_TRANSPORT_OPTIONS = {"embedded": {"directory": str(directory)}}
    return directory


@pytest.fixture
def unused_port() -> Iterator[socket.socket]:
    """A local port that refuses connections until it is told to listen."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        yield server


@pytest.fixture
def redis_broker(
    settings: Settings, unused_port: socket.socket, _own_publisher: None
) -> socket.socket:
    """Where a Redis is expected, and none is found."""
    settings.CELERY_BROKER_URL = f"redis://127.0.0.1:{unused_port.getsockname()[1]}/0"
    settings.BROKER_KIND = "redis"
    return unused_port


def messages_at(broker: Path) -> list[uuid.UUID]:
    """The versions for which messages wait."""
    messages = broker.glob(f"{settings.CELERY_TASK_DEFAULT_QUEUE}/*.msg")
    texts = [path.read_text() for path in sorted(messages)]
    return [version for text in texts for version in (A, B) if str(version) in text]


def seconds_of(call: Callable[[], None]) -> float:
    began = time.monotonic()
    call()
    return time.monotonic() - began


# --- What is published ---------------------------------------------------------------------------


def test_messages_of_one_version_within_the_gap_become_one_message(
    broker: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(notifications, "MIN_GAP_SECONDS", 0.5)
    notify_workers(Prediction, A)
    eventually(lambda: messages_at(broker) == [A])

    for _ in range(100):
        notify_workers(Prediction, A)
        notify_workers(Prediction, B)

    eventually(lambda: len(messages_at(broker)) > 1)
    time.sleep(0.6)  # another gap, in which nothing more comes
    assert sorted(messages_at(broker)) == [A, A, B]


def test_a_gap_grows_with_what_comes_in_it() -> None:
    def gap_at(rows_per_second: float) -> float:
        gap = notifications.MIN_GAP_SECONDS
        for _ in range(20):
            gap = notifications.next_gap(gap, int(rows_per_second * gap))
        return gap

    gaps = [gap_at(rate) for rate in (1, 10, 100, 300, 3000)]

    assert gaps == sorted(gaps)
    assert gaps[:2] == [notifications.MIN_GAP_SECONDS] * 2
    assert gaps[-1] == notifications.MAX_GAP_SECONDS


def test_a_forked_child_notifies_by_a_thread_of_its_own(broker: Path) -> None:
    notify_workers(Prediction, A)
    eventually(lambda: messages_at(broker) == [A])

    child = os.fork()
    if child == 0:
        notify_workers(Prediction, B)
        time.sleep(5)
        os._exit(1)

    try:
        eventually(lambda: messages_at(broker) == [A, B], within=4)
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def test_a_process_that_ends_at_once_is_still_heard(tmp_path: Path) -> None:
    environment = {"VAR_DIR": str(tmp_path), "DATABASE_URL": "", "CELERY_BROKER_URL": ""}

    subprocess.run(
        [sys.executable, "-c", NOTIFY_AND_END],
        cwd=settings.BASE_DIR,
        env={**os.environ, **environment},
        check=True,
    )

    assert messages_at(tmp_path / "broker") == [A]


# --- A broker that is away -----------------------------------------------------------------------


def test_a_broker_that_refuses_delays_nobody(redis_broker: socket.socket) -> None:
    times = [seconds_of(lambda: notify_workers(Prediction, A)) for _ in range(3)]
    time.sleep(0.2)  # the publisher has failed by now
    times += [seconds_of(lambda: notify_workers(Prediction, B)) for _ in range(3)]

    assert max(times) < AT_ONCE_SECONDS


def test_a_broker_that_hangs_delays_nobody_and_no_end(redis_broker: socket.socket) -> None:
    redis_broker.listen()
    notify_workers(Prediction, A)
    redis_broker.accept()[0].recv(1)  # the publisher waits for an answer by now

    times = [
        seconds_of(lambda: notify_workers(Prediction, A)),
        seconds_of(lambda: notify_workers(Prediction, B)),
    ]
    at_exit = seconds_of(notifications._flush_at_exit)

    assert max(times) < AT_ONCE_SECONDS
    assert at_exit < 1.5


def test_what_was_notified_while_the_broker_was_away_is_published_when_it_is_back(
    broker: Path, caplog: pytest.LogCaptureFixture
) -> None:
    broker.write_text("in the way of the directory")
    notify_workers(Prediction, A)
    eventually(lambda: "took no message" in caplog.text)
    notify_workers(Prediction, B)
    assert not broker.is_dir()

    broker.unlink()

    eventually(lambda: sorted(messages_at(broker)) == [A, B])


@needs_redis
def test_the_publisher_connects_anew_once_redis_is_back(
    redis_broker: socket.socket, settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    queue = settings.CELERY_TASK_DEFAULT_QUEUE
    notify_workers(Prediction, A)
    eventually(lambda: "took no message" in caplog.text)

    with empty_redis_database() as url, redis.Redis.from_url(url) as client:
        settings.CELERY_BROKER_URL = url
        eventually(lambda: client.llen(queue) == 1)
        assert str(A).encode() in client.lrange(queue, 0, 0)[0]


# --- How often the sweep notifies ----------------------------------------------------------------


def test_a_queue_that_does_not_move_is_notified_of_ever_more_rarely(settings: Settings) -> None:
    settings.SWEEP_SECONDS = 2
    backoff = Backoff()

    notified_at = [now for now in range(300) if backoff.due({A: NOON}, now)]

    assert notified_at == [0, 2, 6, 14, 30, 62, 122, 182, 242]


def test_a_queue_that_moves_is_notified_of_at_once_again(settings: Settings) -> None:
    settings.SWEEP_SECONDS = 2
    backoff = Backoff()
    assert [backoff.due({A: NOON}, now) for now in (0, 1, 2, 3)] == [[A], [], [A], []]

    later = NOON + timedelta(seconds=1)

    assert [backoff.due({A: later}, now) for now in (4, 5, 6, 7)] == [[A], [], [A], []]


def test_each_version_backs_off_alone_and_starts_anew_once_served(settings: Settings) -> None:
    settings.SWEEP_SECONDS = 2
    backoff = Backoff()
    assert backoff.due({A: NOON}, 0) == [A]
    assert backoff.due({A: NOON, B: NOON}, 1) == [B]

    assert backoff.due({B: NOON}, 1.5) == []

    assert backoff.due({A: NOON, B: NOON}, 1.6) == [A]
