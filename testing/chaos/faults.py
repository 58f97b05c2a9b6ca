"""The faults. Each function returns when the fault is over and the service may recover."""

import contextlib
import os
import random
import shutil
import signal
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from mlmodels.serving.artefacts import write_atomically
from testing.chaos import injection
from testing.chaos.injection import DIE, SWEEP_DOUBLED, SWEEP_OFF, WAIT
from testing.chaos.stack import Program, Stack
from testing.processes import eventually

ALL, SERVERS = ("redis", "rabbitmq", "embedded"), ("redis", "rabbitmq")
LINEAR = "linear_regression"  # which is trained again in seconds

Inject = Callable[[Stack, random.Random], None]


@dataclass(frozen=True)
class Fault:
    name: str
    inject: Inject
    stacks: tuple[str, ...]
    missing: Callable[[], str]  # why this machine cannot do it, or ""


FAULTS: dict[str, Fault] = {}


def fault(*stacks: str, missing: Callable[[], str] = lambda: "") -> Callable[[Inject], Inject]:
    """Register a function under its name, for some kinds of stack or for all."""

    def register(inject: Inject) -> Inject:
        name = inject.__name__
        FAULTS[name] = Fault(name, inject, stacks or ALL, missing)
        return inject

    return register


def plan(kind: str, seed: int, only: Collection[str] = ()) -> Iterator[tuple[Fault, random.Random]]:
    """Faults without end: each kind once, in an order of the seed, then all in another order."""
    order = random.Random(f"{seed}/faults")
    faults = [fault for fault in FAULTS.values() if kind in fault.stacks and not fault.missing()]
    faults = [fault for fault in faults if not only or fault.name in only]
    number = 0
    while True:
        order.shuffle(faults)
        for one in faults:
            yield one, random.Random(f"{seed}/fault/{number}")
            number += 1


def left_out(kind: str) -> Iterator[str]:
    """One sentence for each fault that does not happen to this kind of stack on this machine."""
    for one in FAULTS.values():
        if kind not in one.stacks:
            yield f"{one.name}: not with {kind}"
        elif reason := one.missing():
            yield f"{one.name}: {reason}"


def _some(stack: Stack, names: Sequence[str], choice: random.Random) -> Program:
    return stack.programs[choice.choice(names)]


