"""A page runs as many queries for a long list as for a short one."""

from collections.abc import Callable

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from accounts.models import User
from billing.services import top_up
from mlmodels.models import Predictor
from predictions import services
from predictions.execution import runner
from predictions.models import Prediction

pytestmark = pytest.mark.django_db

CAR = {"brand": "bmw", "horsepower": 121}
MOST = 14  # of any page: session, user, wallet, what it shows, and little more
PAGES = [
    "/",
    "/account",
    "/account/delete",
    "/catalogue",
    "/catalogue/random_forest",
    "/estimate/random_forest",
    "/predictions",
    "/predictions?status=finished",
    "/predictions/{first}",
    "/predictions/{first}/what-if",
    "/predictions/{first}/delete",
    "/wallet",
    "/wallet/statements",
]


@pytest.fixture
def fill(user: User, predictor: Predictor) -> Callable[[int], Prediction]:
    """Adds so many finished, waiting and drafted predictions; returns a finished one."""

    def add(count: int) -> Prediction:
        for _ in range(count):
            row = services.request_prediction(
                user=user, predictor=predictor, data=CAR, explain=True
            )
            runner.run_queued(Prediction, row.version_id)
            services.create_draft(user=user, predictor=predictor, data=CAR, explain=False)
            top_up(user_id=user.pk, amount=5)
        return row

    return add


def queries_of(browser: Client, path: str) -> int:
    with CaptureQueriesContext(connection) as captured:
        assert browser.get(path).status_code == 200
    return len(captured)


@pytest.mark.parametrize("path", PAGES)
def test_the_number_of_queries_is_constant_and_small(
    browser: Client, fill: Callable[[int], Prediction], path: str
) -> None:
    address = path.format(first=fill(1).pk)
    browser.get(address)  # what a process reads once

    few = queries_of(browser, address)
    fill(12)
    many = queries_of(browser, address)

    assert (many, many <= MOST) == (few, True)


def test_a_comparison_reads_each_prediction_and_no_more(
    browser: Client, fill: Callable[[int], Prediction]
) -> None:
    rows = [fill(1) for _ in range(4)]

    def queries(count: int) -> int:
        ids = "&".join(f"id={row.pk}" for row in rows[:count])
        return queries_of(browser, f"/predictions/chosen?do=compare&{ids}")

    queries(4)  # what a process reads once

    assert queries(4) - queries(3) == queries(3) - queries(2) == 1
