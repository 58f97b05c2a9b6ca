"""Train one predictor: from a data file to an artefact with measured accuracy.

Uses no database; `mlmodels.catalogue.publishing` puts the result on sale.
"""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from mlmodels.catalogue.card import Card
from mlmodels.domains import units
from mlmodels.domains.base import Domain, FeatureSpec, PredictorSpec
from mlmodels.serving import artefacts, explanations
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


def train(
    domain: Domain,
    spec: PredictorSpec,
    *,
    jobs: int,
    progress: Progress,
    plan: Plan | None = None,
) -> Card:
    """Cross-validate, fit on all rows, save artefact and card. The same data give the same numbers.

    `jobs` is the number of processes that fit folds; `plan` is Plan.for_rows if it is None.
    Raises OSError if the models directory cannot be written.
    """
    from threadpoolctl import threadpool_limits

    def named_progress(line: str) -> None:
        progress(f"{spec.name}: {line}")

    # One thread in BLAS: the folds run in processes already, and the order in which threads add up
    # would depend on the number of cores.
    with threadpool_limits(1):
        return _train(domain, spec, jobs, named_progress, plan)


def _train(
    domain: Domain, spec: PredictorSpec, jobs: int, progress: Progress, plan: Plan | None
) -> Card:
    content = domain.data_path.read_bytes()
    table = domain.load(domain.data_path)
    inputs, target = table[[f.name for f in domain.scored]], table.iloc[:, -1]
    assessment = assess(
        spec.build(),
        inputs,
        target,
        plan=plan or Plan.for_rows(len(table)),
        relative_errors=domain.relative_errors,
        group=domain.group,
        jobs=jobs,
        progress=progress,
    )
    progress(f"fitting on {len(table)} rows")
    artefact = fit(domain, spec, inputs, target)
    card = Card(
        name=spec.name,
        domain=domain.name,
        signature=signature_from_data(domain, inputs).to_json(),
        metrics=assessment.metrics,
        calibration=assessment.calibration.to_json(),
        report=_report_data(artefact, inputs, assessment),
        artefact_sha256=artefacts.save(artefact),
        artefact_format=artefacts.FORMAT,
        libraries=artefacts.library_releases(),
        data_sha256=hashlib.sha256(content).hexdigest(),
        seed=SEED,
        trained_at=datetime.now(UTC),
    )
    artefacts.save_card(card.artefact_sha256, card.to_json())
    return card


def fit(
    domain: Domain, spec: PredictorSpec, inputs: pd.DataFrame, target: pd.Series[Any]
) -> Artefact:
    """Fit on all rows, and prepare what explains the predictions."""
    pipeline = spec.build().fit(inputs, target.astype(float))
    known_cases = None
    if domain.comparable_by:
        known_cases = KnownCases.from_training_data(inputs, target, domain.comparable_by)
    return Artefact(pipeline, explanations.backgrounds(pipeline, inputs), known_cases)


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
