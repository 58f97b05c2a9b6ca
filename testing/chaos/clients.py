"""Users who submit, retry, repeat themselves, hang up and look, at a steady rate and by a seed.

What a user does is decided by the seed, the user's number and the operation's, never by what was
answered or how long it took. The user's n-th submission carries n in its data, so the database
shows how often it was accepted, whatever was said about it.
"""

import asyncio
import contextlib
import json
import math
import random
import threading
import time
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Self
from urllib.parse import urlsplit

from testing import fakes
from testing.processes import PASSWORD, Customer

RICH, POOR = 8, 2
CREDIT, ALLOWANCE = 500_000_000, 40  # of a rich and of a poor user, in credits
RATE = 12.0  # operations a second, of all users together
TIMEOUT_SECONDS = 10.0
RETRY_SECONDS = 60.0  # for how long a client tries again
WATCH_SECONDS = 15.0  # after the last submission; what has not ended then is for others to find
PAUSES = (0.1, 0.3, 1.0, 2.0, 3.0)  # between attempts; the last is repeated
MARK_BASE, MARK_STEP = 20, 10_000  # a submission's number as an inch of wheelbase
ENDED = {"finished", "failed", "canceled"}
STATUSES = {"queued", "running", *ENDED}
MODELS = {fakes.NAME: 80, "linear_regression": 12, "random_forest": 8}  # by weight
COMMANDS = {fakes.RAISE: 20, fakes.SLOW: 20, fakes.EXHAUST: 3, fakes.DIE: 1}
COMMANDS_OF = 1000  # submissions to the fake; the others carry a plain horsepower

Request = tuple[str, str, Any]  # method, path and body


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: Any


