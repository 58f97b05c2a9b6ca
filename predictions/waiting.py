"""Waiting for predictions and what-ifs to end: one query at a time for all who wait here."""

import logging
import threading
from collections import defaultdict
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from uuid import UUID

from django.conf import settings
from django.db import DatabaseError, InterfaceError, connection

from carprice.http.errors import RetryLater
from carprice.server import slots
from predictions.models import Prediction, WhatIf

logger = logging.getLogger(__name__)

LOOK_EVERY_SECONDS = 0.05
RETRY_AFTER_SECONDS = 1
LOOK_AGAIN_AFTER_SECONDS = 1.0  # after the database failed

_places = threading.BoundedSemaphore(settings.WEB_WAITERS)


class NoPlace(RetryLater):
    """Too many wait already: threads must be left for other requests."""

    code = "too_many_requests"


@contextmanager
def place() -> Iterator[None]:
    """One of this process's places to wait in. Raises NoPlace."""
    if not _places.acquire(blocking=False):
        raise NoPlace("Too many requests are waiting for an answer.", RETRY_AFTER_SECONDS)
    try:
        yield
    finally:
        _places.release()


def for_end_of(row: Prediction, seconds: float) -> None:
    """Return when a queued or running prediction has ended, or after `seconds`.

    Where there is no place to wait in, it returns at once.
    """
    with suppress(NoPlace), place():
        if row.is_active:
            until_ended(row.pk, seconds)
        else:  # a draft does not end by itself
            with slots.given_up():
                threading.Event().wait(seconds)


def until_ended(key: UUID, seconds: float) -> None:
    """Wait, in a place taken before, for the end of the prediction or what-if with this id."""
    with slots.given_up():
        _watcher().wait(key, seconds)


class Watcher(threading.Thread):
    """Looks which of what is awaited is no longer under way."""

    def __init__(self) -> None:
        super().__init__(name="watcher", daemon=True)
        self._awaited: defaultdict[UUID, set[threading.Event]] = defaultdict(set)
        self._changed = threading.Condition()

    def wait(self, key: UUID, seconds: float) -> None:
        ended = threading.Event()
        with self._changed:
            self._awaited[key].add(ended)
            self._changed.notify()
        try:
            ended.wait(seconds)
        finally:
            self._forget(key, ended)

    def _forget(self, key: UUID, event: threading.Event) -> None:
        with self._changed:
            self._awaited[key].discard(event)
            if not self._awaited[key]:
                del self._awaited[key]

    def run(self) -> None:
        pause = threading.Event()
        while True:
            try:
                self._wake(_no_longer_active(self._next()))
                pause.wait(LOOK_EVERY_SECONDS)
            except (DatabaseError, InterfaceError) as error:
                logger.warning("Nobody can be told of ended predictions: %s", error)
                connection.close()
                pause.wait(LOOK_AGAIN_AFTER_SECONDS)

    def _next(self) -> list[UUID]:
        """What is awaited; while nothing is, this waits without a connection."""
        with self._changed:
            if not self._awaited:
                connection.close()
            while not self._awaited:
                self._changed.wait()
            return list(self._awaited)

    def _wake(self, ended: Collection[UUID]) -> None:
        with self._changed:
            for key in ended:
                for event in self._awaited.get(key, ()):
                    event.set()


def _no_longer_active(awaited: Collection[UUID]) -> set[UUID]:
    rows = Prediction.objects.filter(pk__in=awaited).active().order_by().values_list("pk")
    what_ifs = WhatIf.objects.filter(pk__in=awaited, value=None, failure="").order_by()
    pending = rows.union(what_ifs.values_list("pk"), all=True)
    return set(awaited) - {key for (key,) in pending}


_current: Watcher | None = None
_lock = threading.Lock()


def _watcher() -> Watcher:
    global _current
    with _lock:
        if _current is None or not _current.is_alive():
            _current = Watcher()
            _current.start()
        return _current
