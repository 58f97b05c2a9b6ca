"""What `manage.py train` does: plan what needs training, train it, put it on sale.

A version is published last, when its artefact and card are complete on the disk. So a training
that is killed at any point leaves the previous version on sale, and at most some files that no
version refers to.
"""

import fcntl
import hashlib
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

from django.conf import settings

from mlmodels.catalogue import availability, pricing, publishing
from mlmodels.domains.base import Domain, PredictorSpec
from mlmodels.models import Predictor, PredictorVersion
from mlmodels.serving import artefacts
from mlmodels.serving.artefacts import ArtefactError
from mlmodels.training import train
from mlmodels.training.cross_validation import Progress

LOCK = ".training.lock"
ABANDONED_SECONDS = 3600  # the age of temporary files that are removed; writing one takes seconds

# The actions of a step, as they are printed.
TRAIN, RESTORE, KEEP = "train", "put on sale again", "nothing to do"

Entry = tuple[Domain, PredictorSpec]


@dataclass(frozen=True)
class Step:
    """What is to be done about a predictor, and why; `restored_version` is put on sale again."""

    domain: Domain
    spec: PredictorSpec
    action: str
    reason: str = ""
    restored_version: UUID | None = None

    def __str__(self) -> str:
        reason = f"; {self.reason}" if self.reason else ""
        return f"{self.spec.name}: {self.action}{reason}"


def plan(entries: Sequence[Entry], *, missing: bool) -> list[Step]:
    """A step for each entry, in their order; with `missing`, train only what does not load."""
    return [_step(domain, spec, missing) for domain, spec in entries]


def _step(domain: Domain, spec: PredictorSpec, missing: bool) -> Step:
    """Reads the artefact, and loads it if the version has a fault, but changes nothing."""
    predictor = Predictor.objects.select_related("current_version").filter(name=spec.name).first()
    version = predictor.current_version if predictor else None
    if not missing:
        return Step(domain, spec, TRAIN)
    if version is None:
        return Step(domain, spec, TRAIN, "it has never been trained")
    if version.artefact_format < artefacts.FORMAT:
        reason = f"{version.label} has format {version.artefact_format}, not {artefacts.FORMAT}"
        return Step(domain, spec, TRAIN, reason)
    try:
        if version.fault:
            artefacts.load(version)
            return Step(domain, spec, RESTORE, f"{version.label} loads again", version.pk)
        artefacts.read_verified(version)
    except ArtefactError as error:
        return Step(domain, spec, TRAIN, f"{version.label} cannot be loaded: {error}")
    return Step(domain, spec, KEEP, _changed_data_note(domain, version))


def _changed_data_note(domain: Domain, version: PredictorVersion) -> str:
    """Says if a version that loads was trained on other data than there are now."""
    if version.data_sha256 == hashlib.sha256(domain.data_path.read_bytes()).hexdigest():
        return ""
    return f"but {version.label} learned from other data than {domain.data_file} has now"


def retrain(entries: Sequence[Entry], *, missing: bool, jobs: int, progress: Progress) -> None:
    """Plan and run the steps, while no other training does. Raises OSError if it cannot write."""
    with _training_lock(progress):
        _remove_abandoned_files()
        for step in plan(entries, missing=missing):
            _run(step, jobs, progress)
        # Even if nothing was trained, since an earlier run may have been killed before this point.
        for name in {domain.name for domain, _ in entries}:
            pricing.price_by_rank(name)


def _run(step: Step, jobs: int, progress: Progress) -> None:
    if step.reason:
        progress(str(step))
    if step.restored_version:
        availability.clear_fault(step.restored_version)
    if step.action == TRAIN:
        card = train.train(step.domain, step.spec, jobs=jobs, progress=progress)
        version = publishing.publish(step.domain, step.spec, card)
        metrics, unit = card.metrics, step.domain.unit
        progress(
            f"{version}: R² {metrics.r2:.3f}, MAE {metrics.mae:,.1f} {unit}, "
            f"RMSE {metrics.rmse:,.1f} {unit}, MAPE {metrics.mape:.1%}; "
            f"{metrics.coverage:.1%} within ranges {metrics.range_width:,.1f} wide"
        )


@contextmanager
def _training_lock(progress: Progress) -> Iterator[None]:
    """Hold the only lock on the models directory, waiting for it if another training has it.

    It is a lock of the kernel, which releases it when the process ends, however it ends.
    """
    directory = Path(settings.MODELS_DIR)
    directory.mkdir(parents=True, exist_ok=True)
    with (directory / LOCK).open("ab") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            progress("Another training is at work; this one goes on when it has ended.")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _remove_abandoned_files() -> None:
    """Remove the temporary files of trainings that were killed.

    Only old ones: the lock may not reach a training on another machine that shares the directory.
    """
    abandoned_before = time.time() - ABANDONED_SECONDS
    for path in Path(settings.MODELS_DIR).glob(f"{artefacts.TEMPORARY_PREFIX}*"):
        if path.stat().st_mtime < abandoned_before:
            path.unlink(missing_ok=True)
