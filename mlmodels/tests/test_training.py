"""Training on the real data: how good it is, that it repeats, what the catalogue makes of it."""

import hashlib
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.core.management import CommandError, call_command

from accounts.models import User
from carprice.errors import InvalidInput
from mlmodels import artefacts, catalogue, training, validation
from mlmodels.catalogue import PredictorNotFound
from mlmodels.domains import DOMAINS, predictor_specs
from mlmodels.domains.base import Domain, PredictorSpec
from mlmodels.models import Predictor, PredictorVersion, PriceChange
from mlmodels.training import Card
from mlmodels.validation import Metrics

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


def publish_all(trained: Trained) -> None:
    for domain, spec, card in trained:
        catalogue.publish(domain, spec, card)
    for name in DOMAINS:
        catalogue.price_by_rank(name)


def prices() -> dict[str, int]:
    return dict(Predictor.objects.values_list("name", "price"))


# --- Accuracy ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "r2", "mae", "mape"),
    [
        ("linear_regression", 0.930, 1330, 0.102),
        ("gradient_boosting", 0.940, 1300, 0.096),
        ("random_forest", 0.935, 1340, 0.099),
    ],
)
def test_a_predictor_is_at_least_as_good_as_it_should_be(
    cards: dict[str, Card], name: str, r2: float, mae: float, mape: float
) -> None:
    found = cards[name].metrics

    assert found.r2 >= r2
    assert found.mae <= mae
    assert found.mape <= mape


@pytest.mark.parametrize("name", NAMES)
def test_accuracy_is_measured_by_repeated_cross_validation(
    cards: dict[str, Card], name: str
) -> None:
    found = cards[name].metrics

    assert (found.folds, found.repeats, found.rows) == (10, 5, 201)
    assert (found.seed, cards[name].seed) == (validation.SEED, validation.SEED)


@pytest.mark.parametrize("name", NAMES)
def test_the_measured_errors_are_plausible_together(cards: dict[str, Card], name: str) -> None:
    found = cards[name].metrics

    assert 0 < found.mae < found.rmse
    assert found.r2 < 0.99


def test_rows_are_scored_only_by_models_that_have_not_seen_them() -> None:
    import pandas as pd
    from sklearn.neighbors import KNeighborsRegressor

    inputs = pd.DataFrame({"x": [float(number) for number in range(40)]})
    target = pd.Series([1_000.0 + 2_000 * (number % 2) for number in range(40)])

    found = validation.cross_validate(
        KNeighborsRegressor(1), inputs, target, jobs=1, progress=lambda _: None
    )

    assert found.mae > 1_000  # a memory of the row itself would be without error


def test_the_measures_are_the_textbooks() -> None:
    import numpy as np

    actual = np.array([100.0, 200.0] * validation.REPEATS)
    predicted = np.array([110.0, 160.0] * validation.REPEATS)

    found = validation._measure(actual, predicted)

    assert found.mae == pytest.approx(25)
    assert found.rmse == pytest.approx(850**0.5)
    assert found.mape == pytest.approx(0.15)
    assert found.r2 == pytest.approx(1 - 1700 / 5000)
    assert found.rows == 2


# --- The same again ------------------------------------------------------------------------------


def test_training_again_gives_the_same_metrics_on_any_number_of_processes(
    cards: dict[str, Card],
) -> None:
    domain, spec = entry("linear_regression")

    again = training.train(domain, spec, jobs=1, progress=lambda _: None)

    assert again.metrics == cards["linear_regression"].metrics
    assert again.signature == cards["linear_regression"].signature


@pytest.mark.parametrize("name", NAMES)
def test_validating_twice_gives_the_same_metrics(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr(validation, "FOLDS", 2)
    monkeypatch.setattr(validation, "REPEATS", 1)
    domain, spec = entry(name)
    cars = domain.load(domain.data_path)

    def measure() -> Metrics:
        return validation.cross_validate(
            spec.build(),
            cars.drop(columns="price"),
            cars["price"],
            jobs=1,
            progress=lambda _: None,
        )

    assert measure() == measure()


@pytest.mark.parametrize("name", NAMES)
def test_fitting_again_gives_the_same_predictions_as_the_artefact(
    cards: dict[str, Card], name: str
) -> None:
    domain, spec = entry(name)
    cars = domain.load(domain.data_path)
    inputs = cars[[feature.name for feature in domain.features]]
    saved = artefacts.load(_unsaved_version(cards[name]))

    again = spec.build().fit(inputs, cars["price"])

    assert again.predict(inputs) == pytest.approx(saved.predict(inputs), rel=1e-12)


def _unsaved_version(card: Card) -> PredictorVersion:
    return PredictorVersion(
        artefact_sha256=card.artefact_sha256,
        artefact_format=card.artefact_format,
        sklearn_version=card.libraries["scikit-learn"],
    )


def test_training_shows_how_far_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(validation, "REPEATS", 2)
    lines: list[str] = []

    training.train(*entry("linear_regression"), jobs=1, progress=lines.append)

    assert lines == [
        "linear_regression: cross-validated 10 of 20 folds",
        "linear_regression: cross-validated 20 of 20 folds",
        "linear_regression: fitting on 201 rows",
    ]


# --- What is recorded ----------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_a_version_records_where_it_comes_from(
    predictors: dict[str, Predictor], cards: dict[str, Card], name: str
) -> None:
    version = predictors[name].current_version

    assert version
    data = DOMAINS["car_price"].data_path.read_bytes()
    assert version.data_sha256 == hashlib.sha256(data).hexdigest()
    assert version.libraries == artefacts.library_versions()
    assert version.sklearn_version == version.libraries["scikit-learn"]
    assert version.seed == validation.SEED
    assert version.metrics == cards[name].metrics_json()
    assert (version.target, version.unit, version.number) == ("price", "USD", 1)


