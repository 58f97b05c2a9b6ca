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
from datetime import datetime, timedelta
from uuid import UUID

from django.conf import settings
from django.db import DatabaseError, close_old_connections, connections
from threadpoolctl import threadpool_limits

from accounts.browsers import services as browsers
from accounts.mail.sending import start_if_due
from accounts.services import purge_expired_sessions
from carprice.idempotency import keys
from mlmodels.catalogue import availability
from mlmodels.models import Predictor
from mlmodels.serving import explanations, inference
from mlmodels.serving.artefacts import ArtefactError, IncompatibleLibrary
from predictions import what_ifs
from predictions.execution import compatibility, recovery
from predictions.models import Prediction, WhatIf
from predictions.notifications import notify_workers, request_heartbeat
from predictions.webhooks import delivery
from predictions.webhooks import services as webhooks

logger = logging.getLogger(__name__)

HEARTBEAT_SECONDS = 10
PURGE_SECONDS = 60
MAX_BACKOFF_SECONDS = 60


def prepare_pool() -> None:
    """Load models before the pool forks: its processes share them, and a new one starts at once."""
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ.setdefault(name, "1")  # threads would not survive the fork
    explanations.preload()
    load_models()
    connections.close_all()


def start_process() -> None:
    """Begin work in a new pool process."""
    Sweeper().start()
    threadpool_limits(1)  # processes are the parallelism; more threads would only contend
    load_models()


def load_models() -> None:
    """Load what is on sale, so that no customer waits for it."""
    try:
        _load_models_on_sale()
    except (DatabaseError, OSError) as error:  # tasks load what they need when it is back
        logger.error("No model was loaded ahead: %s", error)


def _load_models_on_sale() -> None:
    for version_id in Predictor.objects.on_sale().values_list("current_version", flat=True):
        try:
            inference.scorer(version_id)
        except IncompatibleLibrary as error:
            compatibility.mark_incompatible(version_id, str(error))
        except ArtefactError as error:
            availability.record_fault(version_id, str(error))


class Sweeper(threading.Thread):
    def __init__(self) -> None:
        super().__init__(name="sweep", daemon=True)
        self._backoff = Backoff()
        self._next_heartbeat = 0.0
        self._next_purge = 0.0

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
        compatibility.fail_unserved(time.monotonic())
        self._repeat_notifications()
        start_if_due()
        if time.monotonic() >= self._next_heartbeat:
            self._next_heartbeat = time.monotonic() + HEARTBEAT_SECONDS
            request_heartbeat()
            compatibility.record_loadable_versions()
        if time.monotonic() >= self._next_purge:
            self._next_purge = time.monotonic() + PURGE_SECONDS
            keys.purge_expired()
            purge_expired_sessions()
            browsers.purge_expired()
            what_ifs.purge_unanswered()
            webhooks.purge_old()
        delivery.start_due()

    def _repeat_notifications(self) -> None:
        """Notify workers of rows whose first message may have been lost."""
        sweep = timedelta(seconds=settings.SWEEP_SECONDS)
        waiting = recovery.waiting_versions(Prediction, longer_than=sweep)
        for version_id in self._backoff.due(waiting, time.monotonic()):
            notify_workers(Prediction, version_id)
        for version_id in recovery.waiting_versions(WhatIf):
            notify_workers(WhatIf, version_id)


class Backoff:
    """Which versions to notify workers of: at once, then ever more rarely while nothing moves."""

    def __init__(self) -> None:
        self._notified: dict[UUID, tuple[datetime, float, float]] = {}  # since, next time, delay

    def due(self, waiting: Mapping[UUID, datetime], now: float) -> list[UUID]:
        """The versions that are due; `waiting` has the oldest row's time, `now` is monotonic."""
        result = []
        for version_id, since in waiting.items():
            seen, next_time, delay = self._notified.get(version_id, (None, now, 0.0))
            if seen != since:  # the queue moved: rows go, others wait now
                next_time, delay = now, 0.0
            if now >= next_time:
                result.append(version_id)
                delay = min(2 * delay or settings.SWEEP_SECONDS, MAX_BACKOFF_SECONDS)
                next_time = now + delay
            self._notified[version_id] = (since, next_time, delay)
        self._notified = {key: value for key, value in self._notified.items() if key in waiting}
        return result
