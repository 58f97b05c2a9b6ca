"""Fitted pipelines compiled to functions of plain arrays, which score the same faster.

A pipeline of scikit-learn spends nearly all of its time for a few rows on checking and copying
data frames, and on calling one tree after the other. Here the look-ups of each category, the
constants of each scale and the polynomials of each spline are computed once, when a version is
loaded, and boosted trees are evaluated by tables; see `mlmodels.serving.boosted_trees`.

scikit-learn stays the reference: `check` compares both, and what differs is not sold. Each value
depends on its own row alone, to the last bit; see `mlmodels.serving.row_sums`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial, reduce
from math import factorial
from typing import TYPE_CHECKING, Any

from mlmodels.serving import boosted_trees
from mlmodels.serving.boosted_trees import TooManyLeaves, TreeTables
from mlmodels.serving.row_sums import row_sums

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray
    from sklearn.compose import ColumnTransformer

    FloatArray = NDArray[np.float64]
    Step = Callable[[FloatArray], FloatArray]

Rows = Sequence[Mapping[str, Any]]
Encoder = Callable[[Rows], "FloatArray"]

RELATIVE_TOLERANCE = 1e-9
ROWS_PER_CHECK = 64


class NotCompilable(TypeError):
    """There is no compiled form of this kind of model or transformer."""


class Disagreement(ValueError):
    """A compiled pipeline does not score as the pipeline does."""


class CompiledPipeline:
    """A fitted pipeline as functions of arrays. Raises NotCompilable."""

    def __init__(self, pipeline: Any) -> None:
        self._encoders: dict[int, Encoder] = {}  # by the id of their transformer
        self._pipeline = pipeline  # so that ids are not reused
        try:
            self._predict = self._of_rows(pipeline)
        except TooManyLeaves as error:
            raise NotCompilable(str(error)) from error

    def predict(self, rows: Rows) -> FloatArray:
        """One value for each row, shape (n,)."""
        return self._predict(rows)

    def encode(self, columns: ColumnTransformer, rows: Rows) -> FloatArray:
        """What one of the pipeline's column transformers makes of the rows, shape (n, width)."""
        return self._encoders[id(columns)](rows)

    def _of_rows(self, model: Any) -> Callable[[Rows], FloatArray]:
        """A model that takes the features as they are entered."""
        from sklearn.pipeline import Pipeline

        composed: Callable[[Rows], FloatArray] | None = _composed(model, self._of_rows)
        if composed:
            return composed
        if not isinstance(model, Pipeline) or len(model) != 2:
            raise NotCompilable(f"{type(model).__name__} takes no features")
        columns, predict = model[0], _of_arrays(model[-1])
        encode = self._encoders[id(columns)] = _encoder(columns)
        return lambda rows: predict(encode(rows))


def check(pipeline: Any, inputs: pd.DataFrame) -> None:
    """Compare both forms on every row. Raises Disagreement or NotCompilable."""
    import numpy as np

    compiled = CompiledPipeline(pipeline)
    rows: Any = inputs.astype(object).where(inputs.notna(), None).to_dict("records")
    starts = range(0, len(rows), ROWS_PER_CHECK)
    actual = np.concatenate([compiled.predict(rows[s : s + ROWS_PER_CHECK]) for s in starts])
    expected = pipeline.predict(inputs)
    differs = ~np.isclose(actual, expected, rtol=RELATIVE_TOLERANCE, atol=0)
    if differs.any():
        row = int(differs.argmax())
        raise Disagreement(
            f"{differs.sum()} of {len(rows)} rows: number {row} is {actual[row]!r} compiled, "
            f"and {expected[row]!r} by the pipeline"
        )


# --- Models --------------------------------------------------------------------------------------


def _of_arrays(model: Any) -> Step:
    """A model that takes encoded columns, shape (n, width), and returns shape (n,)."""
    from sklearn.ensemble import GradientBoostingRegressor, VotingRegressor

    if isinstance(model, VotingRegressor) and model.weights is None:
        members = model.estimators_
        if all(isinstance(member, GradientBoostingRegressor) for member in members):
            return _gradient_boosting(members)
    composed: Step | None = _composed(model, _of_arrays)
    if composed:
        return composed
    return _linear(model) if hasattr(model, "coef_") else _trees(model)