def test_publishing_the_same_artefact_again_makes_no_second_version(
    trained: Trained, db: None
) -> None:
    publish_all(trained)

    publish_all(trained)

    assert PredictorVersion.objects.count() == 3


def test_publishing_again_takes_a_fault_away(trained: Trained, db: None) -> None:
    publish_all(trained)
    PredictorVersion.objects.update(fault="The artefact is gone.")

    publish_all(trained)

    assert Predictor.objects.on_sale().count() == 3


def test_another_artefact_becomes_the_next_version_and_leaves_the_last_one(
    trained: Trained, predictors: dict[str, Predictor]
) -> None:
    domain, spec, card = trained[0]
    first = predictors[spec.name].current_version
    assert first

    second = catalogue.publish(domain, spec, replace(card, artefact_sha256="f" * 64))

    kept = PredictorVersion.objects.get(pk=first.pk)
    assert (kept.number, second.number) == (1, 2)
    assert kept.artefact_sha256 == card.artefact_sha256
    assert Predictor.objects.get(name=spec.name).current_version == second


# --- Prices --------------------------------------------------------------------------------------


def test_the_smaller_its_error_the_more_a_predictor_costs(
    predictors: dict[str, Predictor], cards: dict[str, Card]
) -> None:
    by_error = sorted(cards, key=lambda name: cards[name].metrics.rmse, reverse=True)

    assert [predictors[name].price for name in by_error] == [10, 25, 40]


def test_prices_follow_when_the_errors_change(trained: Trained, predictors: Any) -> None:
    best = max(prices(), key=lambda name: prices()[name])
    domain, spec, card = next(item for item in trained if item[1].name == best)
    worse = replace(card, artefact_sha256="f" * 64, metrics=replace(card.metrics, rmse=9_999.0))

    catalogue.publish(domain, spec, worse)
    catalogue.price_by_rank(domain.name)

    assert prices()[best] == 10
    assert sorted(prices().values()) == [10, 25, 40]


def test_an_operators_price_survives_retraining(
    trained: Trained, predictor: Predictor, operator: User
) -> None:
    catalogue.set_price(predictor_id=predictor.pk, price=77, actor=operator)

    publish_all(trained)

    assert prices()["random_forest"] == 77


def test_an_operators_price_survives_even_if_it_equals_the_given_one(
    trained: Trained, predictor: Predictor, operator: User
) -> None:
    catalogue.set_price(predictor_id=predictor.pk, price=predictor.price, actor=operator)
    domain, spec, card = next(item for item in trained if item[1].name == "random_forest")
    worse = replace(card, artefact_sha256="f" * 64, metrics=replace(card.metrics, rmse=9_999.0))

    catalogue.publish(domain, spec, worse)
    catalogue.price_by_rank(domain.name)

    assert prices()["random_forest"] == predictor.price


def test_who_set_a_price_is_recorded(predictor: Predictor, operator: User) -> None:
    before = predictor.price

    catalogue.set_price(predictor_id=predictor.pk, price=77, actor=operator)

    change = PriceChange.objects.filter(predictor=predictor).first()
    assert change
    assert (change.previous, change.price, change.actor) == (before, 77, operator)


def test_retraining_records_no_change_where_the_price_stays(
    trained: Trained, predictors: Any
) -> None:
    before = PriceChange.objects.count()

    publish_all(trained)

    assert PriceChange.objects.count() == before == 3


@pytest.mark.parametrize("price", [0, -1, 1_000_001])
def test_a_price_out_of_range_is_refused(predictor: Predictor, operator: User, price: int) -> None:
    with pytest.raises(InvalidInput):
        catalogue.set_price(predictor_id=predictor.pk, price=price, actor=operator)

    assert prices()["random_forest"] == predictor.price


def test_a_new_predictor_does_not_put_a_disabled_one_on_sale_again(
    trained: Trained, predictor: Predictor
) -> None:
    Predictor.objects.filter(pk=predictor.pk).update(enabled=False)

    publish_all(trained)

    with pytest.raises(PredictorNotFound):
        catalogue.find_on_sale("random_forest")


# --- The command ---------------------------------------------------------------------------------


@pytest.mark.django_db
def test_the_command_refuses_a_name_it_does_not_know() -> None:
    with pytest.raises(CommandError, match="linear_regression, gradient_boosting, random_forest"):
        call_command("train", only="oracle")


def test_the_command_trains_nothing_that_is_there(
    predictors: dict[str, Predictor], capsys: pytest.CaptureFixture[str]
) -> None:
    call_command("train", missing=True)

    assert capsys.readouterr().out == ""
    assert PredictorVersion.objects.count() == 3


def test_the_command_trains_what_is_missing_and_says_how_good_it_is(
    predictors: dict[str, Predictor],
    settings: Any,
    tmp_path: Any,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    copy_artefact: Callable[[str], None],
) -> None:
    monkeypatch.setattr(validation, "REPEATS", 1)
    settings.MODELS_DIR = tmp_path
    for name in ("gradient_boosting", "random_forest"):
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
