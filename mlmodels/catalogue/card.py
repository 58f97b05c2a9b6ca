"""What the catalogue records of a training."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any


@dataclass(frozen=True)
class Metrics:
    """Accuracy on rows the model had not seen, pooled over all folds and repeats.

    mae and rmse are in the target's unit; mape is a fraction; r2 has no unit. `coverage` is how
    often ranges held the true value of rows that neither model nor range had seen, also by thirds
    of the predicted value, from the lowest; `range_width` their mean width in the target's unit.
    """

    r2: float
    mae: float
    rmse: float
    mape: float
    rows: int
    folds: int
    repeats: int
    seed: int
    coverage: float | None = None
    coverage_by_third: list[float] | None = None
    range_width: float | None = None
    unseen_groups: Metrics | None = None  # where each group was predicted by models without it


@dataclass(frozen=True)
class Card:
    """What a training run produced: everything the catalogue records of a version.

    `calibration` is of the ranges; `report` has what a report draws.
    """

    name: str
    domain: str
    signature: list[dict[str, Any]]
    metrics: Metrics
    calibration: dict[str, Any]
    report: dict[str, Any]
    artefact_sha256: str
    artefact_format: int
    libraries: dict[str, str]
    data_sha256: str
    seed: int
    trained_at: datetime

    def metrics_json(self) -> dict[str, Any]:
        return asdict(self.metrics)

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "trained_at": self.trained_at.isoformat()}
