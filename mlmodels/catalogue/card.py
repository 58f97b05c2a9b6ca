"""The model card: what the catalogue records of a training; a copy lies beside the artefact."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any


@dataclass(frozen=True)
class Metrics:
    """Accuracy on rows the model had not seen, pooled over all folds and repeats.

    `mae` and `rmse` are in the target's unit, `mape` is a fraction, `r2` has no unit. `coverage` is
    the share of rows, seen by neither model nor range, whose true value lay within the range;
    `coverage_by_third` the same by thirds of the predicted value, from the lowest; `range_width`
    the mean width of the ranges in the target's unit. `unseen_groups` has the accuracy on groups
    of rows of which the model had seen none. `mae_by_fold` has the `mae` of each fold of each
    repeat. With `quick_estimate`, this is what one cross-validation told in a few seconds, until
    it is measured as it should be.
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
    unseen_groups: Metrics | None = None
    mae_by_fold: list[float] | None = None
    quick_estimate: bool = False


@dataclass(frozen=True)
class Measurement:
    """What takes long to find out about a predictor, and needs no fitted model to be told.

    `calibration` is `Calibration.to_json`; `report` has what the page about the predictor draws.
    """

    metrics: Metrics
    calibration: dict[str, Any]
    report: dict[str, Any]


@dataclass(frozen=True)
class Card:
    """What a training produced: everything that the catalogue records of a version.

    `signature` is `Signature.to_json`, `calibration` is `Calibration.to_json`; `report` has what
    the page about the predictor draws; `libraries` has the releases it was trained with.
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
