"""Collecting static files only if that would change something, since it takes seconds."""

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from django.conf import settings
from django.contrib.staticfiles.finders import get_finders
from django.core.management import call_command


def collect() -> bool:
    """Write the static files; returns whether anything had to be done."""
    root = Path(settings.STATIC_ROOT)
    digest = _digest_of_sources()
    if _is_collected(root, digest):
        return False
    record_path().unlink(missing_ok=True)
    call_command("collectstatic", verbosity=0, interactive=False)
    files = sorted(str(path.relative_to(root)) for path in root.rglob("*") if path.is_file())
    record_path().write_text(json.dumps({"digest": digest, "files": files}))
    return True


def record_path() -> Path:
    """Beside the folder, not in it, since web processes serve all that is there.

    It has the digest of the sources and the names of the files that were made of them.
    """
    return Path(settings.STATIC_ROOT).with_suffix(".json")


def _is_collected(root: Path, digest: str) -> bool:
    try:
        record = json.loads(record_path().read_text())
        files = [root / name for name in record["files"]]
    except (OSError, ValueError, KeyError, TypeError):
        return False
    return record["digest"] == digest and all(path.is_file() for path in files)


def _digest_of_sources() -> str:
    """Changes with any source's name, size or time, and with how they are stored."""
    sources = [str(settings.STORAGES["staticfiles"]), *sorted(_sources())]
    return hashlib.sha256("\n".join(sources).encode()).hexdigest()


def _sources() -> Iterator[str]:
    for finder in get_finders():
        for name, storage in finder.list([]):
            status = Path(_path(storage, name)).stat()
            yield f"{name} {status.st_size} {status.st_mtime_ns}"


def _path(storage: Any, name: str) -> str:
    path: str = storage.path(name)
    return path
