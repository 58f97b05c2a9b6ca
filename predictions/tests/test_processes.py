"""The whole service in real processes, on the embedded default and on PostgreSQL and Redis.

Processes are killed, frozen and cut off; nothing may be lost and nothing charged twice.
"""

import os
import re
import signal
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from urllib.parse import urlsplit

import psutil
import pytest

from accounts.demo import DEMO_EMAIL
from mlmodels.domains import predictor_specs
from testing.fakes import DIE, GATED, RAISE
from testing.processes import (
    CREDIT,
    Customer,
    PredictionRecord,
    Servers,
    Service,
    Trained,
    answers,
    eventually,
    needs_redis,
    real_servers,
)

pytestmark = pytest.mark.processes

REAL_SERVERS = pytest.param("postgresql+redis", marks=[pytest.mark.postgresql, needs_redis])
POWERS = list(range(GATED, GATED + 5))


@pytest.fixture(scope="module", params=["embedded", REAL_SERVERS])
def servers(request: pytest.FixtureRequest) -> Iterator[Servers]:
    if request.param == "embedded":
        yield Servers()
    else:
        with real_servers() as servers:
            yield servers


@pytest.fixture(scope="module")
def shared_service(servers: Servers, trained: Trained) -> Iterator[Service]:
    """A service with the fake on sale; when all tests have run it stops and is audited."""
    with Service(servers) as service:
        service.set_up(trained, with_fake=True)
        yield service


@pytest.fixture
def service(shared_service: Service) -> Iterator[Service]:
    yield shared_service
    print(shared_service.logs())  # pytest shows it if the test failed


@pytest.fixture(scope="module")
def address(shared_service: Service) -> str:
    return shared_service.start_web()


@pytest.fixture(scope="module")
def deaf_address(shared_service: Service) -> Iterator[str]:
    """Where what is submitted waits for a sweep, because the broker refuses every notification."""
    with silent_port(refuses=True) as port:
        yield shared_service.start_web(CELERY_BROKER_URL=f"redis://127.0.0.1:{port}/0")


@pytest.fixture
def ada(address: str) -> Customer:
    return Customer(address)


@pytest.fixture
def unheard(deaf_address: str) -> Customer:
    return Customer(deaf_address)


@contextmanager
def silent_port(*, refuses: bool) -> Iterator[int]:
    """A port that refuses connections, or takes them and never says a word."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        if not refuses:
            server.listen()
        yield server.getsockname()[1]


@contextmanager
def batch(service: Service, unheard: Customer, *powers: int) -> Iterator[int]:
    """Jobs that a pool process, whose id this gives, claimed together and waits to score.

    No worker is notified of them, so all wait when the first sweep finds them.
    """
    with service.closed_gate():
        unheard.command(*powers)
        eventually(lambda: count(service, unheard, "running") == len(powers))
        yield eventually(service.waiting)[0]


def count(service: Service, customer: Customer, status: str) -> int:
    return [record.status for record in service.records(customer)].count(status)


def ended(service: Service, customer: Customer) -> list[PredictionRecord]:
    """A customer's predictions once all have ended, each charged or given back exactly once."""
    eventually(lambda: customer.job_ids("/running") == [], within=90)
    records = service.records(customer)
    for record in records:
        finished = record.status == "finished"
        assert (record.charges, record.releases) == ((1, 0) if finished else (0, 1)), record
        assert record.value == (100 * record.power if finished else None), record
    return records


# --- Nothing is hurt -----------------------------------------------------------------------------


def test_what_is_submitted_while_no_worker_runs_is_done_when_one_starts(
    service: Service, ada: Customer
) -> None:
    service.stop_workers()
    ada.command(*POWERS)
    assert count(service, ada, "queued") == len(POWERS)

    service.start_worker()

    assert {(record.status, record.attempts) for record in ended(service, ada)} == {("finished", 1)}


def test_every_predictor_is_bought_scored_and_charged(service: Service, ada: Customer) -> None:
    service.some_worker()
    prices = {
        row["model_name"]: row["price"] for row in ada.request("GET", "/predictors")["models"]
    }
    known: dict[str, dict[str, Any]] = {
        "car_price": {"brand": "bmw", "horsepower": 121},
        "biological_age": {"Height (cm)": 180, "Weight (kg)": 75},
        "blood_age": {"gender": "female", "albumin": 4.2},
    }
    domains = {spec.name: domain.name for domain, spec in predictor_specs()}
    names = list(domains)

    job_ids = [ada.predict(name, **known[domains[name]]) for name in names]
    eventually(lambda: ada.job_ids("/running") == [])

    jobs = [ada.job(job_id) for job_id in job_ids]
    assert [job["model_name"] for job in jobs] == names
    assert {job["status"] for job in jobs} == {"finished"}
    for job in jobs:
        low, high = (5_000, 50_000) if domains[job["model_name"]] == "car_price" else (15, 90)
        assert low < job["result"] < high
    assert ada.balance() == CREDIT - sum(prices[name] for name in names)
    assert ada.job_ids("/history") == job_ids[::-1]
    assert service.audit() == (0, "No breach found.")


