"""Celery messages as files of one directory: the broker of the embedded default.

Kombu ships such a transport, but readers can take a file before it is written, and one bad file
stops the worker. Here a message appears under its name only when it is whole, belongs to whoever
renames it first, and a file that is no message is set aside.
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
ABANDONED_AFTER_SECONDS = 60  # a file that was half written or half read by then is a crash's
LONGEST_WAIT = 0.2  # seconds


class Channel(virtual.Channel):
    """A queue is a directory; a message in it is a file named by the time it was put."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        _remove_abandoned(self.directory)

    @property
    def directory(self) -> Path:
        options: Any = self.connection.client.transport_options  # type: ignore[union-attr]
        return Path(options["directory"])

    def _queue(self, queue: str) -> Path:
        path = self.directory / queue
        path.mkdir(parents=True, exist_ok=True)
        return path

    def _put(self, queue: str, message: dict[str, Any], **_: Any) -> None:
        folder = self._queue(queue)
        name = f"{time.time_ns():020}-{uuid.uuid4().hex}"
        hidden = folder / f".{name}"
        hidden.write_text(json.dumps(message))
        hidden.rename(folder / f"{name}{SUFFIX}")

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

    def _messages(self, queue: str) -> list[Path]:
        return sorted(self._queue(queue).glob(f"[0-9]*{SUFFIX}"))

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
    """Remove what processes that were killed left half written or half read."""
    for path in directory.glob("*/.[0-9t]*"):
        try:
            if time.time() - path.stat().st_ctime > ABANDONED_AFTER_SECONDS:
                path.unlink()
        except FileNotFoundError:  # another process was first, or its writer has finished
            continue


def _read(path: Path) -> dict[str, Any] | None:
    """A message, removing its file; None, setting the file aside, if it is not one."""
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
    """What kombu calls a transport; `directory` is in its transport options."""

    Channel = Channel

    # Celery's event loop gives each pool process a pipe of its own. Without it they share one, and
    # a process that is killed while it holds the pipe's lock leaves the others waiting for ever.
    implements = virtual.Transport.implements.extend(asynchronous=True)

    # One process may hold several connections; all share the queues on disk.
    global_state = virtual.BrokerState()
    default_port = 0
    driver_type = "embedded"
    driver_name = "embedded"

    def __init__(self, client: Any, **options: Any) -> None:
        super().__init__(client, **options)
        self.state = self.global_state

    def drain_events(self, connection: Any, timeout: float | None = None, **options: Any) -> None:
        """Wait for a message, but never long: a worker that is told to stop hears of it after."""
        wait = LONGEST_WAIT if timeout is None else min(timeout, LONGEST_WAIT)
        super().drain_events(connection, timeout=wait)

    def register_with_event_loop(self, connection: Any, loop: Any) -> None:
        loop.call_repeatedly(self.polling_interval, self._drain, connection)

    def _drain(self, connection: Any) -> None:
        """Deliver what there is and may be delivered, without waiting."""
        try:
            while True:
                self.drain_events(connection, timeout=0)
        except TimeoutError:
            return

    def driver_version(self) -> str:
        return "1"