def _composed(model: Any, compile_member: Callable[[Any], Callable[[Any], FloatArray]]) -> Any:
    """A model that is made of other models; None for one of any other kind."""
    import numpy as np
    from sklearn.compose import TransformedTargetRegressor
    from sklearn.ensemble import StackingRegressor, VotingRegressor

    if isinstance(model, TransformedTargetRegressor):
        transformed, inverse = compile_member(model.regressor_), model.inverse_func
        return lambda inputs: inverse(transformed(inputs))
    if not isinstance(model, VotingRegressor | StackingRegressor):
        return None
    members = [compile_member(member) for member in model.estimators_]
    if isinstance(model, VotingRegressor):
        combine: Step = partial(np.average, axis=1, weights=model.weights)
    else:
        combine = _of_arrays(model.final_estimator_)
    return lambda inputs: combine(np.column_stack([member(inputs) for member in members]))


def _linear(model: Any) -> Step:
    coefficients, intercept = model.coef_, model.intercept_
    return lambda encoded: row_sums(encoded * coefficients) + intercept


def _trees(model: Any) -> Step:
    from sklearn.ensemble import (
        ExtraTreesRegressor,
        GradientBoostingRegressor,
        HistGradientBoostingRegressor,
        RandomForestRegressor,
    )

    if isinstance(model, RandomForestRegressor | ExtraTreesRegressor):
        return _forest(model)
    if isinstance(model, GradientBoostingRegressor):
        return _gradient_boosting([model])
    if isinstance(model, HistGradientBoostingRegressor):
        tables = TreeTables(boosted_trees.of_histogram_boosting(model))
        start = float(model._baseline_prediction.item())  # noqa: SLF001  # there is no public access
        return lambda encoded: start + row_sums(tables.values(encoded))
    raise NotCompilable(f"{type(model).__name__} is not known")


def _gradient_boosting(members: Sequence[Any]) -> Step:
    """The mean of some ensembles, in the tables of one."""
    weight = 1 / len(members)
    start = weight * sum(float(member.init_.constant_.item()) for member in members)
    tables = TreeTables(
        tree for member in members for tree in boosted_trees.of_gradient_boosting(member, weight)
    )
    return lambda encoded: start + row_sums(tables.values(_single(encoded)))


def _forest(model: Any) -> Step:
    """Trees that are too large for tables; one after the other, without scikit-learn's checks."""
    trees = [estimator.tree_ for estimator in model.estimators_]

    def predict(encoded: FloatArray) -> FloatArray:
        inputs = _single(encoded)
        total = sum(tree.predict(inputs) for tree in trees)
        mean: FloatArray = total.reshape(len(encoded)) / len(trees)
        return mean

    return predict


def _single(encoded: FloatArray) -> Any:
    """In single precision, as trees of scikit-learn compare numbers."""
    import numpy as np

    return np.ascontiguousarray(encoded, dtype=np.float32)


# --- Columns -------------------------------------------------------------------------------------


def _encoder(columns: ColumnTransformer) -> Encoder:
    """Of all columns, side by side in the transformer's order."""
    import numpy as np

    weights = columns.transformer_weights or {}
    parts = [
        _weighted(_part(transformer, list(features)), weights.get(name))
        for name, transformer, features in columns.transformers_
        if transformer != "drop" and len(features)
    ]
    return lambda rows: np.concatenate([part(rows) for part in parts], axis=1)


def _weighted(part: Encoder, weight: float | None) -> Encoder:
    return part if weight is None else lambda rows: part(rows) * weight


def _part(transformer: Any, features: list[str]) -> Encoder:
    """Of the columns that one transformer makes."""
    import numpy as np

    tables = _tables(transformer)
    if tables is not None:
        lookups = list(zip(features, tables, strict=True))
        return lambda rows: np.concatenate([_look_up(rows, *lookup) for lookup in lookups], axis=1)
    step = _step(transformer)

    def encode(rows: Rows) -> FloatArray:
        values = [[row[feature] for feature in features] for row in rows]
        return step(np.array(values, dtype=np.float64))  # None becomes NaN

    return encode


def _look_up(rows: Rows, feature: str, table: tuple[dict[Any, int], FloatArray]) -> FloatArray:
    positions, encoded = table
    found: FloatArray = encoded[[positions.get(row[feature], -1) for row in rows]]
    return found


