"""Publishing: what a version records of its training, and what predictors cost."""

import hashlib
from dataclasses import replace
from statistics import fmean
from typing import Any

import pytest
from django.contrib.auth import get_user_model

from accounts.models import User
from carprice.http.errors import InvalidInput
from mlmodels.catalogue import pricing, publishing, queries
from mlmodels.catalogue.card import Card
from mlmodels.catalogue.queries import PredictorNotFound
from mlmodels.domains import DOMAINS, predictor_specs
from mlmodels.models import Predictor, PredictorVersion, PriceChange
from mlmodels.serving import artefacts
from mlmodels.training import cross_validation
from testing.fixtures import Trained

NAMES = [spec.name for _, spec in predictor_specs()]


@pytest.fixture
def cards(trained: Trained) -> dict[str, Card]:
    return {spec.name: card for _, spec, card in trained}


@pytest.fixture
def operator(db: None) -> User:
    return get_user_model().objects.create_superuser("op@example.com", "!")


def publish_all(trained: Trained) -> None:
    for domain, spec, card in trained:
        publishing.publish(domain, spec, card)
    for name in DOMAINS:
        pricing.price_by_rank(name)


def prices() -> dict[str, int]:
    return dict(Predictor.objects.values_list("name", "price"))


# --- What is recorded ----------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_a_version_records_where_it_comes_from(
    predictors: dict[str, Predictor], cards: dict[str, Card], name: str
) -> None:
    version = predictors[name].current_version

    assert version
    domain = DOMAINS[predictors[name].domain]
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


def test_the_smaller_its_typical_error_the_more_a_predictor_costs(
    predictors: dict[str, Predictor], cards: dict[str, Card]
) -> None:
    for domain in DOMAINS.values():
        names = [spec.name for spec in domain.predictors]
        by_error = sorted(names, key=lambda name: cards[name].metrics.mae, reverse=True)
        by_price = [predictors[name].price for name in by_error]
        assert by_price == sorted(by_price)
        assert by_price[0] == 10 < by_price[-1]


def without_chance(trained: Trained) -> Trained:
    """The same, with no folds that tell what chance does."""
    return [
        (domain, spec, replace(card, metrics=replace(card.metrics, mae_by_fold=None)))
        for domain, spec, card in trained
    ]


def test_each_rank_has_a_price_of_its_own(trained: Trained, db: None) -> None:
    publish_all(without_chance(trained))

    for domain in DOMAINS.values():
        found = sorted(prices()[spec.name] for spec in domain.predictors)
        assert found == [10, 25, 40, 55][: len(found)]


def test_those_that_differ_by_chance_have_the_price_of_the_cheapest_of_them(
    trained: Trained, db: None
) -> None:
    folds = {
        "linear_regression": [11.0, 12.0, 13.0, 14.0],
        "random_forest": [10.0, 11.0, 12.0, 13.0],
        "gradient_boosting": [9.0, 10.0, 11.0, 11.9],
        "car_price_blend": [9.1, 9.9, 11.1, 11.7],
    }
    for domain, spec, card in trained:
        if errors := folds.get(spec.name):
            metrics = replace(card.metrics, mae=fmean(errors), mae_by_fold=errors)
            publishing.publish(domain, spec, replace(card, metrics=metrics))

    pricing.price_by_rank("car_price")

    assert prices() == {
        "linear_regression": 10,
        "random_forest": 25,
        "gradient_boosting": 40,
        "car_price_blend": 40,
    }


def test_those_to_come_have_their_ranks_already(trained: Trained, db: None) -> None:
    cars = [item for item in without_chance(trained) if item[0].name == "car_price"]
    *others, best = sorted(cars, key=lambda item: -item[2].metrics.mae)
    publishing.publish(*best)

    pricing.price_by_rank("car_price", {spec.name: card.metrics_json() for _, spec, card in others})

    assert prices() == {best[1].name: 55}


def test_prices_follow_when_the_errors_change(trained: Trained, predictors: Any) -> None:
    cars = [spec.name for spec in DOMAINS["car_price"].predictors]
    best = max(cars, key=lambda name: prices()[name])
    domain, spec, card = next(item for item in trained if item[1].name == best)
    metrics = replace(card.metrics, mae=9_999.0, mae_by_fold=None)

    publishing.publish(domain, spec, replace(card, artefact_sha256="f" * 64, metrics=metrics))
    pricing.price_by_rank(domain.name)

    assert prices()[best] == 10
    assert min(prices()[name] for name in cars if name != best) > 10


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
    worse = replace(card, artefact_sha256="f" * 64, metrics=replace(card.metrics, mae=9_999.0))

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
