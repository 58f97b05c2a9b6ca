"""What each feature contributed to a prediction: SHAP values, in the target's unit.

Exact for trees (Lundberg et al., From local explanations to global understanding with explainable
AI for trees, 2020) and for linear models; a blend's are the weighted sums of its members', since
Shapley values are linear. The columns that a feature was encoded in are summed back to it.

Where a model predicts the logarithm of its target, contributions are additive there, and change
into the target's unit by the logarithmic mean of value and baseline (Ang, The LMDI approach to
decomposition analysis, 2005): each keeps its share, and they still add up.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mlmodels.serving import row_sums

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray
    from sklearn.compose import ColumnTransformer

    FloatArray = NDArray[np.float64]
    Backgrounds = list[FloatArray]

Explainers = dict[int, Any]  # of trees, slow to make; by the id of a model that outlives them


@dataclass(frozen=True)
class Contributions:
    """`baseline` has one number for each row; `parts` a row of one for each feature.

    Each row's baseline and parts add up to its prediction.
    """

    baseline: FloatArray
    parts: FloatArray

    @property
    def values(self) -> FloatArray:
        total: FloatArray = self.baseline + self.parts.sum(axis=1)
        return total


class Unexplainable(TypeError):
    """There is no exact explanation for this kind of model."""


def preload() -> None:
    """Import what explaining trees needs, before there is a model.

    The library keeps an error of its import for ever, and with it what its callers had at hand.
    """
    import shap  # noqa: F401


def backgrounds(pipeline: Any, inputs: pd.DataFrame) -> Backgrounds:
    """What the linear parts of a fitted pipeline are explained against: their columns' means."""
    found: Backgrounds = []
    _Explainer(list(inputs.columns), found, learning=True).explain(pipeline, inputs)
    return found


def explain(
    pipeline: Any, inputs: pd.DataFrame, means: Backgrounds, known: Explainers | None = None
) -> Contributions:
    """Explain the predictions for `inputs`; `means` are what `backgrounds` gave at training.

    Explainers that are made are kept in `known` for the next time. Raises Unexplainable.
    """
    explainer = _Explainer(list(inputs.columns), list(means), known, learning=False)
    return explainer.explain(pipeline, inputs)


class _Explainer:
    """Walks a fitted pipeline. Linear parts are met in the same order each time."""

    def __init__(
        self,
        features: Sequence[str],
        means: Backgrounds,
        known: Explainers | None = None,
        *,
        learning: bool,
    ) -> None:
        self._features = list(features)
        self._means = means
        self._known: Explainers = {} if known is None else known
        self._learning = learning
        self._met = 0

    def explain(self, model: Any, inputs: pd.DataFrame) -> Contributions:
        """Of a model that takes the features as they are entered."""
        from sklearn.pipeline import Pipeline

        found = self._explain_composed(model, inputs, self.explain)
        if found is not None:
            return found
        if isinstance(model, Pipeline):
            columns, regressor = model[0], model[-1]
            return self._by_feature(
                columns, self._explain_encoded(regressor, columns.transform(inputs))
            )
        raise Unexplainable(f"{type(model).__name__} takes no features")

    def _explain_encoded(self, model: Any, encoded: FloatArray) -> Contributions:
        """Of a model that takes encoded columns."""
        found = self._explain_composed(model, encoded, self._explain_encoded)
        if found is not None:
            return found
        if hasattr(model, "coef_"):
            return self._explain_linear(model, encoded)
        return self._explain_trees(model, encoded)

    def _explain_composed(
        self, model: Any, inputs: Any, explain: Callable[[Any, Any], Contributions]
    ) -> Contributions | None:
        """Of a model that is made of others, which `explain` explains; None of any other."""
        from sklearn.compose import TransformedTargetRegressor
        from sklearn.ensemble import StackingRegressor, VotingRegressor

        if isinstance(model, TransformedTargetRegressor):
            return _from_logarithm(model, explain(model.regressor_, inputs))
        if not isinstance(model, VotingRegressor | StackingRegressor):
            return None
        members = [explain(member, inputs) for member in model.estimators_]
        return _sum(members, *_weights(model))

    def _explain_linear(self, model: Any, encoded: FloatArray) -> Contributions:
        import numpy as np

        if self._learning:
            self._means.append(np.asarray(encoded, dtype=float).mean(axis=0))
        mean = self._means[self._met]
        self._met += 1
        baseline = np.full(len(encoded), float(model.intercept_ + (mean * model.coef_).sum()))
        return Contributions(baseline, (encoded - mean) * model.coef_)

    def _explain_trees(self, model: Any, encoded: FloatArray) -> Contributions:
        import numpy as np

        if self._learning:  # there is nothing to learn of them
            return Contributions(np.zeros(len(encoded)), np.zeros(encoded.shape))
        explainer = self._known.get(id(model))
        if explainer is None:
            explainer = self._known[id(model)] = _tree_explainer(model)
        parts = np.asarray(explainer.shap_values(encoded, check_additivity=False), dtype=float)
        baseline = np.full(len(encoded), float(np.ravel(explainer.expected_value)[0]))
        return Contributions(baseline, parts)

    def _by_feature(self, columns: ColumnTransformer, encoded: Contributions) -> Contributions:
        """Sum the columns that each feature was encoded in."""
        import numpy as np

        parts = np.zeros((len(encoded.parts), len(self._features)))
        for position, feature in enumerate(_owners(columns)):
            parts[:, self._features.index(feature)] += encoded.parts[:, position]
        return Contributions(encoded.baseline, parts)


