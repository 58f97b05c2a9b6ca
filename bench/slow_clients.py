"""How long others wait while slow clients hang: `make bench-slow`.

Starts one web process of its own on SQLite, and asks it for a page of the API over and over, first
alone, then beside clients that drip headers or bodies, are silent, or do not read their answer.
Exits with 1 if the p95 beside any of them is more than 1.2 times that alone. The two are measured
in turn, so that what else the machine does hits both alike.
"""

import argparse
import contextlib
import http.client
import os
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psutil

ROOT = Path(__file__).resolve().parent.parent
HEAD = b"POST /sign_in HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
SIZED = HEAD + b"Content-Length: 5000\r\n\r\n"
CLOSING = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
# What each of so many sends at first, and then twice a second.
SLOW_CLIENTS = {
    "8 drip headers": (8, HEAD, b"X-Drop: 1\r\n"),
    "80 drip headers": (80, HEAD, b"X-Drop: 1\r\n"),
    "20 drip bodies": (20, SIZED, b" "),
    "80 drip bodies": (80, SIZED, b" "),
    "200 are silent": (200, b"", b""),
    "20 stay when answered": (20, CLOSING, b""),
}
TOLERATED = 1.2
TIMEOUT = 5.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--root", type=Path, default=ROOT, help="a checkout to measure")
    parser.add_argument("--path", default="/predictors", help="what is asked for")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--requests", type=int, default=100, help="of each round")
    options = parser.parse_args()
    with running(options.root) as (port, pid):
        asker = Asker(port, options.path)
        asker.ask(200)
        ratios = [measure(asker, name, options) for name in SLOW_CLIENTS]
        for is_kept in (True, False):
            asker.is_kept = is_kept
            print_cost(asker, pid, "kept" if is_kept else "fresh")
    sys.exit(max(ratios) > TOLERATED)


def measure(asker: "Asker", name: str, options: argparse.Namespace) -> float:
    """The ratio of the two p95, over all rounds."""
    alone, beside = [], []
    for _ in range(options.rounds):
        alone += asker.ask(options.requests)
        with dripping(asker.port, *SLOW_CLIENTS[name]):
            beside += asker.ask(options.requests)
    ratio = p95(beside) / p95(alone)
    print(
        f"{name:24} p95 {p95(alone):7.1f} -> {p95(beside):7.1f} ms, ratio {ratio:.2f}", flush=True
    )
    return ratio


def p95(milliseconds: list[float]) -> float:
    return statistics.quantiles(milliseconds, n=20)[-1]


def print_cost(asker: "Asker", pid: int, name: str, count: int = 500) -> None:
    def spent() -> float:
        return sum(psutil.Process(pid).cpu_times()[:2])

    costs = []
    for _ in range(5):
        before = spent()
        asker.ask(count)
        costs.append((spent() - before) / count * 1e6)
    print(f"CPU of a request, {name} connection: {statistics.median(costs):.0f} us", flush=True)


class Asker:
    """One client that does not dawdle."""

    def __init__(self, port: int, path: str) -> None:
        self.port = port
        self.is_kept = True
        self._path = path
        self._connection: http.client.HTTPConnection | None = None

    def ask(self, count: int) -> list[float]:
        """Milliseconds to each answer; what got none counts as the timeout, and ends the round."""
        waits: list[float] = []
        while len(waits) < count:
            began = time.perf_counter()
            try:
                self._ask()
            except OSError:
                self._connection = None
                return waits + [TIMEOUT * 1000] * (count - len(waits))
            waits.append((time.perf_counter() - began) * 1000)
        return waits

    def _ask(self) -> None:
        if self._connection is None:
            self._connection = http.client.HTTPConnection("localhost", self.port, timeout=TIMEOUT)
        self._connection.request("GET", self._path)
        self._connection.getresponse().read()
        if not self.is_kept:
            self._connection.close()
            self._connection = None


@contextlib.contextmanager
def dripping(port: int, count: int, first: bytes, drop: bytes) -> Iterator[None]:
    ended = threading.Event()
    with contextlib.ExitStack() as stack:
        clients = [socket.create_connection(("localhost", port)) for _ in range(count)]
        for client in clients:
            stack.enter_context(client)
            client.sendall(first)

        def drip() -> None:
            while not ended.wait(0.5):
                for client in clients:
                    with contextlib.suppress(OSError):
                        client.sendall(drop)

        thread = threading.Thread(target=drip, daemon=True)
        thread.start()
        time.sleep(0.2)
        try:
            yield
        finally:
            ended.set()
            thread.join()
    time.sleep(0.2)


@contextlib.contextmanager
def running(root: Path) -> Iterator[tuple[int, int]]:
    """The port of a service, and its web process."""
    with socket.socket() as probe:
        probe.bind(("localhost", 0))
        port = int(probe.getsockname()[1])
    with tempfile.TemporaryDirectory() as var:
        environment = {
            **os.environ,
            "VAR_DIR": var,
            "PORT": str(port),
            "DATABASE_URL": "",
            "CELERY_BROKER_URL": "",
            "WEB_PROCESSES": "1",
            "THROTTLE_OTHER": "1000000/second",
        }
        command = [sys.executable, "manage.py", "migrate", "--verbosity=0"]
        subprocess.run(command, cwd=root, env=environment, check=True)
        command = [sys.executable, "-m", "gunicorn", "-c", "python:carprice.gunicorn"]
        web = subprocess.Popen([*command, "carprice.wsgi"], cwd=root, env=environment)
        try:
            wait_for(port)
            yield port, psutil.Process(web.pid).children()[0].pid
        finally:
            web.send_signal(signal.SIGTERM)
            web.wait()


def wait_for(port: int) -> None:
    ends = time.monotonic() + 60
    while time.monotonic() < ends:
        with contextlib.suppress(OSError):
            connection = http.client.HTTPConnection("localhost", port, timeout=TIMEOUT)
            connection.request("GET", "/healthz")
            connection.getresponse()
            return
        time.sleep(0.1)
    raise TimeoutError("The web process does not answer.")


if __name__ == "__main__":
    main()
