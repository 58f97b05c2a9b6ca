"""Waiting for predictions and what-ifs to end: one query at a time for all who wait here."""

import logging
import threading
from collections import defaultdict
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from uuid import UUID

from django.conf import settings
from django.db import DatabaseError, InterfaceError, connection
from django.utils.translation import gettext as _

from carprice.http.errors import RetryLater
from carprice.server import work_slots
from predictions.models import Prediction, ScoringRequest, WhatIf

logger = logging.getLogger(__name__)

POLL_SECONDS = 0.05
RETRY_AFTER_SECONDS = 1
POLL_AFTER_OUTAGE_SECONDS = 1.0

_wait_slots = threading.BoundedSemaphore(settings.WEB_WAITERS)

Key = tuple[type[ScoringRequest], UUID]


class NoWaitSlot(RetryLater):
    """Too many wait already: threads must be left for other requests."""

    code = "too_many_requests"


@contextmanager
def wait_slot() -> Iterator[None]:
    """One of the places of this process for requests that wait. Raises NoWaitSlot."""
    if not _wait_slots.acquire(blocking=False):
        raise NoWaitSlot(_("Too many requests are waiting for an answer."), RETRY_AFTER_SECONDS)
    try:
        yield
    finally:
        _wait_slots.release()


def for_end_of(row: Prediction, seconds: float) -> None:
    """Return when a prediction has ended, or after `seconds`; at once where no slot is free."""
    with suppress(NoWaitSlot), wait_slot():
        until_ended(Prediction, row.pk, seconds)


def until_ended(model: type[ScoringRequest], row_id: UUID, seconds: float) -> None:
    """Wait, in a slot taken before, until the row with this id has ended or is gone."""
    with work_slots.released():
        _watcher().wait((model, row_id), seconds)


class Watcher(threading.Thread):
    """Looks which of the awaited rows have ended."""

    def __init__(self) -> None:
        super().__init__(name="watcher", daemon=True)
        self._awaited: defaultdict[Key, set[threading.Event]] = defaultdict(set)
        self._changed = threading.Condition()

    def wait(self, key: Key, seconds: float) -> None:
        ended = threading.Event()
        with self._changed:
            self._awaited[key].add(ended)
            self._changed.notify()
        try:
            ended.wait(seconds)
        finally:
            self._discard(key, ended)

    def _discard(self, key: Key, event: threading.Event) -> None:
        with self._changed:
            self._awaited[key].discard(event)
            if not self._awaited[key]:
                del self._awaited[key]

    def run(self) -> None:
        pause = threading.Event()
        while True:
            try:
                self._wake(_ended(self._next()))
                pause.wait(POLL_SECONDS)
            except (DatabaseError, InterfaceError) as error:
                logger.warning("Waiting requests cannot see what has ended: %s", error)
                connection.close()
                pause.wait(POLL_AFTER_OUTAGE_SECONDS)

    def _next(self) -> list[Key]:
        """What is awaited; while nothing is, this waits without a connection."""
        with self._changed:
            if not self._awaited:
                connection.close()
            while not self._awaited:
                self._changed.wait()
            return list(self._awaited)

    def _wake(self, ended: Collection[Key]) -> None:
        with self._changed:
            for key in ended:
                for event in self._awaited.get(key, ()):
                    event.set()


def _ended(awaited: Collection[Key]) -> set[Key]:
    """Those that have ended or are gone. A draft has not ended: somebody may run it meanwhile."""
    pending: set[Key] = set()
    for model in (Prediction, WhatIf):
        ids = [row_id for kind, row_id in awaited if kind is model]
        rows = model.objects.filter(pk__in=ids).exclude(status__in=ScoringRequest.ENDED)
        if ids:
            pending |= {(model, row_id) for row_id in rows.values_list("pk", flat=True)}
    return set(awaited) - pending


_current: Watcher | None = None
_lock = threading.Lock()


def _watcher() -> Watcher:
    global _current
    with _lock:
        if _current is None or not _current.is_alive():
            _current = Watcher()
            _current.start()
        return _current
