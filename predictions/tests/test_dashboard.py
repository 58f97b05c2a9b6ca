"""The admin's first page and its prices: what an operator sees, and is asked."""

from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from accounts.models import User
from mlmodels.catalogue import availability, pricing
from mlmodels.models import Predictor, PriceChange
from predictions import dashboard
from predictions.models import AuditRun, Prediction
from predictions.services import request_prediction
from testing.pages import CAR, browser_of, fail, words

pytestmark = pytest.mark.django_db


@pytest.fixture
def operator(make_user: Callable[..., User]) -> Client:
    return browser_of(make_user("op@example.com", is_staff=True, is_superuser=True))


def form_of(predictor: Predictor, **changes: str) -> dict[str, str]:
    return {
        "price": str(predictor.price),
        "enabled": "on",
        "price_changes-TOTAL_FORMS": "0",
        "price_changes-INITIAL_FORMS": "0",
        **changes,
    }


def send(operator: Client, predictor: Predictor, **changes: str) -> Any:
    path = f"/admin/mlmodels/predictor/{predictor.pk}/change/"
    answer = operator.post(path, form_of(predictor, **changes))
    predictor.refresh_from_db()
    return answer


# --- The first page ------------------------------------------------------------------------------


def test_it_tells_what_happened_and_what_waits(
    operator: Client, user: User, predictor: Predictor, finished: Prediction
) -> None:
    failed = request_prediction(user=user, predictor=predictor, data=CAR)
    fail(failed, "internal_error")
    request_prediction(user=user, predictor=predictor, data=CAR)

    shown = operator.get("/admin/").context["dashboard"]

    assert (shown.waiting, shown.failures) == (1, [("internal_error", 1)])
    assert shown.captured == predictor.price
    assert shown.sold >= 1000
    assert shown.oldest_seconds is not None
    assert sum(hour.held for hour in shown.hours) == 3
    assert sum(hour.captured for hour in shown.hours) == 1
    assert sum(hour.released for hour in shown.hours) == 1


def test_it_tells_what_is_off_sale_and_why(
    operator: Client, predictors: dict[str, Predictor]
) -> None:
    version_id = predictors["random_forest"].current_version_id
    assert version_id
    availability.record_fault(version_id, "The artefact is gone.")
    Predictor.objects.filter(name="bioage_ridge").update(enabled=False)

    page = words(operator.get("/admin/"))

    assert "random_forest The artefact is gone." in page
    assert "bioage_ridge An operator took it off sale." in page


def test_an_audit_is_remembered(operator: Client) -> None:
    before = words(operator.get("/admin/"))

    operator.post("/admin/audit/")

    run = AuditRun.objects.get()
    assert "never run" in before
    assert run.breaches == 0
    assert "no breach" in words(operator.get("/admin/"))


def test_its_queries_do_not_grow_with_what_there_is(
    operator: Client, user: User, predictor: Predictor, finished: Prediction
) -> None:
    def queries() -> int:
        with CaptureQueriesContext(
            connection,
        ) as captured:
            operator.get("/admin/")
        return len(captured)

    queries()
    few = queries()
    for _ in range(20):
        request_prediction(user=user, predictor=predictor, data=CAR)

    assert queries() == few


def test_who_may_not_see_money_sees_no_figures(make_user: Callable[..., User]) -> None:
    browser = browser_of(make_user("help@example.com", is_staff=True))

    page = browser.get("/admin/")

    assert page.status_code == 200
    assert page.context["dashboard"] is None
    assert "Credits sold" not in words(page)


def test_much_more_than_fits_is_cut_and_said(
    operator: Client, finished: Prediction, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dashboard, "MOST_ENTRIES", 2)

    assert "only the newest is counted" in words(operator.get("/admin/"))


# --- Prices --------------------------------------------------------------------------------------


@pytest.mark.parametrize("factor", [4, 0.25])
def test_a_price_far_from_the_old_is_confirmed_first(
    operator: Client, predictor: Predictor, factor: float
) -> None:
    pricing.set_price(predictor_id=predictor.pk, price=100, actor=User.objects.get(is_staff=True))
    price = str(int(100 * factor))

    refused = send(operator, predictor, price=price)
    unchanged = predictor.price
    confirmed = send(operator, predictor, price=price, confirm="on")

    assert refused.status_code == 200
    assert "confirm below that this is meant" in words(refused)
    assert unchanged == 100
    assert (confirmed.status_code, predictor.price) == (302, int(price))


def test_a_price_that_was_set_is_pinned_until_it_is_let_go(
    operator: Client, predictor: Predictor
) -> None:
    own = predictor.price

    send(operator, predictor, price=str(own + 1), pinned="on")
    pricing.price_by_rank(predictor.domain)
    predictor.refresh_from_db()
    pinned = (predictor.price, predictor.price_set_by is not None)
    send(operator, predictor)  # without the tick

    assert pinned == (own + 1, True)
    assert (predictor.price, predictor.price_set_by) == (own, None)
    actors = list(PriceChange.objects.filter(predictor=predictor).values_list("actor", flat=True))
    assert actors[:2] == [None, User.objects.get(is_staff=True).pk]


def test_a_price_of_training_can_be_pinned_as_it_is(operator: Client, predictor: Predictor) -> None:
    before = predictor.price

    send(operator, predictor, pinned="on")

    assert predictor.price == before
    assert predictor.price_set_by == User.objects.get(is_staff=True)


def test_a_price_says_how_many_keep_the_old_one(
    operator: Client, user: User, predictor: Predictor
) -> None:
    request_prediction(user=user, predictor=predictor, data=CAR)

    page = operator.get(f"/admin/mlmodels/predictor/{predictor.pk}/change/")

    assert "1 that wait or run now keep the price" in words(page)


# --- One prediction ------------------------------------------------------------------------------


def test_a_prediction_has_its_timeline_with_its_credits(
    operator: Client, predictor: Predictor, finished: Prediction
) -> None:
    page = words(operator.get(f"/admin/predictions/prediction/{finished.pk}/change/"))

    price = f"{predictor.price} credits"
    for event in ("created", f"queued for {price}", f"hold of {price}".capitalize(), "finished"):
        assert event in page, event
    assert f"charge of {price}" in page