def _owners(columns: ColumnTransformer) -> list[str]:
    """The feature behind each encoded column, in their order."""
    owners: dict[int, str] = {}
    for name, transformer, features in columns.transformers_:
        place = columns.output_indices_[name]
        width = place.stop - place.start
        for offset, feature in enumerate(_owners_within(transformer, list(features), width)):
            owners[place.start + offset] = feature
    return [owners[position] for position in sorted(owners)]


def _owners_within(transformer: Any, features: list[str], width: int) -> list[str]:
    """One-hot encoding makes as many columns as there are categories; others as many of each."""
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
    """How much each member of a blend counts, and what is added besides."""
    import numpy as np
    from sklearn.ensemble import VotingRegressor

    if isinstance(blend, VotingRegressor):
        equal = np.ones(len(blend.estimators_))
        given = equal if blend.weights is None else np.asarray(blend.weights, dtype=float)
        return given / given.sum(), 0.0
    final = blend.final_estimator_
    if blend.passthrough or not hasattr(final, "coef_"):
        raise Unexplainable("Only a weighted sum of members can be taken apart.")
    return final.coef_, float(final.intercept_)


def _sum(members: Sequence[Contributions], weights: FloatArray, intercept: float) -> Contributions:
    import numpy as np

    baseline = np.full_like(members[0].baseline, intercept)
    parts = np.zeros_like(members[0].parts)
    # One after the other: the last bit of a matrix product depends on how many rows there are.
    for member, weight in zip(members, weights, strict=True):
        baseline += weight * member.baseline
        parts += weight * member.parts
    return Contributions(baseline, parts)


def _from_logarithm(model: Any, logs: Contributions) -> Contributions:
    """From the logarithm of the target to its unit."""
    import numpy as np

    if model.func is not np.log or model.inverse_func is not np.exp:
        raise Unexplainable("Only the logarithm of a target can be undone.")
    change = row_sums.add_up(logs.parts)
    baseline = np.exp(logs.baseline)
    # (e^change - 1) / change, which is 1 where nothing changes.
    growth = np.divide(np.expm1(change), change, out=np.ones_like(change), where=change != 0)
    return Contributions(baseline, logs.parts * (baseline * growth)[:, np.newaxis])
