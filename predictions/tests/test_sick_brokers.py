"""A broker that answers, but refuses what it is asked for: nobody ends, and nothing is lost."""

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from testing.fakes import NAME
from testing.processes import Customer, Process, Servers, Service, Trained, eventually
from testing.servers import RabbitMQ, Redis

# Those that share a broker run in this order; each leaves it as it was.
pytestmark = [pytest.mark.processes, pytest.mark.own_servers, pytest.mark.timeout(240)]

SICK_SECONDS = 4.0  # longer than a publisher needs to give up, and a worker to try more than once


class Running:
    """A service with one worker that nothing starts again."""

    def __init__(self, service: Service) -> None:
        self._worker: Process = service.start_worker(WORKER_CONCURRENCY="1")
        self._ada = Customer(service.start_web())
        self.finish_one()

    def finish_one(self) -> None:
        """Order a prediction and see its end."""
        self.finishes(self._ada.predict(NAME, horsepower=100))

    def finishes(self, *jobs: str, within: float = 60) -> None:
        def all_finished() -> bool:
            return all(self._ada.job(job)["status"] == "finished" for job in jobs)

        eventually(all_finished, within=within)
        assert self._worker.is_running()

    def bears(self, sickness: AbstractContextManager[None]) -> None:
        """Order while the broker is sick: it is accepted, and done when the broker is well."""
        with sickness:
            ends = time.monotonic() + SICK_SECONDS
            jobs: list[str] = []
            while time.monotonic() < ends:
                jobs.append(self._ada.predict(NAME, horsepower=100 + len(jobs)))  # 202, or it fails
                time.sleep(0.5)
            assert self._worker.is_running()
        self.finishes(*jobs)


@pytest.fixture(scope="module")
def start(trained: Trained) -> Iterator[Callable[[str], Running]]:
    services = []

    def start(broker: str) -> Running:
        service = Service(Servers(broker=broker))
        services.append(service)
        service.set_up(trained[:1], with_fake=True)
        return Running(service)

    yield start
    for service in services:
        print(service.logs())  # pytest shows it if a test failed
        service.__exit__(None)


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Redis]:
    broker = Redis(tmp_path_factory.mktemp("redis"))
    broker.start()
    yield broker
    broker.close()


@pytest.fixture(scope="module")
def on_redis(redis: Redis, start: Callable[[str], Running]) -> Running:
    return start(redis.url(redis.port))


def test_a_redis_that_is_out_of_memory(redis: Redis, on_redis: Running) -> None:
    on_redis.bears(redis.out_of_memory())


def test_a_redis_that_becomes_a_replica_for_a_while(redis: Redis, on_redis: Running) -> None:
    on_redis.bears(redis.demoted())


def test_a_redis_that_ends_what_a_worker_waits_for(redis: Redis, on_redis: Running) -> None:
    unblocked = eventually(redis.unblock_clients)

    assert unblocked == 1
    on_redis.finish_one()


@pytest.fixture(scope="module")
def rabbitmq(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RabbitMQ]:
    if not RabbitMQ.is_installed():
        pytest.skip("RabbitMQ is not installed")
    broker = RabbitMQ(Path(tmp_path_factory.mktemp("rabbitmq")))
    broker.start()
    yield broker
    broker.close()


@pytest.fixture(scope="module")
def on_rabbitmq(rabbitmq: RabbitMQ, start: Callable[[str], Running]) -> Running:
    return start(rabbitmq.url(rabbitmq.port))


def test_a_rabbitmq_whose_memory_alarm_is_on(rabbitmq: RabbitMQ, on_rabbitmq: Running) -> None:
    on_rabbitmq.bears(rabbitmq.out_of_memory())


def test_a_rabbitmq_that_closes_all_connections(rabbitmq: RabbitMQ, on_rabbitmq: Running) -> None:
    rabbitmq.close_connections()

    on_rabbitmq.finish_one()


def test_a_rabbitmq_whose_queue_is_deleted(rabbitmq: RabbitMQ, on_rabbitmq: Running) -> None:
    rabbitmq.delete_queue()

    on_rabbitmq.finish_one()


def test_a_rabbitmq_that_closes_the_channel(rabbitmq: RabbitMQ, on_rabbitmq: Running) -> None:
    on_rabbitmq.bears(rabbitmq.queue_of_another_type())
