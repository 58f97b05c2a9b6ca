"""`make bench`: start the service, load it, print its figures; see bench/README.md."""

import argparse
import asyncio
import contextlib
import os
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import load
import psutil
import psycopg
from load import Step

ROOT = Path(__file__).resolve().parent.parent
NO_LIMITS = {
    f"THROTTLE_{scope}": "10000000/minute" for scope in ("SUBMIT", "OTHER", "SIGN_UP", "SIGN_IN")
}
WEB = [sys.executable, "-m", "gunicorn", "-c", "python:carprice.gunicorn", "carprice.wsgi"]
WORKER = ["nice", "-n", "5", sys.executable, "-m", "celery", "--quiet", "-A", "carprice", "worker"]
RATES: list[float] = [100, 200, 300, 400, 500, 600]
# What else there is to know of PostgreSQL and Redis; each may be run alone.
SCRIPTS: dict[str, list[str]] = {"bounds.py": [], "trace.py": [], "memory.py": [], "growth.py": []}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="random_forest")
    parser.add_argument("--rate", type=float, help="submits per second (300; embedded 100)")
    parser.add_argument("--seconds", type=float, default=30)
    parser.add_argument("--only", choices=["servers", "embedded", "start", "scripts"])
    parser.add_argument("--against", metavar="COMMIT", help="compare with an earlier one, in turn")
    parser.add_argument("--rounds", type=int, default=3, help="of each, with --against")
    options = parser.parse_args()
    database, broker = os.environ.get("DATABASE_URL"), os.environ.get("CELERY_BROKER_URL")
    if options.only in (None, "servers"):
        if database and broker:
            with scratch_database(database) as url:
                servers = {"DATABASE_URL": url, "CELERY_BROKER_URL": broker}
                name = "PostgreSQL and Redis"
                if options.against:
                    with scratch_database(database, "_before") as before:
                        compare(name, servers, {**servers, "DATABASE_URL": before}, options, 300)
                else:
                    measure(name, servers, options, options.rate or 300)
        else:
            print("left out: PostgreSQL and Redis (set DATABASE_URL and CELERY_BROKER_URL)")
    if options.only in (None, "embedded"):
        if options.against:
            compare("embedded default", {}, {}, options, 100)
        else:
            measure("embedded default", {}, options, options.rate or 100)
    if options.only in (None, "start"):
        second_start()
    if options.only in (None, "scripts") and database and broker:
        for script, arguments in SCRIPTS.items():
            print(f"\n{script}", flush=True)
            subprocess.run([sys.executable, ROOT / "bench" / script, *arguments], check=False)


@dataclass(frozen=True)
class Run:
    """One load of one service; CPU in milliseconds for each accepted submission."""

    figures: load.Figures
    web_cpu: float
    worker_cpu: float
    web_memory: int

    def __str__(self) -> str:
        return (
            f"{self.figures}\n"
            f"CPU for each prediction: web {self.web_cpu:.2f} ms, worker {self.worker_cpu:.2f} ms; "
            f"web worker {self.web_memory / 2**20:.0f} MiB resident after the load"
        )


class Service:
    """A checkout of this project, set up in a directory of its own."""

    def __init__(self, root: Path, var: str, **settings: str) -> None:
        self._root = root
        self.env = environment(var, **settings, **NO_LIMITS)
        self.manage("setup")

    def manage(self, *command: str) -> str:
        done = subprocess.run(
            [sys.executable, "manage.py", *command], cwd=self._root, env=self.env, check=False,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip
        if done.returncode:
            raise RuntimeError(f"manage.py {command[0]}: {done.stdout}")
        return done.stdout.strip()

    def load(self, model: str, rate: float, seconds: float, explain: bool = False) -> Run:
        with (
            running(WEB, self.env, self._root) as web,
            running(WORKER, self.env, self._root) as worker,
        ):
            wait_until_ready(self.env["PORT"])
            before = cpu_seconds(web.pid), cpu_seconds(worker.pid)
            url = f"http://127.0.0.1:{self.env['PORT']}"
            figures = asyncio.run(load.run(url, model, rate, seconds, explain))
            web_cpu, worker_cpu = (
                1000 * (cpu_seconds(process.pid) - start) / max(1, figures.accepted)
                for process, start in zip((web, worker), before, strict=True)
            )
            sizes = [child.memory_info().rss for child in psutil.Process(web.pid).children()]
            return Run(figures, web_cpu, worker_cpu, max(sizes))

    def sweep(self, model: str, rates: list[float], seconds: float) -> list[Step]:
        with running(WEB, self.env, self._root), running(WORKER, self.env, self._root):
            wait_until_ready(self.env["PORT"])
            url = f"http://127.0.0.1:{self.env['PORT']}"
            return asyncio.run(load.sweep(url, model, rates, seconds))


def cpu_seconds(pid: int) -> float:
    """Of a process and its descendants, those that ended included."""
    process = psutil.Process(pid)
    times = [each.cpu_times() for each in [process, *process.children(recursive=True)]]
    return sum(t.user + t.system for t in times) + times[0].children_user + times[0].children_system


def measure(name: str, settings: dict[str, str], options: argparse.Namespace, rate: float) -> None:
    """Load a service of its own, in a directory of its own."""
    print(f"\n{name}, {os.cpu_count()} cores, {options.model}, {rate:.0f}/s offered")
    with tempfile.TemporaryDirectory(prefix="carprice-bench-") as var:
        service = Service(ROOT, var, **settings)
        plain = service.load(options.model, rate, options.seconds)
        print(plain)
        explained = service.load(options.model, rate, options.seconds, explain=True)
        share = explained.figures.finished_per_second / plain.figures.finished_per_second
        print(f"with factors: {explained}\nratio of finished/s with factors: {share:.2f}")
        rates = [each for each in RATES if each <= 2 * rate]
        print(*service.sweep(options.model, rates, options.seconds / 3), sep="\n")
        print(f"audit: {service.manage('audit')}")


def compare(
    name: str,
    now: dict[str, str],
    before: dict[str, str],
    options: argparse.Namespace,
    default_rate: float,
) -> None:
    """Load this checkout and an earlier commit in turn, and print the ratios of their medians."""
    rate = options.rate or default_rate
    print(f"\n{name}, {os.cpu_count()} cores, {options.model}, {rate:.0f}/s offered")
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="carprice-bench-"))
        old = Path(folder) / "old"
        worktree("add", "--detach", str(old), options.against)
        stack.callback(worktree, "remove", "--force", str(old))
        services = {
            "before": Service(old, f"{folder}/before", **before),
            "now": Service(ROOT, f"{folder}/now", **now),
        }
        runs: dict[str, list[Run]] = {which: [] for which in services}
        for number in range(options.rounds):
            for which in list(services)[:: -1 if number % 2 else 1]:
                run = services[which].load(options.model, rate, options.seconds)
                runs[which].append(run)
                print(f"{which}: {run}")
        print_ratios(runs["before"], runs["now"])
        print(f"audit: {services['now'].manage('audit')}")


