"""The history of predictions as a page."""

import re
from collections.abc import Callable
from html import unescape
from typing import Any
from uuid import UUID

import pytest
from django.test import Client

from accounts.models import User
from mlmodels.models import Predictor
from predictions import services
from predictions.execution import claims, runner
from predictions.models import Prediction
from predictions.services import request_prediction
from testing.pages import (
    CAR,
    Failure,
    error_at,
    fail,
    words,
)

pytestmark = pytest.mark.django_db


@pytest.fixture
def one_of_each(user: User, predictors: dict[str, Predictor]) -> dict[str, Prediction]:
    """A prediction in each status; two of them by linear regression."""
    cheap, dear = predictors["linear_regression"], predictors["random_forest"]
    rows = {"finished": request_prediction(user=user, predictor=dear, data=CAR)}
    runner.run_queued(Prediction, rows["finished"].version_id)
    rows["failed"] = request_prediction(user=user, predictor=dear, data=CAR)
    fail(rows["failed"], Failure.INVALID_INPUT)
    rows["canceled"] = request_prediction(user=user, predictor=cheap, data=CAR)
    services.cancel(user=user, prediction_id=rows["canceled"].pk)
    rows["running"] = request_prediction(user=user, predictor=dear, data=CAR)
    assert claims.claim_first_attempts(Prediction, rows["running"].version_id)
    rows["queued"] = request_prediction(user=user, predictor=dear, data=CAR)
    rows["draft"] = services.create_draft(user=user, predictor=cheap, data=CAR, explain=False)
    return rows


def listed(response: Any) -> list[str]:
    return re.findall(r'id="prediction-([0-9a-f-]{36})"', response.content.decode())


def test_the_history_shows_every_status(
    browser: Client, one_of_each: dict[str, Prediction]
) -> None:
    page = browser.get("/predictions")

    assert sorted(listed(page)) == sorted(str(row.pk) for row in one_of_each.values())
    for heading in ("Running now", "Drafts", "Ended"):
        assert f">{heading}</h2>" in page.content.decode()


@pytest.mark.parametrize("status", Prediction.Status.values)
def test_the_history_of_one_status(
    browser: Client, one_of_each: dict[str, Prediction], status: str
) -> None:
    page = browser.get("/predictions", {"status": status, "predictor": ""})

    assert listed(page) == [str(one_of_each[status].pk)]
    assert f'<option value="{status}" selected>' in page.content.decode()


def test_the_history_of_one_predictor(browser: Client, one_of_each: dict[str, Prediction]) -> None:
    page = browser.get("/predictions", {"predictor": "linear_regression"})

    expected = {str(one_of_each[status].pk) for status in ("canceled", "draft")}
    assert set(listed(page)) == expected


def test_both_filters_work_together(browser: Client, one_of_each: dict[str, Prediction]) -> None:
    page = browser.get("/predictions", {"status": "failed", "predictor": "linear_regression"})

    assert listed(page) == []
    assert "None of your predictions is like that." in words(page)


@pytest.mark.parametrize("status", ["", "queued", "running", "finished"])
def test_the_history_is_live_only_while_something_shown_runs(
    browser: Client, one_of_each: dict[str, Prediction], status: str
) -> None:
    page = browser.get("/predictions", {"status": status}).content.decode()

    asks = re.search(r'hx-get="([^"]+)"', page)
    assert bool(asks) == (status != "finished")
    if asks and status:
        assert asks[1] == f"/predictions?status={status}"


@pytest.mark.parametrize("name", ["status", "predictor"])
@pytest.mark.parametrize("value", ["nonsense", "\x00", "' OR 1=1--", "x" * 4000, "é"])
def test_an_odd_filter_is_told_at_its_field(
    browser: Client, queued: Prediction, name: str, value: str
) -> None:
    page = browser.get("/predictions", {name: value})

    assert page.status_code == 200
    assert error_at(page, name) == "Choose one of the list."
    assert listed(page) == [str(queued.pk)]


@pytest.fixture
def thirty(user: User, predictor: Predictor) -> list[str]:
    """The ids of thirty predictions that were canceled, newest first."""
    rows = [request_prediction(user=user, predictor=predictor, data=CAR) for _ in range(30)]
    for row in rows:
        services.cancel(user=user, prediction_id=row.pk)
    ordered = Prediction.objects.order_by("-created_at", "-id")
    return [str(key) for key in ordered.values_list("pk", flat=True)]


def follow(browser: Client, page: Any, rel: str) -> Any:
    link = re.search(rf'rel="{rel}" href="([^"]+)"', page.content.decode())
    assert link, f"no {rel} page"
    return browser.get("/predictions" + unescape(link[1]))


@pytest.mark.parametrize("query", [{}, {"status": "canceled", "predictor": "random_forest"}])
def test_pages_show_every_row_once_whatever_comes_in_between(
    browser: Client, user: User, predictor: Predictor, thirty: list[str], query: dict[str, str]
) -> None:
    first = browser.get("/predictions", query)
    newer = request_prediction(user=user, predictor=predictor, data=CAR)
    services.cancel(user=user, prediction_id=newer.pk)

    second = follow(browser, first, "next")

    assert listed(first) + listed(second) == thirty
    assert 'rel="next"' not in second.content.decode()
    back = follow(browser, second, "prev")
    assert listed(back) == listed(first)


def test_turning_a_page_keeps_the_filters(browser: Client, thirty: list[str]) -> None:
    first = browser.get("/predictions", {"status": "canceled", "predictor": "random_forest"})

    second = follow(browser, first, "next").content.decode()

    assert '<option value="canceled" selected>' in second
    assert '<option value="random_forest" selected>' in second


@pytest.mark.parametrize("cursor", ["", "x", "\x00", "é", "x" * 3000, "WyJsdCJd.abc", "."])
def test_an_odd_cursor_shows_the_first_page(
    browser: Client, queued: Prediction, cursor: str
) -> None:
    page = browser.get("/predictions", {"cursor": cursor})

    assert (page.status_code, listed(page)) == (200, [str(queued.pk)])


def test_a_page_whose_rows_are_deleted_gives_way_to_the_first(
    browser: Client, user: User, thirty: list[str]
) -> None:
    first = browser.get("/predictions")
    for key in thirty[25:]:
        services.erase(user=user, prediction_id=UUID(key))

    page = follow(browser, first, "next")

    assert listed(page) == thirty[:25]


def test_the_cursor_of_another_is_none(
    browser: Client, stranger: Client, thirty: list[str]
) -> None:
    link = re.search(r'rel="next" href="([^"]+)"', browser.get("/predictions").content.decode())
    assert link

    page = stranger.get("/predictions" + unescape(link[1]))

    assert page.status_code == 200
    assert listed(page) == []


def test_many_drafts_have_a_page_of_their_own(
    browser: Client, make_draft: Callable[..., Prediction]
) -> None:
    for _ in range(7):
        make_draft(CAR)

    page = browser.get("/predictions")

    assert len(listed(page)) == 5
    assert "All drafts" in words(page)
    assert len(listed(browser.get("/predictions?status=draft"))) == 7
