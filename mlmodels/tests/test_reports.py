"""The page of each predictor: what it says follows from its domain, its signature and its row."""

import re
from dataclasses import replace
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from rest_framework.test import APIClient

from accounts.models import User
from mlmodels.catalogue import publishing, queries
from mlmodels.catalogue.queries import PredictorNotFound
from mlmodels.domains import DOMAINS, predictor_specs
from mlmodels.models import Predictor, PredictorVersion
from mlmodels.reporting.reports import NO_BREAK, Report
from predictions.services import request_prediction
from testing.fixtures import Trained

pytestmark = pytest.mark.django_db

NAMES = [spec.name for _, spec in predictor_specs()]
CHARTS = ["predicted", "errors", "coverage", "importance"]
SPECIAL = '<b>Size</b> & "more"'


def page_of(client: Client, name: str, query: str = "") -> str:
    response = client.get(f"/catalogue/{name}{query}")
    assert response.status_code == 200
    return str(response.content.decode())


def text(page: str) -> str:
    """A page's words, without its tags."""
    for entity, character in [("&nbsp;", " "), ("&#x27;", "'"), ("&amp;", "&"), (NO_BREAK, " ")]:
        page = page.replace(entity, character)
    return " ".join(re.sub(r"<[^>]+>", " ", page).split())


def charts(page: str) -> dict[str, ET.Element]:
    roots = [ET.fromstring(svg) for svg in re.findall(r"<svg.*?</svg>", page, re.DOTALL)]
    labels = {root.get("aria-labelledby", ""): root for root in roots}  # icons have none
    return {label.split("-")[1]: root for label, root in labels.items() if label}


def version_of(predictor: Predictor) -> PredictorVersion:
    return queries.find_version(predictor.name)


def change(predictor: Predictor, **fields: Any) -> Report:
    """Store figures with the current version that no training would yield; returns its report."""
    PredictorVersion.objects.filter(pk=version_of(predictor).pk).update(**fields)
    return Report(version_of(predictor))


@pytest.fixture
def metrics(predictor: Predictor) -> dict[str, Any]:
    return dict(version_of(predictor).metrics)


# --- What every predictor's page says ------------------------------------------------------------


def test_each_predictor_has_a_page_with_its_price_its_accuracy_and_its_limits(
    client: Client, predictors: dict[str, Predictor]
) -> None:
    for name in NAMES:
        predictor, version = predictors[name], version_of(predictors[name])
        domain = DOMAINS[predictor.domain]

        page = page_of(client, name)

        words = text(page)
        assert f"Estimate for {predictor.price} credits" in words
        assert f"{version.metrics['mae']:,.{domain.decimals}f}" in words
        assert f"{100 * version.metrics['coverage']:.1f} %" in words
        for expected in [predictor.title, predictor.algorithm, domain.caveat, version.label]:
            assert expected in words
        # A link in a paragraph has tags, which become spaces.
        for paragraph in [*domain.source, *domain.faults, *domain.out_of_scope]:
            assert paragraph.replace(" ", "") in words.replace(" ", "")
        assert list(charts(page)) == CHARTS


def test_every_domain_has_its_source_its_license_and_what_is_out_of_scope() -> None:
    for domain in DOMAINS.values():
        assert any("License" in paragraph for paragraph in domain.source)
        assert len(domain.faults) >= 3
        assert len(domain.out_of_scope) >= 3


def test_a_page_follows_from_the_domain_alone_whatever_it_says(
    client: Client, predictor: Predictor, monkeypatch: pytest.MonkeyPatch
) -> None:
    domain = replace(
        DOMAINS["car_price"],
        source=(f"From {SPECIAL}.",),
        faults=(f"Fault {SPECIAL}.",),
        out_of_scope=(f"No {SPECIAL}.",),
    )
    monkeypatch.setitem(DOMAINS, domain.name, domain)

    page = page_of(client, predictor.name)

    assert SPECIAL not in page
    for start in ("From", "Fault", "No"):
        assert f"{start} &lt;b&gt;Size&lt;/b&gt; &amp; &quot;more&quot;." in page