@contextlib.contextmanager
def service_on_servers(name: str, **settings: str) -> Iterator[Service]:
    """A service of its own, on a new database of the PostgreSQL that is named, and on the Redis.

    Ends the program if none are named.
    """
    server, broker = os.environ.get("DATABASE_URL", ""), os.environ.get("CELERY_BROKER_URL", "")
    if not server.startswith("postgres") or not broker.startswith("redis"):
        sys.exit("Set DATABASE_URL to a PostgreSQL and CELERY_BROKER_URL to a Redis.")
    with (
        tempfile.TemporaryDirectory(prefix="carprice-bench-") as var,
        scratch_database(server, f"_{name}") as url,
    ):
        yield Service(ROOT, var, DATABASE_URL=url, CELERY_BROKER_URL=broker, **settings)


def worktree(*arguments: str) -> None:
    subprocess.run(["git", "worktree", *arguments], cwd=ROOT, check=True, capture_output=True)


def print_ratios(before: list[Run], now: list[Run]) -> None:
    questions: dict[str, Callable[[Run], float]] = {
        "finished per second": lambda run: run.figures.finished_per_second,
        "idle, submit to finished p50": lambda run: run.figures.idle_finished_p50,
        "idle, submit alone p50": lambda run: run.figures.idle_submit_p50,
        "load, submit p50": lambda run: run.figures.submit_p50,
        "load, submit p99": lambda run: run.figures.submit_p99,
        "web CPU": lambda run: run.web_cpu,
        "worker CPU": lambda run: run.worker_cpu,
    }
    for name, question in questions.items():
        old, new = (statistics.median(map(question, runs)) for runs in (before, now))
        print(f"{name}: {old:.2f} before, {new:.2f} now, ratio {new / old:.3f}")


def second_start() -> None:
    """From `make run` to the first answer, once everything has been set up."""
    with tempfile.TemporaryDirectory(prefix="carprice-bench-") as var:
        env = environment(var)
        command = ["make", "run", f"PORT={env['PORT']}", f"VAR_DIR={var}"]
        took = []
        for _ in range(4):
            started = time.perf_counter()
            with running(command, env):
                wait_for(f"http://127.0.0.1:{env['PORT']}/", timeout=180)
                took.append(time.perf_counter() - started)
        print(
            f"\n`make run` to first answer: first start {took[0]:.1f} s (with the training), "
            f"later ones {', '.join(f'{seconds:.1f}' for seconds in took[1:])} s"
        )


def environment(var: str, **settings: str) -> dict[str, str]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    unset = {"DATABASE_URL", "CELERY_BROKER_URL", "PORT", "VAR_DIR"}
    inherited = {name: value for name, value in os.environ.items() if name not in unset}
    return {**inherited, "PORT": port, "VAR_DIR": var, "LOG_LEVEL": "ERROR", **settings}


@contextlib.contextmanager
def running(
    command: list[str], env: dict[str, str], root: Path = ROOT
) -> Iterator[subprocess.Popen[bytes]]:
    """A process that is interrupted at the end, and gone before this returns."""
    process = subprocess.Popen(
        command, cwd=root, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        start_new_session=True,
    )  # fmt: skip
    try:
        yield process
    finally:
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(30)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


def wait_until_ready(port: str) -> None:
    wait_for(f"http://127.0.0.1:{port}/readyz", timeout=60)


def wait_for(url: str, timeout: float) -> None:
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError), urllib.request.urlopen(url):
            return
        time.sleep(0.05)
    raise TimeoutError(f"{url} did not answer within {timeout} s")


@contextlib.contextmanager
def scratch_database(url: str, suffix: str = "") -> Iterator[str]:
    """A database of the server at `url` that is dropped at the end."""
    name = f"carprice_bench_{os.getpid()}{suffix}"
    parts = urlsplit(url)
    with psycopg.connect(urlunsplit(parts), autocommit=True) as server:
        server.execute(f"CREATE DATABASE {name}")
        try:
            yield urlunsplit(parts._replace(path=f"/{name}"))
        finally:
            server.execute(f"DROP DATABASE {name} WITH (FORCE)")


if __name__ == "__main__":
    main()
