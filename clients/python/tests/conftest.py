"""A whole service in real processes, and both clients, to be tested alike."""

import asyncio
import inspect
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from carprice_client import AsyncClient, Client

from testing.fixtures import Trained
from testing.http_proxy import FaultyProxy
from testing.processes import PASSWORD, Customer, Service

Connect = Callable[..., Any]


class BlockingAsyncClient:
    """An AsyncClient as if it were a Client: its coroutines run in a loop of their own thread."""

    def __init__(self, *args: Any, **options: Any) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._client = AsyncClient(*args, **options)

    def _wait_for(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result()

    def _items(self, iterator: Any) -> Iterator[Any]:
        try:
            while True:
                try:
                    yield self._wait_for(anext(iterator))
                except StopAsyncIteration:
                    return
        finally:
            self._wait_for(iterator.aclose())

    def __getattr__(self, name: str) -> Callable[..., Any]:
        def call(*args: Any, **options: Any) -> Any:
            answer = getattr(self._client, name)(*args, **options)
            return self._wait_for(answer) if inspect.iscoroutine(answer) else self._items(answer)

        return call

    def close(self) -> None:
        self._wait_for(self._client.close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


@pytest.fixture(params=[Client, BlockingAsyncClient], ids=["sync", "async"])
def connect(request: pytest.FixtureRequest) -> Iterator[Connect]:
    """Makes clients of one kind, and closes them in the end."""
    with ExitStack() as stack:

        def connect(address: str, **options: Any) -> Any:
            client = request.param(address, **options)
            stack.callback(client.close)
            return client

        yield connect


@pytest.fixture(scope="session")
def service(trained: Trained) -> Iterator[Service]:
    """With a worker; the fake is on sale. When all tests have run it stops and is audited."""
    with Service() as service:
        service.set_up(trained, with_fake=True)
        service.start_worker()
        yield service


@pytest.fixture(scope="session")
def address(service: Service) -> str:
    return service.start_web()


@pytest.fixture
def ada(address: str) -> Customer:
    return Customer(address)


@pytest.fixture
def proxy(address: str) -> Iterator[FaultyProxy]:
    proxy = FaultyProxy(address)
    yield proxy
    proxy.close()


@pytest.fixture
def client(connect: Connect, address: str, ada: Customer) -> Any:
    return connect(address, email=ada.email, password=PASSWORD)


@pytest.fixture
def shaken(connect: Connect, proxy: FaultyProxy, ada: Customer) -> Any:
    """A client behind the proxy."""
    return connect(proxy.address, token=ada.token)