def test_thirty_at_once_all_finish_each_with_its_own_result(
    service: Service, ada: Customer
) -> None:
    service.some_worker()

    ada.command_at_once(range(100, 130))

    records = ended(service, ada)
    assert sorted(record.power for record in records) == list(range(100, 130))
    assert {record.status for record in records} == {"finished"}


def test_what_ifs_are_scored_by_a_worker_while_the_user_waits(
    service: Service, ada: Customer
) -> None:
    service.some_worker()
    task, value = finished(ada)

    answers = [ada.what_if(task, horsepower=power) for power in (100, 200)]

    assert [status for status, _ in answers] == [200, 200]
    assert answers[0][1]["value"] < answers[1][1]["value"]
    assert {answer["before"]["value"] for _, answer in answers} == {value}
    assert service.audit() == (0, "No breach found.")


def test_a_what_if_whose_message_is_lost_is_scored_all_the_same(
    service: Service, unheard: Customer
) -> None:
    service.some_worker()
    task, value = finished(unheard)

    status, answer = unheard.what_if(task, horsepower=200)

    assert (status, answer["before"]["value"]) == (200, value)


def finished(customer: Customer) -> tuple[str, float]:
    """A finished prediction of a real predictor, and its result."""
    task = customer.predict("linear_regression", horsepower=121)
    eventually(lambda: customer.job_ids("/running") == [])
    return task, customer.job(task)["result"]


# --- Probes --------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
@pytest.mark.parametrize("host", ["Host: evil.example", "Host: 10.0.0.7:80", "Host: <>", "X: y"])
def test_a_probe_may_ask_for_any_host_or_none(address: str, path: str, host: str) -> None:
    answer = exchange(address, f"GET {path} HTTP/1.1\r\n{host}\r\nConnection: close\r\n\r\n")

    assert b'"invalid_request"' not in answer
    assert b'"status":"ok"' in answer or b'"database":"ok"' in answer


@pytest.mark.parametrize("path", ["/", "/healthz", "/predictors", "/no/such/path", "/history"])
def test_what_follows_the_headers_for_head_is_the_next_answer(address: str, path: str) -> None:
    host = "Host: localhost\r\n"

    answer = exchange(
        address,
        f"HEAD {path} HTTP/1.1\r\n{host}\r\n"
        f"GET /healthz HTTP/1.1\r\n{host}Connection: close\r\n\r\n",
    )

    first, _, rest = answer.partition(b"\r\n\r\n")
    assert b"Content-Length: " in first
    assert rest.startswith(b"HTTP/1.1 200 OK")


def exchange(address: str, request: str) -> bytes:
    """What a server sends for some bytes, until it closes the connection."""
    port = urlsplit(address).port
    with socket.create_connection(("127.0.0.1", port or 80), timeout=20) as client:
        client.sendall(request.encode())
        return b"".join(iter(lambda: client.recv(65536), b""))


# --- A lost broker -------------------------------------------------------------------------------


def test_a_broker_that_refuses_delays_no_answer(service: Service, unheard: Customer) -> None:
    service.some_worker()

    began = time.monotonic()
    unheard.command(*POWERS)
    took = time.monotonic() - began

    assert {record.status for record in ended(service, unheard)} == {"finished"}
    assert took < 10  # a publisher that waited for the broker would take many times as long


def test_a_broker_that_hangs_delays_no_answer(service: Service) -> None:
    service.some_worker()
    with silent_port(refuses=False) as port:
        ada = Customer(service.start_web(CELERY_BROKER_URL=f"redis://127.0.0.1:{port}/0"))

        began = time.monotonic()
        ada.command(*POWERS)
        took = time.monotonic() - began

        assert {record.status for record in ended(service, ada)} == {"finished"}
    assert took < 10  # a publisher that waited for the broker would take many times as long


# --- Bad rows ------------------------------------------------------------------------------------


def test_a_row_that_cannot_be_scored_fails_alone(service: Service, unheard: Customer) -> None:
    service.some_worker()

    with batch(service, unheard, RAISE, *POWERS):
        pass

    records = {record.power: record for record in ended(service, unheard)}
    assert (records[RAISE].status, records[RAISE].failure) == ("failed", "invalid_input")
    assert {records[power].status for power in POWERS} == {"finished"}


def test_a_row_that_kills_its_worker_fails_and_its_batch_mates_finish(
    service: Service, unheard: Customer
) -> None:
    service.some_worker()

    with batch(service, unheard, DIE, *POWERS):
        pass

    records = {record.power: record for record in ended(service, unheard)}
    assert (records[DIE].status, records[DIE].failure) == ("failed", "worker_lost")
    assert records[DIE].attempts == 3
    assert {records[power].status for power in POWERS} == {"finished"}


# --- Lost workers --------------------------------------------------------------------------------


