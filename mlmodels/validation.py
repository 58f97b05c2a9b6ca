"""Accuracy by repeated cross-validation. Imports no Django: worker processes fit the folds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

    FloatArray = NDArray[np.float64]
    Rows = NDArray[np.int64]

SEED = 20260101
FOLDS = 10
REPEATS = 5

Progress = Callable[[str], None]


@dataclass(frozen=True)
class Metrics:
    """Accuracy on rows the model had not seen, pooled over all folds and repeats.

    mae and rmse are in the target's unit; mape is a fraction; r2 has no unit.
    """

    r2: float
    mae: float
    rmse: float
    mape: float
    rows: int
    folds: int
    repeats: int
    seed: int


def cross_validate(
    pipeline: Any,
    inputs: pd.DataFrame,
    target: pd.Series[float],
    *,
    jobs: int,
    progress: Progress,
) -> Metrics:
    """Repeated k-fold cross-validation of an unfitted pipeline, on `jobs` processes.

    In each repeat every row is predicted once, by a model that was not fitted on it.
    """
    import numpy as np
    from joblib import Parallel, delayed
    from sklearn.model_selection import RepeatedKFold

    splits = list(RepeatedKFold(n_splits=FOLDS, n_repeats=REPEATS, random_state=SEED).split(inputs))
    fits = Parallel(n_jobs=jobs, return_as="generator")(
        delayed(_predict_fold)(pipeline, inputs, target, *split) for split in splits
    )
    predicted = []
    for done, values in enumerate(fits, start=1):
        predicted.append(values)
        if done % FOLDS == 0:
            progress(f"cross-validated {done} of {len(splits)} folds")
    actual = target.to_numpy(dtype=float)
    return _measure(np.concatenate([actual[test] for _, test in splits]), np.concatenate(predicted))


def _predict_fold(
    pipeline: Any, inputs: pd.DataFrame, target: pd.Series[float], train: Rows, test: Rows
) -> FloatArray:
    from sklearn.base import clone

    fitted = clone(pipeline).fit(inputs.iloc[train], target.iloc[train])
    values: FloatArray = fitted.predict(inputs.iloc[test])
    return values


def _measure(actual: FloatArray, predicted: FloatArray) -> Metrics:
    from sklearn import metrics

    return Metrics(
        r2=float(metrics.r2_score(actual, predicted)),
        mae=float(metrics.mean_absolute_error(actual, predicted)),
        rmse=float(metrics.root_mean_squared_error(actual, predicted)),
        mape=float(metrics.mean_absolute_percentage_error(actual, predicted)),
        rows=len(actual) // REPEATS,
        folds=FOLDS,
        repeats=REPEATS,
        seed=SEED,
    )
