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
                answer = self._application(environ, start_response)
                is_computed = getattr(answer, "streaming", False)
                return StreamedAnswer(answer, self._slots) if is_computed else answer
            finally:
                _thread.slots = None
                # Django does it once the response is sent, for which a client may take long.
                connection.close_if_unusable_or_obsolete()


class StreamedAnswer:
    """An answer that is computed while it is sent: each part takes a slot, and no client one."""

    def __init__(self, answer: Any, slots: threading.BoundedSemaphore) -> None:
        self._answer = answer
        self._slots = slots

    def __iter__(self) -> Iterator[bytes]:
        parts = iter(self._answer)
        while True:
            with self._slots:
                try:
                    part = next(parts, None)
                finally:
                    connection.close_if_unusable_or_obsolete()  # a pooled one is given back
            if part is None:
                return
            yield part

    def close(self) -> None:
        self._answer.close()


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
