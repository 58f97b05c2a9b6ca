"""Several processes that count in one Redis, each a slice ahead of its requests."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

import pytest
from limits import RateLimitItem, parse
from limits.storage import RedisStorage, storage_from_string

from carprice.http.slices import SLICES_OF_A_LIMIT, Slices
from testing.fixtures import AtOnce
from testing.round_trips import REDIS, round_trips
from testing.servers import Redis

pytestmark = pytest.mark.own_servers

THOUSAND, TEN = parse("1000/minute"), parse("10/minute")


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    server = Redis(Path(tmp_path_factory.mktemp("slices")))
    server.start()
    yield server.url(server.port)
    server.close()


@pytest.fixture
def process(url: str) -> Iterator[Callable[[], Slices]]:
    """What each process has of its own."""
    storage = cast("RedisStorage", storage_from_string(url))
    yield lambda: Slices(storage)
    storage.reset()


def spend(slices: Slices, limit: RateLimitItem, times: int, *keys: str) -> int:
    """How many of some requests are let through."""
    return sum(not slices.spend(limit, keys or ["one"]) for _ in range(times))


@pytest.mark.parametrize("limit", [TEN, parse("199/minute"), THOUSAND, parse("1234/minute")])
def test_processes_together_let_no_more_through_than_the_limit(
    process: Callable[[], Slices], limit: RateLimitItem
) -> None:
    processes = [process() for _ in range(3)]
    passed = 0

    for number in range(2 * limit.amount):
        passed += spend(processes[number % 3], limit, 1)

    left_over = 3 * (limit.amount // SLICES_OF_A_LIMIT) if limit.amount >= 200 else 0
    assert limit.amount - left_over <= passed <= limit.amount


def test_one_process_gets_the_whole_of_a_limit(process: Callable[[], Slices]) -> None:
    assert spend(process(), parse("1234/minute"), 2000) == 1234


def test_threads_let_no_more_through_than_the_limit(
    process: Callable[[], Slices], at_once: AtOnce
) -> None:
    slices = process()

    passed = at_once([lambda: spend(slices, THOUSAND, 300)] * 8)

    assert sum(passed) == 1000


def test_a_small_limit_is_counted_one_by_one(process: Callable[[], Slices]) -> None:
    first, second = process(), process()

    assert [spend(which, TEN, 1) for which in [first, second] * 8] == [1] * 10 + [0] * 6


def test_a_hundredth_is_counted_at_once_for_all_keys(process: Callable[[], Slices]) -> None:
    slices = process()
    spend(slices, THOUSAND, 1, "address", "account")  # has the script loaded

    with round_trips() as counted:
        assert spend(slices, THOUSAND, 100, "address", "account") == 100

    assert counted[REDIS] == 10


def test_who_is_refused_costs_no_exchange(process: Callable[[], Slices]) -> None:
    slices = process()
    spend(slices, TEN, 11)

    with round_trips() as counted:
        assert spend(slices, TEN, 100) == 0

    assert counted[REDIS] == 0


def test_a_request_refused_for_one_key_spends_nothing_of_another(
    process: Callable[[], Slices],
) -> None:
    slices = process()
    spend(slices, TEN, 10, "address")

    assert spend(slices, TEN, 5, "address", "account") == 0
    assert spend(slices, TEN, 20, "account") == 10


def test_nothing_of_a_window_is_left_in_the_next(process: Callable[[], Slices]) -> None:
    first, second, limit = process(), process(), parse("300/second")
    assert spend(first, limit, 1) == 1
    wait = 0.0
    while not wait:
        wait = second.spend(limit, ["one"])
    assert 0 < wait <= 1

    time.sleep(wait + 0.05)

    assert spend(second, limit, 400) == 300
    assert spend(first, limit, 1) == 0


def test_a_slow_exchange_takes_nothing_of_a_window_into_the_next(
    process: Callable[[], Slices], monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second, limit = process(), process(), parse("300/second")
    take = first._add

    def slow(*arguments: Any) -> Any:
        answer = take(*arguments)
        time.sleep(0.5)
        return answer

    monkeypatch.setattr(first, "_add", slow)
    assert spend(first, limit, 1) == 1
    time.sleep(0.55)  # the window has ended, which began half a second before the answer came

    assert spend(second, limit, 300) == 300
    assert spend(first, limit, 1) == 0


@pytest.mark.parametrize("limit", [TEN, THOUSAND])
def test_a_process_knows_how_many_are_left_at_most(
    process: Callable[[], Slices], limit: RateLimitItem
) -> None:
    first, second = process(), process()
    spend(first, limit, 5)
    spend(second, limit, 3)

    left, seconds = second.remaining("one")

    others = max(5, limit.amount // SLICES_OF_A_LIMIT)  # a slice is gone when it is taken
    assert left == limit.amount - others - 3
    assert 0 < seconds <= 60
