"""Which files a process counts in: those of the lowest slot that no living process has.

Files by process id, as `prometheus_client` names them, would become ever more, since web and worker
processes are replaced all the time. A slot is a locked file, which the system unlocks when its
process ends, however it ends; who has the slot next goes on counting where that one stopped. So the
counts survive, and there are never more files than there were processes at a time.
"""

import fcntl
import os
from itertools import count
from pathlib import Path
from typing import IO

from django.conf import settings

KINDS = ("counter", "histogram")
# Written with zeros at first: a mapped file that had holes would end its process with SIGBUS once
# the disk is full.
FILE_BYTES = {"counter": 64 * 1024, "histogram": 1024 * 1024}

_owner = 0  # the process that has claimed `_slot`; a forked child has to claim one of its own
_slot = ""
_lock: IO[bytes] | None = None  # open as long as the process lives


def own() -> str:
    """This process's slot. Raises OSError, of a full disk say."""
    global _owner, _slot, _lock
    if _owner != os.getpid():
        directory = Path(settings.METRICS_DIR)
        directory.mkdir(parents=True, exist_ok=True)
        for number in count():
            lock = _lock_file(directory / f"{number}.lock")
            if lock is not None:
                break
        _allocate(directory, str(number))
        _slot, _lock, _owner = str(number), lock, os.getpid()
    return _slot


def remove_unused() -> None:
    """Forget what processes that have ended have counted: a new release may count other things."""
    for path in Path(settings.METRICS_DIR).glob("*.lock"):
        lock = _lock_file(path)
        if lock is not None:
            with lock:
                for kind in KINDS:
                    _file(path.parent, kind, path.stem).unlink(missing_ok=True)


def _lock_file(path: Path) -> IO[bytes] | None:
    """The open and locked file, or None if somebody else has it locked."""
    file = path.open("ab")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        file.close()
        return None
    return file


def _allocate(directory: Path, slot: str) -> None:
    for kind in KINDS:
        path = _file(directory, kind, slot)
        if not path.exists():
            temporary = path.with_suffix(".new")
            temporary.write_bytes(bytes(FILE_BYTES[kind]))
            temporary.rename(path)


def _file(directory: Path, kind: str, slot: str) -> Path:
    """As `prometheus_client` names it."""
    return directory / f"{kind}_{slot}.db"
