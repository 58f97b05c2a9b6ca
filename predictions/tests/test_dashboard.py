"""The admin's first page and its prices: what an operator sees, and is asked."""

import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import Permission
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from accounts.models import User
from billing import services
from billing.models import CreditAccount, LedgerEntry
from mlmodels.catalogue import availability, pricing
from mlmodels.models import Predictor, PriceChange
from predictions import dashboard
from predictions.models import AuditRun, Heartbeat, Prediction
from predictions.services import request_prediction
from testing.pages import CAR, browser_of, fail, words

pytestmark = pytest.mark.django_db

BOTH = ["view_ledgerentry", "view_prediction"]


@pytest.fixture
def operator(make_user: Callable[..., User]) -> Client:
    return browser_of(make_user("op@example.com", is_staff=True, is_superuser=True))


def form_of(predictor: Predictor, **changes: str) -> dict[str, str]:
    return {
        "price": str(predictor.price),
        "enabled": "on",
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


def test_an_audit_is_remembered(operator: Client, user: User) -> None:
    before = words(operator.get("/admin/"))

    operator.post("/admin/audit/")

    run = AuditRun.objects.get()
    assert "never run" in before
    assert run.breaches == 0
    after = words(operator.get("/admin/"))
    assert "no breach" in after
    assert "All accounts, at that audit 2 with 2,000 credits, 0 of them held" in after


def test_its_queries_do_not_grow_with_what_there_is(
    operator: Client, user: User, predictor: Predictor, finished: Prediction
) -> None:
    def queries() -> int:
        with CaptureQueriesContext(connection) as captured:
            operator.get("/admin/")
        return len(captured)

    fail(request_prediction(user=user, predictor=predictor, data=CAR), "internal_error")
    queries()
    few = queries()
    for number in range(30):
        row = request_prediction(user=user, predictor=predictor, data=CAR)
        if number % 2:
            fail(row, "internal_error")

    assert queries() == few


@pytest.mark.parametrize(
    "permissions", [[], ["view_ledgerentry"], ["view_prediction"], BOTH], ids=len
)
def test_the_figures_are_for_whom_may_see_money_and_predictions(
    make_user: Callable[..., User], permissions: list[str]
) -> None:
    person = make_user("help@example.com", is_staff=True)
    person.user_permissions.set(Permission.objects.filter(codename__in=permissions))

    page = browser_of(person).get("/admin/")

    assert page.status_code == 200
    assert (page.context["dashboard"] is not None) == (permissions == BOTH)
    assert ("Credits sold" in words(page)) == (permissions == BOTH)


def test_what_is_older_than_a_day_is_not_counted(operator: Client, account: CreditAccount) -> None:
    before = operator.get("/admin/").context["dashboard"]
    for hours in (23, 25):
        LedgerEntry.objects.create(
            account=account,
            kind="top_up",
            balance_change=5,
            held_change=0,
            balance_after=1005,
            held_after=0,
            created_at=timezone.now() - timedelta(hours=hours),
        )

    after = operator.get("/admin/").context["dashboard"]

    assert after.sold - before.sold == 5


def test_only_workers_that_were_seen_lately_are_counted(operator: Client) -> None:
    for worker, seconds in (("one", 10), ("two", 60), ("gone", 100)):
        Heartbeat.objects.create(worker=worker, beat_at=timezone.now() - timedelta(seconds=seconds))

    assert operator.get("/admin/").context["dashboard"].workers == 2


def test_a_failure_leads_to_what_failed_so(
    operator: Client, user: User, predictor: Predictor
) -> None:
    for failure in ("internal_error", "deadline_exceeded"):
        fail(request_prediction(user=user, predictor=predictor, data=CAR), failure)
    page = operator.get("/admin/").content.decode()
    path = re.search(r'href="([^"]+failure=internal_error)"', page)
    assert path

    listed = operator.get(path[1], follow=True).context["cl"].result_list

    assert [row.failure for row in listed] == ["internal_error"]


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


@pytest.mark.parametrize("price", ["300", "34", "100"])
def test_a_price_of_the_same_order_is_not_asked_about(
    operator: Client, predictor: Predictor, price: str
) -> None:
    pricing.set_price(predictor_id=predictor.pk, price=100, actor=User.objects.get(is_staff=True))
    predictor.refresh_from_db()

    answer = send(operator, predictor, price=price, pinned="on")

    assert (answer.status_code, predictor.price) == (302, int(price))


def test_taking_it_off_sale_changes_no_price(operator: Client, predictor: Predictor) -> None:
    send(operator, predictor, pinned="on")
    before = list(PriceChange.objects.values_list("pk", flat=True))

    send(operator, predictor, pinned="on", enabled="")

    assert not predictor.enabled
    assert predictor.price_set_by is not None
    assert list(PriceChange.objects.values_list("pk", flat=True)) == before


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


def test_a_timeline_ends_with_what_was_given_back(
    operator: Client, user: User, predictor: Predictor, finished: Prediction
) -> None:
    failed = request_prediction(user=user, predictor=predictor, data=CAR)
    fail(failed, "internal_error")
    services.refund_charge(
        capture=LedgerEntry.objects.get(kind="capture"),
        reason="A gift",
        actor=User.objects.get(is_staff=True),
    )

    shown = [
        words(operator.get(f"/admin/predictions/prediction/{row.pk}/change/"))
        for row in (finished, failed)
    ]

    price = f"{predictor.price} credits"
    in_order = re.escape(price).join(["Hold of ", ".*charge of ", ".*Refund of ", ""])
    assert re.search(in_order, shown[0])
    assert "failed internal_error" in shown[1]
    assert f"Release of {price}" in shown[1]
    assert "charge of" not in shown[1]
