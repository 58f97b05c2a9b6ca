"""Access tokens that expire: the client refreshes its session before they do."""

import time
from collections.abc import Iterator
from typing import Any

import pytest
from carprice_client import core
from pytest_django.live_server_helper import LiveServer

from accounts.models import User
from accounts.tokens import SessionAccessToken
from testing.fixtures import CREDITS, PASSWORD
from testing.http_proxy import FaultyProxy

pytestmark = pytest.mark.django_db(transaction=True)

LOGIN = ("POST", "/api/auth/login")
REFRESH = ("POST", "/api/auth/refresh")


@pytest.fixture
def live_proxy(live_server: LiveServer) -> Iterator[FaultyProxy]:
    proxy = FaultyProxy(live_server.url)
    yield proxy
    proxy.close()


class Clock:
    """The client's, which can be put forward."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def monotonic(self) -> float:
        return time.monotonic() + self.ahead


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(core, "time", clock)
    return clock


@pytest.fixture
def client(connect: Any, live_proxy: FaultyProxy, user: User) -> Any:
    return connect(live_proxy.address, email=user.email, password=PASSWORD)


def test_a_session_is_refreshed_before_its_token_expires(
    client: Any, live_proxy: FaultyProxy, clock: Clock
) -> None:
    for _ in range(3):
        assert client.wallet().available == CREDITS
        clock.ahead += 0.99 * SessionAccessToken.lifetime.total_seconds()

    assert len(live_proxy.requests(*LOGIN)) == 1
    assert len(live_proxy.requests(*REFRESH)) == 2
    assert len(live_proxy.requests("GET", "/api/wallet")) == 3  # none was refused


@pytest.mark.parametrize("status", [None, 503, 429])
def test_a_refresh_that_fails_is_not_repeated_but_signed_in_anew(
    client: Any, live_proxy: FaultyProxy, clock: Clock, status: int | None
) -> None:
    client.wallet()
    if status is None:
        live_proxy.lose_answers(*REFRESH)
    else:
        live_proxy.refuse(*REFRESH, status, Retry_After="60")
    clock.ahead = SessionAccessToken.lifetime.total_seconds()

    assert client.wallet().available == CREDITS
    assert len(live_proxy.requests(*REFRESH)) == 1
    assert len(live_proxy.requests(*LOGIN)) == 2


def test_a_lost_sign_in_is_repeated(client: Any, live_proxy: FaultyProxy) -> None:
    live_proxy.lose_answers(*LOGIN)

    assert client.wallet().available == CREDITS
