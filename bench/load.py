"""Load a running service over HTTP and print what its clients see; bench/README.md explains."""

import argparse
import asyncio
import json
import secrets
import statistics
import time
import uuid
from dataclasses import dataclass, field
from typing import Any

import aiohttp

USERS = 8
CREDITS = 500_000_000
DATA = {"brand": "bmw", "horsepower": 121, "enginesize": 164, "curbweight": 2765}
POLL_SECONDS = 0.002


@dataclass
class Figures:
    """Latencies in seconds."""

    submits: list[float] = field(default_factory=list)
    refused: int = 0


class Client:
    def __init__(self, session: aiohttp.ClientSession, model: str) -> None:
        self._session = session
        self._body = json.dumps({"model_name": model, "data": DATA}).encode()
        self._headers = {"Content-Type": "application/json"}

    async def sign_up(self) -> None:
        account = {
            "email": f"bench-{uuid.uuid4().hex}@example.com",
            "password": secrets.token_urlsafe(16),
        }
        await self._call("POST", "/sign_up", {"name": "Bench", **account})
        grant = await self._call("POST", "/sign_in", account)
        self._headers["Authorization"] = f"Bearer {grant['access_token']}"
        await self._call("POST", "/balance", {"new_amount": CREDITS})

    async def submit(self) -> tuple[int, str]:
        async with self._session.post(
            "/predict", data=self._body, headers=self._headers
        ) as response:
            body = await response.json()
            return response.status, body.get("job_id", "")

    async def predict(self) -> float:
        """Submit one prediction, poll until it has finished; returns the seconds it took."""
        started = time.perf_counter()
        _, job_id = await self.submit()
        while (await self._call("GET", f"/predict?job_id={job_id}"))["status"] != "finished":
            await asyncio.sleep(POLL_SECONDS)
        return time.perf_counter() - started

    async def running(self) -> int:
        return len((await self._call("GET", "/running"))["job_ids"])

    async def _call(self, method: str, path: str, body: object = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        async with self._session.request(
            method, path, data=data, headers=self._headers
        ) as response:
            response.raise_for_status()
            return await response.json()


async def sustain(clients: list[Client], rate: float, seconds: float) -> tuple[Figures, int]:
    """Submit at a fixed rate, whatever the answers take; returns what was left when it ended."""
    figures = Figures()
    waiting: set[asyncio.Task[None]] = set()
    started = time.perf_counter()
    for number in range(int(rate * seconds)):
        delay = started + number / rate - time.perf_counter()
        if delay > 0:
            await asyncio.sleep(delay)
        task = asyncio.create_task(timed_submit(clients[number % len(clients)], figures))
        waiting.add(task)
        task.add_done_callback(waiting.discard)
    if waiting:
        await asyncio.wait(waiting)
    left = sum([await client.running() for client in clients])
    return figures, left


async def timed_submit(client: Client, figures: Figures) -> None:
    started = time.perf_counter()
    status, _ = await client.submit()
    figures.submits.append(time.perf_counter() - started)
    figures.refused += status != 202


def milliseconds(values: list[float], quantile: float) -> float:
    ordered = sorted(values)
    return 1000 * ordered[min(len(ordered) - 1, int(quantile * len(ordered)))]


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--url", default="http://127.0.0.1:8000")
    parser.add_argument("--model", default="random_forest")
    parser.add_argument("--rate", type=float, default=300, help="submits per second")
    parser.add_argument("--seconds", type=float, default=20)
    options = parser.parse_args()
    connector = aiohttp.TCPConnector(limit=64)
    async with aiohttp.ClientSession(options.url, connector=connector) as session:
        clients = [Client(session, options.model) for _ in range(USERS)]
        for client in clients:
            await client.sign_up()
        await idle(clients[0])
        await load(clients, options.rate, options.seconds)


async def idle(client: Client) -> None:
    for _ in range(10):
        await client.predict()
    ends = [await client.predict() for _ in range(100)]
    submits = []
    for _ in range(100):
        started = time.perf_counter()
        await client.submit()
        submits.append(time.perf_counter() - started)
        await asyncio.sleep(0.03)
    print(
        f"idle: submit to finished p50 {1000 * statistics.median(ends):.1f} ms, "
        f"p99 {milliseconds(ends, 0.99):.1f} ms; "
        f"submit p50 {1000 * statistics.median(submits):.1f} ms"
    )


async def load(clients: list[Client], rate: float, seconds: float) -> None:
    started = time.perf_counter()
    figures, left = await sustain(clients, rate, seconds)
    took = time.perf_counter() - started
    accepted = len(figures.submits) - figures.refused
    finished = accepted - left
    print(
        f"load: {rate:.0f}/s offered for {seconds:.0f} s: {accepted} accepted, "
        f"{figures.refused} refused, {finished} finished at its end "
        f"({finished / max(1, accepted):.1%}), {finished / took:.0f} finished/s; submit "
        f"p50 {milliseconds(figures.submits, 0.5):.1f} ms, "
        f"p99 {milliseconds(figures.submits, 0.99):.1f} ms"
    )


if __name__ == "__main__":
    asyncio.run(main())
