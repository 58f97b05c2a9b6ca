"""How many requests of a web process are at work at a time; those that wait do not count.

A process has many more threads than slots, so that requests may wait for a prediction to end. What
bounds the work, and with it the database connections in use, is a semaphore.
"""

import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from django.db import connection

Application = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]

_current = threading.local()  # the semaphore that this thread's request has acquired


class WorkSlots:
    """A WSGI application that lets `count` requests at a time into another one."""

    def __init__(self, application: Application, count: int) -> None:
        self._application = application
        self._free = threading.BoundedSemaphore(count)

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        with self._free:
            _current.slots = self._free
            try:
                return self._application(environ, start_response)
            finally:
                _current.slots = None


@contextmanager
def released() -> Iterator[None]:
    """Until the end, another request may have this one's slot and its database connection."""
    slots: threading.BoundedSemaphore | None = getattr(_current, "slots", None)
    if slots is None:  # nobody else waits for one: a test, or a shell
        yield
        return
    connection.close()  # which gives it back to the pool
    slots.release()
    try:
        yield
    finally:
        slots.acquire()
