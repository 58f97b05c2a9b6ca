"""The example alerts and dashboard name metrics that exist; the runbook has a section for each."""

import json
import re
from typing import Any

import pytest
import yaml
from django.conf import settings
from django.test import Client

from accounts.models import User
from carprice.metrics import registry
from mlmodels.models import Predictor
from predictions import services
from predictions.execution import runner
from predictions.metrics import LEASES_LOST
from predictions.models import AuditRun, Prediction
from predictions.tasks import beat

PLACE = settings.BASE_DIR / "deploy" / "monitoring"
RUNBOOK = (settings.BASE_DIR / "docs" / "monitoring.md").read_text()
RULES: list[dict[str, Any]] = [
    rule
    for group in yaml.safe_load((PLACE / "alerts.yml").read_text())["groups"]
    for rule in group["rules"]
]
DASHBOARD: dict[str, Any] = json.loads((PLACE / "dashboard.json").read_text())
NAME = re.compile(r"carprice_\w+")


def expressions() -> list[str]:
    panels = [target["expr"] for panel in DASHBOARD["panels"] for target in panel["targets"]]
    return [rule["expr"] for rule in RULES] + panels


@pytest.fixture
def exposed(user: User, predictor: Predictor) -> dict[str, set[str]]:
    """Every metric of a service that has done everything once, with its labels."""
    services.request_prediction(
        user=user, predictor=predictor, data={"brand": "bmw", "horsepower": 121}
    )
    version_id: Any = predictor.current_version_id
    assert runner.run_queued(Prediction, version_id)
    beat.apply()
    registry.count(LEASES_LOST, "prediction")
    AuditRun.objects.create(breaches=0, seconds=1, accounts=1, balance=1, held=0)
    Client().get("/healthz")
    text = Client().get("/metrics").content.decode()
    labels: dict[str, set[str]] = {}
    for line in text.splitlines():
        if match := re.match(r"(carprice_\w+)(\{.*?\})? ", line):
            labels.setdefault(match[1], set()).update(re.findall(r'(\w+)="', match[2] or ""))
    return labels


@pytest.mark.django_db(transaction=True)
def test_every_metric_and_label_that_is_asked_for_is_exposed(exposed: dict[str, set[str]]) -> None:
    asked = {name for expression in expressions() for name in NAME.findall(expression)}

    assert len(asked) > 15
    assert asked - set(exposed) == set()
    for expression in expressions():
        names = NAME.findall(expression)
        known = set().union(*(exposed[name] for name in names), {"job"})
        wanted = set(re.findall(r"(\w+)(?:=~|!~|!=|=)\"", expression))
        for words in re.findall(r"\bby \(([\w, ]+)\)", expression):
            wanted |= set(words.split(", "))
        assert wanted <= known, expression


@pytest.mark.django_db(transaction=True)
def test_every_metric_is_described_and_no_other(exposed: dict[str, set[str]]) -> None:
    families = {re.sub("_(bucket|count|sum)$", "", name) for name in exposed}

    section = RUNBOOK.partition("## Metrics")[2].partition("## Logs")[0]
    assert set(NAME.findall(section)) == families


@pytest.mark.parametrize("expression", expressions())
def test_an_expression_is_whole(expression: str) -> None:
    for opening, closing in ("()", "[]", "{}"):
        assert expression.count(opening) == expression.count(closing)
    assert re.search(r"carprice", expression)


def test_every_alert_has_its_section_and_every_section_its_alert() -> None:
    names = [rule["alert"] for rule in RULES]
    sections = dict(
        part.split("\n", 1) for part in RUNBOOK.partition("## Alerts")[2].split("\n### ")[1:]
    )

    assert len(set(names)) == len(names) > 10
    assert list(sections) == names
    for name, text in sections.items():
        assert "**Check**" in text, name
        assert "**Cure**" in text, name


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: str(rule["alert"]))
def test_an_alert_says_how_bad_it_is_and_what_it_saw(rule: dict[str, Any]) -> None:
    assert rule["labels"]["severity"] in {"page", "ticket"}
    assert rule["annotations"]["summary"].endswith(".")


def test_the_panels_of_the_dashboard_do_not_overlap() -> None:
    places = [
        (panel["gridPos"]["x"], panel["gridPos"]["y"], panel["id"]) for panel in DASHBOARD["panels"]
    ]

    assert len({place[:2] for place in places}) == len({place[2] for place in places})
    assert len(places) >= 10
