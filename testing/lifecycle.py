"""Two calls whose transactions overlap in a known order. Needs row locks, so PostgreSQL."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier, Event
from typing import Any

from django.db import connection, connections, transaction

from carprice.http.errors import ServiceError

TIMEOUT_SECONDS = 20

Call = Callable[[], Any]


def overlap(first: Call, second: Call, *, waits: bool = True, undo: bool = False) -> list[Any]:
    """Do `second` while `first` has done its work but not committed, then let that commit.

    Returns what each returned, or was refused with. Where `second` is to wait, it is an error
    if it does not; `undo` rolls `first` back instead.
    """
    done, go = Event(), Event()

    def hold() -> Any:
        with transaction.atomic():
            result = first()
            done.set()
            assert go.wait(TIMEOUT_SECONDS)
            transaction.set_rollback(undo)
        return result

    with ThreadPoolExecutor(2) as pool:
        try:
            held = pool.submit(_outcome, hold)
            assert done.wait(TIMEOUT_SECONDS), held.exception()
            other = pool.submit(_outcome, second)
            if waits:
                _wait_for_a_blocked_session()
            else:
                other.result(TIMEOUT_SECONDS)
        finally:
            go.set()
        return [held.result(), other.result()]


def race(first: Call, second: Call, *, lead: float) -> list[Any]:
    """Do both at the same moment, but `first` by `lead` seconds earlier, or later if negative.

    Returns what each returned, or was refused with.
    """
    barrier = Barrier(2)

    def start(call: Call, delay: float) -> Any:
        connection.ensure_connection()
        barrier.wait(TIMEOUT_SECONDS)
        time.sleep(delay)
        return call()

    with ThreadPoolExecutor(2) as pool:
        runs = [
            pool.submit(_outcome, lambda: start(first, max(0.0, -lead))),
            pool.submit(_outcome, lambda: start(second, max(0.0, lead))),
        ]
        return [run.result() for run in runs]


def _outcome(call: Call) -> Any:
    try:
        return call()
    except ServiceError as refusal:
        return refusal
    finally:
        connections.close_all()


def _wait_for_a_blocked_session() -> None:
    ends = time.monotonic() + TIMEOUT_SECONDS
    while time.monotonic() < ends:
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT FROM pg_stat_activity"
                " WHERE datname = current_database() AND wait_event_type = 'Lock'"
            )
            if cursor.rowcount:
                return
        time.sleep(0.002)
    raise AssertionError("nobody waits")
