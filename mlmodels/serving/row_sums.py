"""Linear models that predict the same for a row, to the last bit, whatever rows are beside it.

Why it matters: workers score as many rows as happen to be waiting in one array, and a replay has to
reproduce a stored prediction exactly from its row alone.

Why it is not so by itself: a linear model predicts by a matrix product, which scikit-learn leaves
to BLAS. BLAS adds up the products of a row in an order that depends on how many rows the array has,
on where in it the row is, and on the processor. Sums of floating-point numbers depend on the order
in the last bits. So here each row is multiplied by the coefficients element by element, and added
up by NumPy, which adds along contiguous rows in an order that depends on their length alone.

Trees need none of this: they compare numbers, and ensembles add in the order of their trees.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    FloatArray = NDArray[np.float64]


def use_row_sums(model: Any) -> None:
    """Replace `predict` of every linear model within a fitted model, which is changed in place."""
    from sklearn.compose import TransformedTargetRegressor
    from sklearn.ensemble import StackingRegressor, VotingRegressor
    from sklearn.pipeline import Pipeline

    if isinstance(model, TransformedTargetRegressor):
        use_row_sums(model.regressor_)
    elif isinstance(model, VotingRegressor | StackingRegressor):
        for member in model.estimators_:
            use_row_sums(member)
        if isinstance(model, StackingRegressor):
            use_row_sums(model.final_estimator_)
    elif isinstance(model, Pipeline):
        use_row_sums(model[-1])
    elif hasattr(model, "coef_"):
        model.predict = partial(_predict, model)


def _predict(model: Any, encoded: Any) -> FloatArray:
    import numpy as np
    from sklearn.utils import check_array

    rows = check_array(encoded, dtype=np.float64, order="C")
    values: FloatArray = row_sums(rows * model.coef_) + model.intercept_
    return values


def row_sums(matrix: FloatArray) -> FloatArray:
    """The sum of each row, which does not depend on the other rows: shape (n, k) to shape (n,)."""
    import numpy as np

    sums: FloatArray = np.ascontiguousarray(matrix).sum(axis=1)
    return sums
