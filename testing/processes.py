"""A whole service in real processes, for tests: started, looked into, hurt and stopped."""

import json
import os
import pickle
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self, TypeVar
from urllib.parse import urlsplit

import psutil
import psycopg
import pytest
import redis
from django.conf import settings
from django.core.management import call_command

from mlmodels.catalogue import pricing, publishing
from mlmodels.catalogue.card import Card
from mlmodels.domains import DOMAINS, predictor_specs
from mlmodels.domains.base import Domain, PredictorSpec
from mlmodels.serving import artefacts
from mlmodels.serving.artefacts import Artefact
from testing import fakes

T = TypeVar("T")

Trained = list[tuple[Domain, PredictorSpec, Card]]

PASSWORD = "correct horse battery"
LEASE_SECONDS = 1.5
SWEEP_SECONDS = 0.5
CREDIT = 10_000

WEB = ["-m", "gunicorn", "-c", "python:carprice.gunicorn", "carprice.wsgi"]
WORKER = ["-m", "celery", "--quiet", "-A", "carprice", "worker", "--loglevel", "WARNING"]
SET_UP = "from testing import processes; processes.set_up_here()"

needs_redis = pytest.mark.skipif(
    settings.BROKER_KIND != "redis" and not os.environ.get("REQUIRE_ALL"),
    reason="set CELERY_BROKER_URL to a Redis",
)


def eventually(question: Callable[[], T], *, within: float = 60) -> T:
    """The first answer that is true; asks until then. Raises AssertionError when time is up."""
    ends = time.monotonic() + within
    while not (answer := question()):
        assert time.monotonic() < ends, f"not so within {within} s; the last answer was {answer!r}"
        time.sleep(0.02)
    return answer


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


# --- What a service stands on --------------------------------------------------------------------


@dataclass(frozen=True)
class Servers:
    """URLs of the database and the broker; empty for the embedded ones."""

    database: str = ""
    broker: str = ""


@contextmanager
def real_servers() -> Iterator[Servers]:
    """A new PostgreSQL database and an empty Redis one, beside those in the environment."""
    name = f"carprice_processes_{os.getpid()}"
    database = urlsplit(os.environ["DATABASE_URL"])
    server = database._replace(path="/postgres").geturl()
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
        try:
            with empty_redis_database() as broker:
                yield Servers(database._replace(path=f"/{name}").geturl(), broker)
        finally:
            connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


@contextmanager
def empty_redis_database() -> Iterator[str]:
    """The URL of the last numbered Redis database that nobody uses; emptied in the end."""
    url = urlsplit(os.environ["CELERY_BROKER_URL"])
    for number in range(15, 0, -1):
        broker = url._replace(path=f"/{number}").geturl()
        with redis.Redis.from_url(broker) as client:
            if client.dbsize() == 0 and client.setnx("taken", os.getpid()):
                try:
                    yield broker
                finally:
                    client.flushdb()
                return
    raise AssertionError("every Redis database from 1 to 15 is in use")


# --- Processes -----------------------------------------------------------------------------------


