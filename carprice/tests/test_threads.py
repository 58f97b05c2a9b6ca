"""The threads of a web process: how many are at work, and what becomes of them."""

import threading
import time
from collections.abc import Callable, Iterator

import pytest

from carprice.server import threads
from carprice.server.threads import Pool

TIMEOUT = 20


@pytest.fixture
def start() -> Iterator[Callable[[int], Pool]]:
    pools: list[Pool] = []

    def start(size: int) -> Pool:
        pools.append(Pool(size))
        return pools[-1]

    yield start
    for pool in pools:
        pool.shutdown()


def test_what_is_submitted_is_done_and_its_result_or_error_told(
    start: Callable[[int], Pool],
) -> None:
    pool = start(2)

    assert pool.submit(divmod, 7, 2).result(TIMEOUT) == (3, 1)
    with pytest.raises(ZeroDivisionError):
        pool.submit(divmod, 7, 0).result(TIMEOUT)
    assert [pool.submit(abs, -number).result(TIMEOUT) for number in range(9)] == [*range(9)]


def test_as_many_run_at_a_time_as_it_has_threads(start: Callable[[int], Pool]) -> None:
    pool, together, alone = start(3), threading.Barrier(3), threading.Event()
    held = [pool.submit(lambda: (together.wait(TIMEOUT), alone.wait(TIMEOUT))) for _ in range(3)]

    fourth = pool.submit(alone.is_set)
    time.sleep(0.1)

    assert not fourth.done()
    alone.set()
    assert fourth.result(TIMEOUT)
    assert all(future.result(TIMEOUT) for future in held)


def test_another_thread_works_in_the_place_of_each_that_waits(
    start: Callable[[int], Pool],
) -> None:
    pool, over = start(1), threading.Event()

    def wait() -> None:
        with threads.replaced():
            assert over.wait(TIMEOUT)

    waiting = [pool.submit(wait) for _ in range(20)]
    assert pool.submit(divmod, 7, 2).result(TIMEOUT) == (3, 1)
    over.set()
    for future in waiting:
        future.result(TIMEOUT)


def test_after_the_waiting_it_has_as_many_threads_as_before(
    start: Callable[[int], Pool],
) -> None:
    pool, over = start(2), threading.Event()

    def wait() -> None:
        with threads.replaced():
            assert over.wait(TIMEOUT)

    waiting = [pool.submit(wait) for _ in range(30)]
    over.set()
    for future in waiting:
        future.result(TIMEOUT)
    for _ in range(100):  # each thread that is too many ends after what it does next
        pool.submit(time.sleep, 0.001).result(TIMEOUT)

    together = threading.Barrier(3)
    three = [pool.submit(together.wait, 0.5) for _ in range(3)]
    ends = [type(future.exception(TIMEOUT)) for future in three]
    assert ends == [threading.BrokenBarrierError] * 3  # they never were at work at one time


def test_after_a_shutdown_what_was_submitted_is_still_done(
    start: Callable[[int], Pool],
) -> None:
    pool = start(2)
    futures = [pool.submit(time.sleep, 0.01) for _ in range(10)]

    pool.shutdown()

    for future in futures:
        future.result(TIMEOUT)


def test_a_thread_of_no_pool_just_waits() -> None:
    with threads.replaced():
        pass
