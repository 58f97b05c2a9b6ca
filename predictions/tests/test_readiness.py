"""/readyz sees a worker that is up and consumes nothing, and only if no other one consumes."""

import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from testing.processes import (
    Customer,
    Servers,
    Service,
    Trained,
    eventually,
    needs_redis,
    real_servers,
)
from testing.servers import Proxy, Redis

pytestmark = [pytest.mark.processes, pytest.mark.timeout(240)]

RED_WITHIN = 60
GREEN_WITHIN = 30


class Watched:
    """A service that is asked whether it is ready."""

    def __init__(self, service: Service) -> None:
        self._client = Customer(service.start_web())

    def worker(self) -> str:
        return str(self._client.call("GET", "/readyz")[1]["worker"])

    def becomes(self, answer: str, *, within: float) -> None:
        eventually(lambda: self.worker() == answer, within=within)

    def stays_ready(self, seconds: float) -> None:
        ends = time.monotonic() + seconds
        while time.monotonic() < ends:
            assert self.worker() == "ok"
            time.sleep(0.5)


@pytest.fixture
def service(trained: Trained) -> Iterator[Service]:
    with Service() as service:
        service.set_up(trained[:1])
        yield service
        print(service.logs())  # pytest shows it if the test failed


NOBODY = "no worker has consumed lately"


def test_a_worker_that_stands_still_is_noticed_and_so_is_its_return(service: Service) -> None:
    worker = service.start_worker()
    watched = Watched(service)
    watched.becomes("ok", within=60)

    with worker.frozen():
        watched.becomes(NOBODY, within=RED_WITHIN)

    watched.becomes("ok", within=GREEN_WITHIN)


@pytest.mark.postgresql
@needs_redis
def test_one_worker_of_two_that_stands_still_changes_nothing(trained: Trained) -> None:
    """On servers: whoever is stopped while it writes to SQLite stops everybody else."""
    with real_servers() as servers, Service(servers) as service:
        service.set_up(trained[:1])
        frozen = service.start_worker()
        watched = Watched(service)
        watched.becomes("ok", within=60)
        service.start_worker()

        with frozen.frozen():
            watched.stays_ready(45)


@pytest.mark.own_servers
def test_a_worker_whose_connection_to_the_broker_is_dead_is_noticed(
    tmp_path: Path, trained: Trained
) -> None:
    with ExitStack() as stack:
        redis = Redis(tmp_path)
        redis.start()
        stack.callback(redis.close)
        proxy = Proxy(redis.port)
        stack.callback(proxy.close)
        service = stack.enter_context(Service(Servers(broker=redis.url(redis.port))))
        service.set_up(trained[:1])
        service.start_worker(CELERY_BROKER_URL=redis.url(proxy.port))
        watched = Watched(service)
        watched.becomes("ok", within=60)

        with proxy.stalled():
            watched.becomes(NOBODY, within=RED_WITHIN)

        watched.becomes("ok", within=GREEN_WITHIN)
