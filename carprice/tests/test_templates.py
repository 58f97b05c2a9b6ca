"""What holds for every template: its lines are short, and it runs no query."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.db import connection
from django.template.base import Template
from django.test import Client
from pyotp import TOTP

from accounts.mail import links
from accounts.mail.links import Purpose
from accounts.models import User
from accounts.totp import services as totp
from mlmodels.catalogue import training_status
from mlmodels.models import Predictor
from predictions import services, sharing, trials, waiting, what_ifs
from predictions.execution import claims, examples, runner, settlement
from predictions.execution.scoring import Outcome
from predictions.models import Prediction, WhatIf
from predictions.services import request_prediction
from predictions.webhooks import services as webhooks
from testing.webhooks import PUBLIC

FOLDER = Path(settings.BASE_DIR) / "templates"
NAMES = sorted(str(path.relative_to(FOLDER)) for path in FOLDER.rglob("*.html"))
LONGEST_LINE = 120
# They extend, or stand in, pages that read the log of changes, or what a form chooses from.
DJANGOS_OWN_QUERIES = {
    "admin/index.html",
    "admin/change_form.html",
    "admin/long_list.html",
    "admin/price_history.html",
    "admin/auth/user/change_password.html",
}

CAR = {"brand": "bmw", "horsepower": 121}
PERSON = {"Height (cm)": 180, "Weight (kg)": 81}
HTMX = {"HX-Request": "true"}


@pytest.mark.parametrize("name", NAMES)
def test_no_line_is_longer_than_120_characters(name: str) -> None:
    lines = (FOLDER / name).read_text("utf-8").splitlines()

    assert [line for line in lines if len(line) > LONGEST_LINE] == []


class Nesting(HTMLParser):
    """Finds elements that are not closed where they should be."""

    VOID = frozenset(
        [
            "area",
            "base",
            "br",
            "col",
            "embed",
            "hr",
            "img",
            "input",
            "link",
            "meta",
            "source",
            "track",
            "use",
            "wbr",
        ]
    )

    def __init__(self, text: str) -> None:
        super().__init__()
        self.faults: list[str] = []
        self._open: list[str] = []
        self.feed(text)
        self.faults += self._open

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        if tag not in self.VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: Any) -> None:
        """Closed by itself."""

    def handle_endtag(self, tag: str) -> None:
        if self._open[-1:] == [tag]:
            self._open.pop()
        else:
            self.faults.append(f"/{tag} in {self._open[-1:]}")


class Visits:
    """Visits to pages: templates that were rendered, queries that these ran, what is not closed."""

    def __init__(self) -> None:
        self.templates: set[str] = set()
        self.unclosed: dict[str, list[str]] = {}
        self.queries: dict[str, list[str]] = {}

    def visit(self, client: Client, path: str, form: Any = None, **headers: str) -> None:
        queries: list[str] = []
        headers = {"Accept": "text/html", **headers}
        with queries_in_templates(queries):
            if form is None:
                response: Any = client.get(path, headers=headers)
            else:
                response = client.post(path, form, headers=headers)
        self.templates |= {template.name for template in response.templates}
        if queries:
            self.queries[path] = queries
        is_page = response.get("Content-Type", "").startswith("text/html")
        if is_page and (faults := Nesting(response.content.decode()).faults):
            self.unclosed[path] = faults


@contextmanager
def queries_in_templates(queries: list[str]) -> Iterator[None]:
    """Collect the SQL that runs while a template renders, after its context was made."""

    def collect(execute: Any, sql: str, *details: Any) -> Any:
        queries.append(sql)
        return execute(sql, *details)

    render = Template._render  # type: ignore[attr-defined]  # the stubs leave it out

    def collecting(template: Template, context: Any) -> Any:
        with connection.execute_wrapper(collect):
            return render(template, context)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Template, "_render", collecting)
        yield


@pytest.fixture
def rows(
    user: User, predictors: dict[str, Predictor], monkeypatch: pytest.MonkeyPatch
) -> dict[str, Prediction]:
    """A prediction in each state, one of them with an age gap, one with a what-if, one erased."""
    forest, ridge = predictors["random_forest"], predictors["bioage_ridge"]

    def buy(predictor: Predictor, data: dict[str, Any]) -> Prediction:
        return request_prediction(user=user, predictor=predictor, data=data, explain=True)

    def finish(predictor: Predictor, data: dict[str, Any]) -> Prediction:
        row = buy(predictor, data)
        runner.run_queued(Prediction, row.version_id)
        return row

    rows = {
        "finished": finish(forest, CAR),
        "person": finish(ridge, PERSON),
        "erased": finish(forest, CAR),
        "failed": buy(forest, CAR),
    }
    claim = claims.claim_first_attempts(Prediction, rows["failed"].version_id)
    assert claim
    settlement.settle(claim, [Outcome(claim.rows[0], failure="internal_error")])
    rows |= {"canceled": buy(forest, CAR), "running": buy(ridge, PERSON)}
    services.cancel(user=user, prediction_id=rows["canceled"].pk)
    assert claims.claim_first_attempts(Prediction, rows["running"].version_id)
    rows["queued"] = buy(forest, CAR)
    rows["draft"] = services.create_draft(
        user=user, predictor=forest, data={"horsepower": 0, "x": [1]}, explain=False
    )
    finished = rows["finished"]
    monkeypatch.setattr(
        waiting, "until_ended", lambda *_: runner.run_queued(WhatIf, finished.version_id)
    )
    what_ifs.ask(user=user, prediction_id=finished.pk, changes={"horsepower": 200})
    services.erase(user=user, prediction_id=rows["erased"].pk)
    examples.make_missing()
    return rows


@pytest.fixture
def visits(
    user: User,
    make_user: Callable[..., User],
    rows: dict[str, Prediction],
    monkeypatch: pytest.MonkeyPatch,
) -> Visits:
    """Every page, as those see it who may."""
    customer, operator = Client(), Client()
    customer.force_login(user)
    staff = make_user("op@example.com", is_staff=True, is_superuser=True)
    operator.force_login(staff)
    visits = Visits()
    training_status.write({"bioage_blend": training_status.TRAINING})
    for path in ["/", "/catalogue", "/account/sign-in", "/account/sign-up", "/api/docs"]:
        visits.visit(Client(), path)
    for path in [
        "/account/forgot",
        "/account/reset/unknown",
        links.path(Purpose.RESET, user, user.email),
        links.path(Purpose.VERIFY, user, user.email),
        links.path(Purpose.CHANGE, user, "countess@example.com"),
    ]:
        visits.visit(Client(), path)
    for path in [
        "/",
        "/catalogue",
        "/catalogue/random_forest",
        "/estimate/random_forest",
        "/wallet",
        "/predictions",
        "/predictions?status=finished",
        "/account",
        "/account/keys",
        "/account/delete",
        "/wallet/statements",
        f"/wallet/statements/{datetime.now(UTC):%Y-%m}",
        f"/predictions/chosen?id={rows['finished'].pk}&id={rows['person'].pk}&do=compare",
        f"/predictions/chosen?id={rows['finished'].pk}&do=delete",
        f"/shared/{sharing.share(user=user, prediction_id=rows['finished'].pk).token}",
        "/no-such-page",
        "/predictors",
        "/account/webhooks",
    ]:
        visits.visit(customer, path)
    visits.visit(customer, "/predictions", **HTMX)
    visits.visit(customer, "/estimate/random_forest", form={"live": "1", "horsepower": "x"}, **HTMX)
    finished = Prediction.objects.for_display().get(pk=rows["finished"].pk)
    monkeypatch.setattr(trials, "run", lambda *_: finished)
    visits.visit(Client(), "/estimate/random_forest", form={"trial": "1", "horsepower": "121"})
    for power in ("x", "121"):
        visits.visit(customer, "/estimate/random_forest", form={"horsepower": power})
    for row in rows.values():
        for part in ["", "/status", "/what-if", "/delete"]:
            visits.visit(customer, f"/predictions/{row.pk}{part}")
        visits.visit(customer, f"/predictions/{row.pk}/status", **HTMX)
    endpoint = webhooks.create(user=user, url=f"https://{PUBLIC}/hook")
    for _ in range(2):
        visits.visit(customer, "/account/webhooks")
        visits.visit(customer, f"/account/webhooks/{endpoint.pk}")
        webhooks.send_test(user=user, endpoint_id=endpoint.pk)
    visits.visit(operator, "/account/code/enroll")
    code = TOTP(totp.secret_of(totp.begin(staff))).now()
    visits.visit(operator, "/account/code/enroll", form={"code": code})
    visits.visit(operator, "/account/code")
    visits.visit(operator, "/admin/audit/", form={})
    visits.visit(operator, "/admin/password_change/")
    stale = Client(enforce_csrf_checks=True)
    stale.force_login(user)
    visits.visit(stale, f"/predictions/{rows['queued'].pk}/cancel", form={})
    training_status.write({})
    return visits


@pytest.mark.django_db
def test_no_template_runs_a_query(visits: Visits) -> None:
    assert visits.queries == {}


@pytest.mark.django_db
def test_every_element_is_closed(visits: Visits) -> None:
    assert visits.unclosed == {}


@pytest.mark.django_db
def test_every_template_was_looked_at(visits: Visits) -> None:
    assert set(NAMES) - DJANGOS_OWN_QUERIES - visits.templates == set()