class Site:
    """One address of the service, asked over connections that are kept alive."""

    def __init__(self, address: str) -> None:
        parts = urlsplit(address)
        self._host, self._port = parts.hostname or "", parts.port or 80
        self._idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []

    async def send(self, request: bytes) -> Answer:
        """Raises OSError, EOFError or TimeoutError if no whole answer came."""
        async with asyncio.timeout(TIMEOUT_SECONDS):
            reader, writer = await self._connection()
            try:
                writer.write(request)
                answer = await self._read(reader)
            except BaseException:
                writer.close()
                raise
        if answer.headers.get("connection") == "close":
            writer.close()
        else:
            self._idle.append((reader, writer))
        return answer

    async def hang_up(self, request: bytes, after: float) -> None:
        """Send a request and be gone before the answer."""
        async with asyncio.timeout(TIMEOUT_SECONDS):
            _, writer = await asyncio.open_connection(self._host, self._port)
            writer.write(request)
            await asyncio.sleep(after)
            writer.close()

    async def _connection(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        while self._idle:
            reader, writer = self._idle.pop()
            if not reader.at_eof():
                return reader, writer
            writer.close()
        return await asyncio.open_connection(self._host, self._port)

    async def _read(self, reader: asyncio.StreamReader) -> Answer:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        first, *lines = head.rstrip().split("\r\n")
        pairs = (line.split(":", 1) for line in lines)
        headers = {name.strip().lower(): value.strip() for name, value in pairs}
        content = await reader.readexactly(int(headers.get("content-length", "0")))
        try:
            body = json.loads(content) if content else None
        except ValueError:
            body = content.decode(errors="replace")
        return Answer(int(first.split()[1]), headers, body)


@dataclass
class Submission:
    """One thing that a user wants done once, with all that was said about it."""

    email: str
    number: int
    model: str
    power: int
    accepted: list[tuple[str, bool]] = field(
        default_factory=list
    )  # prediction, and whether replayed
    refused: list[int] = field(default_factory=list)
    unknown: int = 0  # attempts that may have been accepted or not

    @property
    def mark(self) -> float:
        return MARK_BASE + self.number / MARK_STEP


def number_of(mark: float) -> int:
    return round((mark - MARK_BASE) * MARK_STEP)


@dataclass
class PolledPrediction:
    """The statuses that one poller saw of a prediction."""

    job_id: str
    statuses: list[str] = field(default_factory=list)
    results: set[float | None] = field(default_factory=set)


@dataclass
class Record:
    """Everything that clients did and saw."""

    submissions: list[Submission] = field(default_factory=list)
    polled_predictions: list[PolledPrediction] = field(default_factory=list)
    answers: Counter[str] = field(default_factory=Counter)
    accepted_at: list[float] = field(default_factory=list)  # monotonic
    complaints: list[str] = field(default_factory=list)


class User:
    """Somebody signed in, who asks either site and tries again until there is an answer."""

    def __init__(self, customer: Customer, sites: Sequence[Site], record: Record) -> None:
        self.email = customer.email
        self._token = customer.token
        self.sites = sites
        self._record = record

    def request(self, request: Request, key: str = "") -> bytes:
        method, path, body = request
        content = b"" if body is None else json.dumps(body).encode()
        lines = [
            f"{method} {path} HTTP/1.1",
            "Host: localhost",
            f"Authorization: Bearer {self._token}",
            f"Content-Length: {len(content)}",
        ]
        if content:
            lines.append("Content-Type: application/json")
        if key:
            lines.append(f"Idempotency-Key: {key}")
        return "\r\n".join([*lines, "", ""]).encode() + content

    async def attempt(self, request: Request, key: str, site: Site) -> Answer | None:
        """One answer, counted; None if there was none."""
        try:
            answer = await site.send(self.request(request, key))
        except TimeoutError:
            self._record.answers["timeout"] += 1
        except (OSError, EOFError):
            self._record.answers["connection error"] += 1
        else:
            self._record.answers[str(answer.status)] += 1
            if answer.status >= 500 and answer.status != 503:
                self._record.complaints.append(f"{request[:2]}: {answer.status} {answer.body!r}")
            return answer
        return None

    async def insist(
        self,
        request: Request,
        key: str = "",
        *,
        first: int = 0,
        submission: Submission | None = None,
    ) -> Answer | None:
        """The first answer that is more than "try again"; None when it gives up."""
        ends = time.monotonic() + RETRY_SECONDS
        attempt = 0
        while time.monotonic() < ends:
            site = self.sites[(first + attempt) % len(self.sites)]
            answer = await self.attempt(request, key, site)
            if answer is None and submission:
                submission.unknown += 1
            if answer and answer.status == 401:
                await self._sign_in()
            elif answer and answer.status < 500 and answer.status != 429:
                return answer
            elif answer and submission and answer.status != 429:
                submission.unknown += 1  # a 5xx may come after the commit
            await asyncio.sleep(PAUSES[min(attempt, len(PAUSES) - 1)])
            attempt += 1
        return None

    async def _sign_in(self) -> None:
        body = {"email": self.email, "password": PASSWORD}
        for site in self.sites:
            answer = await self.attempt(("POST", "/sign_in", body), "", site)
            if answer and answer.status == 200:
                self._token = answer.body["access_token"]
                return


class Load(threading.Thread):
    """All users at work, from `start` until `stop`."""

    def __init__(
        self,
        addresses: Sequence[str],
        models: Collection[str],
        seed: int,
        *,
        rate: float = RATE,
        rich: int = RICH,
        poor: int = POOR,
        commands: Mapping[int, int] = COMMANDS,
    ) -> None:
        super().__init__(name="load", daemon=True)
        self.record = Record()
        self._addresses = addresses
        self._seed = seed
        self._rate = rate
        self._stopping, self._abandoned = threading.Event(), threading.Event()
        self._watch_until = math.inf
        self._tasks: set[asyncio.Task[None]] = set()
        self._weights = {name: weight for name, weight in MODELS.items() if name in models}
        self._rich = rich
        self._commands = commands
        purses = [CREDIT] * rich + [ALLOWANCE] * poor
        with ThreadPoolExecutor(2) as pool:
            self._customers = list(pool.map(lambda purse: Customer(addresses[0], purse), purses))

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        if kind is not None:
            self._abandoned.set()
        self.stop()

    def stop(self) -> None:
        """Begin nothing more; returns when every client has its answer or has given up."""
        self._watch_until = time.monotonic() + WATCH_SECONDS
        self._stopping.set()
        self.join()

    @property
    def emails(self) -> list[str]:
        return [customer.email for customer in self._customers]

    def run(self) -> None:
        asyncio.run(self._run())

    async def _run(self) -> None:
        sites = [Site(address) for address in self._addresses]
        self._users = [User(customer, sites, self.record) for customer in self._customers]
        began = time.monotonic()
        number = 0
        while not self._stopping.is_set():
            delay = began + number / self._rate - time.monotonic()
            await asyncio.sleep(max(0, delay))
            self._begin(self._operate(number))
            number += 1
        while self._tasks and not self._abandoned.is_set():
            await asyncio.wait(self._tasks, timeout=0.2)

    def _begin(self, coroutine: Any) -> None:
        task = asyncio.create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._note)

    def _note(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()):
            self.record.complaints.append(f"the load itself failed: {error!r}")

    async def _operate(self, number: int) -> None:
        choice = random.Random(f"{self._seed}/{number}")
        place = choice.randrange(len(self._users))
        user, is_poor = self._users[place], place >= self._rich
        kind = choice.random()
        if kind < 0.05:
            await self._look_at_balance(user, number)
        elif kind < 0.10:
            amount = choice.randint(0, ALLOWANCE) if is_poor else CREDIT
            await user.insist(("POST", "/balance", {"new_amount": amount}), first=number)
        elif kind < 0.12:
            await user.insist(("GET", choice.choice(["/running", "/predictors"]), None))
        else:
            await self._submit(user, number, choice)

    async def _look_at_balance(self, user: User, number: int) -> None:
        answer = await user.insist(("GET", "/balance", None), first=number)
        if answer and (answer.status != 200 or answer.body["amount"] < 0):
            self.record.complaints.append(f"GET /balance: {answer.status} {answer.body!r}")

    async def _submit(self, user: User, number: int, choice: random.Random) -> None:
        model = choice.choices(list(self._weights), list(self._weights.values()))[0]
        submission = Submission(user.email, number, model, self._power(model, choice))
        self.record.submissions.append(submission)
        data = {"horsepower": submission.power, "wheelbase": submission.mark, "brand": "bmw"}
        request = ("POST", "/predict", {"model_name": model, "data": data})
        key = f"{self._seed}-{number}"
        way, watched, first = choice.random(), choice.random() < 0.1, choice.randrange(2)
        if way < 0.05:
            await self._hang_up(user, submission, request, key, choice)
            if choice.random() < 0.5:
                return
        twins = 2 if 0.05 <= way < 0.25 else 1
        await asyncio.gather(
            *(
                self._get_accepted(user, submission, request, key, first + twin)
                for twin in range(twins)
            )
        )
        if submission.accepted and way > 0.99:
            await self._reuse(user, request, key)
        if submission.accepted and watched:
            await self._watch(user, submission.accepted[0][0])

    async def _hang_up(
        self, user: User, submission: Submission, request: Request, key: str, choice: random.Random
    ) -> None:
        submission.unknown += 1
        site = choice.choice(user.sites)
        with contextlib.suppress(OSError, TimeoutError):
            await site.hang_up(user.request(request, key), choice.uniform(0, 0.02))

    async def _get_accepted(
        self, user: User, submission: Submission, request: Request, key: str, first: int
    ) -> None:
        answer = await user.insist(request, key, first=first, submission=submission)
        if answer is None:
            return
        if answer.status == 202:
            replayed = answer.headers.get("idempotent-replayed") == "true"
            submission.accepted.append((answer.body["job_id"], replayed))
            self.record.accepted_at.append(time.monotonic())
        else:
            submission.refused.append(answer.status)
            if answer.status not in {402, 404}:
                self.record.complaints.append(f"submission: {answer.status} {answer.body!r}")

    async def _reuse(self, user: User, request: Request, key: str) -> None:
        """A key that has been used is not good for anything else."""
        method, path, body = request
        other = {**body, "data": {**body["data"], "brand": "audi"}}
        answer = await user.insist((method, path, other), key)
        if answer and answer.status != 422:
            self.record.complaints.append(f"reused key: {answer.status} {answer.body!r}")

    async def _watch(self, user: User, job_id: str) -> None:
        """Look at a prediction until it has ended, and some times after."""
        polled = PolledPrediction(job_id)
        self.record.polled_predictions.append(polled)
        looks_after_end, pause = 5, 0.05
        while looks_after_end and time.monotonic() < self._watch_until:
            answer = await user.insist(("GET", f"/predict?job_id={job_id}", None))
            if answer is None or answer.status != 200:
                self.record.complaints.append(f"job {job_id}: {answer and answer.status}")
                return
            polled.statuses.append(answer.body["status"])
            if answer.body["status"] in ENDED:
                polled.results.add(answer.body["result"])
                looks_after_end -= 1
            pause = min(1.0, 1.5 * pause)
            await asyncio.sleep(pause)

    def _power(self, model: str, choice: random.Random) -> int:
        """Mostly a plain horsepower; to the fake, now and then a command."""
        power, chance = choice.randint(50, 400), choice.randrange(COMMANDS_OF)
        if model == fakes.NAME:
            for command, share in self._commands.items():
                if chance < share:
                    return command
                chance -= share
        return power
