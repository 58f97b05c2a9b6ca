"""Accuracy and ranges by cross-validation. Imports no Django: worker processes fit the folds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import TYPE_CHECKING, Any

from mlmodels.intervals import THIRDS, Calibration

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

    FloatArray = NDArray[np.float64]
    Rows = NDArray[np.int64]
    Split = tuple[Rows, Rows]

SEED = 20260101
FEW_ROWS = 1000  # with so few, one division into folds says little

Progress = Callable[[str], None]


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
class Assessment:
    """`actual` and `predicted` are one division's, each row predicted by a model without it."""

    metrics: Metrics
    calibration: Calibration
    actual: FloatArray
    predicted: FloatArray


@dataclass(frozen=True)
class Plan:
    """In how many parts rows are divided, how often anew, and in how many within a part."""

    folds: int
    repeats: int
    inner_folds: int
    by_group: bool = True

    @classmethod
    def for_rows(cls, rows: int) -> Plan:
        return cls(10, 5, 10) if rows < FEW_ROWS else cls(5, 1, 5)

    def outer(self, rows: Any) -> list[Split]:
        """Divisions of so many rows; one after the other, each row once in a test part."""
        return _divide(rows, self.folds, self.repeats)

    def inner(self, train: Rows) -> list[Split]:
        """A division of a training part, as rows of the whole."""
        divided = _divide(train, self.inner_folds, 1)
        return [(train[left], train[right]) for left, right in divided]


def _divide(rows: Any, folds: int, repeats: int) -> list[Split]:
    from sklearn.model_selection import RepeatedKFold

    return list(RepeatedKFold(n_splits=folds, n_repeats=repeats, random_state=SEED).split(rows))


def assess(
    pipeline: Any,
    inputs: pd.DataFrame,
    target: pd.Series[float],
    *,
    plan: Plan,
    errors_grow: bool,
    group: str | None,
    jobs: int,
    progress: Progress,
) -> Assessment:
    """Measure an unfitted pipeline and calibrate its ranges, on `jobs` processes.

    Repeated k-fold cross-validation gives accuracy and ranges. How often the ranges hold is
    measured by nesting: in the training part of each fold they are calibrated anew, by folds
    within it. With a `group`, rows are also predicted by models that saw none of their group.
    """
    import numpy as np

    outer = plan.outer(inputs)
    first = outer[: plan.folds]
    inner = [plan.inner(train) for train, _ in first]
    groups = _by_group(inputs[group]) if group and plan.by_group else []
    fits = _Fits(pipeline, inputs, target.astype(float), jobs, progress)
    predictions = fits.predict([*outer, *(split for splits in inner for split in splits), *groups])
    actual: FloatArray = np.asarray(target, dtype=np.float64)
    truth = np.concatenate([actual[test] for _, test in outer])
    guesses = np.concatenate(predictions[: len(outer)])
    within = iter(predictions[len(outer) :])
    calibrations = [
        _calibrate(actual, splits, list(islice(within, len(splits))), errors_grow)
        for splits in inner
    ]
    beyond = list(within)
    predicted = np.empty(len(actual))
    for (_, test), values in zip(first, predictions, strict=False):
        predicted[test] = values
    return Assessment(
        metrics=replace(
            _measure(truth, guesses, len(actual), plan),
            **_coverage(actual, first, predictions, calibrations),
            unseen_groups=_measure_groups(actual, groups, beyond) if groups else None,
        ),
        calibration=Calibration.of(truth.tolist(), guesses.tolist(), relative=errors_grow),
        actual=actual,
        predicted=predicted,
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


def _calibrate(
    actual: FloatArray, splits: Sequence[Split], predictions: Sequence[FloatArray], relative: bool
) -> Calibration:
    import numpy as np

    truth = np.concatenate([actual[test] for _, test in splits])
    guesses = np.concatenate(predictions)
    return Calibration.of(truth.tolist(), guesses.tolist(), relative=relative)


def _coverage(
    actual: FloatArray,
    splits: Sequence[Split],
    predictions: Sequence[FloatArray],
    calibrations: Sequence[Calibration],
) -> dict[str, Any]:
    """Over all folds, each row by the ranges that were calibrated without it."""
    import numpy as np

    guesses, held, widths = [], [], []
    for (_, test), values, calibration in zip(splits, predictions, calibrations, strict=False):
        for truth, value in zip(actual[test], values, strict=True):
            found = calibration.interval(float(value))
            guesses.append(value)
            held.append(found.low <= truth <= found.high)
            widths.append(found.high - found.low)
    order = np.argsort(guesses)
    thirds = np.array_split(np.array(held)[order], THIRDS)
    return {
        "coverage": float(np.mean(held)),
        "coverage_by_third": [float(third.mean()) for third in thirds],
        "range_width": float(np.mean(widths)),
    }


def _measure(actual: FloatArray, predicted: FloatArray, rows: int, plan: Plan) -> Metrics:
    from sklearn import metrics

    return Metrics(
        r2=float(metrics.r2_score(actual, predicted)),
        mae=float(metrics.mean_absolute_error(actual, predicted)),
        rmse=float(metrics.root_mean_squared_error(actual, predicted)),
        mape=float(metrics.mean_absolute_percentage_error(actual, predicted)),
        rows=rows,
        folds=plan.folds,
        repeats=plan.repeats,
        seed=SEED,
    )


def _measure_groups(
    actual: FloatArray, splits: Sequence[Split], predictions: Sequence[FloatArray]
) -> Metrics:
    import numpy as np

    truth = np.concatenate([actual[test] for _, test in splits])
    return _measure(truth, np.concatenate(predictions), len(truth), Plan(len(splits), 1, 0))
