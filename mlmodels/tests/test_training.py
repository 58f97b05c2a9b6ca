"""Training on the real data: its accuracy, and that it repeats."""

from dataclasses import replace
from statistics import fmean
from typing import Any

import pytest

from mlmodels.catalogue.card import Card, Metrics
from mlmodels.domains import predictor_specs
from mlmodels.domains.base import Domain, PredictorSpec
from mlmodels.models import PredictorVersion
from mlmodels.serving import artefacts
from mlmodels.training import cross_validation, train
from mlmodels.training.cross_validation import Assessment, Plan
from testing.fixtures import PLAN, Trained

NAMES = [spec.name for _, spec in predictor_specs()]


@pytest.fixture
def cards(trained: Trained) -> dict[str, Card]:
    return {spec.name: card for _, spec, card in trained}


def entry(name: str) -> tuple[Domain, PredictorSpec]:
    """A predictor's domain and specification."""
    return next((domain, spec) for domain, spec in predictor_specs() if spec.name == name)


def assess(
    pipeline: Any,
    inputs: Any,
    target: Any,
    plan: Plan = Plan(10, 1, 2),  # noqa: B008  # frozen
) -> Assessment:
    return cross_validation.assess(
        pipeline,
        inputs,
        target,
        plan=plan,
        relative_errors=False,
        group=None,
        jobs=1,
        progress=lambda _: None,
    )


# --- Accuracy ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "r2", "mae", "mape"),
    [
        ("linear_regression", 0.90, 1550, 0.115),
        ("gradient_boosting", 0.90, 1550, 0.110),
        ("random_forest", 0.90, 1650, 0.115),
        ("car_price_blend", 0.91, 1450, 0.105),
        ("bioage_ridge", 0.930, 4.4, 0.105),
        ("bioage_gradient_boosting", 0.930, 4.4, 0.105),
        ("bioage_blend", 0.933, 4.3, 0.102),
        ("bloodage_ridge", 0.63, 8.7, 0.22),
        ("bloodage_gradient_boosting", 0.67, 8.1, 0.20),
        ("bloodage_blend", 0.67, 8.1, 0.20),
    ],
)
def test_a_predictor_is_at_least_as_good_as_it_should_be(
    cards: dict[str, Card], name: str, r2: float, mae: float, mape: float
) -> None:
    metrics = cards[name].metrics

    assert metrics.r2 >= r2
    assert metrics.mae <= mae
    assert metrics.mape <= mape


def test_the_best_predictor_of_prices_is_as_good_as_is_promised() -> None:
    from sklearn import metrics
    from sklearn.model_selection import KFold, cross_val_predict

    domain, spec = entry("car_price_blend")
    cars = domain.load(domain.data_path)
    folds = KFold(10, shuffle=True, random_state=cross_validation.SEED)

    predicted = cross_val_predict(
        spec.build(), cars.iloc[:, :-1], cars["price"], cv=folds, n_jobs=2
    )

    assert metrics.r2_score(cars["price"], predicted) >= 0.94
    assert metrics.mean_absolute_error(cars["price"], predicted) <= 1330
    assert metrics.mean_absolute_percentage_error(cars["price"], predicted) <= 0.098


@pytest.mark.parametrize("name", NAMES)
def test_accuracy_is_measured_by_repeated_cross_validation(
    cards: dict[str, Card], name: str
) -> None:
    domain, _ = entry(name)
    metrics = cards[name].metrics
    rows = len(domain.load(domain.data_path))

    plans = [(plan.folds, plan.repeats) for plan in (Plan.for_rows(rows), PLAN)]
    assert (metrics.folds, metrics.repeats) in plans
    assert metrics.rows == rows
    assert metrics.mae_by_fold
    assert len(metrics.mae_by_fold) == metrics.folds * metrics.repeats
    assert fmean(metrics.mae_by_fold) == pytest.approx(metrics.mae, rel=0.01)
    assert (metrics.seed, cards[name].seed) == (cross_validation.SEED, cross_validation.SEED)


@pytest.mark.parametrize(("rows", "folds", "repeats"), [(201, 10, 3), (3_000, 5, 1)])
def test_the_fewer_rows_there_are_the_more_often_they_are_divided(
    rows: int, folds: int, repeats: int
) -> None:
    plan = Plan.for_rows(rows)

    assert (plan.folds, plan.repeats) == (folds, repeats)


