"""Fitted pipelines on disk: written beside and renamed, loaded only if they are what was published.

An artefact is a pickle, and a pickle is code: nothing is unpickled before its digest has been
compared with the one in the database. The card beside it tells people what it is; nothing here
reads one, since whoever could put a file there could put a card there too.
"""

import hashlib
import io
import json
import os
import tempfile
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from celery.exceptions import SoftTimeLimitExceeded
from django.conf import settings

from mlmodels.models import PredictorVersion

if TYPE_CHECKING:
    from mlmodels.serving.comparables import KnownCases

FORMAT = 2  # 1 was a bare pipeline
LIBRARIES = ("scikit-learn", "numpy", "scipy", "pandas", "joblib", "shap")  # recorded
NEEDED = ("scikit-learn", "numpy", "pandas")  # in the very release that was recorded
TEMPORARY = ".writing-"


class ArtefactError(Exception):
    """Why an artefact must not or cannot be loaded, in one sentence."""


class IncompatibleLibrary(ArtefactError):
    """It needs another release of a library, or of this program; another worker may have it."""


@dataclass(frozen=True)
class Artefact:
    """A fitted pipeline with what explains its predictions; one of format 1 has only itself."""

    pipeline: Any
    backgrounds: list[Any] = field(default_factory=list)  # see mlmodels.serving.explanations
    known_cases: "KnownCases | None" = None
    explains: bool = True


@lru_cache
def installed(library: str) -> str:
    """The release of a library; a process keeps the one it started with."""
    return version(library)


def library_versions() -> dict[str, str]:
    return {name: installed(name) for name in LIBRARIES}


def path_of(sha256: str) -> Path:
    return Path(settings.MODELS_DIR) / f"{sha256}.joblib"


def card_path_of(sha256: str) -> Path:
    return path_of(sha256).with_suffix(".json")


def save(artefact: Artefact) -> str:
    """Write an artefact and return its SHA-256, which is also its name."""
    import joblib

    buffer = io.BytesIO()
    joblib.dump(artefact, buffer, compress=3)
    content = buffer.getvalue()
    sha256 = hashlib.sha256(content).hexdigest()
    write_whole(path_of(sha256), content)
    return sha256


def write_whole(path: Path, content: bytes) -> None:
    """Write a file so that a crash leaves either all of it or nothing under its name."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=TEMPORARY)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    Path(temporary).chmod(0o644)
    Path(temporary).rename(path)
    _sync_directory(path.parent)


def _sync_directory(directory: Path) -> None:
    """Let a new name in it survive a power failure."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def save_card(sha256: str, card: Mapping[str, Any]) -> None:
    """Write beside an artefact what is recorded of it, for people to read."""
    write_whole(card_path_of(sha256), json.dumps(card, indent=1).encode())


def check_release(published: PredictorVersion) -> None:
    """Raises IncompatibleLibrary if it needs another release of a library, or of this program."""
    if published.artefact_format > FORMAT:
        raise IncompatibleLibrary(
            f"The artefact has format {published.artefact_format}; this release reads {FORMAT}."
        )
    recorded = {**(published.libraries or {}), "scikit-learn": published.sklearn_version}
    for name in NEEDED:
        release = recorded.get(name)
        if release is not None and release != installed(name):
            raise IncompatibleLibrary(
                f"It was trained with {name} {release}, and {installed(name)} is installed."
            )


def read_verified(published: PredictorVersion) -> bytes:
    """The artefact's bytes. Raises ArtefactError unless they are the ones published."""
    check_release(published)
    try:
        content = path_of(published.artefact_sha256).read_bytes()
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError, PermissionError) as error:
        raise ArtefactError(f"The artefact cannot be read: {error.strerror}.") from error
    if hashlib.sha256(content).hexdigest() != published.artefact_sha256:
        raise ArtefactError("The artefact is not the one that was published: its digest differs.")
    return content


def load(published: PredictorVersion) -> Artefact:
    """Raises ArtefactError."""
    import joblib
    from sklearn.exceptions import InconsistentVersionWarning

    content = read_verified(published)
    with warnings.catch_warnings():
        warnings.simplefilter("error", InconsistentVersionWarning)
        try:
            loaded = joblib.load(io.BytesIO(content))
        except (MemoryError, OSError, SoftTimeLimitExceeded):
            raise  # it says nothing about the artefact
        except Exception as error:  # unpickling may raise anything
            raise ArtefactError(f"The artefact does not load: {type(error).__name__}.") from error
    return loaded if isinstance(loaded, Artefact) else Artefact(loaded, explains=False)