def _tables(transformer: Any) -> list[tuple[dict[Any, int], FloatArray]] | None:
    """For each category feature, the place of each category, and what is encoded for each place.

    The last row is for categories that were not known when the transformer was fitted. Returns
    None for a transformer of numbers.
    """
    import numpy as np
    from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, TargetEncoder

    if isinstance(transformer, OneHotEncoder):
        if transformer.drop_idx_ is not None or transformer.handle_unknown != "ignore":
            raise NotCompilable("A one-hot encoding that drops or refuses categories.")
        encoded = [np.eye(len(known) + 1, len(known)) for known in transformer.categories_]
    elif isinstance(transformer, OrdinalEncoder):
        unknown = [float(transformer.unknown_value)]
        encoded = [
            np.concatenate([np.arange(len(known), dtype=float), unknown])[:, np.newaxis]
            for known in transformer.categories_
        ]
    elif isinstance(transformer, TargetEncoder):
        encoded = [
            np.append(means, transformer.target_mean_)[:, np.newaxis]
            for means in transformer.encodings_
        ]
    else:
        return None
    places = [
        {category: place for place, category in enumerate(known.tolist())}
        for known in transformer.categories_
    ]
    return list(zip(places, encoded, strict=True))


def _step(transformer: Any) -> Step:
    """A transformer of numbers, from shape (n, k) to shape (n, width)."""
    import numpy as np
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import Pipeline
    from sklearn.preprocessing import FunctionTransformer, SplineTransformer, StandardScaler

    if isinstance(transformer, Pipeline):
        steps = [_step(step) for _, step in transformer.steps]
        return lambda values: reduce(lambda result, step: step(result), steps, values)
    if transformer == "passthrough":
        return lambda values: values
    if isinstance(transformer, FunctionTransformer):
        return transformer.func or (lambda values: values)
    if isinstance(transformer, StandardScaler):
        mean, scale = transformer.mean_, transformer.scale_
        return lambda values: (values - mean) / scale
    if isinstance(transformer, SimpleImputer):
        typical = transformer.statistics_
        return lambda values: np.where(np.isnan(values), typical, values)
    if isinstance(transformer, SplineTransformer):
        return _splines(transformer)
    raise NotCompilable(f"{type(transformer).__name__} is not known")


# A spline is a polynomial between two knots. So the basis splines of a feature are a table of
# coefficients: for each interval, those of each basis spline. Beyond the outermost knots they go on
# in straight lines, which are two intervals more.
def _splines(transformer: Any) -> Step:
    import numpy as np

    if transformer.extrapolation != "linear" or not transformer.include_bias:
        raise NotCompilable("Splines that do not go on in straight lines.")
    pieces = [_pieces(spline, transformer.degree) for spline in transformer.bsplines_]
    knots = np.array([starts[1:] for starts, _ in pieces])  # (k, intervals - 1)
    starts = np.array([starts for starts, _ in pieces])  # (k, intervals)
    coefficients = np.array([table for _, table in pieces])  # (k, intervals, degree + 1, splines)
    features = np.arange(len(pieces))

    def evaluate(values: FloatArray) -> FloatArray:
        interval = (values[:, :, np.newaxis] >= knots).sum(axis=2)
        offsets = (values - starts[features, interval])[:, :, np.newaxis]
        powers = np.moveaxis(coefficients[features, interval], 2, 0)
        splines: FloatArray = reduce(lambda result, power: result * offsets + power, powers)
        return splines.reshape(len(values), -1)

    return evaluate


def _pieces(spline: Any, degree: int) -> tuple[FloatArray, FloatArray]:
    """The basis splines of one feature: where each interval starts, and its polynomials.

    Shapes (intervals,) and (intervals, degree + 1, splines); the highest power comes first, and is
    of the distance to the start. The first interval has none, and is measured from its end.
    """
    import numpy as np

    starts = spline.t[degree : -degree - 1]
    ends = spline.t[[degree, -degree - 1]]
    table = [_polynomial(spline, start, degree, degree) for start in starts]
    before, beyond = (_polynomial(spline, end, degree, 1) for end in ends)
    # As in scikit-learn, only the outermost basis splines go on.
    before[:, degree:] = 0
    beyond[:, :-degree] = 0
    return np.array([ends[0], *starts, ends[1]]), np.array([before, *table, beyond])


def _polynomial(spline: Any, at: float, degree: int, highest: int) -> FloatArray:
    """The Taylor polynomial of each basis spline, up to a power: shape (degree + 1, splines)."""
    import numpy as np

    powers = np.zeros((degree + 1, spline.c.shape[1]))
    for power in range(highest + 1):
        powers[degree - power] = spline(at, nu=power) / factorial(power)
    return powers
