"""Celery's messages as files of one directory: the broker of the embedded default.

Kombu has a filesystem transport (`kombu/transport/filesystem.py`), but it cannot be relied on. Its
readers can move a file away before the writer has written it, which loses the message, and a file
that is not JSON ends the worker (https://github.com/celery/kombu/issues/1551). Here

- a message is written under a hidden name and renamed when it is complete, so that no reader sees
  half of one;
- a reader takes a message by renaming its file, and of several readers only one succeeds;
- a file that is no message is renamed out of the way and logged.

A message is lost if the worker that took it is killed. That only delays the predictions it was
about: they are in the database, and the sweep notifies again.

The files of a queue's directory, where STAMP is the time in nanoseconds with a random part:

    .STAMP            is being written
    STAMP.msg         is a message; their names have the order in which they were put
    .taken-STAMP.msg  is being read
    .bad-STAMP.msg    was set aside
"""

import json
import logging
import time
import uuid
from pathlib import Path
from queue import Empty
from typing import Any

from kombu.transport import virtual

logger = logging.getLogger(__name__)

SUFFIX = ".msg"
ABANDONED_AFTER_SECONDS = 60  # nobody takes as long to write or to read a file
MAX_WAIT_SECONDS = 0.2


class Channel(virtual.Channel):
    """A queue is a directory, a message in it a file."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        _remove_abandoned(self.directory)

    @property
    def directory(self) -> Path:
        options: Any = self.connection.client.transport_options  # type: ignore[union-attr]
        return Path(options["directory"])

    def _queue_directory(self, queue: str) -> Path:
        path = self.directory / queue
        path.mkdir(parents=True, exist_ok=True)
        return path

    def _messages(self, queue: str) -> list[Path]:
        return sorted(self._queue_directory(queue).glob(f"[0-9]*{SUFFIX}"))

    # What follows is what kombu asks of a virtual channel.

    def _put(self, queue: str, message: dict[str, Any], **_: Any) -> None:
        directory = self._queue_directory(queue)
        stamp = f"{time.time_ns():020}-{uuid.uuid4().hex}"
        hidden = directory / f".{stamp}"
        hidden.write_text(json.dumps(message))
        hidden.rename(directory / f"{stamp}{SUFFIX}")

    def _get(self, queue: str, timeout: float | None = None) -> dict[str, Any]:
        for path in self._messages(queue):
            taken = path.with_name(f".taken-{path.name}")
            try:
                path.rename(taken)
            except FileNotFoundError:  # another worker was first
                continue
            message = _read(taken)
            if message is not None:
                return message
        raise Empty

    def _size(self, queue: str) -> int:
        return len(self._messages(queue))

    def _purge(self, queue: str) -> int:
        messages = self._messages(queue)
        for path in messages:
            path.unlink(missing_ok=True)
        return len(messages)

    def _has_queue(self, queue: str, **_: Any) -> bool:
        return True


def _remove_abandoned(directory: Path) -> None:
    """Remove the files that processes were writing or reading when they were killed."""
    for path in directory.glob("*/.[0-9t]*"):
        try:
            if time.time() - path.stat().st_ctime > ABANDONED_AFTER_SECONDS:
                path.unlink()
        except FileNotFoundError:  # another process was first, or its writer has finished
            continue


def _read(path: Path) -> dict[str, Any] | None:
    """The message in a file, removing the file; None, setting it aside, if it holds no message."""
    try:
        message = json.loads(path.read_bytes())
        message["properties"]["delivery_tag"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        logger.error("Set aside a file that is no message, %s: %s", path.name, error)
        path.replace(path.with_name(f".bad-{path.name}"))
        return None
    path.unlink()
    return dict(message)


class Transport(virtual.Transport):
    """Takes the option `directory`, which has a directory for each queue."""

    Channel = Channel

    # With a transport that works with Celery's event loop, each pool process gets a pipe of its
    # own. Otherwise they share one, and a process that is killed while it holds the pipe's lock
    # leaves the others waiting without end.
    implements = virtual.Transport.implements.extend(asynchronous=True)

    # Which exchanges and queues were declared. All connections of a process share what is on disk,
    # so they share this too.
    global_state = virtual.BrokerState()
    default_port = 0
    driver_type = "embedded"
    driver_name = "embedded"

    def __init__(self, client: Any, **options: Any) -> None:
        super().__init__(client, **options)
        self.state = self.global_state

    def drain_events(self, connection: Any, timeout: float | None = None, **options: Any) -> None:
        """Wait for a message, but not for long: a worker can only be stopped between two waits."""
        wait = MAX_WAIT_SECONDS if timeout is None else min(timeout, MAX_WAIT_SECONDS)
        super().drain_events(connection, timeout=wait)

    def register_with_event_loop(self, connection: Any, loop: Any) -> None:
        loop.call_repeatedly(self.polling_interval, self._deliver_available, connection)

    def _deliver_available(self, connection: Any) -> None:
        """Deliver what there is and may be delivered, without waiting."""
        try:
            while True:
                self.drain_events(connection, timeout=0)
        except TimeoutError:
            return

    def driver_version(self) -> str:
        return "1"
