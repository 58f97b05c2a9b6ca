"""What each feature contributed to a prediction: SHAP values, in the target's unit.

The values are exact for trees (Lundberg et al., From local explanations to global understanding
with explainable AI for trees, 2020) and for linear models. Those of a blend are the weighted sums
of its members' values, since Shapley values are linear in the model. A feature that was encoded in
several columns, such as a one-hot category, gets the sum of their values.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from mlmodels.serving import row_sums

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray
    from sklearn.compose import ColumnTransformer

    FloatArray = NDArray[np.float64]
    Backgrounds = list[FloatArray]

# From one of a pipeline's column transformers to the rows as it encodes them, shape (n, width).
Encode = Callable[["ColumnTransformer"], "FloatArray"]

# The explainers of tree models, which take long to build, by the `id` of their model. Whoever keeps
# them must keep the models as well, or an id may be reused.
TreeExplainers = dict[int, Any]


@dataclass(frozen=True)
class Contributions:
    """SHAP values of n predictions from k features, in the unit of the model's output.

    `baseline` has shape (n,), `parts` shape (n, k). The baseline of a row and its parts add up to
    its prediction.
    """

    baseline: FloatArray
    parts: FloatArray


class Unexplainable(TypeError):
    """There is no exact explanation for this kind of model."""


def preload() -> None:
    """Import shap at the start of a process, before any model is loaded.

    If one of its optional parts cannot be imported, shap keeps the exception for ever, and with the
    exception's traceback all local variables of the functions that were running. Imported while a
    model is scored, it would keep that model in memory.
    """
    import shap  # noqa: F401


def backgrounds(pipeline: Any, inputs: pd.DataFrame) -> Backgrounds:
    """The background of each linear model in a fitted pipeline: the means of its columns.

    A linear model's contributions are relative to them. `inputs` are the training rows.
    """
    means: Backgrounds = []
    encode = partial(_transform, inputs)
    _Explainer(list(inputs.columns), encode, means, collect_means=True).explain(pipeline)
    return means


def explain(pipeline: Any, inputs: pd.DataFrame, means: Backgrounds) -> Contributions:
    """Explain the predictions for a data frame, as `explain_encoded` does."""
    return explain_encoded(pipeline, list(inputs.columns), partial(_transform, inputs), means)


def explain_encoded(
    pipeline: Any,
    features: Sequence[str],
    encode: Encode,
    means: Backgrounds,
    tree_explainers: TreeExplainers | None = None,
) -> Contributions:
    """Explain predictions; `means` are what `backgrounds` returned at training.

    Tree explainers are taken from `tree_explainers`, and added to it if they are not there yet.
    Raises Unexplainable.
    """
    return _Explainer(features, encode, list(means), tree_explainers).explain(pipeline)


def _transform(inputs: pd.DataFrame, columns: ColumnTransformer) -> FloatArray:
    encoded: FloatArray = columns.transform(inputs)
    return encoded


class _Explainer:
    """Explains a fitted pipeline once, by walking through the models it is made of.

    The walk visits the linear models in the same order each time. With `collect_means`, it appends
    the column means of each of them to `means`, and the result is of no use; otherwise it takes
    them from there.
    """

    def __init__(
        self,
        features: Sequence[str],
        encode: Encode,
        means: Backgrounds,
        tree_explainers: TreeExplainers | None = None,
        *,
        collect_means: bool = False,
    ) -> None:
        self._features = list(features)
        self._encode = encode
        self._means = means
        self._tree_explainers: TreeExplainers = {} if tree_explainers is None else tree_explainers
        self._collect_means = collect_means
        self._linear_models_visited = 0

    def explain(self, model: Any) -> Contributions:
        """Of a model that takes the features as they are entered."""
        from sklearn.pipeline import Pipeline

        contributions = self._explain_composed(model, self.explain)
        if contributions is not None:
            return contributions
        if isinstance(model, Pipeline):
            columns, regressor = model[0], model[-1]
            encoded = self._explain_encoded(regressor, self._encode(columns))
            return self._by_feature(columns, encoded)
        raise Unexplainable(f"{type(model).__name__} takes no features")

    def _explain_encoded(self, model: Any, encoded: FloatArray) -> Contributions:
        """Of a model that takes encoded columns."""
        contributions = self._explain_composed(
            model, lambda member: self._explain_encoded(member, encoded)
        )
        if contributions is not None:
            return contributions
        if hasattr(model, "coef_"):
            return self._explain_linear(model, encoded)
        return self._explain_trees(model, encoded)

    def _explain_composed(
        self, model: Any, explain: Callable[[Any], Contributions]
    ) -> Contributions | None:
        """Of a model that is made of other models, each of which `explain` explains.

        Returns None for a model of any other kind.
        """
        from sklearn.compose import TransformedTargetRegressor
        from sklearn.ensemble import StackingRegressor, VotingRegressor

        if isinstance(model, TransformedTargetRegressor):
            return _to_target_unit(model, explain(model.regressor_))
        if not isinstance(model, VotingRegressor | StackingRegressor):
            return None
        members = [explain(member) for member in model.estimators_]
        return _weighted_sum(members, *_weights(model))

    def _explain_linear(self, model: Any, encoded: FloatArray) -> Contributions:
        import numpy as np

        if self._collect_means:
            self._means.append(np.asarray(encoded, dtype=float).mean(axis=0))
        mean = self._means[self._linear_models_visited]
        self._linear_models_visited += 1
        baseline = np.full(len(encoded), float(model.intercept_ + (mean * model.coef_).sum()))
        return Contributions(baseline, (encoded - mean) * model.coef_)

    def _explain_trees(self, model: Any, encoded: FloatArray) -> Contributions:
        import numpy as np

        if self._collect_means:  # trees have none; explaining the training rows would take long
            return Contributions(np.zeros(len(encoded)), np.zeros(encoded.shape))
        explainer = self._tree_explainers.get(id(model))
        if explainer is None:
            explainer = self._tree_explainers[id(model)] = _tree_explainer(model)
        parts = np.asarray(explainer.shap_values(encoded, check_additivity=False), dtype=float)
        baseline = np.full(len(encoded), float(np.ravel(explainer.expected_value)[0]))
        return Contributions(baseline, parts)

    def _by_feature(self, columns: ColumnTransformer, encoded: Contributions) -> Contributions:
        """Sum the columns that each feature was encoded in."""
        import numpy as np

        parts = np.zeros((len(encoded.parts), len(self._features)))
        for position, feature in enumerate(_source_features(columns)):
            parts[:, self._features.index(feature)] += encoded.parts[:, position]
        return Contributions(encoded.baseline, parts)


def _source_features(columns: ColumnTransformer) -> list[str]:
    """For each encoded column, in their order, the feature it was made from."""
    sources: dict[int, str] = {}
    for name, transformer, features in columns.transformers_:
        encoded = columns.output_indices_[name]
        width = encoded.stop - encoded.start
        for offset, feature in enumerate(_features_by_column(transformer, list(features), width)):
            sources[encoded.start + offset] = feature
    return [sources[position] for position in sorted(sources)]


def _features_by_column(transformer: Any, features: list[str], width: int) -> list[str]:
    """The same for one transformer, which makes `width` columns.

    One-hot encoding makes a column for each category of a feature; every other transformer makes
    the same number of columns for each feature. Raises Unexplainable if that does not add up.
    """
    if hasattr(transformer, "categories_") and width != len(features):
        counts = [len(categories) for categories in transformer.categories_]
    elif features:
        counts = [width // len(features)] * len(features)
    else:
        counts = []
    if sum(counts) != width:
        raise Unexplainable(f"{type(transformer).__name__} mixes features")
    return [feature for feature, count in zip(features, counts, strict=True) for _ in range(count)]


def _tree_explainer(model: Any) -> Any:
    from shap import TreeExplainer

    try:
        return TreeExplainer(model, feature_perturbation="tree_path_dependent")
    except Exception as error:  # the library raises its own for what it does not know
        raise Unexplainable(f"{type(model).__name__}: {error}") from error


def _weights(blend: Any) -> tuple[FloatArray, float]:
    """The weight of each member of a blend, shape (m,), and the intercept. Raises Unexplainable."""
    import numpy as np
    from sklearn.ensemble import VotingRegressor

    if isinstance(blend, VotingRegressor):
        equal = np.ones(len(blend.estimators_))
        weights = equal if blend.weights is None else np.asarray(blend.weights, dtype=float)
        return weights / weights.sum(), 0.0
    final = blend.final_estimator_
    if blend.passthrough or not hasattr(final, "coef_"):
        raise Unexplainable("Only a weighted sum of members can be taken apart.")
    return final.coef_, float(final.intercept_)


def _weighted_sum(
    members: Sequence[Contributions], weights: FloatArray, intercept: float
) -> Contributions:
    """Of the members' contributions, added one member after the other.

    The last bits of a matrix product would depend on the number of rows; see `row_sums`.
    """
    import numpy as np

    baseline = np.full_like(members[0].baseline, intercept)
    parts = np.zeros_like(members[0].parts)
    for member, weight in zip(members, weights, strict=True):
        baseline += weight * member.baseline
        parts += weight * member.parts
    return Contributions(baseline, parts)


# From the logarithm of a target to its unit. A model of log price has a baseline b and parts p_i,
# and predicts exp(b + sum p_i). The parts add up on the logarithmic scale; in dollars, they would
# multiply. To get parts that add up in dollars, the difference between the prediction and the
# baseline, exp(b + c) - exp(b) with c = sum p_i, is divided in proportion to the p_i. So each p_i
# is multiplied by (exp(b + c) - exp(b)) / c, which is the logarithmic mean of prediction and
# baseline (Ang, The LMDI approach to decomposition analysis, 2005). It is computed as
# exp(b) * expm1(c) / c, which stays exact for small c; for c = 0, its limit is exp(b).
def _to_target_unit(model: Any, logs: Contributions) -> Contributions:
    """From contributions to log target to contributions to the target. Raises Unexplainable."""
    import numpy as np

    if model.func is not np.log or model.inverse_func is not np.exp:
        raise Unexplainable("Only the logarithm of a target can be undone.")
    change = row_sums.row_sums(logs.parts)
    baseline = np.exp(logs.baseline)
    growth = np.divide(np.expm1(change), change, out=np.ones_like(change), where=change != 0)
    return Contributions(baseline, logs.parts * (baseline * growth)[:, np.newaxis])
