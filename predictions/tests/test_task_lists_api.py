"""The lists of /api/tasks: filters and pages."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from rest_framework.test import APIClient

from accounts.models import User
from billing.services import set_available
from carprice.db.dialect import Moment
from mlmodels.models import Predictor
from predictions.models import Prediction
from testing.fixtures import ClientOf, MakeUser
from testing.tasks_api import (
    EVERY_LIST,
    LISTS,
    STATUSES,
    Make,
    assert_refused,
    cancel,
    delete,
    error_fields,
    ids,
    read,
)

pytestmark = pytest.mark.django_db
BOTH = pytest.mark.parametrize("path", LISTS)


@pytest.fixture
def one_of_each(make_task: Make) -> dict[str, str]:
    """A task in each status, by its status; the oldest first."""
    keys = {status: make_task(status) for status in STATUSES}
    for minutes, key in enumerate(reversed(keys.values())):
        moment = datetime(2026, 5, 10, 12, tzinfo=UTC) - timedelta(minutes=minutes)
        Prediction.objects.filter(pk=key).update(created_at=Moment(moment))
    return keys


@BOTH
def test_a_list_of_nothing_is_an_empty_page(api: APIClient, path: str) -> None:
    assert api.get(path).json() == {"next": None, "previous": None, "results": []}


@BOTH
def test_a_list_has_all_drafts_too_newest_first(
    api: APIClient, one_of_each: dict[str, str], path: str
) -> None:
    response = api.get(path)

    assert ids(response) == list(one_of_each.values())[::-1]
    for item in response.json()["results"]:
        assert item == read(api, item["task_id"]).json()


@BOTH
def test_a_list_of_one_status(api: APIClient, one_of_each: dict[str, str], path: str) -> None:
    for status in STATUSES:
        assert ids(api.get(path, {"status": status})) == [one_of_each[status]]


@BOTH
def test_a_list_of_one_model_on_sale_or_not(
    api: APIClient, make_task: Make, predictors: dict[str, Predictor], path: str
) -> None:
    keys = {name: make_task("draft", by=row) for name, row in predictors.items()}
    Predictor.objects.filter(name="random_forest").update(enabled=False)

    for name, key in keys.items():
        assert ids(api.get(path, {"model_name": name})) == [key]


@BOTH
def test_a_list_of_one_domain(api: APIClient, one_of_each: dict[str, str], path: str) -> None:
    assert len(ids(api.get(path, {"domain": "car_price"}))) == 6


@BOTH
def test_a_list_of_a_time_leaves_its_limits_out(
    api: APIClient, one_of_each: dict[str, str], path: str
) -> None:
    times = {"created_after": "2026-05-10T11:55:00Z", "created_before": "2026-05-10T12:00:00Z"}

    listed = ids(api.get(path, times))

    assert listed == [one_of_each[status] for status in STATUSES[4:0:-1]]


@BOTH
def test_filters_are_combined(api: APIClient, one_of_each: dict[str, str], path: str) -> None:
    chosen = {"status": "failed", "model_name": "random_forest", "domain": "car_price"}

    assert ids(api.get(path, chosen)) == [one_of_each["failed"]]
    assert ids(api.get(path, {**chosen, "created_after": "2026-05-10T11:59:30Z"})) == []


BAD_FILTERS = [
    ("status=done", "status"),
    ("status=", "status"),
    ("status=QUEUED", "status"),
    ("status=done' OR 1=1--", "status"),
    ("status=draft&status=queued", "status"),
    ("model_name=", "model_name"),
    (f"model_name={'x' * 61}", "model_name"),
    ("domain=cars", "domain"),
    ("domain=", "domain"),
    ("created_after=2026-05-10T12:00:00", "created_after"),
    ("created_after=yesterday", "created_after"),
    ("created_before=9999-99-99", "created_before"),
    ("created_after=2026-05-11T00:00:00Z&created_before=2026-05-10T00:00:00Z", "created_after"),
    ("cursor=abc", "cursor"),
    ("cursor=", "cursor"),
    ("page_size=0", "page_size"),
    ("page_size=-1", "page_size"),
    ("page_size=ten", "page_size"),
    ("page=2", "page"),
    ("ordering=user__password", "ordering"),
    ("user=1", "user"),
]


@BOTH
def test_a_bad_filter_is_400_and_named(api: APIClient, predictor: Predictor, path: str) -> None:
    for query, field in BAD_FILTERS:
        assert error_fields(api.get(f"{path}?{query}")) == [field], query


@BOTH
def test_a_list_of_an_unknown_model_is_404(api: APIClient, predictor: Predictor, path: str) -> None:
    assert_refused(api.get(path, {"model_name": "no_such"}), 404, "predictor_not_found")


def test_running_lists_what_waits_or_runs(api: APIClient, one_of_each: dict[str, str]) -> None:
    response = api.get("/api/tasks/running")

    assert ids(response) == [one_of_each["running"], one_of_each["queued"]]
    assert [item["position"] for item in response.json()["results"]] == [None, 1]


@pytest.mark.parametrize("name", ["status", "model_name", "created_after", "wait"])
def test_running_has_no_filters(api: APIClient, name: str) -> None:
    assert error_fields(api.get("/api/tasks/running", {name: "queued"})) == [name]


def walk(api: APIClient, url: str | None, meanwhile: Callable[[], Any]) -> list[list[str]]:
    """The pages from `url` on; something happens after each."""
    pages = []
    while url:
        response = api.get(url)
        pages.append(ids(response))
        url = response.json()["next"]
        meanwhile()
    return pages


@EVERY_LIST
def test_pages_are_stable_while_tasks_are_added(api: APIClient, make_task: Make, path: str) -> None:
    keys = [make_task("queued") for _ in range(7)]

    pages = walk(api, f"{path}?page_size=3", lambda: make_task("queued"))

    met = [key for page in pages for key in page]
    assert [len(page) for page in pages] == [3, 3, 1]
    assert sorted(met) == sorted(keys)


@BOTH
def test_pages_are_stable_while_tasks_end_and_are_deleted(
    api: APIClient, make_task: Make, user: User, path: str
) -> None:
    keys = [make_task("queued") for _ in range(8)]
    first = api.get(f"{path}?page_size=3")
    seen = ids(first)
    for key in seen:
        cancel(api, key)
    delete(api, seen[-1])

    pages = walk(api, first.json()["next"], lambda: None)

    assert sorted([*seen, *(key for page in pages for key in page)]) == sorted(keys)


@EVERY_LIST
def test_a_page_has_fifty_and_a_hundred_at_most(
    api: APIClient, user: User, make_task: Make, path: str
) -> None:
    set_available(user_id=user.pk, new_amount=1_000_000)
    for _ in range(102):
        make_task("queued")

    queries = ("", "?page_size=101", "?page_size=9")

    assert [len(ids(api.get(f"{path}{query}"))) for query in queries] == [50, 100, 9]


@EVERY_LIST
def test_a_filter_goes_along_with_the_cursor(api: APIClient, make_task: Make, path: str) -> None:
    for _ in range(3):
        make_task("queued")
        make_task("draft")
    query = "?page_size=2" if path.endswith("running") else "?page_size=2&status=queued"

    pages = walk(api, f"{path}{query}", lambda: None)

    assert [len(page) for page in pages] == [2, 1]


def test_a_cursor_is_good_for_its_own_user_only(
    api: APIClient, make_task: Make, make_user: MakeUser, client_of: ClientOf
) -> None:
    for _ in range(2):
        make_task("queued")
    following = api.get("/api/tasks?page_size=1").json()["next"]

    stolen = client_of(make_user("bob@example.com")).get(following)

    assert error_fields(stolen) == ["cursor"]


@EVERY_LIST
def test_a_long_page_takes_no_more_queries_than_a_short_one(
    api: APIClient, make_task: Make, path: str
) -> None:
    counts = []

    for _ in range(3):
        for status in ("queued", "running", "draft"):
            make_task(status)
        with CaptureQueriesContext(connection) as queries:
            api.get(path)
        counts.append(len(queries))

    assert counts[1] == counts[2]  # the first fills this process's caches