def test_a_feature_may_be_called_anything(client: Client, predictor: Predictor) -> None:
    signature = version_of(predictor).signature
    for item in signature:
        item["label"] = f"{item['label']} {SPECIAL}"
    change(predictor, signature=signature)

    page = page_of(client, predictor.name)

    assert "<b>" not in page
    texts = [item.text for item in charts(page)["importance"].iter() if item.text]
    assert any("<b>Size</b>" in item for item in texts)


def test_a_page_has_no_script_and_no_style_of_its_own(client: Client, predictor: Predictor) -> None:
    page = page_of(client, predictor.name)

    assert not re.search(r"<script|<style|\sstyle=|\son\w+=", page)


def test_features_have_their_unit_default_data_and_limits(predictor: Predictor) -> None:
    lines = {line.feature.name: line for line in Report(version_of(predictor)).features}

    weight, fuel, brand = (lines[name] for name in ("curbweight", "fueltype", "brand"))
    assert weight.feature.unit == "lb"
    assert (weight.typical, weight.in_data) == ("2,414", "1,488 to 4,066")
    assert weight.allowed == "500 to 20,000"
    assert (fuel.typical, fuel.in_data) == ("petrol (gas)", "diesel, petrol (gas)")
    assert brand.in_data == "Alfa Romeo, Audi, BMW, Chevrolet, Dodge, Honda and 16 more"


def test_a_feature_that_is_only_compared_with_is_none_of_the_predictors(
    predictors: dict[str, Predictor],
) -> None:
    report = Report(version_of(predictors["bloodage_ridge"]))

    assert "chronological_age" not in {line.feature.name for line in report.features}


# --- Figures and charts --------------------------------------------------------------------------


def test_features_come_by_importance_with_their_share_of_all(predictor: Predictor) -> None:
    importance = [
        {"feature": "brand", "mean_contribution": 600.0},
        {"feature": "stroke", "mean_contribution": 200.0},
        *(
            {"feature": feature.name, "mean_contribution": 0.0}
            for feature in DOMAINS["car_price"].scored
            if feature.name not in ("brand", "stroke")
        ),
    ]

    report = change(predictor, report={"importance": importance})

    first, second, *_ = report.features
    assert (first.feature.name, first.share) == ("brand", f"75.0{NO_BREAK}%")
    assert (second.feature.name, second.contribution) == ("stroke", f"200{NO_BREAK}USD")
    [chart] = [chart for chart in report.charts if chart.name == "importance"]
    assert chart.figures.startswith(f"The first are Make by 600{NO_BREAK}USD, Stroke by 200")


def test_the_errors_are_in_the_text_too(predictor: Predictor) -> None:
    actual = [float(1_000 * number) for number in range(1, 11)]
    predicted = [value + 100 * number for number, value in enumerate(actual, 1)]

    report = change(predictor, report={"actual": actual, "predicted": predicted})

    figures = {chart.name: text(chart.figures) for chart in report.charts}
    assert figures["predicted"] == (
        "Half of these 10 estimates are off by at most 550 USD, nine in ten by at most 900 USD. "
        "The worst says 11,000 USD where 10,000 USD is true."
    )
    assert figures["errors"].startswith(
        "On average, estimates were 150 USD too high from 1,000 to 2,000, 350 USD too high from"
    )
    assert figures["errors"].endswith("and 950 USD too high from 9,000 to 10,000.")


def test_the_band_is_the_range_of_each_estimate(client: Client, predictor: Predictor) -> None:
    change(
        predictor,
        report={"actual": [0.0, 10_000.0], "predicted": [0.0, 10_000.0]},
        calibration={"edges": [], "margins": [0.5], "relative": True, "coverage": 0.9},
    )

    drawing = charts(page_of(client, predictor.name))["predicted"]

    paths = {item.get("class"): item.get("d", "") for item in drawing.iter()}
    band = re.findall(r"([\d.]+) ([\d.]+)", paths["band"])
    (left, bottom), (right, top) = re.findall(r"([\d.]+) ([\d.]+)", paths["guide"])
    assert band[0] == band[-1] == (left, bottom)
    upper, lower = [float(y) for x, y in band if x == right]
    assert upper == float(top)  # 15,000 is beyond the drawing
    assert lower == pytest.approx((float(bottom) + float(top)) / 2, abs=0.1)


