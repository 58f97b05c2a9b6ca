"""From a data file to an artefact with measured accuracy. Touches no database."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from mlmodels.domains.base import Domain, FeatureSpec, PredictorSpec
from mlmodels.serving import artefacts, explanations
from mlmodels.serving.artefacts import Artefact
from mlmodels.serving.comparables import KnownCases
from mlmodels.signature import Feature, Signature, Value
from mlmodels.training.cross_validation import SEED, Assessment, Plan, Progress, assess

if TYPE_CHECKING:
    import pandas as pd
from mlmodels.catalogue.card import Card

RARE_SHARE = 0.01  # of the rows; fewer make a choice a rare one

RARE_ROWS = 5

REPORTED_ROWS = 500  # at most, of those that a report shows

EXPLAINED_ROWS = 100  # at most, of those


def train(
    domain: Domain,
    spec: PredictorSpec,
    *,
    jobs: int,
    progress: Progress,
    plan: Plan | None = None,
) -> Card:
    """Cross-validate, fit on all rows, save artefact and card. The same data give the same numbers.

    `jobs` is the number of processes that fit folds; `plan` says how many folds, if not the usual.
    Raises OSError if the models directory cannot be written.
    """

    from threadpoolctl import threadpool_limits

    def tell(line: str) -> None:
        progress(f"{spec.name}: {line}")

    with threadpool_limits(1):  # processes are the parallelism; the same sums on every machine
        return _train(domain, spec, jobs, tell, plan)


def _train(
    domain: Domain, spec: PredictorSpec, jobs: int, tell: Progress, plan: Plan | None
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
        progress=tell,
    )
    tell(f"fitting on {len(table)} rows")
    artefact = fit(domain, spec, inputs, target)
    card = Card(
        name=spec.name,
        domain=domain.name,
        signature=describe(domain, inputs).to_json(),
        metrics=assessment.metrics,
        calibration=assessment.calibration.to_json(),
        report=_report(artefact, inputs, assessment),
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
    pipeline = spec.build().fit(inputs, target.astype(float))
    known = (
        KnownCases.from_training_data(inputs, target, domain.comparable_by)
        if domain.comparable_by
        else None
    )
    return Artefact(pipeline, explanations.backgrounds(pipeline, inputs), known)


def _report(artefact: Artefact, inputs: pd.DataFrame, assessment: Assessment) -> dict[str, Any]:
    """What a report draws: predictions of rows not seen, and what features matter how much."""
    import numpy as np

    rows = np.random.default_rng(SEED).permutation(len(inputs))[:REPORTED_ROWS]
    found = explanations.explain(
        artefact.pipeline, inputs.iloc[rows[:EXPLAINED_ROWS]], artefact.backgrounds
    )
    importance = np.abs(found.parts).mean(axis=0)
    ranked = sorted(
        zip(inputs.columns, importance.tolist(), strict=True), key=lambda item: -item[1]
    )
    return {
        "actual": assessment.actual[rows].tolist(),
        "predicted": assessment.predicted[rows].tolist(),
        "importance": [{"feature": name, "mean_contribution": size} for name, size in ranked],
    }


def describe(domain: Domain, inputs: pd.DataFrame) -> Signature:
    """The domain's signature: its features with the defaults and ranges found in the data."""
    return Signature(tuple(_describe(spec, inputs.get(spec.name)) for spec in domain.features))


def _describe(spec: FeatureSpec, column: pd.Series[Any] | None) -> Feature:
    found: dict[str, Any] = {"default": None}
    if column is not None:
        found = _found_in_categories(column) if spec.type == "category" else _found_in(spec, column)
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
        **found,
    )


def _found_in_categories(column: pd.Series[Any]) -> dict[str, Any]:
    counts = column.value_counts()
    few = max(RARE_ROWS, RARE_SHARE * len(column))
    return {
        "default": str(column.mode().iloc[0]),
        "choices": tuple(sorted(column.unique())),
        "rare": tuple(sorted(str(choice) for choice, count in counts.items() if count < few)),
    }


def _found_in(spec: FeatureSpec, column: pd.Series[Any]) -> dict[str, Any]:
    median = float(column.median())
    default: Value = round(median) if spec.type == "integer" else float(f"{median:.4g}")
    return {
        "default": None if spec.optional else default,
        "training_range": _allowed_range(spec, column),
    }


def _allowed_range(spec: FeatureSpec, column: pd.Series[Any]) -> tuple[float, float]:
    """What the data span, but for impossible values, which would be refused."""
    low, high = float(column.min()), float(column.max())
    if spec.minimum is not None:
        low = max(low, spec.minimum)
    return low, high if spec.maximum is None else min(high, spec.maximum)
