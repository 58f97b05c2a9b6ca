"""Fitted pipelines on disk: written atomically, loaded only if they are what was published.

An artefact is a pickle, and a pickle is code: nothing is unpickled before its digest has been
compared with the one in the database. The model card beside it, a JSON file, is for people. The
program never reads it, since whoever can replace an artefact can replace its card too.
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
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from celery.exceptions import SoftTimeLimitExceeded
from django.conf import settings

from mlmodels.models import PredictorVersion

if TYPE_CHECKING:
    from mlmodels.serving.comparables import KnownCases

# Of what `save` writes: format 1 was a pickled pipeline, format 2 a pickled Artefact that the
# pipeline itself scores for, format 3 is one that is scored compiled. A change to the classes that
# are pickled with it, Artefact and KnownCases, needs a new format.
FORMAT = 3
# The libraries whose releases are recorded with a version; to load it, those of the second list
# must be installed in exactly the releases that were recorded.
RECORDED_LIBRARIES = ("scikit-learn", "numpy", "scipy", "pandas", "joblib", "shap")
REQUIRED_LIBRARIES = ("scikit-learn", "numpy", "pandas")
TEMPORARY_PREFIX = ".writing-"


class ArtefactError(Exception):
    """Why an artefact must not or cannot be loaded, in one sentence."""


class IncompatibleLibrary(ArtefactError):
    """The artefact needs another release of a library or of this program.

    Other than with its base class, another worker may be able to load it.
    """


@dataclass(frozen=True)
class Artefact:
    """A fitted pipeline, and what is needed to explain its predictions.

    `backgrounds` is what `mlmodels.serving.explanations.backgrounds` returned. An artefact of
    format 1 has the pipeline alone, and `explains` is false. Rows are scored by the compiled
    pipeline where `is_compiled`, which an artefact of format 2 does not have.
    """

    pipeline: Any
    backgrounds: list[Any] = field(default_factory=list)
    known_cases: "KnownCases | None" = None
    explains: bool = True
    is_compiled: bool = False


@lru_cache
def installed_release(library: str) -> str:
    """Cached, since a process keeps the release it has imported even if another is installed."""
    return metadata.version(library)


def library_releases() -> dict[str, str]:
    return {name: installed_release(name) for name in RECORDED_LIBRARIES}


def path_of(sha256: str) -> Path:
    return Path(settings.MODELS_DIR) / f"{sha256}.joblib"


def card_path_of(sha256: str) -> Path:
    return path_of(sha256).with_suffix(".json")


def save(artefact: Artefact) -> str:
    """Write an artefact and return its SHA-256, which is also its name."""
    return save_content(dump(artefact))


def dump(artefact: Artefact) -> bytes:
    """What an artefact's file has."""
    import joblib

    buffer = io.BytesIO()
    joblib.dump(artefact, buffer, compress=3)
    return buffer.getvalue()


def save_content(content: bytes) -> str:
    sha256 = hashlib.sha256(content).hexdigest()
    write_atomically(path_of(sha256), content)
    return sha256


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file so that a crash leaves either all of the new content or what was there before.

    The content goes to a temporary file in the same directory, is forced to the disk, and is then
    renamed; last, the directory is forced to the disk too. A crash before the rename leaves a file
    that begins with TEMPORARY_PREFIX, which the next training removes.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=TEMPORARY_PREFIX)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    Path(temporary).chmod(0o644)
    Path(temporary).rename(path)
    sync_directory(path.parent)


def sync_directory(directory: Path) -> None:
    """Make the names of its files survive a power failure."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def save_card(sha256: str, card: Mapping[str, Any]) -> None:
    """Write a model card beside an artefact, for people to read."""
    write_atomically(card_path_of(sha256), json.dumps(card, indent=1).encode())


def check_releases(version: PredictorVersion) -> None:
    """Raises IncompatibleLibrary if the version needs other releases than this process has."""
    if version.artefact_format > FORMAT:
        raise IncompatibleLibrary(
            f"The artefact has format {version.artefact_format}; this release reads {FORMAT}."
        )
    recorded = {**(version.libraries or {}), "scikit-learn": version.sklearn_version}
    for name in REQUIRED_LIBRARIES:
        trained_with, installed = recorded.get(name), installed_release(name)
        if trained_with is not None and trained_with != installed:
            raise IncompatibleLibrary(
                f"It was trained with {name} {trained_with}, and {installed} is installed."
            )


def read_verified(version: PredictorVersion) -> bytes:
    """The bytes of the version's artefact.

    Raises IncompatibleLibrary, or ArtefactError if they cannot be read or are not the published
    ones.
    """
    check_releases(version)
    try:
        content = path_of(version.artefact_sha256).read_bytes()
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError, PermissionError) as error:
        raise ArtefactError(f"The artefact cannot be read: {error.strerror}.") from error
    if hashlib.sha256(content).hexdigest() != version.artefact_sha256:
        raise ArtefactError("The artefact is not the one that was published: its digest differs.")
    return content


def load(version: PredictorVersion) -> Artefact:
    """Unpickle the version's artefact.

    Raises ArtefactError if the artefact is to blame, IncompatibleLibrary if this process is. That
    memory or time ran out, or that the disk fails, says nothing about the artefact and is raised
    as it is.
    """
    import joblib
    from sklearn.exceptions import InconsistentVersionWarning

    content = read_verified(version)
    with warnings.catch_warnings():
        warnings.simplefilter("error", InconsistentVersionWarning)
        try:
            loaded = joblib.load(io.BytesIO(content))
        except (MemoryError, OSError, SoftTimeLimitExceeded):
            raise
        except Exception as error:  # unpickling may raise anything
            raise ArtefactError(f"The artefact does not load: {type(error).__name__}.") from error
    return loaded if isinstance(loaded, Artefact) else Artefact(loaded, explains=False)
