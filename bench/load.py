"""Load a running service over HTTP and tell what its clients see; bench/README.md explains."""

import argparse
import asyncio
import json
import secrets
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Self
from urllib.parse import urlsplit

USERS = 8
CONNECTIONS = 32
CREDITS = 500_000_000
DATA = {"brand": "bmw", "horsepower": 121, "enginesize": 164, "curbweight": 2765}
POLL_SECONDS = 0.005


class Connection:
    """One kept-alive HTTP/1.1 connection; a full client would itself be a good part of the load."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    @classmethod
    async def open(cls, host: str, port: int) -> Self:
        return cls(*await asyncio.open_connection(host, port))

    async def send(self, request: bytes) -> tuple[int, Any]:
        """Send a whole request; returns the status and the JSON body of the answer."""
        self._writer.write(request)
        head = await self._reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
        body = await self._reader.readexactly(length)
        return int(head[9:12]), json.loads(body)


class Pool:
    """Connections that requests take turns on; one waits when all are busy."""

    def __init__(self, connections: Sequence[Connection]) -> None:
        self._free: asyncio.Queue[Connection] = asyncio.Queue()
        for connection in connections:
            self._free.put_nowait(connection)

    async def send(self, request: bytes) -> tuple[int, Any]:
        connection = await self._free.get()
        try:
            return await connection.send(request)
        finally:
            self._free.put_nowait(connection)


class Client:
    """One customer of the service."""

    def __init__(self, pool: Pool, model: str, explain: bool) -> None:
        self._pool = pool
        self._token = ""
        self._model = model
        self._explain = explain
        self._submit = b""

    async def sign_up(self) -> None:
        account = {
            "email": f"bench-{uuid.uuid4().hex}@example.com",
            "password": secrets.token_urlsafe(16),
        }
        await self.call("POST", "/sign_up", {"name": "Bench", **account})
        self._token = (await self.call("POST", "/sign_in", account))["access_token"]
        await self.call("POST", "/balance", {"new_amount": CREDITS})
        order: dict[str, Any] = {"model_name": self._model, "data": DATA}
        if self._explain:  # which the root contract never does
            order = {**order, "explain": True}
        path = "/api/tasks/predict" if self._explain else "/predict"
        self._submit = self.request("POST", path, order)

    async def submit(self) -> tuple[int, Any]:
        return await self._pool.send(self._submit)

    async def predict(self) -> float:
        """Submit one prediction, poll until it has finished; returns the seconds it took."""
        started = time.perf_counter()
        _, answer = await self.submit()
        key = answer["task_id" if self._explain else "job_id"]
        poll = self.request("GET", f"/predict?job_id={key}")
        while (await self._pool.send(poll))[1]["status"] != "finished":
            await asyncio.sleep(POLL_SECONDS)
        return time.perf_counter() - started

    async def running(self) -> int:
        return len((await self.call("GET", "/running"))["job_ids"])

    async def call(self, method: str, path: str, body: object = None) -> Any:
        status, answer = await self._pool.send(self.request(method, path, body))
        if status >= 400:
            raise RuntimeError(f"{method} {path}: {status} {answer}")
        return answer

    def request(self, method: str, path: str, body: object = None) -> bytes:
        content = b"" if body is None else json.dumps(body).encode()
        lines = [f"{method} {path} HTTP/1.1", "Host: localhost", f"Content-Length: {len(content)}"]
        if content:
            lines.append("Content-Type: application/json")
        if self._token:
            lines.append(f"Authorization: Bearer {self._token}")
        return "\r\n".join([*lines, "", ""]).encode() + content


@dataclass
class Submits:
    """Latencies in seconds, and how many were not accepted."""

    seconds: list[float] = field(default_factory=list)
    refused: int = 0


@dataclass(frozen=True)
class Figures:
    """What clients saw; times in milliseconds."""

    idle_finished_p50: float
    idle_finished_p99: float
    idle_submit_p50: float
    accepted: int
    refused: int
    finished: int
    finished_per_second: float
    submit_p50: float
    submit_p99: float

    def __str__(self) -> str:
        share = self.finished / max(1, self.accepted)
        return (
            f"idle: submit to finished p50 {self.idle_finished_p50:.1f} ms, "
            f"p99 {self.idle_finished_p99:.1f} ms; submit alone p50 {self.idle_submit_p50:.1f} ms\n"
            f"load: {self.accepted} accepted, {self.refused} refused, {self.finished} finished at "
            f"its end ({share:.1%}), {self.finished_per_second:.0f} finished/s; "
            f"submit p50 {self.submit_p50:.1f} ms, p99 {self.submit_p99:.1f} ms"
        )


async def idle(client: Client) -> tuple[list[float], list[float]]:
    """One prediction at a time, then one submit at a time; the seconds each took."""
    for _ in range(20):
        await client.predict()
    ends = [await client.predict() for _ in range(100)]
    alone = Submits()
    for _ in range(100):
        await submit(client, alone)
        await asyncio.sleep(0.03)
    return ends, alone.seconds


async def load(clients: list[Client], rate: float, seconds: float) -> tuple[Submits, int, float]:
    """Submit at a fixed rate whatever the answers take.

    Returns the submissions, how many had finished when the last answer came, and the seconds.
    """
    submits = Submits()
    waiting: set[asyncio.Task[None]] = set()
    started = time.perf_counter()
    for number in range(int(rate * seconds)):
        delay = started + number / rate - time.perf_counter()
        if delay > 0:
            await asyncio.sleep(delay)
        task = asyncio.create_task(submit(clients[number % len(clients)], submits))
        waiting.add(task)
        task.add_done_callback(waiting.discard)
    if waiting:
        await asyncio.wait(waiting)
    took = time.perf_counter() - started
    accepted = len(submits.seconds) - submits.refused
    return submits, accepted - sum([await client.running() for client in clients]), took


@dataclass(frozen=True)
class Step:
    """One rate of a sweep: what waited in the middle and at the end tells whether a queue grows."""

    rate: float
    finished_per_second: float
    waiting_at_half: int
    waiting_at_end: int
    submit_p99: float

    def __str__(self) -> str:
        return (
            f"{self.rate:.0f}/s offered: {self.finished_per_second:.0f} finished/s; waiting "
            f"{self.waiting_at_half} at half, {self.waiting_at_end} at the end; "
            f"submit p99 {self.submit_p99:.1f} ms"
        )


async def sweep(address: str, model: str, rates: Sequence[float], seconds: float) -> list[Step]:
    """Loads at rising rates, with the same clients; each begins with an empty queue."""
    pool = await open_pool(address)
    clients = [Client(pool, model, explain=False) for _ in range(USERS)]
    for client in clients:
        await client.sign_up()
    steps = []
    for rate in rates:
        first, waiting_at_half, half = await load(clients, rate, seconds / 2)
        second, finished, rest = await load(clients, rate, seconds / 2)
        accepted = [len(each.seconds) - each.refused for each in (first, second)]
        waiting_at_end = accepted[1] - finished
        done = sum(accepted) - waiting_at_end
        p99 = milliseconds(first.seconds + second.seconds, 0.99)
        waiting_at_half = accepted[0] - waiting_at_half
        steps.append(Step(rate, done / (half + rest), waiting_at_half, waiting_at_end, p99))
        while any([await client.running() for client in clients]):
            await asyncio.sleep(0.05)
    return steps


async def closed(
    address: str, model: str, seconds: float, concurrency: int = 16, explain: bool = False
) -> Figures:
    """What clients see at idle, and with so many submissions under way at any time.

    The load has ended when all have finished.
    """
    pool = await open_pool(address)
    clients = [Client(pool, model, explain) for _ in range(USERS)]
    for client in clients:
        await client.sign_up()
    ends, alone = await idle(clients[0])
    submits = Submits()
    started = time.perf_counter()

    async def keep_submitting(client: Client) -> None:
        while time.perf_counter() < started + seconds:
            await submit(client, submits)

    await asyncio.gather(*[keep_submitting(clients[n % USERS]) for n in range(concurrency)])
    while any([await client.running() for client in clients]):
        await asyncio.sleep(POLL_SECONDS)
    took = time.perf_counter() - started
    return summary(ends, alone, submits, len(submits.seconds) - submits.refused, took)


async def writes(address: str, model: str, seconds: float, concurrency: int = 16) -> float:
    """Submissions each second that a stand-in without accounts takes."""
    pool = await open_pool(address)
    request = Client(pool, model, explain=False).request(
        "POST", "/predict", {"model_name": model, "data": DATA}
    )
    started = time.perf_counter()
    taken = 0

    async def keep_submitting() -> None:
        nonlocal taken
        while time.perf_counter() < started + seconds:
            status, _ = await pool.send(request)
            taken += status == 202

    await asyncio.gather(*[keep_submitting() for _ in range(concurrency)])
    return taken / (time.perf_counter() - started)


async def each_predictor(address: str) -> None:
    """Have each predictor on sale score its example, and explain it."""
    client = Client(await open_pool(address), "none", explain=False)
    await client.sign_up()
    for name in [each["model_name"] for each in await client.call("GET", "/api/predictors")]:
        data = (await client.call("GET", f"/api/predictors/{name}"))["example"]
        order = {"model_name": name, "data": data, "explain": True}
        key = (await client.call("POST", "/api/tasks/predict", order))["task_id"]
        ended = await client.call("GET", f"/api/tasks/{key}?wait=30")
        if ended["status"] != "finished":
            raise RuntimeError(f"{name}: {ended}")


async def open_pool(address: str) -> Pool:
    url = urlsplit(address)
    host, port = url.hostname or "localhost", url.port or 80
    return Pool([await Connection.open(host, port) for _ in range(CONNECTIONS)])


async def submit(client: Client, submits: Submits) -> None:
    started = time.perf_counter()
    status, _ = await client.submit()
    submits.seconds.append(time.perf_counter() - started)
    submits.refused += status != 202


def milliseconds(values: list[float], quantile: float) -> float:
    ordered = sorted(values)
    return 1000 * ordered[min(len(ordered) - 1, int(quantile * len(ordered)))]


async def run(
    address: str, model: str, rate: float, seconds: float, explain: bool = False
) -> Figures:
    """What the clients of the service at `address` see, at idle and under load."""
    pool = await open_pool(address)
    clients = [Client(pool, model, explain) for _ in range(USERS)]
    for client in clients:
        await client.sign_up()
    ends, alone = await idle(clients[0])
    submits, finished, took = await load(clients, rate, seconds)
    return summary(ends, alone, submits, finished, took)


def summary(
    ends: list[float], alone: list[float], submits: Submits, finished: int, took: float
) -> Figures:
    return Figures(
        idle_finished_p50=milliseconds(ends, 0.5),
        idle_finished_p99=milliseconds(ends, 0.99),
        idle_submit_p50=milliseconds(alone, 0.5),
        accepted=len(submits.seconds) - submits.refused,
        refused=submits.refused,
        finished=finished,
        finished_per_second=finished / took,
        submit_p50=milliseconds(submits.seconds, 0.5),
        submit_p99=milliseconds(submits.seconds, 0.99),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--url", default="http://127.0.0.1:8000")
    parser.add_argument("--model", default="random_forest")
    parser.add_argument("--rate", type=float, default=300, help="submits per second")
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--explain", action="store_true", help="ask for factors")
    options = parser.parse_args()
    print(
        asyncio.run(run(options.url, options.model, options.rate, options.seconds, options.explain))
    )


if __name__ == "__main__":
    main()
