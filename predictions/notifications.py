"""Telling workers that rows wait. The rows are the truth; a lost message costs only time.

One background thread per process publishes, so that a broker that hangs, fails or loses messages
never delays an answer. Messages for one version within a gap become one: the worker that gets it
empties the whole queue. Each costs the web process, the broker and a worker more than a row does,
so the gap grows with what comes in. What is not published, the sweep repeats.
"""

import atexit
import logging
import os
import threading
from collections.abc import Iterable
from uuid import UUID

from celery import current_app
from django.conf import settings
from kombu import Connection, Producer

from predictions.models import Prediction, ScoringRequest, WhatIf

logger = logging.getLogger(__name__)

SCORING_TASKS: dict[type[ScoringRequest], str] = {
    Prediction: "predictions.tasks.score_predictions",
    WhatIf: "predictions.tasks.score_what_ifs",
}

# A single prediction waits for no gap; with many, a gap has this many, as far as it may grow.
MIN_GAP_SECONDS = 0.005
MAX_GAP_SECONDS = 0.1
FEW_IN_A_GAP, MANY_IN_A_GAP = 2, 8
MIN_BACKOFF_SECONDS = 0.5
MAX_BACKOFF_SECONDS = 5.0
# A message that nobody took for this long has been repeated. Clocks may differ by minutes.
EXPIRES_SECONDS = 600

Message = tuple[str, tuple[str, ...]]  # a task's name and its arguments


def notify_workers(model: type[ScoringRequest], version_id: UUID) -> None:
    """Ask the workers to score what waits for this version; returns at once and never fails."""
    _publisher().add([(SCORING_TASKS[model], (str(version_id),))])


def request_heartbeat() -> None:
    """Ask some worker to record that it consumes messages."""
    _publisher().add([("predictions.tasks.beat", ())])


def next_gap(gap: float, added: int) -> float:
    """The pause after the next message, if so many rows came within this one."""
    if added >= MANY_IN_A_GAP:
        return min(2 * gap, MAX_GAP_SECONDS)
    return max(gap / 2, MIN_GAP_SECONDS) if added < FEW_IN_A_GAP else gap


class Publisher(threading.Thread):
    def __init__(self) -> None:
        super().__init__(name="publisher", daemon=True)
        self.owner = os.getpid()
        self._pending: set[Message] = set()
        self._added = 0  # since they were taken last
        self._changed = threading.Condition()
        self._idle = threading.Event()
        self._stopping = threading.Event()
        self._producer: Producer | None = None

    def add(self, messages: Iterable[Message]) -> None:
        with self._changed:
            self._pending.update(messages)
            self._added += 1
            self._idle.clear()
            self._changed.notify()

    def flush(self, timeout: float) -> None:
        """Give pending messages a last chance before the process ends."""
        self._idle.wait(timeout)
        self._stopping.set()

    def run(self) -> None:
        backoff, gap = MIN_BACKOFF_SECONDS, MIN_GAP_SECONDS
        while not self._stopping.is_set():
            messages = self._take()
            try:
                self._publish(messages)
            except Exception as error:  # whatever the broker's client raises; the sweep repeats it
                logger.warning("The broker took no message; again in %s s: %s", backoff, error)
                self._disconnect()
                self.add(messages)
                self._stopping.wait(backoff)
                backoff = min(2 * backoff, MAX_BACKOFF_SECONDS)
            else:
                backoff = MIN_BACKOFF_SECONDS
                self._stopping.wait(gap)
                gap = next_gap(gap, self._added)

    def _take(self) -> set[Message]:
        with self._changed:
            while not self._pending:
                self._idle.set()
                self._changed.wait()
            taken, self._pending, self._added = self._pending, set(), 0
            return taken

    def _publish(self, messages: Iterable[Message]) -> None:
        if self._producer is None:
            connection = Connection(
                settings.CELERY_BROKER_URL,
                connect_timeout=1,
                transport_options=settings.PUBLISH_TRANSPORT_OPTIONS[settings.BROKER_KIND],
            )
            self._producer = current_app.amqp.Producer(connection, auto_declare=False)
        for task, arguments in messages:
            current_app.send_task(
                task,
                args=arguments,
                expires=EXPIRES_SECONDS,
                producer=self._producer,
                retry=False,
            )

    def _disconnect(self) -> None:
        producer, self._producer = self._producer, None
        if producer is not None and producer.connection is not None:
            try:
                producer.connection.release()
            except Exception:  # a broken connection may fail to close; it is dropped all the same
                logger.debug("Closing the broker's connection failed.", exc_info=True)


_current: Publisher | None = None
_lock = threading.Lock()


def _publisher() -> Publisher:
    """This process's thread; a forked child starts its own."""
    global _current
    with _lock:
        if _current is None or _current.owner != os.getpid() or not _current.is_alive():
            _current = Publisher()
            _current.start()
        return _current


@atexit.register
def _flush_at_exit() -> None:
    if _current is not None and _current.owner == os.getpid():
        _current.flush(timeout=1)
