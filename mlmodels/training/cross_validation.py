"""Accuracy and calibrated ranges by cross-validation.

Imports no Django, since the processes that fit the folds import this module.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import chain, islice
from typing import TYPE_CHECKING, Any

from mlmodels.catalogue.card import Metrics
from mlmodels.serving.intervals import THIRDS, Calibration

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

    FloatArray = NDArray[np.float64]
    Rows = NDArray[np.int64]  # positions in the data
    Split = tuple[Rows, Rows]  # the rows to fit on, and the rows to predict

SEED = 20260101
FEW_ROWS = 1000  # with fewer, the metrics depend much on how rows are divided into folds

Progress = Callable[[str], None]  # takes a line that says how far a training is


@dataclass(frozen=True)
class Assessment:
    """What cross-validation measured, and the range calibration for the version on sale.

    `actual` and `predicted` have shape (n,), in the order of the data, each row predicted by a
    model that was fitted without it.
    """

    metrics: Metrics
    calibration: Calibration
    actual: FloatArray
    predicted: FloatArray


@dataclass(frozen=True)
class Plan:
    """How to cross-validate: `folds` for the metrics, divided anew `repeats` times.

    `inner_folds` is for the calibration of ranges; with none of them, ranges are calibrated on the
    outer folds, and how often they hold is not measured. `by_group` says whether to leave out
    groups as well, if the domain has a feature to group by.
    """

    folds: int
    repeats: int
    inner_folds: int
    by_group: bool = True

    @classmethod
    def for_rows(cls, rows: int) -> Plan:
        return cls(10, 3, 5) if rows < FEW_ROWS else cls(5, 1, 3)

    @classmethod
    def quick(cls) -> Plan:
        """For an estimate of the same figures by five fits."""
        return cls(5, 1, 0, by_group=False)

    def outer(self, rows: Any) -> list[Split]:
        """The splits of all rows: `folds` splits that test each row once, `repeats` times."""
        return _k_fold(rows, self.folds, self.repeats)

    def inner(self, rows: Rows) -> list[Split]:
        """The splits of some of the rows, given by their positions; each is tested once."""
        splits = _k_fold(rows, self.inner_folds, 1)
        return [(rows[train], rows[test]) for train, test in splits]


def _k_fold(rows: Any, folds: int, repeats: int) -> list[Split]:
    """Splits by positions in `rows`."""
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

    `inputs` has shape (n, k), `target` shape (n,); `group` names the column of `inputs` whose
    values are left out in turn.
    """
    import numpy as np

    # Three kinds of splits. Repeated k-fold cross-validation measures accuracy ("outer"). Ranges
    # are calibrated on out-of-fold errors of a further k-fold division of all rows ("inner", the
    # last of the list): the version on sale has all rows in its fit, so only the errors of models
    # fitted without a row say how far a new case may be off. How often such ranges hold cannot be
    # measured on the rows they were calibrated on. So it is measured by nesting: the training rows
    # of each outer split are divided as well, ranges are calibrated on them alone, and checked on
    # the test rows of the split, which neither model nor range has seen. Last, each group is
    # predicted by a model that was fitted without all of it.
    outer = plan.outer(inputs)
    all_rows = np.arange(len(inputs))
    inner: list[list[Split]] = []
    if plan.inner_folds:
        inner = [plan.inner(train) for train in [*(train for train, _ in outer), all_rows]]
    groups = _leave_one_group_out(inputs[group]) if group and plan.by_group else []

    # All splits are fitted in one go, to keep the processes busy, and their predictions taken
    # apart again in the same order.
    fits = _Fits(pipeline, inputs, target.astype(float), jobs, progress)
    predictions = iter(fits.predict([*outer, *chain.from_iterable(inner), *groups]))
    actual: FloatArray = np.asarray(target, dtype=np.float64)

    def next_out_of_fold(splits: list[Split]) -> _OutOfFold:
        return _OutOfFold(actual, splits, list(islice(predictions, len(splits))))

    outer_predictions = next_out_of_fold(outer)
    calibrations = [next_out_of_fold(splits).calibrate(relative_errors) for splits in inner]
    coverage = _coverage(outer_predictions, calibrations[:-1]) if inner else {}
    return Assessment(
        metrics=replace(
            outer_predictions.metrics(plan.repeats),
            **coverage,
            unseen_groups=next_out_of_fold(groups).metrics(repeats=1) if groups else None,
            mae_by_fold=outer_predictions.mae_by_split(),
            quick_estimate=plan == Plan.quick(),
        ),
        calibration=calibrations[-1] if inner else outer_predictions.calibrate(relative_errors),
        actual=actual,
        predicted=outer_predictions.first_repeat(plan.folds),
    )


