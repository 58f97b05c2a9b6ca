"""While the store of the counters is away or refuses to write, each process counts on its own."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from rest_framework.test import APIClient

from accounts.models import User
from carprice.http import throttling
from testing.fixtures import PASSWORD
from testing.processes import eventually, free_port
from testing.servers import Redis

pytestmark = pytest.mark.django_db

LIMIT = 10  # wrong sign-ins a minute
TRIES = 25

# What makes a Redis refuse writes, and what ends that.
REFUSALS: dict[str, tuple[list[str], list[str]]] = {
    "OOM": (["CONFIG", "SET", "maxmemory", "1"], ["CONFIG", "SET", "maxmemory", "0"]),
    "READONLY": (["REPLICAOF", "127.0.0.1", "1"], ["REPLICAOF", "NO", "ONE"]),
    "NOREPLICAS": (
        ["CONFIG", "SET", "min-replicas-to-write", "1"],
        ["CONFIG", "SET", "min-replicas-to-write", "0"],
    ),
    "MISCONF": (["CONFIG", "SET", "save", "1 1"], ["CONFIG", "SET", "save", ""]),
}


@pytest.fixture
def count_in(settings: Any) -> Iterator[Callable[[str], None]]:
    """Have the counters in the store at a URL, until the end of the test."""

    def forget() -> None:
        throttling._make_limiter.cache_clear()
        throttling._make_slices.cache_clear()
        throttling._make_own_limiter.cache_clear()
        throttling._outage.__init__()  # type: ignore[misc]  # none has begun

    def count_in(url: str) -> None:
        settings.THROTTLE_STORAGE_URL = url
        forget()

    yield count_in
    forget()


@pytest.fixture
def own_redis(tmp_path: Path, count_in: Callable[[str], None]) -> Iterator[Any]:
    server = Redis(tmp_path)
    server.start()
    count_in(server.url(server.port))
    with redis.Redis(port=server.port) as client:
        yield client
    server.close()


def sign_in(password: str = "wrong") -> Any:
    body = {"email": "ada@example.com", "password": password}
    return APIClient().post("/sign_in", body, format="json")


def refuse_writes(client: Any, error: str) -> None:
    client.execute_command(*REFUSALS[error][0])
    if error == "MISCONF":
        fail_to_save(client)
    with pytest.raises(redis.ResponseError):
        client.incr("probe")


def fail_to_save(client: Any) -> None:
    """A directory has the name of the file to save to."""
    directory = Path(client.config_get("dir")["dir"])
    (directory / client.config_get("dbfilename")["dbfilename"] / "inside").mkdir(parents=True)
    client.bgsave()
    eventually(lambda: client.info("persistence")["rdb_last_bgsave_status"] == "err", within=30)


@pytest.mark.own_servers
@pytest.mark.parametrize("error", ["OOM", "READONLY", "NOREPLICAS", "MISCONF"])
def test_a_redis_that_refuses_writes_lets_no_guesses_through(
    user: User, own_redis: Any, error: str
) -> None:
    refuse_writes(own_redis, error)

    statuses = [sign_in().status_code for _ in range(TRIES)]

    assert statuses == [401] * LIMIT + [429] * (TRIES - LIMIT)
    assert sign_in(PASSWORD).status_code == 429


@pytest.mark.own_servers
def test_what_was_counted_in_the_outage_holds_when_the_store_is_back(
    user: User, own_redis: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    refuse_writes(own_redis, "OOM")
    for _ in range(LIMIT):
        sign_in()
    own_redis.execute_command(*REFUSALS["OOM"][1])
    monkeypatch.setattr(throttling._outage, "_until", 0.0)

    response = sign_in(PASSWORD)

    assert response.status_code == 429
    assert 1 <= int(response["Retry-After"]) <= 60


@pytest.mark.own_servers
def test_a_pause_that_ends_gives_no_further_guesses(
    user: User, own_redis: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The store can be read and has counted nothing; it is asked again after each pause."""
    refuse_writes(own_redis, "OOM")
    statuses = []

    for _ in range(TRIES):
        monkeypatch.setattr(throttling._outage, "_until", 0.0)
        statuses.append(sign_in().status_code)

    assert statuses == [401] * LIMIT + [429] * (TRIES - LIMIT)


def test_a_store_that_is_down_lets_no_guesses_through(
    user: User, count_in: Callable[[str], None]
) -> None:
    count_in(f"redis://127.0.0.1:{free_port()}/0")

    statuses = [sign_in().status_code for _ in range(TRIES)]

    assert statuses == [401] * LIMIT + [429] * (TRIES - LIMIT)


@pytest.mark.parametrize("scope", ["sign_up", "sign_in", "wrong_sign_in", "submit", "top_up"])
def test_every_limit_holds_while_the_store_is_down(
    scope: str, settings: Any, count_in: Callable[[str], None]
) -> None:
    count_in(f"redis://127.0.0.1:{free_port()}/0")
    limit = int(settings.THROTTLES[scope].partition("/")[0])

    for _ in range(limit):
        throttling.count(scope, "somebody")

    with pytest.raises(throttling.TooManyRequests):
        throttling.count(scope, "somebody")
    throttling.count(scope, "somebody else")


def test_an_outage_stops_nobody_who_keeps_to_the_limits(
    user: User, count_in: Callable[[str], None]
) -> None:
    count_in(f"redis://127.0.0.1:{free_port()}/0")

    assert {sign_in(PASSWORD).status_code for _ in range(3)} == {200}
