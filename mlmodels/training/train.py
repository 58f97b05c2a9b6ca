"""Train one predictor: from a data file to an artefact with measured accuracy.

Uses no database; `mlmodels.catalogue.publishing` puts the result on sale.
"""

from __future__ import annotations

import hashlib
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from mlmodels.catalogue.card import Card, Measurement
from mlmodels.domains import units
from mlmodels.domains.base import Domain, FeatureSpec, PredictorSpec
from mlmodels.serving import artefacts, compilation, explanations
from mlmodels.serving.artefacts import Artefact
from mlmodels.serving.comparables import KnownCases
from mlmodels.signature import Feature, Signature, Value
from mlmodels.training.cross_validation import SEED, Assessment, Plan, Progress, assess

if TYPE_CHECKING:
    import pandas as pd

# A choice is rare if fewer rows have it than this share of all, or than this number.
RARE_SHARE = 0.01
RARE_ROWS = 5

MAX_REPORTED_ROWS = 500  # whose predictions a report draws
MAX_EXPLAINED_ROWS = 100  # of those, to rank the features by


@dataclass(frozen=True)
class TrainingData:
    """What a predictor learns from: `inputs` of shape (n, k), `target` of shape (n,), and the
    digest of the file that has them.
    """

    inputs: pd.DataFrame
    target: pd.Series[Any]
    sha256: str

    @classmethod
    def of(cls, domain: Domain) -> TrainingData:
        table = domain.load(domain.data_path)
        digest = hashlib.sha256(domain.data_path.read_bytes()).hexdigest()
        return cls(table[[f.name for f in domain.scored]], table.iloc[:, -1], digest)


def train(
    domain: Domain,
    spec: PredictorSpec,
    *,
    jobs: int,
    progress: Progress,
    plan: Plan | None = None,
    measurement: Measurement | None = None,
) -> Card:
    """What `prepare` does; then save artefact and card.

    Raises OSError if the models directory cannot be written.
    """
    card, content = prepare(
        domain, spec, jobs=jobs, progress=progress, plan=plan, measurement=measurement
    )
    save(card, content)
    return card


def prepare(
    domain: Domain,
    spec: PredictorSpec,
    *,
    jobs: int,
    progress: Progress,
    plan: Plan | None = None,
    measurement: Measurement | None = None,
) -> tuple[Card, bytes]:
    """Cross-validate unless that was done before, and fit on all rows: a card and its artefact.

    The same data give the same numbers. `jobs` is the number of processes that fit folds; `plan`
    is Plan.for_rows if it is None.
    """
    with _one_thread():
        data = TrainingData.of(domain)
        assessment = None
        if measurement is None:
            assessment = _assess(domain, spec, data, plan=plan, jobs=jobs, progress=progress)
            progress(f"{spec.name}: fitting on {len(data.inputs)} rows")
        artefact = fit(domain, spec, data.inputs, data.target)
        if assessment is not None:
            measurement = _measurement(assessment, artefact, data.inputs)
    assert measurement is not None  # noqa: S101  # one of the two there is
    content = artefacts.dump(artefact)
    card = Card(
        name=spec.name,
        domain=domain.name,
        signature=signature_from_data(domain, data.inputs).to_json(),
        metrics=measurement.metrics,
        calibration=measurement.calibration,
        report=measurement.report,
        artefact_sha256=hashlib.sha256(content).hexdigest(),
        artefact_format=artefacts.FORMAT,
        libraries=artefacts.library_releases(),
        data_sha256=data.sha256,
        seed=SEED,
        trained_at=datetime.now(UTC),
    )
    return card, content


def save(card: Card, content: bytes) -> None:
    """Write a card and the artefact it is of."""
    artefacts.save_content(content)
    artefacts.save_card(card.artefact_sha256, card.to_json())


def measure(
    domain: Domain,
    spec: PredictorSpec,
    *,
    jobs: int,
    progress: Progress,
    artefact: Artefact | None = None,
) -> Measurement:
    """Only cross-validate. Features are ranked by `artefact`, or if it is None, by a new one."""
    with _one_thread():
        data = TrainingData.of(domain)
        assessment = _assess(domain, spec, data, plan=None, jobs=jobs, progress=progress)
        artefact = artefact or fit(domain, spec, data.inputs, data.target)
        return _measurement(assessment, artefact, data.inputs)


def _one_thread() -> AbstractContextManager[Any]:
    """One thread in BLAS: the folds run in processes already, and the order in which threads add up
    would depend on the number of cores.
    """
    from threadpoolctl import threadpool_limits

    limits: AbstractContextManager[Any] = threadpool_limits(1)
    return limits


