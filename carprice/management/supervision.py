"""Supervisor, run by `manage.py serve`, with an end: a process that keeps dying ends them all.

Supervisor itself would go on starting it for ever, while the page answers and nothing is scored.
"""

import contextlib
import os
import sys
import time
from collections import defaultdict, deque
from pathlib import Path
from typing import Any

from supervisor import events
from supervisor.medusa import asyncore_25
from supervisor.options import ServerOptions
from supervisor.states import SupervisorStates
from supervisor.supervisord import Supervisor

from carprice.readiness import DIRECTORY

CONFIG = Path(__file__).with_name("supervisord.conf")

# A process that was never ready has a fault that stays, so few attempts are enough. One that was
# may have met a bad moment.
MAX_FAILED_STARTS = 3
MAX_ENDS, WITHIN_SECONDS = 5, 60
LAST_LINES = 15


class Deaths:
    """Counts how often a process ended, and says when it is not to be started again."""

    def __init__(self) -> None:
        self._failed_starts = 0
        self._ends: deque[float] = deque(maxlen=MAX_ENDS)

    def record(self, *, was_ready: bool, now: float) -> str:
        """Why to give up, or "" to start it again."""
        self._failed_starts = 0 if was_ready else self._failed_starts + 1
        if self._failed_starts >= MAX_FAILED_STARTS:
            return f"could not start in {MAX_FAILED_STARTS} attempts"
        self._ends.append(now)
        if len(self._ends) == MAX_ENDS and now - self._ends[0] < WITHIN_SECONDS:
            return f"ended {MAX_ENDS} times within {WITHIN_SECONDS} seconds"
        return ""


class EndingSupervisor(Supervisor):  # type: ignore[misc]  # it is not typed
    """Passes on what the processes print, and gives up on one that keeps dying."""

    def __init__(self, options: Any, ready_directory: Path) -> None:
        super().__init__(options)
        self.reason = ""  # for which it gave up
        self._ready_directory = ready_directory
        self._deaths: defaultdict[str, Deaths] = defaultdict(Deaths)
        self._output: defaultdict[str, bytes] = defaultdict(bytes)  # the last of it

    def runforever(self) -> None:
        events.subscribe(events.ProcessStateStartingEvent, self._forget_last_run)
        events.subscribe(events.ProcessLogStdoutEvent, self._pass_on)
        for kind in (events.ProcessStateBackoffEvent, events.ProcessStateExitedEvent):
            events.subscribe(kind, self._count_death)
        super().runforever()

    def _ready_file(self, name: str) -> Path:
        return self._ready_directory / name

    def _forget_last_run(self, event: Any) -> None:
        name = event.process.config.name
        self._ready_file(name).unlink(missing_ok=True)
        self._output[name] = b""

    def _pass_on(self, event: Any) -> None:
        name = event.process.config.name
        self._output[name] = (self._output[name] + event.data)[-10_000:]
        with contextlib.suppress(OSError):  # nobody reads it any more
            sys.stdout.buffer.write(event.data)
            sys.stdout.buffer.flush()

    def _count_death(self, event: Any) -> None:
        name = event.process.config.name
        if not event.process.config.autorestart:  # it is meant to end, and the service goes on
            return
        was_ready = self._ready_file(name).exists()
        reason = self._deaths[name].record(was_ready=was_ready, now=time.monotonic())
        if not reason or self.reason:
            return
        self.reason = (
            f"the {name} process {reason}, so the service stops. {self._last_words(event)}"
        )
        self.options.mood = SupervisorStates.SHUTDOWN

    def _last_words(self, event: Any) -> str:
        process = event.process
        output = self._output[process.config.name].decode(errors="replace").strip()
        if not output:
            return f"It said nothing ({process.spawnerr or 'and ended'})."
        last = "\n".join(f"    {line}" for line in output.splitlines()[-LAST_LINES:])
        return f"It said:\n{last}"


def main() -> int:
    """Run until a signal or a process that keeps dying; returns the exit status."""
    ready_directory = Path(os.environ[DIRECTORY])
    arguments = ["-c", str(CONFIG), "-j", str(ready_directory / "supervisord.pid")]
    if os.geteuid() == 0:
        arguments += ["-u", "root"]  # it warns root if this is left out
    options = ServerOptions()
    options.realize(arguments)
    options.first = True
    options.test = False
    supervisor = EndingSupervisor(options, ready_directory)
    with contextlib.suppress(asyncore_25.ExitNow):  # how it leaves its loop
        supervisor.main()
    if supervisor.reason:
        print(f"carprice: {supervisor.reason}", file=sys.stderr, flush=True)  # noqa: T201
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
