"""Compiled pipelines score as scikit-learn does, whatever the row; nothing else is sold."""

import io
import time
from collections.abc import Callable, Iterator
from typing import Any

import joblib
import numpy as np
import pandas as pd
import pytest
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import GradientBoostingRegressor, HistGradientBoostingRegressor
from sklearn.linear_model import Ridge
from sklearn.neighbors import KNeighborsRegressor
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import OneHotEncoder, SplineTransformer

from mlmodels.domains import predictor_specs
from mlmodels.domains.base import Domain
from mlmodels.models import Predictor
from mlmodels.serving import artefacts, boosted_trees, compilation, inference
from mlmodels.serving.compilation import CompiledPipeline, Disagreement, NotCompilable
from mlmodels.training import train
from testing.fixtures import Trained

NAMES = [spec.name for _, spec in predictor_specs()]


@pytest.fixture(params=NAMES)
def fitted(request: pytest.FixtureRequest, trained: Trained) -> tuple[Domain, Any]:
    """A predictor's domain and its fitted pipeline."""
    (domain, card), *_ = [(d, card) for d, spec, card in trained if spec.name == request.param]
    content = artefacts.path_of(card.artefact_sha256).read_bytes()
    return domain, joblib.load(io.BytesIO(content)).pipeline


def records(inputs: pd.DataFrame) -> list[dict[str, Any]]:
    return inputs.astype(object).where(inputs.notna(), None).to_dict("records")  # type: ignore[return-value]


def inputs_of(domain: Domain) -> pd.DataFrame:
    return domain.load(domain.data_path)[[feature.name for feature in domain.scored]]


def cpu_time(call: Callable[[], Any], times: int) -> float:
    """The least of some measurements, in seconds of this process."""

    def measure() -> Iterator[float]:
        for _ in range(times):
            begin = time.process_time_ns()
            call()
            yield (time.process_time_ns() - begin) / 1e9

    call()
    return min(measure())


def test_every_known_case_is_scored_alike(fitted: tuple[Domain, Any]) -> None:
    domain, pipeline = fitted

    compilation.check(pipeline, inputs_of(domain))


def test_what_was_never_seen_is_scored_alike(fitted: tuple[Domain, Any]) -> None:
    """Categories that no known case has, and numbers far outside of theirs."""
    domain, pipeline = fitted
    inputs = inputs_of(domain).head(20).copy()
    for number, feature in enumerate(domain.scored):
        if feature.type == "category":
            inputs.loc[number % 20, feature.name] = "never seen"
        else:
            assert feature.minimum is not None
            assert feature.maximum is not None
            inputs[feature.name] = inputs[feature.name].astype(float)
            inputs.loc[number % 20, feature.name] = max(feature.minimum, 0.01)
            inputs.loc[(number + 7) % 20, feature.name] = feature.maximum
            if feature.optional:
                inputs.loc[(number + 13) % 20, feature.name] = np.nan

    values = CompiledPipeline(pipeline).predict(records(inputs))

    np.testing.assert_allclose(values, pipeline.predict(inputs), rtol=1e-9)


def test_one_row_takes_a_fifteenth_of_the_time(fitted: tuple[Domain, Any]) -> None:
    domain, pipeline = fitted
    inputs = inputs_of(domain).head(1)
    compiled, rows = CompiledPipeline(pipeline), records(inputs)

    reference = cpu_time(lambda: pipeline.predict(inputs), 5)

    assert cpu_time(lambda: compiled.predict(rows), 30) <= reference / 15


def test_a_predictor_that_would_score_otherwise_is_not_trained(
    trained: Trained, monkeypatch: pytest.MonkeyPatch
) -> None:
    domain, spec, _ = trained[0]
    linear = compilation._linear
    monkeypatch.setattr(
        compilation, "_linear", lambda model: lambda encoded: linear(model)(encoded) * (1 + 1e-9)
    )
    table = domain.load(domain.data_path)

    with pytest.raises(Disagreement, match="201 of 201 rows: number 0 is"):
        train.fit(domain, spec, table[[f.name for f in domain.scored]], table["price"])


def test_what_was_published_before_is_scored_by_the_pipeline(
    trained: Trained, predictors: dict[str, Predictor]
) -> None:
    """Its stored predictions are reproduced to the last bit, so nothing else may score it."""
    predictor = predictors["bloodage_ridge"]
    version = predictor.current_version
    assert version is not None
    artefact = artefacts.load(version)
    before = artefacts.Artefact(artefact.pipeline, artefact.backgrounds, artefact.known_cases)
    (domain,) = [domain for domain, spec, _ in trained if spec.name == predictor.name]
    inputs = inputs_of(domain).head(50)

    values = inference.Scorer(before, train.signature_from_data(domain, inputs).scored).predict(
        records(inputs)
    )

    assert values == artefact.pipeline.predict(inputs).tolist()
    assert values != CompiledPipeline(artefact.pipeline).predict(records(inputs)).tolist()


@pytest.mark.parametrize(
    "model",
    [
        KNeighborsRegressor(),
        GradientBoostingRegressor(max_depth=None, n_estimators=1, min_samples_leaf=1),
    ],
    ids=["a kind that is not known", "trees that are too large"],
)
def test_what_cannot_be_compiled_is_told(model: Any) -> None:
    inputs = pd.DataFrame({"x": np.arange(100.0)})
    columns = ColumnTransformer([("x", "passthrough", ["x"])])
    pipeline = Pipeline([("columns", columns), ("model", model)]).fit(inputs, np.arange(100.0) ** 2)

    with pytest.raises(NotCompilable):
        CompiledPipeline(pipeline)


@pytest.mark.parametrize(
    ("transformer", "column"),
    [
        (OneHotEncoder(drop="first", sparse_output=False), ["a", "b", "c", "a"] * 5),
        (SplineTransformer(extrapolation="constant"), list(range(20))),
    ],
    ids=["one-hot", "splines"],
)
def test_a_transformer_with_other_settings_is_not_compiled(
    transformer: Any, column: list[Any]
) -> None:
    inputs = pd.DataFrame({"x": column})
    columns = ColumnTransformer([("x", transformer, ["x"])])
    pipeline = Pipeline([("columns", columns), ("model", Ridge())]).fit(inputs, np.arange(20.0))

    with pytest.raises(NotCompilable):
        CompiledPipeline(pipeline)


@pytest.mark.parametrize("leaves", [2, 31, 32, 33, 64])
def test_masks_of_every_size_find_the_leaf(leaves: int) -> None:
    generator = np.random.default_rng(leaves)
    rows = np.round(generator.normal(size=(400, 3)), 1)  # so that many values equal a threshold
    target = rows[:, 0] * rows[:, 1] + generator.normal(size=400)
    model = HistGradientBoostingRegressor(
        max_leaf_nodes=leaves, min_samples_leaf=1, max_iter=20, early_stopping=False
    ).fit(rows, target)

    tables = boosted_trees.TreeTables(boosted_trees.of_histogram_boosting(model))

    thresholds = np.concatenate([p.nodes["num_threshold"] for (p,) in model._predictors])
    edges = np.repeat(thresholds[:500, np.newaxis], 3, axis=1)  # a row on every side of each
    cases = np.concatenate([rows, edges, np.nextafter(edges, np.inf)])
    sums = tables.values(cases).sum(axis=1) + model._baseline_prediction.item()
    np.testing.assert_allclose(sums, model.predict(cases), rtol=1e-9)