def test_the_coverage_is_shown_in_total_and_by_thirds(
    client: Client, predictor: Predictor, metrics: dict[str, Any]
) -> None:
    measured = {"coverage": 0.912, "coverage_by_third": [0.895, 0.911, 0.93], "rows": 300}
    change(predictor, metrics={**metrics, **measured})

    page = page_of(client, predictor.name)

    assert (
        "It held for 91.2 % of all estimates: 89.5 % of the lowest third, 91.1 % of the middle "
        "third and 93.0 % of the highest third. With 100 cases in a third, chance alone moves a "
        "share by about 3.0 points." in text(page)
    )
    texts = [item.text or "" for item in charts(page)["coverage"].iter()]
    assert {f"91.2{NO_BREAK}%", f"89.5{NO_BREAK}%", "Highest third"} <= set(texts)


def test_makes_never_seen_have_a_column_of_their_own(
    client: Client, predictor: Predictor, metrics: dict[str, Any]
) -> None:
    unseen = {**metrics, "mae": 2_681.4, "coverage": None, "range_width": None}
    change(predictor, metrics={**metrics, "unseen_groups": unseen})

    words = text(page_of(client, predictor.name))

    assert "Make never seen" in words
    assert "2,681 USD" in words


def test_without_groups_left_out_there_is_no_such_column(
    client: Client, predictors: dict[str, Predictor]
) -> None:
    assert "never seen" not in text(page_of(client, "bioage_ridge"))


# --- Versions ------------------------------------------------------------------------------------


def test_a_version_that_is_older_than_ranges_and_charts_has_a_page_without_them(
    client: Client, predictor: Predictor, metrics: dict[str, Any]
) -> None:
    early = {name: metrics[name] for name in ("mae", "rmse", "mape", "r2")}
    counts = {"rows": 201, "folds": 10, "repeats": 5, "seed": 1}
    change(predictor, report={}, calibration=None, metrics={**early, **counts})

    page = page_of(client, predictor.name)

    assert charts(page) == {}
    assert "Typical error" in text(page)
    assert "Truth within the range" not in text(page)
    assert "1,488 to 4,066" in text(page)


@pytest.fixture
def versions(trained: Trained, predictor: Predictor) -> tuple[PredictorVersion, PredictorVersion]:
    """The random forest's first version, and the one that took its place."""
    domain, spec, card = next(item for item in trained if item[1].name == predictor.name)
    newer = replace(card, artefact_sha256="f" * 64, metrics=replace(card.metrics, mae=4_321.0))
    return version_of(predictor), publishing.publish(domain, spec, newer)


def test_an_older_version_keeps_its_report(
    client: Client, versions: tuple[PredictorVersion, PredictorVersion]
) -> None:
    old, new = versions

    current = text(page_of(client, "random_forest"))
    former = text(page_of(client, "random_forest", f"?version={old.label}"))

    assert "4,321 USD" in current
    assert "no longer" not in current
    assert f"This is the report of version {old.label}, which is no longer" in former
    assert "4,321 USD" not in former
    assert f"{old.metrics['mae']:,.0f} USD" in former
    assert text(page_of(client, "random_forest", f"?version={new.label}")) == current


@pytest.mark.parametrize(
    "label",
    ["", "1", "1-", "3-ffffffff", "1-ffffffff", "2-fffffff", "x", "1%00", "9" * 40, "٢-ffffffff"],
)
def test_an_unknown_version_is_not_found(
    client: Client, versions: tuple[PredictorVersion, PredictorVersion], label: str
) -> None:
    assert client.get(f"/catalogue/random_forest?version={label}").status_code == 404


