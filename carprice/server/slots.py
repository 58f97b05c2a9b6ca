"""How many requests of a web process are at work at a time, and with which database connections.

A request that waits for something gives its slot up meanwhile, so that a process can have many
more threads than connections. The last connection put back is the first to be taken again.
"""

import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from django.db import DEFAULT_DB_ALIAS, connections
from django.db.backends.base.base import BaseDatabaseWrapper

from carprice.server import threads

Application = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]

_mine = threading.local()  # this thread's slots, while its request is at work


class Slots:
    """A WSGI application that lets `count` requests at a time into another one."""

    def __init__(self, application: Application, count: int) -> None:
        self._application = application
        self._free = threading.BoundedSemaphore(count)
        self._connections: list[BaseDatabaseWrapper] = []

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        self.take()
        _mine.slots = self
        try:
            return self._application(environ, start_response)
        finally:
            _mine.slots = None
            self.give_back()

    def take(self) -> None:
        """Wait for a slot, and take over its connection."""
        self._free.acquire()
        try:
            connection = self._connections.pop()
        except IndexError:
            connection = connections.create_connection(DEFAULT_DB_ALIAS)
            connection.inc_thread_sharing()  # one thread after the other
        connections[DEFAULT_DB_ALIAS] = connection

    def give_back(self) -> None:
        connection = connections[DEFAULT_DB_ALIAS]
        del connections[DEFAULT_DB_ALIAS]
        self._connections.append(connection)
        self._free.release()


@contextmanager
def given_up() -> Iterator[None]:
    """Until the end, another request may have this one's slot."""
    slots: Slots | None = getattr(_mine, "slots", None)
    if slots is None:  # nobody else waits for one: a test, or a shell
        yield
        return
    slots.give_back()
    try:
        with threads.replaced():
            yield
    finally:
        slots.take()
        # As before each request: it may have been lost, or have grown old, meanwhile.
        connections[DEFAULT_DB_ALIAS].close_if_unusable_or_obsolete()
