"""Linear models that give a row the same number to the last bit, whatever rows are beside it.

The BLAS behind scikit-learn's own `predict` adds up a row's products in an order that depends on
how many rows the array has and where in it the row is, and on the processor. Trees need nothing:
they compare, and add in the order of the trees.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    FloatArray = NDArray[np.float64]


def make_rowwise(model: Any) -> None:
    """Let the linear parts of a fitted model predict row by row, in place."""
    from sklearn.compose import TransformedTargetRegressor
    from sklearn.ensemble import StackingRegressor, VotingRegressor
    from sklearn.pipeline import Pipeline

    if isinstance(model, TransformedTargetRegressor):
        make_rowwise(model.regressor_)
    elif isinstance(model, VotingRegressor | StackingRegressor):
        for member in model.estimators_:
            make_rowwise(member)
        if isinstance(model, StackingRegressor):
            make_rowwise(model.final_estimator_)
    elif isinstance(model, Pipeline):
        make_rowwise(model[-1])
    elif hasattr(model, "coef_"):
        model.predict = partial(_predict, model)


def _predict(model: Any, encoded: Any) -> FloatArray:
    import numpy as np
    from sklearn.utils import check_array

    # NumPy adds along contiguous rows in an order that depends on their length alone.
    rows = check_array(encoded, dtype=np.float64, order="C")
    values: FloatArray = add_up(rows * model.coef_) + model.intercept_
    return values


def add_up(parts: FloatArray) -> FloatArray:
    """The sum of each row."""
    import numpy as np

    total: FloatArray = np.ascontiguousarray(parts).sum(axis=1)
    return total
