"""Explanations: contributions that add up to the prediction, for every predictor."""

import numpy as np
import pandas as pd
import pytest

from mlmodels.domains import predictor_specs
from mlmodels.domains.base import Domain
from mlmodels.models import Predictor
from mlmodels.serving import explanations, inference
from mlmodels.serving.explanations import Unexplainable
from mlmodels.signature import Signature
from testing.rows import rows_of

ENTRIES = [pytest.param(domain, spec.name, id=spec.name) for domain, spec in predictor_specs()]


@pytest.mark.parametrize(("domain", "name"), ENTRIES)
def test_baseline_and_contributions_add_up_to_the_value(
    predictors: dict[str, Predictor], domain: Domain, name: str
) -> None:
    version = predictors[name].current_version
    assert version
    signature = Signature.from_json(version.signature)
    rows = rows_of(domain, signature, count=60)
    scorer = inference.scorer(version.pk)

    values, explained = scorer.predict(rows), scorer.explain(rows)

    for value, explanation in zip(values, explained, strict=True):
        assert explanation
        assert list(explanation["contributions"]) == [feature.name for feature in signature.scored]
        total = explanation["baseline"] + sum(explanation["contributions"].values())
        assert total == pytest.approx(value, rel=1e-6)
    assert len({item["baseline"] for item in explained if item}) == 1


def test_a_linear_models_contributions_are_weight_times_distance_from_the_mean() -> None:
    from sklearn.compose import ColumnTransformer
    from sklearn.linear_model import LinearRegression
    from sklearn.pipeline import Pipeline

    inputs = pd.DataFrame({"x": [0.0, 1.0, 2.0, 3.0], "y": [1.0, 0.0, 0.0, 1.0]})
    columns = ColumnTransformer([("numbers", "passthrough", ["x", "y"])])
    pipeline = Pipeline([("columns", columns), ("model", LinearRegression())])
    pipeline.fit(inputs, 2 * inputs["x"] - 10 * inputs["y"] + 7)

    contributions = explanations.explain(
        pipeline, pd.DataFrame({"x": [4.0], "y": [1.0]}), explanations.backgrounds(pipeline, inputs)
    )

    assert contributions.parts == pytest.approx(np.array([[2 * (4 - 1.5), -10 * (1 - 0.5)]]))
    assert contributions.baseline == pytest.approx(np.array([2 * 1.5 - 10 * 0.5 + 7]))


def test_the_columns_of_a_category_are_summed_back_to_it() -> None:
    from sklearn.compose import ColumnTransformer
    from sklearn.linear_model import LinearRegression
    from sklearn.pipeline import Pipeline
    from sklearn.preprocessing import OneHotEncoder

    inputs = pd.DataFrame({"make": ["a", "b", "c"] * 4, "doors": ["two", "four"] * 6})
    target = inputs["make"].map({"a": 1.0, "b": 5.0, "c": 9.0})
    columns = ColumnTransformer(
        [("categories", OneHotEncoder(sparse_output=False), ["make", "doors"])]
    )
    pipeline = Pipeline([("columns", columns), ("model", LinearRegression())])
    pipeline.fit(inputs, target)

    contributions = explanations.explain(
        pipeline, inputs[:3], explanations.backgrounds(pipeline, inputs)
    )

    assert contributions.parts.shape == (3, 2)
    assert contributions.parts[:, 0] == pytest.approx(np.array([-4.0, 0.0, 4.0]))
    assert contributions.parts[:, 1] == pytest.approx(np.zeros(3))


def test_trees_are_explained_as_by_trying_every_order_of_features() -> None:
    from sklearn.compose import ColumnTransformer
    from sklearn.pipeline import Pipeline
    from sklearn.tree import DecisionTreeRegressor

    inputs = pd.DataFrame({"x": [0.0, 0.0, 1.0, 1.0], "y": [0.0, 1.0, 0.0, 1.0]})
    columns = ColumnTransformer([("numbers", "passthrough", ["x", "y"])])
    pipeline = Pipeline([("columns", columns), ("model", DecisionTreeRegressor(random_state=0))])
    pipeline.fit(inputs, [0.0, 2.0, 4.0, 10.0])

    contributions = explanations.explain(pipeline, inputs[3:], [])

    # Means with neither, x, y and both known are 4, 7, 6 and 10.
    assert contributions.baseline == pytest.approx(np.array([4.0]))
    assert contributions.parts == pytest.approx(
        np.array([[((7 - 4) + (10 - 6)) / 2, ((6 - 4) + (10 - 7)) / 2]])
    )


def test_a_model_that_cannot_be_explained_exactly_is_refused() -> None:
    from sklearn.compose import ColumnTransformer
    from sklearn.neighbors import KNeighborsRegressor
    from sklearn.pipeline import Pipeline

    inputs = pd.DataFrame({"x": [0.0, 1.0, 2.0]})
    columns = ColumnTransformer([("numbers", "passthrough", ["x"])])
    pipeline = Pipeline([("columns", columns), ("model", KNeighborsRegressor(1))])
    pipeline.fit(inputs, [0.0, 1.0, 2.0])

    with pytest.raises(Unexplainable):
        explanations.explain(pipeline, inputs, [])
