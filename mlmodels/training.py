"""From a data file to an artefact with measured accuracy. Touches no database."""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from mlmodels import artefacts
from mlmodels.domains.base import Domain, FeatureSpec, PredictorSpec
from mlmodels.signature import Feature, Signature, Value
from mlmodels.validation import SEED, Metrics, Progress, cross_validate

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Card:
    """What a training run produced: everything the catalogue records of a version."""

    name: str
    domain: str
    signature: list[dict[str, Any]]
    metrics: Metrics
    artefact_sha256: str
    artefact_format: int
    libraries: dict[str, str]
    data_sha256: str
    seed: int
    trained_at: datetime

    def metrics_json(self) -> dict[str, Any]:
        return asdict(self.metrics)


def train(domain: Domain, spec: PredictorSpec, *, jobs: int, progress: Progress) -> Card:
    """Cross-validate, fit on all rows and save. The same data gives the same numbers.

    `jobs` is the number of processes that fit folds. Raises OSError if the models directory
    cannot be written.
    """
    content = domain.data_path.read_bytes()
    table = domain.load(domain.data_path)
    inputs, target = table[[f.name for f in domain.features]], table.iloc[:, -1]
    metrics = cross_validate(
        spec.build(),
        inputs,
        target,
        jobs=jobs,
        progress=lambda line: progress(f"{spec.name}: {line}"),
    )
    progress(f"{spec.name}: fitting on {len(table)} rows")
    pipeline = spec.build().fit(inputs, target)
    return Card(
        name=spec.name,
        domain=domain.name,
        signature=describe(domain, inputs).to_json(),
        metrics=metrics,
        artefact_sha256=artefacts.save(pipeline),
        artefact_format=artefacts.FORMAT,
        libraries=artefacts.library_versions(),
        data_sha256=hashlib.sha256(content).hexdigest(),
        seed=SEED,
        trained_at=datetime.now(UTC),
    )


def describe(domain: Domain, inputs: pd.DataFrame) -> Signature:
    """The domain's signature: its features with the defaults and ranges found in the data."""
    return Signature(tuple(_describe(spec, inputs[spec.name]) for spec in domain.features))


def _describe(spec: FeatureSpec, column: pd.Series[Any]) -> Feature:
    default: Value
    if spec.type == "category":
        default = str(column.mode().iloc[0])
        choices = tuple(sorted(column.unique()))
        return Feature(
            spec.name,
            spec.label,
            spec.type,
            default,
            choices=choices,
            words=spec.words,
            help=spec.help,
        )
    median = float(column.median())
    default = round(median) if spec.type == "integer" else median
    return Feature(
        spec.name,
        spec.label,
        spec.type,
        default,
        unit=spec.unit,
        minimum=spec.minimum,
        maximum=spec.maximum,
        training_range=(float(column.min()), float(column.max())),
        help=spec.help,
    )
