"""Accuracy and ranges by cross-validation. Imports no Django: worker processes fit the folds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import chain, islice
from typing import TYPE_CHECKING, Any

from mlmodels.serving.intervals import THIRDS, Calibration

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

    FloatArray = NDArray[np.float64]
    Rows = NDArray[np.int64]
    Split = tuple[Rows, Rows]
from mlmodels.catalogue.card import Metrics

SEED = 20260101

FEW_ROWS = 1000  # with so few, one division into folds says little

Progress = Callable[[str], None]


@dataclass(frozen=True)
class Assessment:
    """`actual` and `predicted` are one division's, each row predicted by a model without it."""

    metrics: Metrics
    calibration: Calibration
    actual: FloatArray
    predicted: FloatArray


@dataclass(frozen=True)
class Plan:
    """In how many parts rows are divided, how often anew, and in how many to calibrate ranges."""

    folds: int
    repeats: int
    inner_folds: int
    by_group: bool = True

    @classmethod
    def for_rows(cls, rows: int) -> Plan:
        return cls(10, 3, 5) if rows < FEW_ROWS else cls(5, 1, 3)

    def outer(self, rows: Any) -> list[Split]:
        """Divisions of so many rows; one after the other, each row once in a test part."""
        return _divide(rows, self.folds, self.repeats)

    def inner(self, rows: Rows) -> list[Split]:
        """A division of some rows of the whole, as such rows."""
        divided = _divide(rows, self.inner_folds, 1)
        return [(rows[left], rows[right]) for left, right in divided]


def _divide(rows: Any, folds: int, repeats: int) -> list[Split]:
    from sklearn.model_selection import RepeatedKFold

    return list(RepeatedKFold(n_splits=folds, n_repeats=repeats, random_state=SEED).split(rows))


def assess(
    pipeline: Any,
    inputs: pd.DataFrame,
    target: pd.Series[float],
    *,
    plan: Plan,
    relative_errors: bool,
    group: str | None,
    jobs: int,
    progress: Progress,
) -> Assessment:
    """Measure an unfitted pipeline and calibrate its ranges, on `jobs` processes.

    Repeated k-fold cross-validation gives accuracy. Ranges are calibrated on the errors of another
    division; how often they hold is measured by nesting: in the training part of each fold they
    are calibrated anew, the same way. With a `group`, rows are also predicted by models that saw
    none of their group.
    """
    import numpy as np

    outer = plan.outer(inputs)
    calibrating = [plan.inner(train) for train, _ in [*outer, (np.arange(len(inputs)), None)]]
    groups = _by_group(inputs[group]) if group and plan.by_group else []
    fits = _Fits(pipeline, inputs, target.astype(float), jobs, progress)
    found = iter(fits.predict([*outer, *chain.from_iterable(calibrating), *groups]))
    actual: FloatArray = np.asarray(target, dtype=np.float64)
    unseen = _Unseen(actual, outer, list(islice(found, len(outer))))
    *within, calibration = [
        _Unseen(actual, splits, list(islice(found, len(splits)))).calibrate(relative_errors)
        for splits in calibrating
    ]
    return Assessment(
        metrics=replace(
            unseen.measure(plan.repeats),
            **_coverage(unseen, within),
            unseen_groups=_Unseen(actual, groups, list(found)).measure(1) if groups else None,
        ),
        calibration=calibration,
        actual=actual,
        predicted=unseen.first(plan.folds),
    )


@dataclass(frozen=True)
class _Unseen:
    """Rows predicted by models that had not seen them: for each split those of its test part."""

    target: FloatArray
    splits: list[Split]
    predictions: list[FloatArray]

    @property
    def actual(self) -> FloatArray:
        import numpy as np

        return np.concatenate([self.target[test] for _, test in self.splits])

    @property
    def predicted(self) -> FloatArray:
        import numpy as np

        return np.concatenate(self.predictions)

    def first(self, folds: int) -> FloatArray:
        """Each row once, in the rows' order, as the first division had it."""
        import numpy as np

        values = np.empty(len(self.target))
        for (_, test), found in zip(self.splits[:folds], self.predictions, strict=False):
            values[test] = found
        return values

    def calibrate(self, relative_errors: bool) -> Calibration:
        actual, predicted = self.actual.tolist(), self.predicted.tolist()
        return Calibration.of(actual, predicted, relative=relative_errors)

    def measure(self, repeats: int) -> Metrics:
        from sklearn import metrics

        actual, predicted = self.actual, self.predicted
        return Metrics(
            r2=float(metrics.r2_score(actual, predicted)),
            mae=float(metrics.mean_absolute_error(actual, predicted)),
            rmse=float(metrics.root_mean_squared_error(actual, predicted)),
            mape=float(metrics.mean_absolute_percentage_error(actual, predicted)),
            rows=len(actual) // repeats,
            folds=len(self.splits) // repeats,
            repeats=repeats,
            seed=SEED,
        )


class _Fits:
    """One pipeline fitted on many parts of the data."""

    def __init__(
        self,
        pipeline: Any,
        inputs: pd.DataFrame,
        target: pd.Series[float],
        jobs: int,
        progress: Progress,
    ) -> None:
        self._work = pipeline, inputs, target
        self._jobs = jobs
        self._progress = progress

    def predict(self, splits: Sequence[Split]) -> list[FloatArray]:
        """For each split: fit on its training part, predict its test part."""
        from joblib import Parallel, delayed

        tasks = (delayed(_predict_fold)(*self._work, *split) for split in splits)
        found: list[FloatArray] = []
        for values in Parallel(n_jobs=self._jobs, return_as="generator")(tasks):
            found.append(values)
            if len(found) * 5 // len(splits) > (len(found) - 1) * 5 // len(splits):
                self._progress(f"cross-validated {len(found)} of {len(splits)} parts")
        return found


def _predict_fold(
    pipeline: Any, inputs: pd.DataFrame, target: pd.Series[float], train: Rows, test: Rows
) -> FloatArray:
    from sklearn.base import clone

    fitted = clone(pipeline).fit(inputs.iloc[train], target.iloc[train])
    values: FloatArray = fitted.predict(inputs.iloc[test])
    return values


def _by_group(groups: pd.Series[Any]) -> list[Split]:
    """Each group left out in turn."""
    from sklearn.model_selection import LeaveOneGroupOut

    return list(LeaveOneGroupOut().split(groups, groups=groups))


def _coverage(unseen: _Unseen, calibrations: Sequence[Calibration]) -> dict[str, Any]:
    """How often ranges hold: for each split by the one calibrated in its training part."""
    import numpy as np

    ranges = [
        calibration.interval(value)
        for calibration, values in zip(calibrations, unseen.predictions, strict=True)
        for value in values.tolist()
    ]
    held = [
        found.low <= truth <= found.high
        for found, truth in zip(ranges, unseen.actual.tolist(), strict=True)
    ]
    in_order = np.array(held)[np.argsort(unseen.predicted, kind="stable")]
    return {
        "coverage": float(np.mean(held)),
        "coverage_by_third": [float(third.mean()) for third in np.array_split(in_order, THIRDS)],
        "range_width": float(np.mean([found.high - found.low for found in ranges])),
    }
