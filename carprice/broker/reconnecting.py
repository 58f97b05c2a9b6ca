"""A pause before a worker connects, if it has just lost another connection.

Celery waits ever longer while it cannot connect. A broker that lets it connect and then refuses
what it asks for, such as a Redis that is a replica or a RabbitMQ whose queue has another type, it
would ask again at once, some times a second, for as long as that lasts.
"""

import time
from typing import Any

from celery import bootsteps
from celery.worker.state import maybe_shutdown

FIRST_PAUSE_SECONDS = 0.5
MAX_PAUSE_SECONDS = 10.0
STABLE_SECONDS = 30.0  # a connection that lived longer was a good one


class PauseBeforeConnecting(bootsteps.StartStopStep):
    """A step of the consumer, before all others: any of them may find what the broker refuses."""

    def __init__(self, parent: Any, **options: Any) -> None:
        super().__init__(parent, **options)
        self._pause = 0.0
        self._connected_since: float | None = None

    def include(self, parent: Any) -> None:
        super().include(parent)
        parent.steps.remove(self)
        parent.steps.insert(0, self)

    def start(self, parent: Any) -> None:
        self._wait(self._next_pause(time.monotonic()))
        self._connected_since = time.monotonic()

    def _next_pause(self, now: float) -> float:
        if self._connected_since is None or now - self._connected_since > STABLE_SECONDS:
            self._pause = 0.0  # the next one that fails soon waits
        else:
            self._pause = min(2 * self._pause or FIRST_PAUSE_SECONDS, MAX_PAUSE_SECONDS)
        return self._pause

    def _wait(self, seconds: float) -> None:
        ends = time.monotonic() + seconds
        while (left := ends - time.monotonic()) > 0:
            maybe_shutdown()
            time.sleep(min(left, 0.5))
