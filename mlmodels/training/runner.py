"""What `manage.py train` does: plan what needs training, train it, put it on sale.

A version is published last, when its artefact and card are complete on the disk. So a training
that is killed at any point leaves the previous version on sale, and at most some files that no
version refers to.

Measuring takes minutes, fitting seconds. So what a card in the repository tells is not measured
again; where there is none, `missing` sells with a quick estimate, and `measure_estimates` replaces
that later by a version with the same artefact and the measured figures.
"""

import fcntl
import hashlib
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.db.models import F

from mlmodels.catalogue import availability, pricing, publishing, training_status
from mlmodels.catalogue.card import Card, Measurement
from mlmodels.domains.base import Domain, PredictorSpec
from mlmodels.models import Predictor, PredictorVersion
from mlmodels.serving import artefacts
from mlmodels.serving.artefacts import ArtefactError
from mlmodels.training import measured, pool, recipe, train
from mlmodels.training.cross_validation import Progress
from mlmodels.training.measured import OutdatedCard

LOCK = ".training.lock"
MEASURING_LOCK = ".measuring.lock"
ABANDONED_SECONDS = 3600  # the age of temporary files that are removed; writing one takes seconds

# The actions of a step, as they are printed.
TRAIN, RESTORE, KEEP = "train", "put on sale again", "nothing to do"

Entry = tuple[Domain, PredictorSpec]


@dataclass(frozen=True)
class Step:
    """What is to be done about a predictor, and why.

    `restored_version` is put on sale again; `unloadable_version` is on sale and does not load.
    """

    domain: Domain
    spec: PredictorSpec
    action: str
    reason: str = ""
    restored_version: UUID | None = None
    unloadable_version: UUID | None = None

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
        reason = f"{version.label} cannot be loaded: {error}"
        return Step(domain, spec, TRAIN, reason, unloadable_version=version.pk)
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
        steps = plan(entries, missing=missing)
        _run(steps, quickly=missing, jobs=jobs, progress=progress)
        # Even if nothing was trained, since an earlier run may have been killed before this point.
        for domain in {domain.name: domain for domain, _ in entries}.values():
            if not _has_estimates(domain):  # whose prices follow when they are measured
                pricing.price_by_rank(domain.name)


def train_first(entries: Sequence[Entry], progress: Progress) -> None:
    """Have one predictor that loads, if there is none: the one that is trained fastest.

    The status goes on telling what is missing, for the training that has to follow; until then,
    what does not load is off sale.
    """
    with _training_lock(progress):
        steps = plan(sorted(entries, key=_cost), missing=True)
        none_loads = all(step.action == TRAIN for step in steps)
        if none_loads:
            _run(steps[:1], quickly=True, jobs=1, progress=progress)
        for step in steps[none_loads:]:
            if step.unloadable_version:
                availability.record_fault(step.unloadable_version, step.reason)
        training_status.write(_to_train(steps[none_loads:]))


def _cost(entry: Entry) -> int:
    """Orders predictors by the time it takes to fit them; within a domain they are in order."""
    domain, _ = entry
    return domain.data_path.stat().st_size


def _to_train(steps: Sequence[Step]) -> dict[str, str]:
    """The status before the steps are run."""
    names = [step.spec.name for step in steps if step.action == TRAIN]
    return dict.fromkeys(names, training_status.TRAINING)


def _run(steps: Sequence[Step], *, quickly: bool, jobs: int, progress: Progress) -> None:
    """Run steps; `quickly` means with an estimate of what was not measured before."""
    for step in steps:
        if step.reason:
            progress(str(step))
        if step.restored_version:
            availability.clear_fault(step.restored_version)
    due = sorted([(step.domain, step.spec) for step in steps if step.action == TRAIN], key=_cost)
    known = {}
    for domain, spec in due:
        try:
            known[spec.name] = measured.find(domain, spec)
        except OutdatedCard as reason:
            instead = "a quick estimate for now" if quickly else "measured now"
            progress(f"{spec.name}: {instead}, since {reason}")
    training_status.write(_to_train(steps))
    try:
        _Training(due, known, jobs, progress).run(quickly)
    finally:
        training_status.write({})


class _Training:
    """Trains predictors and publishes each, telling web processes what is left to do."""

    def __init__(
        self,
        entries: Sequence[Entry],
        known: dict[str, Measurement],
        jobs: int,
        progress: Progress,
    ) -> None:
        self._entries = {spec.name: (domain, spec) for domain, spec in entries}
        self._known = known
        self._jobs = jobs
        self._progress = progress
        self._status = dict.fromkeys(self._entries, training_status.TRAINING)

    def run(self, quickly: bool) -> None:
        """First, several at a time, those that need not be measured; then the others in turn."""
        names = [name for name in self._entries if quickly or name in self._known]
        fast = {name: self._known.get(name) for name in names}
        for name, card, content in pool.train_quickly(fast, self._jobs):
            train.save(card, content)
            self._publish(name, card)
        for name, (domain, spec) in self._entries.items():
            if name not in fast:
                card = train.train(domain, spec, jobs=self._jobs, progress=self._progress)
                self._publish(name, card)

    def _publish(self, name: str, card: Card) -> None:
        domain, spec = self._entries[name]
        upcoming = self._upcoming(domain)  # reads files, for which no lock should be held
        with transaction.atomic():
            version = publishing.publish(domain, spec, card)
            pricing.price_by_rank(domain.name, upcoming)
        self._status.pop(name)
        training_status.write(self._status)
        self._progress(f"{version}: {_figures(card, domain.unit)}")

    def _upcoming(self, domain: Domain) -> dict[str, dict[str, Any]]:
        """The metrics of a domain's predictors as far as they are known before they are trained."""
        for spec in domain.predictors:
            if spec.name not in self._entries and spec.name not in self._known:
                with suppress(OutdatedCard):
                    self._known[spec.name] = measured.find(domain, spec)
        names = [spec.name for spec in domain.predictors if spec.name in self._known]
        return {name: asdict(self._known[name].metrics) for name in names}