class Process:
    """A program in a session of its own, with everything it prints."""

    def __init__(self, arguments: Sequence[str], environment: Mapping[str, str], log: Path) -> None:
        self._log = log
        with log.open("ab") as output:
            self._popen = subprocess.Popen(
                [sys.executable, *arguments],
                cwd=settings.BASE_DIR,
                env=environment,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        return self._popen.pid

    @property
    def output(self) -> str:
        return self._log.read_text(errors="replace")

    def is_running(self) -> bool:
        return self._popen.poll() is None

    def send(self, number: signal.Signals) -> None:
        self._popen.send_signal(number)

    def send_all(self, number: signal.Signals) -> None:
        """Signal the process and its children, whether it still lives or not."""
        os.killpg(self.pid, number)

    def children(self) -> list[int]:
        """The ids of its children, in the order of their start."""
        try:
            return [child.pid for child in psutil.Process(self.pid).children()]
        except psutil.NoSuchProcess:
            return []

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """Until the end, it stands still, as on a machine that is suspended."""
        self.send_all(signal.SIGSTOP)
        try:
            yield
        finally:
            self.send_all(signal.SIGCONT)

    def wait(self, *, within: float = 30) -> int:
        """Its exit status, negative after a signal."""
        return self._popen.wait(within)

    def kill(self) -> None:
        self.send_all(signal.SIGKILL)
        self.wait()


# --- The service ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class PredictionRecord:
    """A prediction as the database has it, with how often it was charged and given back."""

    id: str
    power: int
    status: str
    failure: str
    attempts: int
    value: float | None
    charges: int
    releases: int


_RECORDS = """
    SELECT p.id, p.data ->> 'horsepower', p.status, p.failure, p.attempts, p.value,
        (SELECT count(*) FROM billing_ledgerentry e
            WHERE e.subject_id = p.id AND e.kind = 'capture'),
        (SELECT count(*) FROM billing_ledgerentry e
            WHERE e.subject_id = p.id AND e.kind = 'release')
    FROM predictions_prediction p JOIN accounts_user u ON u.id = p.user_id
    WHERE u.email = '{email}' ORDER BY p.queued_at, p.id
"""


class Service:
    """Web and worker processes on servers and a directory of their own.

    Leaving it stops them all, and fails if one does not stop or money does not add up.
    """

    def __init__(self, servers: Servers | None = None) -> None:
        self.servers = servers or Servers()
        # A name in which each character could mean something to somebody.
        self._directory = tempfile.TemporaryDirectory(prefix="carprice 100% #1 'é';-")
        self.var = Path(self._directory.name)
        self.environment = {
            **os.environ,
            "VAR_DIR": str(self.var),
            "PORT": str(free_port()),
            "DATABASE_URL": self.servers.database,
            "CELERY_BROKER_URL": self.servers.broker,
            "THROTTLE_STORAGE_URL": "",
            "LEASE_SECONDS": str(LEASE_SECONDS),
            "SWEEP_SECONDS": str(SWEEP_SECONDS),
        }
        self.may_be_unsound = False  # a test has taken safeguards away
        self._processes: list[Process] = []
        self._workers: list[Process] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        try:
            stuck = self._stop_all()
            if kind is None:
                assert stuck == [], "these did not stop"
                assert self.may_be_unsound or self.audit() == (0, "No breach found.")
        finally:
            self._directory.cleanup()

    def _stop_all(self) -> list[str]:
        """Stop what was started; returns the command lines of what had to be killed."""
        self.stop_workers()
        for process in self._processes:
            if process.is_running():
                process.send(signal.SIGTERM)
        for process in self._processes:
            try:
                process.wait()
            except subprocess.TimeoutExpired:
                continue
        _, alive = psutil.wait_procs(self.processes(), timeout=5)
        stuck = [" ".join(leftover.cmdline()) for leftover in alive]
        for leftover in alive:
            leftover.kill()
        return stuck

    def processes(self) -> list[psutil.Process]:
        """Whatever runs anywhere for this service, by its environment."""
        return [process for process in psutil.process_iter() if self._owns(process)]

    def _owns(self, process: psutil.Process) -> bool:
        try:
            return process.environ().get("VAR_DIR") == str(self.var)
        except psutil.Error:  # it ended, or belongs to somebody else
            return False

    # Starting and stopping

    def set_up(self, trained: Trained, *, with_fake: bool = False, pages: bool = False) -> None:
        """Make tables and put predictors on sale that were trained before."""
        (self.var / "models").mkdir()
        for _, _, card in trained:
            name = artefacts.path_of(card.artefact_sha256).name
            (self.var / "models" / name).symlink_to(artefacts.path_of(card.artefact_sha256))
        cards = [(spec.name, card) for _, spec, card in trained]
        (self.var / "cards").write_bytes(pickle.dumps((cards, with_fake)))
        self.publish()
        if pages:
            self.run("manage.py", "collectstatic", "--verbosity=0", "--no-input")

    def publish(self) -> None:
        """Put on sale, once more, what the service was set up with."""
        self.run("-c", f"import django; django.setup(); {SET_UP}")

    def run(self, *arguments: str, within: float = 60) -> str:
        """What a short program of the service prints; it must succeed."""
        code, output = self._run(arguments, within)
        assert code == 0, output
        return output

    def audit(self) -> tuple[int, str]:
        """The exit status of `manage.py audit`, and what it says."""
        return self._run(["manage.py", "audit"])

    def _run(self, arguments: Sequence[str], within: float = 60) -> tuple[int, str]:
        done = subprocess.run(
            [sys.executable, *arguments],
            cwd=settings.BASE_DIR,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=within,
            check=False,
        )
        return done.returncode, done.stdout.strip()

    def start(self, *arguments: str, name: str = "", **environment: str) -> Process:
        """Start a program that adds to the log of its name, or to one of its own."""
        log = self.var / f"{name or len(self._processes)}.log"
        process = Process(arguments, {**self.environment, **environment}, log)
        self._processes.append(process)
        return process

    def start_web(self, **environment: str) -> str:
        """Start web processes on a port of their own; returns their address once they answer."""
        port = environment.setdefault("PORT", str(free_port()))
        self.start(*WEB, **environment)
        address = f"http://localhost:{port}"
        eventually(lambda: answers(address))
        return address

    def start_worker(self, **environment: str) -> Process:
        """Start a worker of two pool processes; what waits need not wait for it to be ready."""
        worker = self.start(*WORKER, **{"WORKER_CONCURRENCY": "2", **environment})
        self._workers.append(worker)
        return worker

    def some_worker(self) -> Process:
        """A worker that is up, ready or nearly so."""
        running = [worker for worker in self._workers if worker.is_running()]
        return running[0] if running else self.start_worker()

    def stop_workers(self) -> None:
        """Kill them all: nothing is lost by it, and it is quicker than to let them end."""
        for worker in self._workers:
            if worker.is_running():
                worker.kill()

    def logs(self) -> str:
        return "\n".join(f"{path.name}:\n{path.read_text()}" for path in self.var.glob("*.log"))

    # Looking in

    def records(self, customer: "Customer") -> list[PredictionRecord]:
        """A customer's predictions, in the order of submission."""
        rows = self.fetch(_RECORDS.format(email=customer.email))
        return [PredictionRecord(str(key), int(power), *rest) for key, power, *rest in rows]

    def fetch(self, statement: str) -> list[tuple[Any, ...]]:
        """The rows of a query, over a connection of its own."""
        if self.servers.database:
            with psycopg.connect(self.servers.database) as postgresql:
                return postgresql.execute(statement.encode()).fetchall()
        with closing(sqlite3.connect(self.var / "carprice.sqlite3", timeout=20)) as sqlite:
            return sqlite.execute(statement).fetchall()

    # Commanding the fake

    @contextmanager
    def closed_gate(self) -> Iterator[None]:
        """Until the end, whoever scores rows of the fake that heed the gate waits."""
        for path in self.var.glob("waiting-*"):
            path.unlink()
        gate = self.var / "gate"
        gate.touch()
        try:
            yield
        finally:
            gate.unlink()

    def waiting(self) -> list[int]:
        """The ids of the pool processes that wait at the gate."""
        return [int(path.name.partition("-")[2]) for path in self.var.glob("waiting-*")]


def answers(address: str) -> bool:
    try:
        with urllib.request.urlopen(f"{address}/healthz", timeout=2) as response:
            return bool(response.status == 200)
    except OSError:
        return False


class Customer:
    """Somebody with credits, over HTTP."""

    def __init__(self, address: str, credit: int = CREDIT) -> None:
        self.address = address
        self.token = ""
        self.email = f"{uuid.uuid4().hex}@example.com"
        account = {"email": self.email, "password": PASSWORD}
        assert self.call("POST", "/sign_up", {"name": "Ada", **account})[0] == 201
        self.token = self.request("POST", "/sign_in", account)["access_token"]
        self.request("POST", "/balance", {"new_amount": credit})

    def call(self, method: str, path: str, body: object = None) -> tuple[int, Any]:
        """The status and the JSON body of the answer."""
        request = urllib.request.Request(self.address + path, method=method)
        if body is not None:
            request.data = json.dumps(body).encode()
            request.add_header("Content-Type", "application/json")
        if self.token:
            request.add_header("Authorization", f"Bearer {self.token}")
        try:
            with urllib.request.urlopen(request, timeout=30) as response:
                return response.status, json.load(response)
        except urllib.error.HTTPError as error:
            return error.code, json.load(error)

    def request(self, method: str, path: str, body: object = None) -> Any:
        status, answer = self.call(method, path, body)
        assert status == 200, answer
        return answer

    def balance(self) -> int:
        return int(self.request("GET", "/balance")["amount"])

    def predict(self, model: str, **data: object) -> str:
        status, answer = self.call("POST", "/predict", {"model_name": model, "data": data})
        assert status == 202, answer
        return str(answer["job_id"])

    def command(self, *powers: int) -> None:
        """Ask the fake for one prediction after the other."""
        for power in powers:
            self.predict(fakes.NAME, horsepower=power)

    def command_at_once(self, powers: Sequence[int]) -> None:
        with ThreadPoolExecutor(len(powers)) as pool:
            list(pool.map(self.command, powers))

    def what_if(self, task_id: str, **data: object) -> tuple[int, Any]:
        return self.call("POST", f"/api/tasks/{task_id}/what-if", {"data": data})

    def job(self, job_id: str) -> Any:
        return self.request("GET", f"/predict?job_id={job_id}")

    def job_ids(self, route: str) -> list[str]:
        return list(self.request("GET", route)["job_ids"])


# --- Inside the service's environment ------------------------------------------------------------


def set_up_here() -> None:
    call_command("migrate", verbosity=0)
    cards, with_fake = pickle.loads((settings.VAR_DIR / "cards").read_bytes())
    specs = {spec.name: (domain, spec) for domain, spec in predictor_specs()}
    for name, card in cards:
        publishing.publish(*specs[name], card)
    for name in DOMAINS:
        pricing.price_by_rank(name)
    if with_fake:
        domain, spec = specs[cards[0][0]]
        spec = replace(spec, name=fakes.NAME, title="Scripted")
        digest = artefacts.save(Artefact(fakes.ScriptedEstimator(), explains=False))
        publishing.publish(domain, spec, replace(cards[0][1], artefact_sha256=digest))
