"""A whole service on servers of its own, whose programs are started again when they die."""

import contextlib
import shutil
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

from django.conf import settings

from mlmodels.serving.artefacts import path_of
from testing import fakes
from testing.processes import (
    WEB,
    WORKER,
    Process,
    Servers,
    Service,
    Trained,
    answers,
    eventually,
    free_port,
)
from testing.servers import Broker, Postgres, Proxy, RabbitMQ, Redis, delete_queue

BROKERS: dict[str, type[Broker]] = {"redis": Redis, "rabbitmq": RabbitMQ}
KINDS = ("redis", "rabbitmq", "embedded")

LEASE_SECONDS = 3.0
DEADLINE_SECONDS = 90.0  # longer than recovery may take, so that it does not hide what is stuck
SHORT_DEADLINE_SECONDS = 10.0  # of what comes by the second web program, to race with recovery
POOL_PROCESSES = 2
WEB_PROCESSES = {"web-1": 2, "web-2": 1}
WEB_DEADLINES = {"web-1": DEADLINE_SECONDS, "web-2": SHORT_DEADLINE_SECONDS}
WORKERS = ("worker-1", "worker-2")
NO_LIMITS = {
    f"THROTTLE_{scope}": "10000000/minute"
    for scope in ("SIGN_UP", "SIGN_IN", "WRONG_SIGN_IN", "SUBMIT", "TOP_UP", "OTHER")
}


class Unreached(Exception):
    """No process came to the point of the program where it was to be hurt."""


class Program:
    """A program that is started whenever it does not run, unless it is kept down."""

    def __init__(self, name: str, start: Callable[..., Process]) -> None:
        self.name = name
        self._start = start
        self._settings: dict[str, str] = {}
        self._kept_down = False
        self._lock = threading.RLock()
        self.process = start()

    def keep_up(self) -> None:
        with self._lock:
            if not self._kept_down and not self.process.is_running():
                self.process = self._start(**self._settings)

    def kill(self) -> None:
        """The program and its children at once."""
        with contextlib.suppress(ProcessLookupError):
            self.process.kill()

    def restart(self, **settings: str) -> None:
        """Kill it; it starts again with these added to its environment."""
        with self._lock:
            self._settings = settings
            self.kill()
            self.keep_up()

    @contextlib.contextmanager
    def down(self) -> Iterator[None]:
        """Until the end, it does not run."""
        with self._lock:
            self._kept_down = True
            self.kill()
        try:
            yield
        finally:
            with self._lock:
                self._kept_down = False

    def children(self) -> list[int]:
        """The ids of its children, once it has as many as it is meant to have."""
        wanted = WEB_PROCESSES.get(self.name, POOL_PROCESSES)
        return eventually(lambda: enough(self.process.children(), wanted), within=60)


def enough(pids: list[int], wanted: int) -> list[int]:
    return pids if len(pids) >= wanted else []


