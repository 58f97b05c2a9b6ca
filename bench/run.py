"""`make bench`: start the service, load it, print its figures; see bench/README.md."""

import argparse
import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import load
import psutil
import psycopg

ROOT = Path(__file__).resolve().parent.parent
NO_LIMITS = {
    f"THROTTLE_{scope}": "10000000/minute" for scope in ("SUBMIT", "OTHER", "SIGN_UP", "SIGN_IN")
}
WEB = [sys.executable, "-m", "gunicorn", "-c", "python:carprice.gunicorn", "carprice.wsgi"]
WORKER = ["nice", "-n", "5", sys.executable, "-m", "celery", "--quiet", "-A", "carprice", "worker"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="random_forest")
    parser.add_argument("--rate", type=float, help="submits per second (300; embedded 100)")
    parser.add_argument("--seconds", type=float, default=30)
    parser.add_argument("--only", choices=["servers", "embedded", "start"])
    options = parser.parse_args()
    database, broker = os.environ.get("DATABASE_URL"), os.environ.get("CELERY_BROKER_URL")
    if options.only in (None, "servers"):
        if database and broker:
            with scratch_database(database) as url:
                servers = {"DATABASE_URL": url, "CELERY_BROKER_URL": broker}
                measure("PostgreSQL and Redis", servers, options, options.rate or 300)
        else:
            print("left out: PostgreSQL and Redis (set DATABASE_URL and CELERY_BROKER_URL)")
    if options.only in (None, "embedded"):
        measure("embedded default", {}, options, options.rate or 100)
    if options.only in (None, "start"):
        second_start()


def measure(name: str, settings: dict[str, str], options: argparse.Namespace, rate: float) -> None:
    """Load a service of its own, in a directory of its own."""
    print(f"\n{name}, {os.cpu_count()} cores, {options.model}")
    with tempfile.TemporaryDirectory(prefix="carprice-bench-") as var:
        env = environment(var, **settings, **NO_LIMITS)
        subprocess.run(
            [sys.executable, "manage.py", "setup"],
            cwd=ROOT,
            env=env,
            check=True,
            capture_output=True,
        )
        with running(WEB, env) as web, running(WORKER, env):
            wait_until_ready(env["PORT"])
            url = f"http://127.0.0.1:{env['PORT']}"
            asyncio.run(load.run(url, options.model, rate, options.seconds))
            sizes = [child.memory_info().rss for child in psutil.Process(web.pid).children()]
            print(f"memory: web worker {max(sizes) / 2**20:.0f} MiB resident after the load")
        audit = subprocess.run(
            [sys.executable, "manage.py", "audit"], cwd=ROOT, env=env, check=False,
            capture_output=True, text=True,
        )  # fmt: skip
        print(f"audit: {audit.stdout.strip()} {audit.stderr.strip()}")


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
def running(command: list[str], env: dict[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    """A process that is interrupted at the end, and gone before this returns."""
    process = subprocess.Popen(
        command, cwd=ROOT, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
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
def scratch_database(url: str) -> Iterator[str]:
    """A database of the server at `url` that is dropped at the end."""
    name = f"carprice_bench_{os.getpid()}"
    parts = urlsplit(url)
    with psycopg.connect(urlunsplit(parts), autocommit=True) as server:
        server.execute(f"CREATE DATABASE {name}")
        try:
            yield urlunsplit(parts._replace(path=f"/{name}"))
        finally:
            server.execute(f"DROP DATABASE {name} WITH (FORCE)")


if __name__ == "__main__":
    main()