def _assess(
    domain: Domain,
    spec: PredictorSpec,
    data: TrainingData,
    *,
    plan: Plan | None,
    jobs: int,
    progress: Progress,
) -> Assessment:
    return assess(
        spec.build(),
        data.inputs,
        data.target,
        plan=plan or Plan.for_rows(len(data.inputs)),
        relative_errors=domain.relative_errors,
        group=domain.group,
        jobs=jobs,
        progress=lambda line: progress(f"{spec.name}: {line}"),
    )


def _measurement(assessment: Assessment, artefact: Artefact, inputs: pd.DataFrame) -> Measurement:
    return Measurement(
        assessment.metrics,
        assessment.calibration.to_json(),
        _report_data(artefact, inputs, assessment),
    )


def fit(
    domain: Domain, spec: PredictorSpec, inputs: pd.DataFrame, target: pd.Series[Any]
) -> Artefact:
    """Fit on all rows, and prepare what explains the predictions.

    Raises Disagreement if the compiled pipeline does not score each row as the pipeline does, and
    NotCompilable if there is none.
    """
    pipeline = spec.build().fit(inputs, target.astype(float))
    compilation.check(pipeline, inputs)
    known_cases = None
    if domain.comparable_by:
        known_cases = KnownCases.from_training_data(inputs, target, domain.comparable_by)
    backgrounds = explanations.backgrounds(pipeline, inputs)
    return Artefact(pipeline, backgrounds, known_cases, is_compiled=True)


def _report_data(
    artefact: Artefact, inputs: pd.DataFrame, assessment: Assessment
) -> dict[str, Any]:
    """What a report draws: a sample of out-of-fold predictions, and the importance of features.

    Both are in the target's unit. Importance is the mean size of a feature's contributions.
    """
    import numpy as np

    rows = np.random.default_rng(SEED).permutation(len(inputs))[:MAX_REPORTED_ROWS]
    contributions = explanations.explain(
        artefact.pipeline, inputs.iloc[rows[:MAX_EXPLAINED_ROWS]], artefact.backgrounds
    )
    importance = np.abs(contributions.parts).mean(axis=0)
    ranked = sorted(
        zip(inputs.columns, importance.tolist(), strict=True), key=lambda item: -item[1]
    )
    return {
        "actual": assessment.actual[rows].tolist(),
        "predicted": assessment.predicted[rows].tolist(),
        "importance": [{"feature": name, "mean_contribution": size} for name, size in ranked],
    }


def signature_from_data(domain: Domain, inputs: pd.DataFrame) -> Signature:
    """The domain's features, with defaults, choices and ranges taken from the training data."""
    features = (_feature_from_data(spec, inputs.get(spec.name)) for spec in domain.features)
    return Signature(tuple(features))


def _feature_from_data(spec: FeatureSpec, column: pd.Series[Any] | None) -> Feature:
    """`column` is None for a feature that is not in the data, because it is not scored."""
    statistics: dict[str, Any] = {"default": None}
    if column is not None and spec.type == "category":
        statistics = _category_statistics(column)
    elif column is not None:
        statistics = _number_statistics(spec, column)
    return Feature(
        name=spec.name,
        label=spec.label,
        type=spec.type,
        unit=spec.unit,
        minimum=spec.minimum,
        maximum=spec.maximum,
        choice_labels=spec.choice_labels,
        help=spec.help,
        optional=spec.optional,
        scored=spec.scored,
        other_units=spec.other_units,
        choice_names=spec.choice_names,
        unit_names=units.names_of(spec.unit),
        **statistics,
    )


def _category_statistics(column: pd.Series[Any]) -> dict[str, Any]:
    """The fields of a Feature that the data decide; the default is the most frequent choice."""
    counts = column.value_counts()
    enough = max(RARE_ROWS, RARE_SHARE * len(column))
    return {
        "default": str(column.mode().iloc[0]),
        "choices": tuple(sorted(column.unique())),
        "rare": tuple(sorted(str(choice) for choice, count in counts.items() if count < enough)),
    }


def _number_statistics(spec: FeatureSpec, column: pd.Series[Any]) -> dict[str, Any]:
    """The same for numbers; the default is the median, or null where that is allowed."""
    median = float(column.median())
    default: Value = round(median) if spec.type == "integer" else float(f"{median:.4g}")
    return {
        "default": None if spec.optional else default,
        "training_range": _training_range(spec, column),
    }


def _training_range(spec: FeatureSpec, column: pd.Series[Any]) -> tuple[float, float]:
    """The smallest and the largest value, but none that would be refused as impossible."""
    low, high = float(column.min()), float(column.max())
    if spec.minimum is not None:
        low = max(low, spec.minimum)
    return low, high if spec.maximum is None else min(high, spec.maximum)
