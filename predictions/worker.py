"""What a worker process does besides tasks: loads models once, and sweeps.

The sweep is a thread of every pool process, so it goes on while any worker lives, and needs no
scheduler. Pool processes never fork, so a thread in them is safe; the parent, which does, has none.
"""

import logging
import os
import random
import threading
import time
from collections.abc import Mapping
from datetime import datetime
from uuid import UUID

from django.conf import settings
from django.db import DatabaseError, close_old_connections, connections
from threadpoolctl import threadpool_limits

from accounts.services import forget_old_sessions
from carprice.idempotency import keys
from mlmodels.catalogue import availability
from mlmodels.models import Predictor
from mlmodels.serving import explanations, inference
from mlmodels.serving.artefacts import ArtefactError, OtherLibrary
from predictions import notifications, what_ifs
from predictions.execution import compatibility, recovery

logger = logging.getLogger(__name__)

HEARTBEAT_SECONDS = 10
TIDY_SECONDS = 60
LONGEST_BACKOFF_SECONDS = 60


def prepare() -> None:
    """Load models before the pool forks: its processes share them, and a new one starts at once."""
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ.setdefault(name, "1")  # threads would not survive the fork
    explanations.get_ready()
    warm_up()
    connections.close_all()


def start() -> None:
    """Begin work in a fresh pool process."""
    Sweeper().start()
    threadpool_limits(1)  # processes are the parallelism; more threads would only contend
    warm_up()


def warm_up() -> None:
    """Load what is on sale, so that no customer waits for it."""
    try:
        _load_what_is_on_sale()
    except (DatabaseError, OSError) as error:  # tasks load what they need when it is back
        logger.error("No model was loaded ahead: %s", error)


def _load_what_is_on_sale() -> None:
    for version_id in Predictor.objects.on_sale().values_list("current_version", flat=True):
        try:
            inference.scorer(version_id)
        except OtherLibrary as error:
            compatibility.leave_to_others(version_id, str(error))
        except ArtefactError as error:
            availability.report_fault(version_id, str(error))


class Sweeper(threading.Thread):
    def __init__(self) -> None:
        super().__init__(name="sweep", daemon=True)
        self._backoff = Backoff()
        self._next_heartbeat = 0.0
        self._next_tidying = 0.0

    def run(self) -> None:
        while True:
            # Jitter keeps the sweeps of many processes apart.
            time.sleep(settings.SWEEP_SECONDS * random.uniform(0.8, 1.2))  # noqa: S311
            try:
                close_old_connections()
                self.sweep()
            except Exception:
                logger.exception("A sweep failed; the next one tries again.")

    def sweep(self) -> None:
        recovery.recover()
        compatibility.give_up_what_nobody_scores(time.monotonic())
        for version_id in self._backoff.due(recovery.waiting_versions(), time.monotonic()):
            notifications.ring(version_id)
        for version_id in what_ifs.waiting_versions():
            notifications.ring_for_what_ifs(version_id)
        if time.monotonic() >= self._next_heartbeat:
            self._next_heartbeat = time.monotonic() + HEARTBEAT_SECONDS
            notifications.ask_for_heartbeat()
            compatibility.look_at_what_is_on_sale()
        if time.monotonic() >= self._next_tidying:
            self._next_tidying = time.monotonic() + TIDY_SECONDS
            keys.purge_expired()
            forget_old_sessions()
            what_ifs.forget_unanswered()


class Backoff:
    """Which versions to ring for: at once, then ever more rarely while nothing moves."""

    def __init__(self) -> None:
        self._rung: dict[UUID, tuple[datetime, float, float]] = {}  # since, next ring, delay

    def due(self, waiting: Mapping[UUID, datetime], now: float) -> list[UUID]:
        """The versions to ring; `waiting` gives the oldest row's time, `now` is monotonic."""
        result = []
        for version_id, since in waiting.items():
            seen, next_ring, delay = self._rung.get(version_id, (None, now, 0.0))
            if seen != since:  # the queue moved: rows go, others wait now
                next_ring, delay = now, 0.0
            if now >= next_ring:
                result.append(version_id)
                delay = min(2 * delay or settings.SWEEP_SECONDS, LONGEST_BACKOFF_SECONDS)
                next_ring = now + delay
            self._rung[version_id] = (since, next_ring, delay)
        self._rung = {key: value for key, value in self._rung.items() if key in waiting}
        return result
