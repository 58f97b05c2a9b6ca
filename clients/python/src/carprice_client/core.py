"""Requests with credentials, retries and deadlines, without any input or output of its own.

An operation is a generator: it yields what is to be done, and a client, which may be sync or async,
does that and sends back what came of it. So both clients share every decision.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Generator, Mapping
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from itertools import count
from typing import Any, TypeVar

import httpx

from carprice_client.errors import (
    CarpriceError,
    UnexpectedAnswer,
    Unreachable,
    error_of,
    retry_after,
)

T = TypeVar("T")

ATTEMPT_SECONDS = 15.0  # after which a request that got no answer is lost
LEAST_ATTEMPT_SECONDS = 2.0  # so that the last one before a deadline has a chance
FIRST_DELAY_SECONDS = 0.25
LONGEST_DELAY_SECONDS = 8.0
SPREAD_SECONDS = 0.5  # clients that were told the same time do not come back at once
SLICE_SECONDS = 1.0  # of a pause, so that who waits no longer is let go
EXPIRY_MARGIN_SECONDS = 30.0

RETRIED = frozenset({429, 502, 503, 504})
REPEATABLE_METHODS = frozenset({"GET", "DELETE"})
TRANSIENT = (
    httpx.TimeoutException,
    httpx.NetworkError,
    httpx.RemoteProtocolError,
    httpx.ProxyError,
)
# What was refused or never sent has changed nothing.
NEVER_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)


@dataclass(frozen=True)
class Request:
    """The server may take `wait` seconds; `repeatable` says that doing it twice does no harm."""

    method: str
    path: str
    query: Mapping[str, Any] = field(default_factory=dict)
    body: Any = None
    key: str | None = None
    wait: float = 0
    repeatable: bool = False

    @property
    def may_repeat(self) -> bool:
        return self.repeatable or self.key is not None or self.method in REPEATABLE_METHODS


@dataclass(frozen=True)
class Send:
    """Send this; the answer is the response, or the error instead of one."""

    request: Request
    headers: dict[str, str]
    timeout: float

    def arguments(self, url: str) -> dict[str, Any]:
        """Those of httpx's `request`."""
        request = self.request
        return {
            "method": request.method,
            "url": url + request.path,
            "params": request.query or None,
            "json": request.body,
            "headers": self.headers,
            "timeout": self.timeout,
        }


@dataclass(frozen=True)
class Pause:
    seconds: float


@dataclass(frozen=True)
class Exclusive:
    """Run this operation while no other of the client that is exclusive runs."""

    operation: Operation[None]


Effect = Send | Pause | Exclusive
Operation = Generator[Effect, Any, T]
Answer = httpx.Response | httpx.RequestError


class Deadline:
    """By when a call must be over; whoever sets `stopped` brings it forward to now."""

    def __init__(self, seconds: float, stopped: threading.Event | None = None) -> None:
        self._ends = time.monotonic() + seconds
        self._stopped = stopped

    def remaining(self) -> float:
        return 0 if self.is_stopped() else max(0, self._ends - time.monotonic())

    def is_stopped(self) -> bool:
        return self._stopped is not None and self._stopped.is_set()


