"""A row gets the same number to the last bit, alone or among others."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.compose import TransformedTargetRegressor
from sklearn.ensemble import StackingRegressor, VotingRegressor
from sklearn.linear_model import Ridge
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from mlmodels.domains import predictor_specs
from mlmodels.domains.base import Domain
from mlmodels.models import Predictor
from mlmodels.serving import inference, row_sums
from mlmodels.signature import Signature
from testing.rows import rows_of

ENTRIES = [pytest.param(domain, spec.name, id=spec.name) for domain, spec in predictor_specs()]
COLUMNS = 41
SIZES = (64, 7)  # of the arrays that rows are divided into


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """As in a worker."""
    with threadpool_limits(1):
        yield


def in_arrays(rows: Any, size: int) -> Iterable[Any]:
    return (rows[start : start + size] for start in range(0, len(rows), size))


@pytest.mark.parametrize(("domain", "name"), ENTRIES)
def test_a_predictors_values_do_not_depend_on_the_rows_beside_them(
    predictors: dict[str, Predictor], domain: Domain, name: str
) -> None:
    version = predictors[name].current_version
    assert version
    rows = rows_of(domain, Signature.from_json(version.signature), count=80)
    scorer = inference.scorer(version.pk)

    together = scorer.predict(rows)

    for size in SIZES:
        parts = [value for array in in_arrays(rows, size) for value in scorer.predict(array)]
        assert parts == together
    assert [scorer.predict([row])[0] for row in rows[:8]] == together[:8]


@pytest.mark.parametrize(("domain", "name"), ENTRIES)
def test_a_predictors_explanations_do_not_depend_on_the_rows_beside_them(
    predictors: dict[str, Predictor], domain: Domain, name: str
) -> None:
    version = predictors[name].current_version
    assert version
    rows = rows_of(domain, Signature.from_json(version.signature), count=32)
    scorer = inference.scorer(version.pk)

    together = scorer.explain(rows)

    assert [item for array in in_arrays(rows, 7) for item in scorer.explain(array)] == together
    assert [scorer.explain([row])[0] for row in rows[:4]] == together[:4]


# --- Each kind of model --------------------------------------------------------------------------


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    values = np.random.default_rng(0).normal(size=(150, COLUMNS))
    return pd.DataFrame(values, columns=[f"x{number}" for number in range(COLUMNS)])


def ridge() -> Pipeline:
    return make_pipeline(StandardScaler(), Ridge(solver="cholesky"))


MODELS = [
    pytest.param(ridge, id="pipeline"),
    pytest.param(lambda: TransformedTargetRegressor(ridge()), id="transformed"),
    pytest.param(lambda: VotingRegressor([("a", ridge()), ("b", ridge())]), id="voting"),
    pytest.param(lambda: StackingRegressor([("a", ridge())], Ridge(), cv=2), id="stacking"),
]


@pytest.fixture
def fit(table: pd.DataFrame) -> Callable[[Callable[[], Any]], Any]:
    return lambda build: build().fit(table, table.sum(axis=1) + 0.1 * table["x0"] ** 2)


@pytest.mark.parametrize("build", MODELS)
def test_a_linear_part_adds_up_each_row_alike(
    build: Callable[[], Any], fit: Callable[..., Any], table: pd.DataFrame
) -> None:
    model = fit(build)
    before = model.predict(table)

    row_sums.use_row_sums(model)

    together = model.predict(table)
    assert np.concatenate([model.predict(part) for part in in_arrays(table, 1)]).tolist() == (
        together.tolist()
    )
    assert together == pytest.approx(before, rel=1e-12)


def test_the_order_in_memory_does_not_matter() -> None:
    parts = np.random.default_rng(0).normal(size=(100, COLUMNS))

    assert row_sums.row_sums(np.asfortranarray(parts)).tolist() == row_sums.row_sums(parts).tolist()


def test_what_no_model_can_take_is_still_refused(
    fit: Callable[..., Any], table: pd.DataFrame
) -> None:
    model = fit(ridge)
    row_sums.use_row_sums(model)

    with pytest.raises(ValueError, match="NaN"):
        model.predict(table.replace({"x0": {table["x0"][0]: np.nan}}))