@pytest.mark.parametrize("name", NAMES)
def test_the_measured_errors_are_plausible_together(cards: dict[str, Card], name: str) -> None:
    metrics = cards[name].metrics

    assert 0 < metrics.mae < metrics.rmse
    assert metrics.r2 < 0.99


def test_rows_are_scored_only_by_models_that_have_not_seen_them() -> None:
    import pandas as pd
    from sklearn.neighbors import KNeighborsRegressor

    inputs = pd.DataFrame({"x": [float(number) for number in range(40)]})
    target = pd.Series([1_000.0 + 100 * (number % 20) for number in range(40)])[::-1]

    assessment = assess(KNeighborsRegressor(1), inputs, target)

    assert assessment.metrics.mae > 50  # a memory of the row itself would be without error


def test_metrics_are_as_defined_in_textbooks() -> None:
    import numpy as np

    actual = np.array([100.0, 200.0] * 5)
    predicted = np.array([110.0, 160.0] * 5)
    out_of_fold = cross_validation._OutOfFold(actual, [(np.arange(0), np.arange(10))], [predicted])

    metrics = out_of_fold.metrics(repeats=1)

    assert metrics.mae == pytest.approx(25)
    assert metrics.rmse == pytest.approx(850**0.5)
    assert metrics.mape == pytest.approx(0.15)
    assert metrics.r2 == pytest.approx(1 - 1700 / 5000)
    assert metrics.rows == 10


# --- Reproducibility -----------------------------------------------------------------------------


def test_training_again_gives_the_same_on_any_number_of_processes() -> None:
    domain, spec = entry("linear_regression")

    (one, content), (two, same_content) = (
        train.prepare(domain, spec, jobs=jobs, progress=lambda _: None, plan=PLAN)
        for jobs in (1, 2)
    )

    assert replace(one, trained_at=two.trained_at) == two
    assert content == same_content


def test_a_quick_estimate_promises_less(cards: dict[str, Card]) -> None:
    domain, spec = entry("linear_regression")

    card, _ = train.prepare(domain, spec, jobs=1, progress=lambda _: None, plan=Plan.quick())

    metrics = card.metrics
    assert (metrics.quick_estimate, metrics.folds, metrics.repeats) == (True, 5, 1)
    assert (metrics.coverage, metrics.unseen_groups) == (None, None)
    assert metrics.mae == pytest.approx(cards[spec.name].metrics.mae, rel=0.15)
    assert len(card.calibration["margins"]) == 3
    assert card.report["importance"]


@pytest.mark.parametrize("name", ["random_forest", "bioage_gradient_boosting"])
def test_cross_validating_twice_gives_the_same_metrics(name: str) -> None:
    domain, spec = entry(name)
    rows = domain.load(domain.data_path)[:300]

    def measure() -> Metrics:
        return assess(spec.build(), rows.iloc[:, :-1], rows.iloc[:, -1], Plan(2, 1, 2)).metrics

    assert measure() == measure()


@pytest.mark.parametrize("name", NAMES)
def test_fitting_again_gives_the_same_predictions_as_the_artefact(
    cards: dict[str, Card], name: str
) -> None:
    domain, spec = entry(name)
    rows = domain.load(domain.data_path)
    inputs = rows[[feature.name for feature in domain.scored]]
    saved = artefacts.load(_unsaved_version(cards[name])).pipeline

    again = spec.build().fit(inputs, rows[domain.target].astype(float))

    assert again.predict(inputs) == pytest.approx(saved.predict(inputs), rel=1e-12)


def _unsaved_version(card: Card) -> PredictorVersion:
    return PredictorVersion(
        artefact_sha256=card.artefact_sha256,
        artefact_format=card.artefact_format,
        sklearn_version=card.libraries["scikit-learn"],
    )


def test_training_shows_how_far_it_is() -> None:
    lines: list[str] = []
    plan = Plan(5, 1, 2, by_group=False)

    train.train(*entry("linear_regression"), jobs=1, progress=lines.append, plan=plan)

    assert lines == [
        *(f"linear_regression: cross-validated {done} of 17 parts" for done in (4, 7, 11, 14, 17)),
        "linear_regression: fitting on 201 rows",
    ]
