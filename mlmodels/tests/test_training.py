"""Training on the real data: its accuracy, that it repeats, and what the catalogue records."""

import hashlib
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.core.management import CommandError, call_command

from accounts.models import User
from carprice.http.errors import InvalidInput
from mlmodels.catalogue import pricing, publishing, queries
from mlmodels.catalogue.card import Card, Metrics
from mlmodels.catalogue.queries import PredictorNotFound
from mlmodels.domains import DOMAINS, predictor_specs
from mlmodels.domains.base import Domain, PredictorSpec
from mlmodels.models import Predictor, PredictorVersion, PriceChange
from mlmodels.serving import artefacts
from mlmodels.training import cross_validation, train
from mlmodels.training.cross_validation import Assessment, Plan
from testing.fixtures import PLAN

Trained = list[tuple[Domain, PredictorSpec, Card]]

NAMES = [spec.name for _, spec in predictor_specs()]


@pytest.fixture
def cards(trained: Trained) -> dict[str, Card]:
    return {spec.name: card for _, spec, card in trained}


@pytest.fixture
def operator(db: None) -> User:
    return get_user_model().objects.create_superuser("op@example.com", "!")


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


def publish_all(trained: Trained) -> None:
    for domain, spec, card in trained:
        publishing.publish(domain, spec, card)
    for name in DOMAINS:
        pricing.price_by_rank(name)


def prices() -> dict[str, int]:
    return dict(Predictor.objects.values_list("name", "price"))


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

    assert (metrics.folds, metrics.repeats) == (PLAN.folds, PLAN.repeats)
    assert metrics.rows == len(domain.load(domain.data_path))
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


def test_training_again_gives_the_same_metrics_on_any_number_of_processes(
    cards: dict[str, Card],
) -> None:
    domain, spec = entry("linear_regression")

    again = train.train(domain, spec, jobs=1, progress=lambda _: None, plan=PLAN)

    assert again.metrics == cards["linear_regression"].metrics
    assert again.signature == cards["linear_regression"].signature


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


# --- What is recorded ----------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_a_version_records_where_it_comes_from(
    predictors: dict[str, Predictor], cards: dict[str, Card], name: str
) -> None:
    version = predictors[name].current_version

    assert version
    domain, _ = entry(name)
    data = domain.data_path.read_bytes()
    assert version.data_sha256 == hashlib.sha256(data).hexdigest()
    assert version.libraries == artefacts.library_releases()
    assert version.sklearn_version == version.libraries["scikit-learn"]
    assert version.seed == cross_validation.SEED
    assert version.metrics == cards[name].metrics_json()
    assert (version.target, version.unit, version.number) == (domain.target, domain.unit, 1)


def test_publishing_the_same_artefact_again_makes_no_second_version(
    trained: Trained, db: None
) -> None:
    publish_all(trained)

    publish_all(trained)

    assert PredictorVersion.objects.count() == len(NAMES)


def test_publishing_again_takes_a_fault_away(trained: Trained, db: None) -> None:
    publish_all(trained)
    PredictorVersion.objects.update(fault="The artefact is gone.")

    publish_all(trained)

    assert Predictor.objects.on_sale().count() == len(NAMES)


def test_another_artefact_becomes_the_next_version_and_leaves_the_last_one(
    trained: Trained, predictors: dict[str, Predictor]
) -> None:
    domain, spec, card = trained[0]
    first = predictors[spec.name].current_version
    assert first

    second = publishing.publish(domain, spec, replace(card, artefact_sha256="f" * 64))

    kept = PredictorVersion.objects.get(pk=first.pk)
    assert (kept.number, second.number) == (1, 2)
    assert kept.artefact_sha256 == card.artefact_sha256
    assert Predictor.objects.get(name=spec.name).current_version == second


# --- Prices --------------------------------------------------------------------------------------


def test_the_smaller_its_error_the_more_a_predictor_costs(
    predictors: dict[str, Predictor], cards: dict[str, Card]
) -> None:
    for domain in DOMAINS.values():
        names = [spec.name for spec in domain.predictors]
        by_error = sorted(names, key=lambda name: cards[name].metrics.rmse, reverse=True)
        assert [predictors[name].price for name in by_error] == [10, 25, 40, 55][: len(names)]


