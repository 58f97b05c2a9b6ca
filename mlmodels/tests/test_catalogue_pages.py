"""The start page and the catalogue show what the database says: prices and measured accuracy."""

import os
import re
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from django.test import Client

from accounts.models import User
from mlmodels.catalogue import availability, pricing, training_status
from mlmodels.domains import DOMAINS
from mlmodels.models import Predictor, PredictorVersion

pytestmark = pytest.mark.django_db

NAMES = ["linear_regression", "gradient_boosting", "random_forest"]


def text(response: Any) -> str:
    """A page's words, without its tags."""
    page = response.content.decode().replace("&nbsp;", " ").replace("&#x27;", "'")
    return " ".join(re.sub(r"<[^>]+>", " ", page).split())


def change_metrics(predictor: Predictor, **metrics: Any) -> None:
    """Let the database say something that no training would."""
    version = predictor.current_version
    assert version
    PredictorVersion.objects.filter(pk=version.pk).update(metrics={**version.metrics, **metrics})


@pytest.mark.parametrize("name", NAMES)
def test_the_catalogue_shows_each_predictor_with_its_price_and_typical_error(
    client: Client, predictors: dict[str, Predictor], name: str
) -> None:
    predictor = predictors[name]
    assert predictor.current_version

    page = text(client.get("/catalogue"))

    assert predictor.title in page
    assert f"{predictor.price} credits" in page
    assert f"{predictor.current_version.metrics['mae']:,.0f} USD" in page


@pytest.mark.usefixtures("predictors")
def test_the_start_page_tells_the_prices_and_the_smallest_error_of_each_domain(
    client: Client,
) -> None:
    page = text(client.get("/"))

    for name, domain in DOMAINS.items():
        rows = list(Predictor.objects.on_sale().with_version().filter(domain=name))
        prices = sorted({row.price for row in rows})
        dearest = rows[-1].current_version
        assert dearest
        assert domain.title in page
        assert f"{prices[0]} – {prices[-1]} credits" in page
        assert f"{dearest.metrics['mae']:,.{domain.decimals}f} {domain.unit}" in page


def test_the_catalogue_shows_how_often_ranges_hold_and_how_wide_they_are(
    client: Client, predictor: Predictor
) -> None:
    change_metrics(predictor, coverage=0.8774, range_width=4321.4)

    page = text(client.get("/catalogue"))

    assert "4,321 USD 87.7 %" in page


def test_a_version_that_is_older_than_ranges_is_shown_without_them(
    client: Client, predictors: dict[str, Predictor]
) -> None:
    for version in PredictorVersion.objects.all():
        early = {key: version.metrics[key] for key in ("mae", "mape", "r2", "rows", "folds")}
        PredictorVersion.objects.filter(pk=version.pk).update(metrics=early)

    page = client.get("/catalogue").content.decode()

    assert "Random forest" in page
    assert len(re.findall(r'data-label="(?:Range|Within)">\s*–', page)) == 2 * len(predictors)


@pytest.mark.parametrize("path", ["/", "/catalogue"])
def test_the_typical_error_is_the_databases(
    client: Client, predictor: Predictor, path: str
) -> None:
    change_metrics(predictor, mae=7654.3)

    assert "7,654 USD" in text(client.get(path))