@dataclass(frozen=True)
class _OutOfFold:
    """Out-of-fold predictions: for each split, those of its test rows, in the target's unit.

    `target` has shape (n,), all rows in the order of the data.
    """

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

    def first_repeat(self, folds: int) -> FloatArray:
        """The predictions of the first `folds` splits, shape (n,), in the order of the data."""
        import numpy as np

        values = np.empty(len(self.target))
        for (_, test), predicted in zip(self.splits[:folds], self.predictions, strict=False):
            values[test] = predicted
        return values

    def calibrate(self, relative_errors: bool) -> Calibration:
        actual, predicted = self.actual.tolist(), self.predicted.tolist()
        return Calibration.of(actual, predicted, relative=relative_errors)

    def mae_by_split(self) -> list[float]:
        import numpy as np

        return [
            float(np.abs(self.target[test] - predicted).mean())
            for (_, test), predicted in zip(self.splits, self.predictions, strict=True)
        ]

    def metrics(self, repeats: int) -> Metrics:
        """Pooled over all splits, in which each row was tested `repeats` times."""
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
    """Fits one pipeline on many parts of the data, on `jobs` processes."""

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
        """For each split, in their order, the predictions of its test rows.

        Reports progress five times.
        """
        from joblib import Parallel, delayed

        tasks = (delayed(_fit_and_predict)(*self._work, *split) for split in splits)
        predictions: list[FloatArray] = []
        for values in Parallel(n_jobs=self._jobs, return_as="generator")(tasks):
            predictions.append(values)
            done, total = len(predictions), len(splits)
            if done * 5 // total > (done - 1) * 5 // total:
                self._progress(f"cross-validated {done} of {total} parts")
        return predictions


def _fit_and_predict(
    pipeline: Any, inputs: pd.DataFrame, target: pd.Series[float], train: Rows, test: Rows
) -> FloatArray:
    from sklearn.base import clone

    fitted = clone(pipeline).fit(inputs.iloc[train], target.iloc[train])
    values: FloatArray = fitted.predict(inputs.iloc[test])
    return values


def _leave_one_group_out(groups: pd.Series[Any]) -> list[Split]:
    """For each value of `groups`, which has one for each row, a split that tests its rows."""
    from sklearn.model_selection import LeaveOneGroupOut

    return list(LeaveOneGroupOut().split(groups, groups=groups))


def _coverage(out_of_fold: _OutOfFold, calibrations: Sequence[Calibration]) -> dict[str, Any]:
    """The fields of Metrics about ranges; `calibrations` has the one of each split."""
    import numpy as np

    intervals = [
        calibration.interval(value)
        for calibration, values in zip(calibrations, out_of_fold.predictions, strict=True)
        for value in values.tolist()
    ]
    covered = [
        interval.low <= true_value <= interval.high
        for interval, true_value in zip(intervals, out_of_fold.actual.tolist(), strict=True)
    ]
    by_prediction = np.array(covered)[np.argsort(out_of_fold.predicted, kind="stable")]
    thirds = np.array_split(by_prediction, THIRDS)
    return {
        "coverage": float(np.mean(covered)),
        "coverage_by_third": [float(third.mean()) for third in thirds],
        "range_width": float(np.mean([interval.high - interval.low for interval in intervals])),
    }
