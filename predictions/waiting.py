"""Waiting for predictions to end: one query at a time for all who wait in this process."""

import logging
import threading
from collections import defaultdict
from collections.abc import Collection
from uuid import UUID

from django.conf import settings
from django.db import DatabaseError, InterfaceError, connection

from carprice import slots
from predictions.models import Prediction

logger = logging.getLogger(__name__)

LOOK_EVERY_SECONDS = 0.05
LOOK_AGAIN_AFTER_SECONDS = 1.0  # after the database failed

_places = threading.BoundedSemaphore(settings.WEB_WAITERS)


def for_end_of(row: Prediction, seconds: float) -> None:
    """Return when a queued or running prediction has ended, or after `seconds`.

    Where too many wait already, it returns at once: threads must be left for other requests.
    """
    if not _places.acquire(blocking=False):
        return
    try:
        with slots.given_up():
            if row.is_active:
                _watcher().wait(row.pk, seconds)
            else:  # a draft does not end by itself
                threading.Event().wait(seconds)
    finally:
        _places.release()


class Watcher(threading.Thread):
    """Looks which of the awaited predictions are no longer queued or running."""

    def __init__(self) -> None:
        super().__init__(name="watcher", daemon=True)
        self._awaited: defaultdict[UUID, set[threading.Event]] = defaultdict(set)
        self._changed = threading.Condition()

    def wait(self, prediction_id: UUID, seconds: float) -> None:
        ended = threading.Event()
        with self._changed:
            self._awaited[prediction_id].add(ended)
            self._changed.notify()
        try:
            ended.wait(seconds)
        finally:
            self._forget(prediction_id, ended)

    def _forget(self, prediction_id: UUID, event: threading.Event) -> None:
        with self._changed:
            self._awaited[prediction_id].discard(event)
            if not self._awaited[prediction_id]:
                del self._awaited[prediction_id]

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
            for prediction_id in ended:
                for event in self._awaited.get(prediction_id, ()):
                    event.set()


def _no_longer_active(awaited: Collection[UUID]) -> set[UUID]:
    rows = Prediction.objects.filter(pk__in=awaited).active()
    return set(awaited) - set(rows.values_list("pk", flat=True))


_current: Watcher | None = None
_lock = threading.Lock()


def _watcher() -> Watcher:
    global _current
    with _lock:
        if _current is None or not _current.is_alive():
            _current = Watcher()
            _current.start()
        return _current
