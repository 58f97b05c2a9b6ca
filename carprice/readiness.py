"""How web and worker processes tell `manage.py serve` that they are ready: each makes a file."""

import contextlib
import os
from pathlib import Path

DIRECTORY = "READY_DIR"  # in the environment of processes that `serve` has started


def report_ready(process: str) -> None:
    directory = os.environ.get(DIRECTORY)
    if directory:
        # Whoever works should not end because the disk has become full meanwhile.
        with contextlib.suppress(OSError):
            Path(directory, process).touch()
