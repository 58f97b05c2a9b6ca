"""An estimator for artefacts that does what a test commands, where a trained one only predicts."""

import os
import signal
import time
from typing import Any

from django.conf import settings

NAME = "obedient"  # under which it is on sale

# Horsepowers from here on wait while the gate is closed, a file that a test makes; some do more.
GATED = 1001
RAISE = 1901
DIE = 1902
SLOW = 1903
EXHAUST = 1904

LONGEST_WAIT_SECONDS = 30
SLOW_SECONDS = 0.4


class Obedient:
    """Asks 100 dollars for each horsepower, and obeys those that are commands."""

    def predict(self, cars: Any) -> Any:
        powers = set(cars["horsepower"])
        if max(powers) >= GATED:
            _wait_at_the_gate()
        if RAISE in powers:
            raise ValueError("told to raise")
        if DIE in powers:
            os.kill(os.getpid(), signal.SIGKILL)
        if EXHAUST in powers:
            raise MemoryError("told to run out of memory")
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
