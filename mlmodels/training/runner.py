"""What `manage.py train` does: look what needs training, train it alone, put it on sale.

A version is published last, when its artefact and card are whole on the disk. So a training that
is killed anywhere leaves the version before it on sale, and at most files that nobody refers to.
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
ABANDONED_SECONDS = 3600  # writing a file takes seconds

TRAIN, RESTORE, KEEP = "train", "put on sale again", "nothing to do"

Entry = tuple[Domain, PredictorSpec]


@dataclass(frozen=True)
class Step:
    """What is to be done about a predictor, and why."""

    domain: Domain
    spec: PredictorSpec
    action: str  # one of the three above
    reason: str = ""
    restored: UUID | None = None  # the version to be put on sale again

    def __str__(self) -> str:
        reason = f"; {self.reason}" if self.reason else ""
        return f"{self.spec.name}: {self.action}{reason}"


def plan(entries: Sequence[Entry], *, missing: bool) -> list[Step]:
    """What would be done, in the order of `entries`; with `missing`, only what is needed."""
    return [_look(domain, spec, missing) for domain, spec in entries]


def _look(domain: Domain, spec: PredictorSpec, missing: bool) -> Step:
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
    return Step(domain, spec, KEEP, _remark(domain, version))


def _remark(domain: Domain, version: PredictorVersion) -> str:
    """What an operator may want to know of a version that needs nothing."""
    if version.data_sha256 == hashlib.sha256(domain.data_path.read_bytes()).hexdigest():
        return ""
    return f"but {version.label} learnt from other data than {domain.data_file} has now"


def retrain(entries: Sequence[Entry], *, missing: bool, jobs: int, tell: Progress) -> None:
    """Do what is planned, while no other training does. Raises OSError if it cannot write."""
    with _alone(tell):
        _remove_abandoned_files()
        for step in plan(entries, missing=missing):
            _do(step, jobs, tell)
        # Even if nothing was trained: a run may have ended before its prices.
        for name in {domain.name for domain, _ in entries}:
            pricing.price_by_rank(name)


def _do(step: Step, jobs: int, tell: Progress) -> None:
    if step.reason:
        tell(str(step))
    if step.restored:
        availability.withdraw_fault(step.restored)
    if step.action == TRAIN:
        card = train.train(step.domain, step.spec, jobs=jobs, progress=tell)
        version = publishing.publish(step.domain, step.spec, card)
        found, unit = card.metrics, step.domain.unit
        tell(
            f"{version}: R² {found.r2:.3f}, MAE {found.mae:,.1f} {unit}, "
            f"RMSE {found.rmse:,.1f} {unit}, MAPE {found.mape:.1%}; "
            f"{found.coverage:.1%} within ranges {found.range_width:,.1f} wide"
        )


@contextmanager
def _alone(tell: Progress) -> Iterator[None]:
    """Let no other training write to the models directory meanwhile.

    The kernel takes the lock from a process that ends, however it ends.
    """
    directory = Path(settings.MODELS_DIR)
    directory.mkdir(parents=True, exist_ok=True)
    with (directory / LOCK).open("ab") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            tell("Another training is at work; this one goes on when it has ended.")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _remove_abandoned_files() -> None:
    """What trainings that were killed had begun to write."""
    oldest = time.time() - ABANDONED_SECONDS  # another machine may be writing
    for path in Path(settings.MODELS_DIR).glob(f"{artefacts.TEMPORARY_PREFIX}*"):
        if path.stat().st_mtime < oldest:
            path.unlink(missing_ok=True)
