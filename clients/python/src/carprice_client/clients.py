"""The two clients. They do what operations ask for, and decide nothing else."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import wraps
from typing import Any, Concatenate, ParamSpec, Self, TypeVar

import httpx

from carprice_client.core import Answer, Effect, Exclusive, Operation, Pause, Send
from carprice_client.models import Outcome
from carprice_client.operations import PATIENCE_SECONDS, Data, Operations, Pages

T = TypeVar("T")
P = ParamSpec("P")

TIMEOUT_SECONDS = 60.0
CONCURRENCY = 8
# Shorter than servers keep an idle connection, so that none is used while it is being closed.
LIMITS = httpx.Limits(keepalive_expiry=3)


def _call(
    method: Callable[Concatenate[Operations, P], Operation[T]],
) -> Callable[Concatenate[Client, P], T]:
    @wraps(method)
    def call(self: Client, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return self._run(method(self._operations, *args, **kwargs))

    return call


def _pages(
    method: Callable[Concatenate[Operations, P], Pages[T]],
) -> Callable[Concatenate[Client, P], Iterator[T]]:
    @wraps(method)
    def iterate(self: Client, /, *args: P.args, **kwargs: P.kwargs) -> Iterator[T]:
        pages = method(self._operations, *args, **kwargs)
        query: Data | None = pages.query
        while query is not None:
            items, query = self._run(pages.load(query))
            yield from items

    return iterate


class Client:
    """Carprice from sync code; threads may share one. Close it, or use it in a `with`.

    `url` is where the service answers. `token` is an access token or an API key; instead, `email`
    and `password` sign in when needed. `timeout` is how many seconds a call may take, with all its
    retries; those that wait for a prediction have one of their own. `http` may be an httpx client
    with a proxy or certificates of yours.
    """

    def __init__(
        self,
        url: str,
        *,
        token: str | None = None,
        email: str | None = None,
        password: str | None = None,
        timeout: float = TIMEOUT_SECONDS,
        http: httpx.Client | None = None,
    ) -> None:
        self._operations = Operations(token=token, email=email, password=password, timeout=timeout)
        self._url = url.rstrip("/")
        self._http = http or httpx.Client(limits=LIMITS)
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._http.close()

    predictors = _call(Operations.predictors)
    predictor = _call(Operations.predictor)
    wallet = _call(Operations.wallet)
    top_up = _call(Operations.top_up)
    transactions = _pages(Operations.transactions)
    submit = _call(Operations.submit)
    get = _call(Operations.get)
    wait = _call(Operations.wait)
    predict = _call(Operations.predict)
    cancel = _call(Operations.cancel)
    delete = _call(Operations.delete)
    what_if = _call(Operations.what_if)
    history = _pages(Operations.history)
    running = _pages(Operations.running)
    draft = _call(Operations.draft)
    edit = _call(Operations.edit)
    run = _call(Operations.run)

    def predict_many(
        self,
        model: str,
        rows: Iterable[Data],
        *,
        explain: bool = False,
        concurrency: int = CONCURRENCY,
        timeout: float = PATIENCE_SECONDS,
        idempotency_key: str | None = None,
    ) -> Iterator[Outcome]:
        """Buy a prediction for each row, `concurrency` at a time; their outcomes in order.

        A row that the API refuses has its refusal as its outcome; any other error is raised in its
        place, and no more rows are submitted. Call again with the same rows and `idempotency_key`,
        within 24 hours, to go on: what was bought is not bought again. `timeout` is each row's.
        """
        stopped = threading.Event()
        operations = self._operations.many(
            model,
            rows,
            explain=explain,
            timeout=timeout,
            idempotency_key=idempotency_key,
            stopped=stopped,
        )
        window: deque[Future[Outcome]] = deque()
        with ThreadPoolExecutor(concurrency) as pool:
            try:
                for operation in operations:
                    window.append(pool.submit(self._run, operation))
                    if len(window) == concurrency:
                        yield window.popleft().result()
                while window:
                    yield window.popleft().result()
            finally:
                stopped.set()

    def _run(self, operation: Operation[T]) -> T:
        done: Any = None
        while True:
            try:
                effect = operation.send(done)
            except StopIteration as end:
                return end.value  # type: ignore[no-any-return]  # what the operation returns
            done = self._perform(effect)

    def _perform(self, effect: Effect) -> Answer | None:
        match effect:
            case Send():
                try:
                    return self._http.request(**effect.arguments(self._url))
                except httpx.RequestError as error:
                    return error
            case Pause():
                time.sleep(effect.seconds)
            case Exclusive():
                with self._lock:
                    self._run(effect.operation)
        return None


def _async_call(
    method: Callable[Concatenate[Operations, P], Operation[T]],
) -> Callable[Concatenate[AsyncClient, P], Coroutine[Any, Any, T]]:
    @wraps(method)
    async def call(self: AsyncClient, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return await self._run(method(self._operations, *args, **kwargs))

    return call


def _async_pages(
    method: Callable[Concatenate[Operations, P], Pages[T]],
) -> Callable[Concatenate[AsyncClient, P], AsyncIterator[T]]:
    @wraps(method)
    async def iterate(self: AsyncClient, /, *args: P.args, **kwargs: P.kwargs) -> AsyncIterator[T]:
        pages = method(self._operations, *args, **kwargs)
        query: Data | None = pages.query
        while query is not None:
            items, query = await self._run(pages.load(query))
            for item in items:
                yield item

    return iterate


class AsyncClient:
    """Carprice from async code, with the arguments of Client; use it in an `async with`."""

    def __init__(
        self,
        url: str,
        *,
        token: str | None = None,
        email: str | None = None,
        password: str | None = None,
        timeout: float = TIMEOUT_SECONDS,
        http: httpx.AsyncClient | None = None,
    ) -> None:
        self._operations = Operations(token=token, email=email, password=password, timeout=timeout)
        self._url = url.rstrip("/")
        self._http = http or httpx.AsyncClient(limits=LIMITS)
        self._lock = asyncio.Lock()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        await self._http.aclose()

    predictors = _async_call(Operations.predictors)
    predictor = _async_call(Operations.predictor)
    wallet = _async_call(Operations.wallet)
    top_up = _async_call(Operations.top_up)
    transactions = _async_pages(Operations.transactions)
    submit = _async_call(Operations.submit)
    get = _async_call(Operations.get)
    wait = _async_call(Operations.wait)
    predict = _async_call(Operations.predict)
    cancel = _async_call(Operations.cancel)
    delete = _async_call(Operations.delete)
    what_if = _async_call(Operations.what_if)
    history = _async_pages(Operations.history)
    running = _async_pages(Operations.running)
    draft = _async_call(Operations.draft)
    edit = _async_call(Operations.edit)
    run = _async_call(Operations.run)

    async def predict_many(
        self,
        model: str,
        rows: Iterable[Data],
        *,
        explain: bool = False,
        concurrency: int = CONCURRENCY,
        timeout: float = PATIENCE_SECONDS,
        idempotency_key: str | None = None,
    ) -> AsyncIterator[Outcome]:
        """As Client.predict_many."""
        if concurrency < 1:
            raise ValueError("concurrency is at least 1.")
        operations = self._operations.many(
            model, rows, explain=explain, timeout=timeout, idempotency_key=idempotency_key
        )
        window: deque[asyncio.Task[Outcome]] = deque()
        try:
            for operation in operations:
                window.append(asyncio.create_task(self._run(operation)))
                if len(window) == concurrency:
                    yield await window[0]
                    window.popleft()
            while window:
                yield await window[0]
                window.popleft()
        finally:
            for task in window:
                task.cancel()
            await asyncio.gather(*window, return_exceptions=True)

    async def _run(self, operation: Operation[T]) -> T:
        done: Any = None
        while True:
            try:
                effect = operation.send(done)
            except StopIteration as end:
                return end.value  # type: ignore[no-any-return]  # what the operation returns
            done = await self._perform(effect)

    async def _perform(self, effect: Effect) -> Answer | None:
        match effect:
            case Send():
                try:
                    return await self._http.request(**effect.arguments(self._url))
                except httpx.RequestError as error:
                    return error
            case Pause():
                await asyncio.sleep(effect.seconds)
            case Exclusive():
                async with self._lock:
                    await self._run(effect.operation)
        return None