class Core:
    """Exchanges a request for an answer of the API, or raises what it says."""

    def __init__(
        self, *, token: str | None, email: str | None, password: str | None, timeout: float
    ) -> None:
        if bool(token) == bool(email) or bool(email) != bool(password):
            raise ValueError("Give a token, or an email and a password.")
        self.timeout = timeout
        self._token = token or ""
        self._account = None if token else {"email": email, "password": password}
        self._refresh_token = ""
        self._expires_at = 0.0
        self._resume_at: dict[tuple[str, str], float] = {}

    def exchange(self, request: Request, deadline: Deadline | None = None) -> Operation[Any]:
        """The JSON of the answer. Raises CarpriceError."""
        deadline = deadline or Deadline(self.timeout + request.wait)
        try:
            token = yield from self._good_token(deadline)
            response = yield from self._repeat(request, deadline, token)
            if response.status_code == 401 and self._account:
                token = yield from self._good_token(deadline, but_not=token)
                response = yield from self._repeat(request, deadline, token)
            return _json_of(response)
        except CarpriceError as error:
            error.idempotency_key = request.key
            raise

    # --- Retries ---

    def _repeat(
        self, request: Request, deadline: Deadline, token: str
    ) -> Operation[httpx.Response]:
        """Send until there is an answer to go by, or no time for another try."""
        route = (request.method, request.path)
        may_be_done = False  # by an attempt whose answer was lost
        for attempt in count():
            seconds = self._resume_at.get(route, 0) - time.monotonic()
            if seconds < deadline.remaining():
                yield from self._pause(seconds, deadline)
            answer: Answer = yield Send(
                request, self._headers(request, token), _attempt_seconds(request, deadline)
            )
            seconds = self._delay(route, answer, attempt)
            if not _is_retried(request, answer) or seconds >= deadline.remaining():
                break
            may_be_done = may_be_done or not _changed_nothing(answer)
            yield from self._pause(seconds, deadline)
        if isinstance(answer, httpx.RequestError):
            raise Unreachable(f"No answer: {type(answer).__name__}. {answer}".strip()) from answer
        if may_be_done and request.method == "DELETE" and answer.status_code == 404:
            return httpx.Response(204)
        return answer

    def _delay(self, route: tuple[str, str], answer: Answer, attempt: int) -> float:
        """Seconds until the next attempt. What Retry-After says goes for all calls of a route."""
        # Not for secrets: delays are to differ.
        spread = random.random()  # noqa: S311
        if isinstance(answer, httpx.Response) and (seconds := retry_after(answer)) is not None:
            self._resume_at[route] = time.monotonic() + seconds
            return seconds + spread * SPREAD_SECONDS
        if self._resume_at.get(route, 0) < time.monotonic():
            self._resume_at.pop(route, None)
        longest = min(LONGEST_DELAY_SECONDS, FIRST_DELAY_SECONDS * 2.0 ** min(attempt, 10))
        return spread * longest

    def _pause(self, seconds: float, deadline: Deadline) -> Operation[None]:
        ends = time.monotonic() + seconds
        while (left := min(ends - time.monotonic(), deadline.remaining())) > 0:
            yield Pause(min(left, SLICE_SECONDS))
        if deadline.is_stopped():
            raise CarpriceError("Nobody waits for this any more.")

    def _headers(self, request: Request, token: str) -> dict[str, str]:
        headers = {"Accept": "application/json", "User-Agent": f"carprice-client/{_version()}"}
        if token:
            headers["Authorization"] = f"Bearer {token}"
        if request.key is not None:
            headers["Idempotency-Key"] = request.key
        return headers

    # --- Credentials ---

    def _good_token(self, deadline: Deadline, but_not: str = "") -> Operation[str]:
        """A token that has not expired and is another than one that was refused."""
        if not self._has_token(but_not):
            yield Exclusive(self._sign_in(deadline, but_not))
        return self._token

    def _has_token(self, but_not: str) -> bool:
        if self._account is None:
            return True
        return self._token not in ("", but_not) and time.monotonic() < self._expires_at

    def _sign_in(self, deadline: Deadline, but_not: str) -> Operation[None]:
        """Refresh the session, or open a new one: a refresh whose answer is lost ends it."""
        if self._has_token(but_not):  # another call has done so meanwhile
            return
        if refresh_token := self._refresh_token:
            self._refresh_token = ""
            refresh = Request("POST", "/api/auth/refresh", body={"refresh_token": refresh_token})
            answer: Answer = yield Send(
                refresh, self._headers(refresh, ""), _attempt_seconds(refresh, deadline)
            )
            if isinstance(answer, httpx.Response) and answer.is_success:
                self._keep(_json_of(answer))
                return
        login = Request("POST", "/api/auth/login", body=self._account, repeatable=True)
        self._keep(_json_of((yield from self._repeat(login, deadline, ""))))

    def _keep(self, pair: dict[str, Any]) -> None:
        try:
            lifetime = float(pair["expires_in"])
            self._refresh_token = str(pair["refresh_token"])
            self._token = str(pair["access_token"])
        except (KeyError, TypeError, ValueError) as error:
            raise UnexpectedAnswer(f"An answer without tokens: {error!r}") from error
        self._expires_at = time.monotonic() + lifetime - min(EXPIRY_MARGIN_SECONDS, lifetime / 2)


def _attempt_seconds(request: Request, deadline: Deadline) -> float:
    left = deadline.remaining() - request.wait
    return request.wait + min(ATTEMPT_SECONDS, max(LEAST_ATTEMPT_SECONDS, left))


def _changed_nothing(answer: Answer) -> bool:
    if isinstance(answer, httpx.Response):
        return answer.status_code == 429
    return isinstance(answer, NEVER_SENT)


def _is_retried(request: Request, answer: Answer) -> bool:
    if isinstance(answer, httpx.Response):
        passing = answer.status_code in RETRIED
    else:
        passing = isinstance(answer, TRANSIENT)
    return passing and (request.may_repeat or _changed_nothing(answer))


def _json_of(response: httpx.Response) -> Any:
    """The JSON of a success, None if it has none. Raises what another answer says."""
    if not response.is_success:
        raise error_of(response)
    if response.status_code == 204:
        return None
    try:
        return response.json()
    except ValueError as error:
        raise UnexpectedAnswer(f"{response.status_code} without JSON.") from error


def _version() -> str:
    try:
        return version("carprice-client")
    except PackageNotFoundError:  # run from its source
        return "0"
