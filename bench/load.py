"""Load a running service over HTTP and print what its clients see; bench/README.md explains."""

import argparse
import asyncio
import json
import secrets
import statistics
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

    def __init__(self, pool: Pool, model: str) -> None:
        self._pool = pool
        self._token = ""
        self._model = model
        self._submit = b""

    async def sign_up(self) -> None:
        account = {
            "email": f"bench-{uuid.uuid4().hex}@example.com",
            "password": secrets.token_urlsafe(16),
        }
        await self._call("POST", "/sign_up", {"name": "Bench", **account})
        self._token = (await self._call("POST", "/sign_in", account))["access_token"]
        await self._call("POST", "/balance", {"new_amount": CREDITS})
        self._submit = self._request("POST", "/predict", {"model_name": self._model, "data": DATA})

    async def submit(self) -> tuple[int, Any]:
        return await self._pool.send(self._submit)

    async def predict(self) -> float:
        """Submit one prediction, poll until it has finished; returns the seconds it took."""
        started = time.perf_counter()
        _, answer = await self.submit()
        poll = self._request("GET", f"/predict?job_id={answer['job_id']}")
        while (await self._pool.send(poll))[1]["status"] != "finished":
            await asyncio.sleep(POLL_SECONDS)
        return time.perf_counter() - started

    async def running(self) -> int:
        return len((await self._call("GET", "/running"))["job_ids"])

    async def _call(self, method: str, path: str, body: object = None) -> Any:
        status, answer = await self._pool.send(self._request(method, path, body))
        if status >= 400:
            raise RuntimeError(f"{method} {path}: {status} {answer}")
        return answer

    def _request(self, method: str, path: str, body: object = None) -> bytes:
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


async def idle(client: Client) -> None:
    """One prediction at a time, then one submit at a time."""
    for _ in range(20):
        await client.predict()
    ends = [await client.predict() for _ in range(100)]
    alone = Submits()
    for _ in range(100):
        await submit(client, alone)
        await asyncio.sleep(0.03)
    print(
        f"idle: submit to finished p50 {1000 * statistics.median(ends):.1f} ms, "
        f"p99 {milliseconds(ends, 0.99):.1f} ms; "
        f"submit alone p50 {milliseconds(alone.seconds, 0.5):.1f} ms"
    )


async def load(clients: list[Client], rate: float, seconds: float) -> None:
    """Submit at a fixed rate whatever the answers take, then see what was left when it ended."""
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
    finished = accepted - sum([await client.running() for client in clients])
    print(
        f"load: {rate:.0f}/s offered for {seconds:.0f} s: {accepted} accepted, "
        f"{submits.refused} refused, {finished} finished at its end "
        f"({finished / max(1, accepted):.1%}), {finished / took:.0f} finished/s; submit "
        f"p50 {milliseconds(submits.seconds, 0.5):.1f} ms, "
        f"p99 {milliseconds(submits.seconds, 0.99):.1f} ms"
    )


async def submit(client: Client, submits: Submits) -> None:
    started = time.perf_counter()
    status, _ = await client.submit()
    submits.seconds.append(time.perf_counter() - started)
    submits.refused += status != 202


def milliseconds(values: list[float], quantile: float) -> float:
    ordered = sorted(values)
    return 1000 * ordered[min(len(ordered) - 1, int(quantile * len(ordered)))]


async def run(address: str, model: str, rate: float, seconds: float) -> None:
    """Print what the clients of the service at `address` see, at idle and under load."""
    url = urlsplit(address)
    connections = [
        await Connection.open(url.hostname or "localhost", url.port or 80)
        for _ in range(CONNECTIONS)
    ]
    pool = Pool(connections)
    clients = [Client(pool, model) for _ in range(USERS)]
    for client in clients:
        await client.sign_up()
    await idle(clients[0])
    await load(clients, rate, seconds)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--url", default="http://127.0.0.1:8000")
    parser.add_argument("--model", default="random_forest")
    parser.add_argument("--rate", type=float, default=300, help="submits per second")
    parser.add_argument("--seconds", type=float, default=20)
    options = parser.parse_args()
    asyncio.run(run(options.url, options.model, options.rate, options.seconds))


if __name__ == "__main__":
    main()
