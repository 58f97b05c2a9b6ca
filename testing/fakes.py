"""A fake estimator for artefacts: it predicts, and does what the horsepower of a row commands."""

import os
import signal
import time
from typing import Any

from django.conf import settings

NAME = "scripted"  # under which it is on sale

# A row with this horsepower or more waits while the file `gate` exists; some of these do more.
GATED = 1001
RAISE = 1901
DIE = 1902
SLOW = 1903
EXHAUST = 1904

LONGEST_WAIT_SECONDS = 30
SLOW_SECONDS = 0.4


class ScriptedEstimator:
    """Prices each horsepower at 100 dollars; some horsepowers make it wait, raise, stall or die."""

    def predict(self, cars: Any) -> Any:
        powers = set(cars["horsepower"])
        if max(powers) >= GATED:
            _wait_at_the_gate()
        if RAISE in powers:
            raise ValueError("a test raises this")
        if DIE in powers:
            os.kill(os.getpid(), signal.SIGKILL)
        if EXHAUST in powers:
            raise MemoryError("a test runs out of memory")
        if SLOW in powers:
            time.sleep(SLOW_SECONDS)
        return 100.0 * cars["horsepower"]


def _wait_at_the_gate() -> None:
    """A process that waits leaves a file with its id."""
    gate = settings.VAR_DIR / "gate"
    ends = time.monotonic() + LONGEST_WAIT_SECONDS
    while gate.exists() and time.monotonic() < ends:
        (settings.VAR_DIR / f"waiting-{os.getpid()}").touch()
        time.sleep(0.01)