class Stack:
    """Web programs and workers on the servers of a kind, one or two of each.

    Leaving it stops everything.
    """

    def __init__(
        self,
        kind: str,
        trained: Trained,
        *,
        lease_seconds: float = LEASE_SECONDS,
        broker_url: str = "",
        is_small: bool = False,
    ) -> None:
        self.kind = kind
        self.is_small = is_small
        self.workers = WORKERS[:1] if is_small else WORKERS
        self.webs = tuple(WEB_PROCESSES)[: len(self.workers)]
        self._trained = trained
        self.past_lease = lease_seconds + 2.0  # how long to freeze what holds a lease
        self._lease_seconds = lease_seconds
        self.directory = Path(tempfile.mkdtemp(prefix="carprice-chaos-"))
        self.postgres: Postgres | None = None
        self.broker: Broker | None = None
        self.proxy: Proxy | None = None
        self.programs: dict[str, Program] = {}
        self.addresses: list[str] = []
        self.artefacts: dict[str, Path] = {}
        self.junk = 0  # files in the embedded broker's directory that are no messages
        self._broker_url = broker_url
        self._exits = ExitStack()
        self._stopping = threading.Event()
        self._supervisor = threading.Thread(target=self._supervise, name="supervisor", daemon=True)

    def __enter__(self) -> Self:
        with ExitStack() as exits:
            exits.callback(shutil.rmtree, self.directory, ignore_errors=True)
            servers = self._start_servers(exits)
            self.service = exits.enter_context(Service(servers))
            exits.callback(self._end_programs)
            self._start_programs()
            self._exits = exits.pop_all()
        return self

    def _start_servers(self, exits: ExitStack) -> Servers:
        if self.kind == "embedded":
            return Servers()
        self.postgres = Postgres(self.directory)
        exits.callback(self.postgres.close)
        self.postgres.start()
        if self._broker_url:
            exits.callback(delete_queue, self._broker_url, self.directory.name)
            return Servers(self.postgres.url, self._broker_url)
        self.broker = BROKERS[self.kind](self.directory)
        exits.callback(self.broker.close)
        self.broker.start()
        self.proxy = Proxy(self.broker.port)
        exits.callback(self.proxy.close)
        return Servers(self.postgres.url, self.broker.url(self.proxy.port))

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._exits.__exit__(kind, error, traceback)

    # Programs

    def _start_programs(self) -> None:
        """Returns when clients can be served."""
        (self.directory / "points").mkdir()
        self.service.environment |= {
            "DJANGO_SETTINGS_MODULE": "testing.chaos.settings",
            "PYTHONPATH": str(settings.BASE_DIR),
            "FAULT_POINTS": str(self.directory / "points"),
            "FAULT_QUEUE": self.directory.name if self._broker_url else "",
            "LEASE_SECONDS": str(self._lease_seconds),
            "DEADLINE_SECONDS": str(DEADLINE_SECONDS),
            **NO_LIMITS,
        }
        self.service.set_up(self._trained, with_fake=True)
        models = self.service.var / "models"
        self.artefacts = {
            spec.name: models / path_of(card.artefact_sha256).name
            for _, spec, card in self._trained
        }
        for name in self.workers:
            self.programs[name] = Program(name, self._starter(name, *WORKER, "-n", f"{name}@%h"))
        for name in self.webs:
            own = {
                "PORT": str(free_port()),
                "DEADLINE_SECONDS": str(WEB_DEADLINES[name]),
                "WEB_PROCESSES": str(WEB_PROCESSES[name]),
            }
            self.programs[name] = Program(name, self._starter(name, *WEB, **own))
            self.addresses.append(f"http://127.0.0.1:{own['PORT']}")
        self._supervisor.start()
        self.wait_until_up()

    def _starter(self, name: str, *arguments: str, **own: str) -> Callable[..., Process]:
        own |= {"FAULT_NAME": name, "WORKER_CONCURRENCY": str(POOL_PROCESSES)}

        def start(**settings_of_start: str) -> Process:
            return self.service.start(*arguments, name=name, **{**own, **settings_of_start})

        return start

    def wait_until_up(self) -> None:
        """Until every web program answers and every worker has its pool."""
        for address in self.addresses:
            eventually(lambda address=address: answers(address), within=120)  # type: ignore[misc]
        for name in self.workers:
            self.programs[name].children()

    def _supervise(self) -> None:
        while not self._stopping.wait(0.1):
            for program in self.programs.values():
                program.keep_up()

    def _end_programs(self) -> None:
        """Workers at once, by which nothing is lost; the service stops the others."""
        self._stopping.set()
        if self._supervisor.ident:  # it was started
            self._supervisor.join()
        for name in self.workers:
            if name in self.programs:
                self.programs[name].kill()

    @property
    def models(self) -> list[str]:
        """What is on sale."""
        return [fakes.NAME, *self.artefacts]

    def orphans(self) -> list[int]:
        """Processes of the service that no supervised program is the parent of."""
        known = {
            pid
            for program in self.programs.values()
            for pid in (program.process.pid, *program.process.children())
        }
        return [process.pid for process in self.service.processes() if process.pid not in known]

    # Points

    @contextlib.contextmanager
    def armed(self, point: str, action: str, *, within: float = 15) -> Iterator[int]:
        """Gives the id of the process that came to a point and waits there, or died of it."""
        points = self.directory / "points"
        beside = points / f".{point}"
        beside.write_text(action)
        beside.rename(points / point)
        try:
            taken = self._taken(point, within)
        finally:
            (points / point).unlink(missing_ok=True)
        try:
            yield int(taken.name.rpartition("-")[2])
        finally:
            taken.unlink(missing_ok=True)

    def _taken(self, point: str, within: float) -> Path:
        pattern = f"taken-{point}-*"
        try:
            return eventually(
                lambda: list((self.directory / "points").glob(pattern)), within=within
            )[0]
        except AssertionError:
            raise Unreached(point) from None

    @contextlib.contextmanager
    def ordered(self, order: str, *names: str) -> Iterator[None]:
        """Until the end, these programs follow an order, such as doing without a safeguard."""
        files = [self.directory / "points" / f"{order}@{name}" for name in names]
        for file in files:
            file.touch()
        try:
            yield
        finally:
            for file in files:
                file.unlink()