def _send(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


@contextlib.contextmanager
def _frozen(*pids: int) -> Iterator[None]:
    for pid in pids:
        _send(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            _send(pid, signal.SIGCONT)


def _worker_of(stack: Stack, pool_process: int) -> Program:
    workers = [stack.programs[name] for name in stack.workers]
    return next(worker for worker in workers if pool_process in worker.process.children())


# --- Workers -------------------------------------------------------------------------------------


@fault()
def pool_process_killed(stack: Stack, choice: random.Random) -> None:
    with stack.armed(injection.MID_SCORE, WAIT) as pid:
        _send(pid, signal.SIGKILL)


@fault()
def idle_pool_process_killed(stack: Stack, choice: random.Random) -> None:
    """Each process of a pool in turn: all but one or two are waiting for a task."""
    worker = _some(stack, stack.workers, choice)
    for pid in worker.children():
        _send(pid, signal.SIGKILL)
        eventually(lambda pid=pid: pid not in worker.children(), within=30)  # type: ignore[misc]


@fault()
def worker_killed(stack: Stack, choice: random.Random) -> None:
    with stack.armed(injection.MID_SCORE, WAIT) as pid:
        _worker_of(stack, pid).kill()


@fault()
def worker_parent_killed(stack: Stack, choice: random.Random) -> None:
    """As by the system when memory runs out: its pool is left behind."""
    with stack.armed(injection.MID_SCORE, WAIT) as pid:
        _worker_of(stack, pid).process.send(signal.SIGKILL)


@fault()
def pool_process_frozen(stack: Stack, choice: random.Random) -> None:
    with stack.armed(injection.MID_SCORE, WAIT) as pid, _frozen(pid):
        time.sleep(stack.past_lease)


@fault()
def worker_frozen(stack: Stack, choice: random.Random) -> None:
    with stack.armed(injection.MID_SCORE, WAIT) as pid:
        worker = _worker_of(stack, pid).process
        with _frozen(worker.pid, *worker.children()):
            time.sleep(stack.past_lease)


@fault()
def worker_parent_frozen(stack: Stack, choice: random.Random) -> None:
    worker = _some(stack, stack.workers, choice)
    worker.children()
    with _frozen(worker.process.pid):
        time.sleep(stack.past_lease)


@fault()
def worker_told_to_stop(stack: Stack, choice: random.Random) -> None:
    worker = _some(stack, stack.workers, choice)
    worker.children()  # before it has them, it would just die
    worker.process.send(signal.SIGTERM)
    worker.process.wait(within=40)


@fault()
def no_worker_for_a_while(stack: Stack, choice: random.Random) -> None:
    with contextlib.ExitStack() as downs:
        for name in stack.workers:
            downs.enter_context(stack.programs[name].down())
        time.sleep(choice.uniform(3, 6))


@fault()
def sweep_off_and_doubled(stack: Stack, choice: random.Random) -> None:
    """A worker without a sweep, one that sweeps twice at once, and something to sweep up."""
    off, doubled = choice.sample(stack.workers, 2)
    with stack.ordered(SWEEP_OFF, off), stack.ordered(SWEEP_DOUBLED, doubled):
        pool_process_killed(stack, choice)
        time.sleep(stack.past_lease)


def _register_points() -> None:
    """A fault for each point of the program: a process that comes to it dies there."""
    for point in (*injection.WEB_POINTS, *injection.WORKER_POINTS, *injection.SWEEP_POINTS):

        def inject(stack: Stack, choice: random.Random, point: str = point) -> None:
            for _ in range(choice.randint(1, 1 if stack.is_small else 3)):
                if point == injection.MID_SWEEP:  # for it to have something to take back
                    pool_process_killed(stack, choice)
                with stack.armed(point, DIE):
                    pass

        name = f"dies_{point.replace('-', '_')}"
        FAULTS[name] = Fault(name, inject, ALL, lambda: "")


_register_points()


# --- Web processes -------------------------------------------------------------------------------


@fault()
def web_process_killed(stack: Stack, choice: random.Random) -> None:
    web = _some(stack, stack.webs, choice)
    _send(choice.choice(web.children()), signal.SIGKILL)


@fault()
def web_killed(stack: Stack, choice: random.Random) -> None:
    _some(stack, stack.webs, choice).kill()


@fault()
def web_told_to_stop(stack: Stack, choice: random.Random) -> None:
    web = _some(stack, stack.webs, choice)
    web.children()
    web.process.send(signal.SIGTERM)
    web.process.wait(within=40)


# --- Servers -------------------------------------------------------------------------------------


@fault(*SERVERS)
def broker_restarted_empty(stack: Stack, choice: random.Random) -> None:
    assert stack.broker is not None
    stack.broker.kill()
    time.sleep(choice.uniform(0, 3))
    stack.broker.start()


@fault(*SERVERS)
def broker_frozen(stack: Stack, choice: random.Random) -> None:
    assert stack.broker is not None
    with stack.broker.frozen():
        time.sleep(choice.uniform(4, 8))


@fault(*SERVERS)
def broker_connections_stalled(stack: Stack, choice: random.Random) -> None:
    assert stack.proxy is not None
    with stack.proxy.stalled():
        time.sleep(choice.uniform(4, 8))


@fault(*SERVERS)
def broker_stalled_when_a_task_ends(stack: Stack, choice: random.Random) -> None:
    """So that the task is done, and its message cannot be acknowledged."""
    assert stack.proxy is not None
    with contextlib.ExitStack() as until_the_end:
        with stack.armed(injection.MID_SCORE, WAIT):
            until_the_end.enter_context(stack.proxy.stalled())
        time.sleep(6)


@fault(*SERVERS)
def postgres_restarted_fast(stack: Stack, choice: random.Random) -> None:
    _restart_postgres(stack, "fast", choice.uniform(0, 2))


@fault(*SERVERS)
def postgres_restarted_immediate(stack: Stack, choice: random.Random) -> None:
    _restart_postgres(stack, "immediate", choice.uniform(0, 2))


def _restart_postgres(stack: Stack, mode: str, away: float) -> None:
    assert stack.postgres is not None
    stack.postgres.stop(mode)
    time.sleep(away)
    stack.postgres.start()


@fault()
def power_cut(stack: Stack, choice: random.Random) -> None:
    """Everything dies at once."""
    with contextlib.ExitStack() as downs:
        for program in stack.programs.values():
            downs.enter_context(program.down())
        if stack.postgres and stack.broker:
            stack.postgres.stop("immediate")
            stack.broker.kill()
            stack.postgres.start()
            stack.broker.start()
    stack.wait_until_up()


@fault("embedded")
def junk_among_messages(stack: Stack, choice: random.Random) -> None:
    queue = stack.service.var / "broker" / "predictions"
    moment = time.time_ns()
    for number, junk in enumerate(JUNK):
        (queue / f"{moment + number:020}-{stack.junk:032}.msg").write_bytes(junk)
        stack.junk += 1
    eventually(lambda: len(list(queue.glob(".bad-*"))) >= stack.junk)


JUNK = (b"", b"{", b'{"body": ', b"null", b"[]", b'{"properties": null}', bytes(range(256)))


@fault("embedded")
def broker_directory_removed(stack: Stack, choice: random.Random) -> None:
    stack.junk = 0  # what was set aside is gone as well
    shutil.rmtree(stack.service.var / "broker", ignore_errors=True)


# --- Artefacts and versions ----------------------------------------------------------------------


@contextlib.contextmanager
def _artefact(stack: Stack) -> Iterator[Path]:
    """The file of a predictor, which may be changed; in the end it is as before and on sale."""
    path = stack.artefacts[LINEAR]
    content = path.read_bytes()
    path.unlink()
    try:
        yield path
    finally:
        write_atomically(path, content)
        repair(stack)


def repair(stack: Stack) -> None:
    """As an operator would, when artefacts are back that had been reported."""
    train = ["manage.py", "train", "--missing", "--only", LINEAR, "--jobs", "1"]
    stack.service.run(*train, within=300)


@fault()
def artefact_removed(stack: Stack, choice: random.Random) -> None:
    with _artefact(stack):
        _restart_until_off_sale(stack, choice)


@fault()
def artefact_tampered_with(stack: Stack, choice: random.Random) -> None:
    content = bytearray(stack.artefacts[LINEAR].read_bytes())
    content[len(content) // 2] ^= 1
    with _artefact(stack) as path:
        path.write_bytes(content)
        _restart_until_off_sale(stack, choice)


def _restart_until_off_sale(stack: Stack, choice: random.Random) -> None:
    """A worker reads artefacts when it starts, and reports what does not load."""
    _some(stack, stack.workers, choice).restart()
    eventually(lambda: LINEAR in off_sale(stack), within=40)


def off_sale(stack: Stack) -> set[str]:
    question = """
        SELECT p.name FROM mlmodels_predictor p
        JOIN mlmodels_predictorversion v ON v.id = p.current_version_id WHERE v.fault <> ''
    """
    return {name for (name,) in stack.service.fetch(question)}


@fault()
def worker_of_another_library_version(stack: Stack, choice: random.Random) -> None:
    """One worker finds every artefact to be another version's, and leaves all to the other."""
    information = stack.directory / "libraries" / "scikit_learn-0.1.dist-info"
    information.mkdir(parents=True, exist_ok=True)
    (information / "METADATA").write_text("Name: scikit-learn\nVersion: 0.1\n")
    worker = _some(stack, stack.workers, choice)
    path = stack.service.environment["PYTHONPATH"]
    worker.restart(PYTHONPATH=f"{information.parent}:{path}")
    worker.children()
    time.sleep(4)
    assert not off_sale(stack), "a predictor went off sale that a worker can load"
    worker.restart()


# --- Clocks --------------------------------------------------------------------------------------


def _faketime() -> Path | None:
    """The library that shifts the clock of a process, if it is installed."""
    name = "libfaketimeMT.so.1"
    places = ("/usr/lib", "/usr/lib64", "/usr/local/lib", "/lib")
    for place in places:
        for pattern in (f"*/faketime/{name}", f"faketime/{name}"):
            if libraries := sorted(Path(place).glob(pattern)):
                return libraries[0]
    return None


def faketime_missing() -> str:
    return "" if _faketime() else "libfaketime is not installed"


# With SQLite the database's clock is each process's own, and a machine has only one.
@fault(*SERVERS, missing=faketime_missing)
def clock_of_a_worker_off(stack: Stack, choice: random.Random) -> None:
    _shift_clock(stack, _some(stack, stack.workers, choice), choice)


@fault(*SERVERS, missing=faketime_missing)
def clock_of_a_web_process_off(stack: Stack, choice: random.Random) -> None:
    _shift_clock(stack, _some(stack, stack.webs, choice), choice)


def _shift_clock(stack: Stack, program: Program, choice: random.Random) -> None:
    """Only the time of day: what measures how long something takes stays right."""
    patch, path = Path(__file__).parent / "shifted_clock", stack.service.environment["PYTHONPATH"]
    program.restart(
        LD_PRELOAD=str(_faketime()),
        FAKETIME=choice.choice(["+5m", "-5m"]),
        FAKETIME_DONT_FAKE_MONOTONIC="1",
        NO_FAKE_STAT="1",
        PYTHONPATH=f"{patch}:{path}",
    )
    program.children()
    time.sleep(3)
    program.restart()