def _figures(card: Card, unit: str) -> str:
    metrics = card.metrics
    if metrics.coverage is None or metrics.range_width is None:
        ranges = "a quick estimate"
    else:
        ranges = f"{metrics.coverage:.1%} within ranges {metrics.range_width:,.1f} wide"
    return (
        f"R² {metrics.r2:.3f}, MAE {metrics.mae:,.1f} {unit}, "
        f"RMSE {metrics.rmse:,.1f} {unit}, MAPE {metrics.mape:.1%}; {ranges}"
    )


# --- Measuring what was estimated ------------------------------------------------------------


def measure_estimates(entries: Sequence[Entry], *, jobs: int, progress: Progress) -> None:
    """Measure what is sold with a quick estimate; prices follow when a domain has no more of them.

    Other trainings may go on meanwhile; what they replace is not published again.
    """
    with _lock(MEASURING_LOCK) as acquired:
        if not acquired:
            return  # another process measures them
        for domain, spec in sorted(entries, key=_cost):
            version = _estimated(spec.name)
            if version is not None:
                _measure(domain, spec, version, jobs, progress)


def _has_estimates(domain: Domain) -> bool:
    return any(_estimated(spec.name) for spec in domain.predictors)


def _estimated(name: str) -> PredictorVersion | None:
    """The current version of a predictor, if it has a quick estimate."""
    versions = PredictorVersion.objects.select_related("predictor")
    version = versions.filter(predictor__name=name, predictor__current_version=F("pk")).first()
    return version if version and version.metrics.get("quick_estimate") else None


def _measure(
    domain: Domain,
    spec: PredictorSpec,
    version: PredictorVersion,
    jobs: int,
    progress: Progress,
) -> None:
    if note := _changed_data_note(domain, version):
        progress(f"{spec.name}: not measured; {note}")
        return

    def tell(line: str) -> None:
        progress(line)
        training_status.write({spec.name: line.removeprefix(f"{spec.name}: ")})

    try:
        artefact = artefacts.load(version)
        if recipe.describe(artefact.pipeline) != recipe.describe(spec.build()):
            progress(f"{spec.name}: not measured; {version.label} was made by another recipe")
            return
        tell(f"{spec.name}: {training_status.MEASURING}")
        measurement = train.measure(domain, spec, jobs=jobs, progress=tell, artefact=artefact)
    except ArtefactError as error:
        progress(f"{spec.name}: not measured; {error}")
        return
    finally:
        training_status.write({})
    card = _card_with(version, domain, measurement)
    with _training_lock(progress):
        if _estimated(spec.name) != version:
            return
        artefacts.save_card(card.artefact_sha256, card.to_json())
        published = publishing.publish(domain, spec, card)
        if not _has_estimates(domain):
            pricing.price_by_rank(domain.name)
    progress(f"{published}: {_figures(card, domain.unit)}")


def _card_with(version: PredictorVersion, domain: Domain, measurement: Measurement) -> Card:
    """The card of a version with other figures."""
    return Card(
        name=version.predictor.name,
        domain=domain.name,
        signature=version.signature,
        metrics=measurement.metrics,
        calibration=measurement.calibration,
        report=measurement.report,
        artefact_sha256=version.artefact_sha256,
        artefact_format=version.artefact_format,
        libraries=version.libraries,
        data_sha256=version.data_sha256,
        seed=version.seed,
        trained_at=version.trained_at,
    )


# --- Files and locks -----------------------------------------------------------------------------


@contextmanager
def _training_lock(progress: Progress) -> Iterator[None]:
    """Hold the only lock on the models directory, waiting for it if another training has it."""
    with _lock(LOCK) as acquired:
        if acquired:
            yield
            return
    progress("Another training is at work; this one goes on when it has ended.")
    with _lock(LOCK, wait=True):
        yield


@contextmanager
def _lock(name: str, *, wait: bool = False) -> Iterator[bool]:
    """Whether the lock of that name was acquired, which is held until the end.

    It is a lock of the kernel, which releases it when the process ends, however it ends.
    """
    directory = Path(settings.MODELS_DIR)
    directory.mkdir(parents=True, exist_ok=True)
    with (directory / name).open("ab") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            yield False
        else:
            yield True


def _remove_abandoned_files() -> None:
    """Remove the temporary files of trainings that were killed.

    Only old ones: the lock may not reach a training on another machine that shares the directory.
    """
    abandoned_before = time.time() - ABANDONED_SECONDS
    for path in Path(settings.MODELS_DIR).glob(f"{artefacts.TEMPORARY_PREFIX}*"):
        if path.stat().st_mtime < abandoned_before:
            path.unlink(missing_ok=True)
