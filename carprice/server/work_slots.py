"""A limit on how many requests of a web process work at a time; those that wait do not count.

A process has many more threads than slots, so that requests may wait for a prediction to end. A
semaphore limits those that work, and with them the database connections in use.
"""

import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from django.db import connection

LIVENESS_PATH = "/healthz"

Application = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]

_thread = threading.local()  # its `slots` is the semaphore that this thread's request has acquired


class WorkSlots:
    """A WSGI application that lets `count` requests at a time into another one."""

    def __init__(self, application: Application, count: int) -> None:
        self._application = application
        self._slots = threading.BoundedSemaphore(count)

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        if environ.get("PATH_INFO") == LIVENESS_PATH:  # answered whatever the others wait for
            return self._application(environ, start_response)
        with self._slots:
            _thread.slots = self._slots
            try:
                return self._application(environ, start_response)
            finally:
                _thread.slots = None
                # Django does it once the response is sent, for which a client may take long.
                connection.close_if_unusable_or_obsolete()


@contextmanager
def released() -> Iterator[None]:
    """Within this, another request may have this one's slot and its database connection."""
    slots: threading.BoundedSemaphore | None = getattr(_thread, "slots", None)
    if slots is None:  # outside of a web process: a test, or a shell
        yield
        return
    connection.close_if_unusable_or_obsolete()  # a pooled one is given back
    slots.release()
    try:
        yield
    finally:
        slots.acquire()