def test_prices_follow_when_the_errors_change(trained: Trained, predictors: Any) -> None:
    cars = [spec.name for spec in DOMAINS["car_price"].predictors]
    best = max(cars, key=lambda name: prices()[name])
    domain, spec, card = next(item for item in trained if item[1].name == best)
    worse = replace(card, artefact_sha256="f" * 64, metrics=replace(card.metrics, rmse=9_999.0))

    publishing.publish(domain, spec, worse)
    pricing.price_by_rank(domain.name)

    assert prices()[best] == 10
    assert sorted(prices()[name] for name in cars) == [10, 25, 40, 55]


def test_an_operators_price_survives_retraining(
    trained: Trained, predictor: Predictor, operator: User
) -> None:
    pricing.set_price(predictor_id=predictor.pk, price=77, actor=operator)

    publish_all(trained)

    assert prices()["random_forest"] == 77


def test_an_operators_price_survives_even_if_it_equals_the_one_by_rank(
    trained: Trained, predictor: Predictor, operator: User
) -> None:
    pricing.set_price(predictor_id=predictor.pk, price=predictor.price, actor=operator)
    domain, spec, card = next(item for item in trained if item[1].name == "random_forest")
    worse = replace(card, artefact_sha256="f" * 64, metrics=replace(card.metrics, rmse=9_999.0))

    publishing.publish(domain, spec, worse)
    pricing.price_by_rank(domain.name)

    assert prices()["random_forest"] == predictor.price


def test_who_set_a_price_is_recorded(predictor: Predictor, operator: User) -> None:
    before = predictor.price

    pricing.set_price(predictor_id=predictor.pk, price=77, actor=operator)

    change = PriceChange.objects.filter(predictor=predictor).first()
    assert change
    assert (change.previous, change.price, change.actor) == (before, 77, operator)


def test_retraining_records_no_change_where_the_price_stays(
    trained: Trained, predictors: Any
) -> None:
    before = PriceChange.objects.count()

    publish_all(trained)

    assert PriceChange.objects.count() == before


@pytest.mark.parametrize("price", [0, -1, 1_000_001])
def test_a_price_out_of_range_is_refused(predictor: Predictor, operator: User, price: int) -> None:
    with pytest.raises(InvalidInput):
        pricing.set_price(predictor_id=predictor.pk, price=price, actor=operator)

    assert prices()["random_forest"] == predictor.price


def test_a_new_predictor_does_not_put_a_disabled_one_on_sale_again(
    trained: Trained, predictor: Predictor
) -> None:
    Predictor.objects.filter(pk=predictor.pk).update(enabled=False)

    publish_all(trained)

    with pytest.raises(PredictorNotFound):
        queries.find_on_sale("random_forest")


# --- The command ---------------------------------------------------------------------------------


@pytest.mark.django_db
def test_the_command_refuses_a_name_it_does_not_know() -> None:
    with pytest.raises(CommandError, match="linear_regression, gradient_boosting, random_forest"):
        call_command("train", only="oracle")


def test_the_command_trains_nothing_that_loads(
    predictors: dict[str, Predictor], capsys: pytest.CaptureFixture[str]
) -> None:
    call_command("train", missing=True)

    assert capsys.readouterr().out == ""
    assert PredictorVersion.objects.count() == len(NAMES)


def test_the_command_trains_what_is_missing_and_says_how_good_it_is(
    predictors: dict[str, Predictor],
    settings: Any,
    tmp_path: Any,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    copy_artefact: Callable[[str], None],
) -> None:
    monkeypatch.setattr(Plan, "for_rows", lambda _: Plan(2, 1, 2, by_group=False))
    settings.MODELS_DIR = tmp_path
    for name in set(NAMES) - {"linear_regression"}:
        copy_artefact(name)

    call_command("train", missing=True, jobs=1)

    output = capsys.readouterr().out
    assert "linear_regression" in output
    assert "random_forest" not in output
    assert "MAE 1," in output
    assert "MAPE" in output


@pytest.fixture
def copy_artefact(
    predictors: dict[str, Predictor], settings: Any, tmp_path: Any
) -> Callable[[str], None]:
    """Put a predictor's artefact into the directory of this test."""
    source = settings.MODELS_DIR

    def copy(name: str) -> None:
        version = predictors[name].current_version
        assert version
        file = f"{version.artefact_sha256}.joblib"
        (tmp_path / file).write_bytes((source / file).read_bytes())

    return copy