def test_a_pool_process_killed_in_mid_batch_loses_and_doubles_nothing(
    service: Service, unheard: Customer
) -> None:
    """Its successor takes over soon, though there is no sibling to help."""
    service.stop_workers()
    service.start_worker(WORKER_CONCURRENCY="1")

    with batch(service, unheard, *POWERS) as pool_process:
        os.kill(pool_process, signal.SIGKILL)
        began = time.monotonic()

    records = ended(service, unheard)
    assert time.monotonic() - began < 20
    assert {record.status for record in records} == {"finished"}
    assert min(record.attempts for record in records) > 1


def test_pool_processes_killed_while_they_wait_are_replaced(
    service: Service, ada: Customer
) -> None:
    """On a common pipe, one killed while it held the pipe's lock would stop all to come."""
    service.stop_workers()
    worker = service.start_worker()
    for _ in range(5):
        ada.command(*POWERS)
        ended(service, ada)
        for pool_process in psutil.Process(worker.pid).children():
            pool_process.kill()

    ada.command(*POWERS)

    assert {record.status for record in ended(service, ada)} == {"finished"}


def test_a_whole_worker_killed_in_mid_batch_loses_and_doubles_nothing(
    service: Service, unheard: Customer
) -> None:
    service.stop_workers()
    worker = service.start_worker()

    with batch(service, unheard, *POWERS):
        worker.kill()
    service.start_worker()

    records = ended(service, unheard)
    assert {record.status for record in records} == {"finished"}
    assert min(record.attempts for record in records) > 1


def test_a_worker_frozen_past_its_lease_settles_nothing(service: Service, ada: Customer) -> None:
    service.stop_workers()
    # It never sweeps, and so cannot freeze while it holds SQLite's one lock.
    worker = service.start_worker(WORKER_CONCURRENCY="1", SWEEP_SECONDS="600")
    with ExitStack() as until_scored_elsewhere:
        with service.closed_gate():
            ada.command(GATED)
            eventually(service.waiting)
            until_scored_elsewhere.enter_context(worker.frozen())
        service.start_worker()
        records = ended(service, ada)

    # On a slow machine its time for the task was over as well, and it stopped before settling.
    refusals = ("no longer ours to settle", "ScoringStopped", "SoftTimeLimitExceeded")
    eventually(lambda: any(refusal in worker.output for refusal in refusals))
    assert [(record.status, record.attempts) for record in records] == [("finished", 2)]
    assert service.records(ada) == records
    worker.kill()


def test_a_worker_told_to_stop_under_load_ends_what_it_began(
    service: Service, ada: Customer
) -> None:
    service.stop_workers()
    worker = service.start_worker(LEASE_SECONDS="20")
    with service.closed_gate():
        ada.command_at_once(range(100, 110))
        ada.command(GATED)
        eventually(service.waiting)
        worker.send(signal.SIGTERM)
        ada.command_at_once(range(110, 120))
    assert worker.wait() == 0
    assert count(service, ada, "running") == 0

    service.start_worker()

    assert {(record.status, record.attempts) for record in ended(service, ada)} == {("finished", 1)}


# --- make run ------------------------------------------------------------------------------------


def test_serve_runs_everything_until_interrupted_and_leaves_nothing(trained: Trained) -> None:
    with Service() as service:
        service.set_up(trained)
        serve = service.start("manage.py", "serve")
        address = f"http://localhost:{service.environment['PORT']}"
        eventually(lambda: "the password of both" in serve.output)
        assert answers(address)
        ada = Customer(address)
        job_id = ada.predict("random_forest", horsepower=121)
        eventually(lambda: ada.job(job_id)["status"] == "finished")
        password = re.findall(r"the password of both is (\S+)", serve.output)
        sign_in = ada.call("POST", "/sign_in", {"email": DEMO_EMAIL, "password": password[0]})

        serve.send(signal.SIGINT)
        status = serve.wait(within=15)

        assert service.processes() == []
        assert (status, sign_in[0]) == (0, 200)
        assert address in serve.output


def test_serve_ends_with_the_words_of_a_process_that_cannot_start(trained: Trained) -> None:
    """The worker cannot; until it is known, nothing says that the service answers."""
    with Service() as service:
        service.set_up(trained)
        broken = 'import sys; "celery" in sys.orig_argv and sys.exit("no libgomp.so.1")'
        (service.var / "sitecustomize.py").write_text(broken)

        serve = service.start("manage.py", "serve", PYTHONPATH=str(service.var))
        status = serve.wait(within=120)

        assert service.processes() == []
        assert status == 1
        assert "answers at" not in serve.output
        assert "carprice: the worker process could not start in 3 attempts" in serve.output
        assert serve.output.rstrip().endswith("no libgomp.so.1")


def test_serve_sells_the_first_predictor_while_it_trains_the_others() -> None:
    with Service() as service:
        serve = service.start("manage.py", "serve")
        address = f"http://localhost:{service.environment['PORT']}"
        eventually(lambda: answers(address), within=120)
        ada = Customer(address)
        job_id = ada.predict("linear_regression", horsepower=121)
        eventually(lambda: ada.job(job_id)["status"] == "finished")

        eventually(lambda: len(ada.call("GET", "/predictors")[1]["models"]) > 1, within=100)

        serve.send(signal.SIGINT)  # while the rest is being trained
        assert serve.wait(within=30) == 0
        assert service.processes() == []