@pytest.mark.usefixtures("predictors")
@pytest.mark.parametrize(
    "name", ["no_such", "RANDOM_FOREST", "random_forest%00", "a/b", "x" * 5000]
)
def test_an_unknown_predictor_is_not_found(client: Client, name: str) -> None:
    assert client.get(f"/catalogue/{name}").status_code == 404


def test_one_that_was_never_trained_has_no_report(client: Client, predictor: Predictor) -> None:
    Predictor.objects.filter(pk=predictor.pk).update(current_version=None)

    assert client.get("/catalogue/random_forest").status_code == 404


def test_one_whose_domain_was_removed_has_no_report(predictor: Predictor) -> None:
    Predictor.objects.filter(pk=predictor.pk).update(domain="weather")

    with pytest.raises(PredictorNotFound):
        queries.find_version(predictor.name)


@pytest.mark.parametrize("reason", ["disabled", "faulty"])
def test_what_is_not_on_sale_keeps_its_report_but_is_not_offered(
    client: Client, predictor: Predictor, reason: str
) -> None:
    if reason == "disabled":
        Predictor.objects.filter(pk=predictor.pk).update(enabled=False)
    else:
        change(predictor, fault="The artefact is gone.")

    page = page_of(client, "random_forest")

    assert "Not on sale at the moment." in page
    assert "/estimate/" not in page
    assert list(charts(page)) == CHARTS


def test_a_page_is_read_and_nothing_else(client: Client, predictor: Predictor) -> None:
    assert client.post("/catalogue/random_forest").status_code == 405


# --- The way there -------------------------------------------------------------------------------


def test_the_catalogue_leads_to_each_report(
    client: Client, predictors: dict[str, Predictor]
) -> None:
    page = client.get("/catalogue").content.decode()

    assert all(f'href="/catalogue/{name}"' in page for name in NAMES)


def test_the_form_leads_to_the_report(client: Client, user: User, predictor: Predictor) -> None:
    client.force_login(user)

    assert (
        'href="/catalogue/random_forest"' in client.get("/estimate/random_forest").content.decode()
    )


def test_a_result_leads_to_the_report_of_the_version_that_scored_it(
    client: Client, user: User, trained: Trained, predictor: Predictor
) -> None:
    row = request_prediction(user=user, predictor=predictor, data={"horsepower": 90})
    label = version_of(predictor).label
    domain, spec, card = next(item for item in trained if item[1].name == predictor.name)
    publishing.publish(domain, spec, replace(card, artefact_sha256="f" * 64))
    client.force_login(user)

    page = client.get(reverse("prediction", args=[row.pk])).content.decode()

    assert f'href="/catalogue/random_forest?version={label}"' in page
    assert "no longer" in page_of(client, "random_forest", f"?version={label}")


# --- The database --------------------------------------------------------------------------------


def test_a_page_takes_two_queries(
    client: Client, predictor: Predictor, django_assert_num_queries: Any
) -> None:
    with django_assert_num_queries(2):
        page_of(client, "random_forest")


def test_what_only_a_report_needs_is_read_nowhere_else(
    client: Client, api: APIClient, user: User, predictor: Predictor
) -> None:
    row = request_prediction(user=user, predictor=predictor, data={"horsepower": 90})
    client.force_login(user)

    with CaptureQueriesContext(connection) as queries:
        for path in ["/", "/catalogue", "/predictions", reverse("prediction", args=[row.pk])]:
            assert client.get(path).status_code == 200
        for path in ["/api/predictors", "/api/predictors/random_forest", f"/api/tasks/{row.pk}"]:
            assert api.get(path).status_code == 200

    assert len(queries) > 10
    assert not [query["sql"] for query in queries if '"report"' in query["sql"]]


def test_lists_read_no_signature(client: Client, api: APIClient, predictor: Predictor) -> None:
    with CaptureQueriesContext(connection) as queries:
        client.get("/")
        client.get("/catalogue")
        api.get("/api/predictors")

    assert not [query["sql"] for query in queries if '"signature"' in query["sql"]]
