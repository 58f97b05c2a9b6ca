"""Whether VAR_DIR can take what the service writes, before anything is written or promised."""

import errno
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from functools import wraps
from pathlib import Path
from typing import TypeVar

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.db import OperationalError

from carprice import env
from carprice.env import cure

R = TypeVar("R")

MEGABYTE = 1_000_000
# For artefacts, static files, and a database that has begun to fill. When those are there already,
# only what an hour of work may add.
NEEDED_AT_FIRST, NEEDED_LATER = 64 * MEGABYTE, 16 * MEGABYTE

DISK_ERRORS = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM}

# What SQLite says when its file cannot be written to; it gives no number.
FULL, UNWRITABLE = "full", ("readonly", "unable to open", "disk I/O error")


def check_places() -> None:
    """Raises ImproperlyConfigured, naming the path and a cure."""
    for directory in _directories():
        try:
            _try_writing(directory)
        except OSError as error:
            raise _refusal(directory, error) from error
    for path in Path(settings.MODELS_DIR).glob(".*.lock"):  # written to after it was made
        if not os.access(path, os.R_OK | os.W_OK):
            raise _refusal(path, PermissionError(errno.EACCES, os.strerror(errno.EACCES)))
    needed = NEEDED_LATER if Path(settings.STATIC_ROOT).exists() else NEEDED_AT_FIRST
    free = shutil.disk_usage(settings.VAR_DIR).free
    if free < needed:
        raise ImproperlyConfigured(
            f"VAR_DIR: the disk of {settings.VAR_DIR} has {free // MEGABYTE} MB free, and "
            f"{needed // MEGABYTE} MB are needed: free some space there, or set VAR_DIR to a "
            "directory on another disk."
        )


def _directories() -> Iterator[Path]:
    """Those of VAR_DIR, as far as they exist. What else lies there is not the service's."""
    yield settings.VAR_DIR
    if Path(settings.RUN_DIR).exists():
        yield settings.RUN_DIR
    for top in (settings.MODELS_DIR, settings.STATIC_ROOT, settings.BROKER_DIR):
        for directory, _, _ in os.walk(top):
            yield Path(directory)


def _try_writing(directory: Path) -> None:
    """Raises OSError if no file can be made there, or nothing be written to it."""
    with tempfile.TemporaryFile(dir=directory) as file:
        file.write(bytes(4096))


def _refusal(path: Path, error: OSError) -> ImproperlyConfigured:
    return ImproperlyConfigured(
        f"VAR_DIR: {path} cannot be written to ({error.strerror}): {cure('VAR_DIR', error)}."
    )


def explain_disk_faults(function: Callable[..., R]) -> Callable[..., R]:
    """Turn errors of the disk that arise on the way into the sentence that a user can act on."""

    @wraps(function)
    def wrapped(*args: object, **kwargs: object) -> R:
        try:
            return function(*args, **kwargs)
        except OSError as error:
            if error.errno not in DISK_ERRORS:
                raise
            path = Path(os.fsdecode(error.filename or settings.VAR_DIR))
            raise _refusal(path, error) from error
        except OperationalError as error:
            if settings.ON_POSTGRESQL or not (reason := sqlite_fault(error)):
                raise
            raise ImproperlyConfigured(reason) from error

    return wrapped


def sqlite_fault(error: Exception) -> str:
    """The sentence about an error that the disk is the cause of, or "" if it is not."""
    text = str(error)
    name = "DATABASE_URL" if env.given("DATABASE_URL") else "VAR_DIR"
    file = settings.DATABASES["default"]["NAME"]
    if FULL in text:
        return f"{name}: the disk of {file} is full: free some space, or set {name} to another."
    if any(sign in text for sign in UNWRITABLE):
        return (
            f"{name}: the database {file} cannot be written to ({text}): make the file and its "
            f"directory yours, or set {name} to another."
        )
    return ""