@pytest.mark.parametrize("path", ["/", "/catalogue", "/catalogue/random_forest"])
def test_the_domain_decides_how_many_decimals_are_shown(
    client: Client, predictor: Predictor, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    change_metrics(predictor, mae=7654.321)
    monkeypatch.setitem(DOMAINS, "car_price", replace(DOMAINS["car_price"], decimals=2))

    page = text(client.get(path))

    assert "7,654.32 USD" in page


@pytest.mark.usefixtures("predictors")
def test_the_catalogue_says_how_accuracy_was_measured(client: Client, predictor: Predictor) -> None:
    change_metrics(predictor, repeats=4, folds=7, rows=1234)

    page = text(client.get("/catalogue"))

    for row in PredictorVersion.objects.exclude(predictor=predictor):
        repeats, folds, rows = (row.metrics[name] for name in ("repeats", "folds", "rows"))
        expected = (
            f"{repeats} \N{MULTIPLICATION SIGN} {folds}-fold cross-validation on {rows:,} rows"
        )
        assert expected in page
    assert "4 \N{MULTIPLICATION SIGN} 7-fold cross-validation on 1,234 rows" in page


@pytest.mark.parametrize("path", ["/", "/catalogue", "/estimate/random_forest"])
def test_an_operators_price_is_shown_at_once(
    client: Client, user: User, predictor: Predictor, path: str
) -> None:
    pricing.set_price(predictor_id=predictor.pk, price=1234, actor=user)
    client.force_login(user)

    assert "1,234 credits" in text(client.get(path))


def test_a_price_of_one_credit_is_in_the_singular(
    client: Client, user: User, predictor: Predictor
) -> None:
    pricing.set_price(predictor_id=predictor.pk, price=1, actor=user)

    page = text(client.get("/catalogue"))

    assert re.search(r"\b1 credit\b(?!s)", page)


def test_predictors_are_shown_cheapest_first(
    client: Client, predictors: dict[str, Predictor]
) -> None:
    page = text(client.get("/catalogue"))

    cars = [row for row in predictors.values() if row.domain == "car_price"]
    titles = [row.title for row in sorted(cars, key=lambda row: row.price)]
    assert sorted(titles, key=page.index) == titles


@pytest.mark.usefixtures("predictors")
@pytest.mark.parametrize("path", ["/", "/catalogue"])
@pytest.mark.parametrize("changes", [{"enabled": False}, {"current_version": None}], ids=str)
def test_what_is_not_on_sale_is_not_shown(
    client: Client, predictor: Predictor, path: str, changes: dict[str, Any]
) -> None:
    Predictor.objects.filter(pk=predictor.pk).update(**changes)

    page = client.get(path).content.decode()

    assert "/estimate/random_forest" not in page
    assert "/estimate/linear_regression" in page


@pytest.mark.parametrize("path", ["/", "/catalogue"])
def test_a_predictor_with_a_fault_is_not_shown(
    client: Client, predictor: Predictor, path: str
) -> None:
    assert predictor.current_version_id
    availability.record_fault(predictor.current_version_id, "The artefact is gone.")

    page = client.get(path).content.decode()

    assert "/estimate/random_forest" not in page


def test_predictors_that_are_as_good_as_each_other_say_so(
    client: Client, predictors: dict[str, Predictor]
) -> None:
    for name, errors in {
        "linear_regression": [5.0, 6.0, 7.0],
        "random_forest": [5.1, 5.9, 7.0],
    }.items():
        change_metrics(predictors[name], mae=6.0, mae_by_fold=errors)

    page = text(client.get("/catalogue"))

    assert "It differs from Random forest by no more than chance." in page
    assert "It differs from Linear regression by no more than chance." in page


@pytest.mark.parametrize("path", ["/catalogue", "/catalogue/random_forest"])
def test_a_quick_estimate_is_marked_as_one(client: Client, predictor: Predictor, path: str) -> None:
    assert "A quick estimate" not in text(client.get(path))

    change_metrics(predictor, quick_estimate=True)

    assert "A quick estimate" in text(client.get(path))


def test_the_catalogue_shows_what_is_being_trained_and_measured(
    client: Client, predictors: dict[str, Predictor]
) -> None:
    training_status.write(
        {
            "bioage_blend": training_status.TRAINING,
            "bloodage_blend": training_status.TRAINING,
            "random_forest": "cross-validated 42 of 207 parts",
        }
    )

    page = client.get("/catalogue")

    assert "8 of 10 predictors are on sale." in text(page)
    assert "Biological age, Blend: being trained" in text(page)
    assert "Price of a car, Random forest: cross-validated 42 of 207 parts" in text(page)
    assert '<progress value="8" max="10"' in page.content.decode()
    assert 'hx-trigger="every 2s"' in page.content.decode()
    assert "htmx-config" in page.content.decode()


def test_the_catalogue_stops_asking_when_all_is_trained(
    client: Client, predictors: dict[str, Predictor]
) -> None:
    plain, polled = client.get("/catalogue"), client.get("/catalogue", HTTP_HX_REQUEST="true")

    assert 'id="training"' not in plain.content.decode()
    assert "htmx" not in plain.content.decode()
    assert "Everything is on sale." in text(polled)
    assert "every 2s" not in polled.content.decode()


@pytest.mark.parametrize("content", ["", "[", "[1]", "\0"])
def test_a_status_that_cannot_be_read_is_not_shown(client: Client, content: str) -> None:
    training_status.path().write_text(content)

    assert 'id="training"' not in client.get("/catalogue").content.decode()


def test_the_status_of_a_training_that_was_killed_is_forgotten(client: Client) -> None:
    training_status.write({"bioage_blend": training_status.TRAINING})
    long_ago = time.time() - training_status.STALE_SECONDS - 1
    os.utime(training_status.path(), (long_ago, long_ago))

    assert 'id="training"' not in client.get("/catalogue").content.decode()


@pytest.fixture(autouse=True)
def _without_training_status() -> Iterator[None]:
    yield
    training_status.write({})


@pytest.mark.parametrize("path", ["/", "/catalogue"])
def test_an_empty_catalogue_says_so(client: Client, path: str) -> None:
    response = client.get(path)

    assert response.status_code == 200
    assert "Nothing is on sale at the moment." in text(response)


@pytest.mark.parametrize("path", ["/estimate/random_forest", "/catalogue"])
def test_strangers_and_customers_see_the_same_offer(
    client: Client, user: User, predictor: Predictor, path: str
) -> None:
    stranger = text(client.get(path))
    client.force_login(user)

    assert "Random forest" in stranger
    assert "Random forest" in text(client.get(path))


@pytest.mark.parametrize("name", NAMES)
def test_a_catalogue_entry_leads_to_its_form(
    client: Client, user: User, predictors: dict[str, Predictor], name: str
) -> None:
    client.force_login(user)
    assert f'href="/estimate/{name}"' in client.get("/catalogue").content.decode()

    response = client.get(f"/estimate/{name}")

    assert response.status_code == 200
    assert f"{predictors[name].price} credits" in text(response)


def test_the_form_comes_empty_and_says_what_is_typical(
    client: Client, user: User, predictor: Predictor
) -> None:
    client.force_login(user)

    page = client.get("/estimate/random_forest")

    form = page.context["form"]
    assert predictor.current_version
    for item in predictor.current_version.signature:
        assert not form[item["name"]].value()
    assert 'placeholder="typical: 95 hp"' in page.content.decode()
    assert "0 of 24 features are yours, 24 are typical values." in text(page)


def test_the_form_offers_every_choice_of_the_signature(
    client: Client, user: User, predictor: Predictor
) -> None:
    client.force_login(user)

    form = client.get("/estimate/random_forest").context["form"]

    assert predictor.current_version
    for item in predictor.current_version.signature:
        if item["type"] == "category":
            field = form.fields[item["name"]]
            if hasattr(field, "options"):  # it is searched by name
                assert [field.named(option) for option in field.options] == item["choices"]
            else:
                assert [value for value, _ in field.choices] == ["", *item["choices"]]


def test_the_form_shows_the_unit_of_a_measurement(
    client: Client, user: User, predictor: Predictor
) -> None:
    client.force_login(user)

    page = client.get("/estimate/random_forest")

    assert "Engine speed at peak power (rpm)" in text(page)
    assert '<option value="kW" data-factor="1.3410220' in page.content.decode()
