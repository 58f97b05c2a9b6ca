"""Credits that are bought through Stripe, against a local server that speaks its API."""

import json
from collections.abc import Callable, Iterator
from itertools import permutations
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.conf import LazySettings
from django.db import IntegrityError, transaction
from django.test import Client

from accounts.models import User
from billing import services as ledger
from billing.models import CreditAccount, LedgerEntry
from billing.payments import checkout, events
from billing.payments.models import Payment, StripeEvent, TakeBack
from carprice.http.errors import WrongState
from predictions.audit import breaches
from testing.fixtures import AtOnce
from testing.pages import browser_of, form_key, words
from testing.stripe_server import (
    CHECKOUT,
    SECRET_KEY,
    WEBHOOK_SECRET,
    StripeServer,
    checkout_event,
    deliver,
    event,
    refund_event,
    sign,
    stripe_server,
)

pytestmark = pytest.mark.django_db

WEBHOOK = "/payments/stripe/webhook"


@pytest.fixture
def sold(settings: LazySettings) -> None:
    settings.TOP_UPS = "stripe"
    settings.STRIPE_SECRET_KEY = SECRET_KEY
    settings.STRIPE_WEBHOOK_SECRET = WEBHOOK_SECRET
    settings.CREDIT_PRICE = 2
    settings.CREDIT_CURRENCY = "eur"


@pytest.fixture
def stripe(sold: None, settings: LazySettings) -> Iterator[StripeServer]:
    with stripe_server() as server:
        settings.STRIPE_API_BASE = server.address
        checkout._client.cache_clear()
        yield server
    checkout._client.cache_clear()


@pytest.fixture
def payment(sold: None, user: User) -> Payment:
    """100 credits for 2 euros, not paid yet."""
    return checkout.start(user_id=user.pk, amount=100)


def money(user: User) -> int:
    return CreditAccount.objects.get(pk=user.pk).balance


def told(payment: Payment) -> tuple[str, int, int, int]:
    payment.refresh_from_db()
    return payment.status, payment.refunded, payment.taken_back, payment.owed


# --- Checkout ------------------------------------------------------------------------------------


def test_somebody_who_buys_is_led_to_the_page_of_stripe(
    stripe: StripeServer, browser: Client, user: User
) -> None:
    response = browser.post("/wallet", {"amount": "500"})

    payment = Payment.objects.get()
    assert response["Location"] == f"{CHECKOUT}{payment.session_id}"
    assert (payment.credits, payment.amount, payment.currency) == (500, 1000, "eur")
    (sent,) = stripe.requests
    assert sent["line_items[0][price_data][unit_amount]"] == "1000"
    assert sent["line_items[0][price_data][currency]"] == "eur"
    assert sent["metadata[payment]"] == str(payment.pk)
    assert sent["payment_intent_data[metadata][payment]"] == str(payment.pk)
    assert sent["success_url"] == sent["cancel_url"] == "http://testserver/wallet"
    assert money(user) == 1000


def test_a_form_sent_twice_leads_to_one_page(stripe: StripeServer, browser: Client) -> None:
    fields = {"amount": "500", "form_key": form_key(browser.get("/wallet"))}

    first, second = (browser.post("/wallet", fields) for _ in range(2))

    assert first["Location"] == second["Location"]
    assert len(stripe.sessions) == Payment.objects.count() == 1


def test_without_an_answer_of_stripe_nothing_is_bought(
    stripe: StripeServer, browser: Client, user: User
) -> None:
    stripe.outage = True

    response = browser.post("/wallet", {"amount": "500"})

    assert response.status_code == 422
    assert "The payment service does not answer." in words(response)
    assert Payment.objects.get().status == "pending"
    assert money(user) == 1000


def test_a_crash_after_the_page_was_opened_is_made_good_by_asking_again(
    stripe: StripeServer, user: User
) -> None:
    payment = checkout.start(user_id=user.pk, amount=100)
    first = checkout.open_page(payment.pk, back="http://testserver/wallet")
    Payment.objects.update(session_id="")

    second = checkout.open_page(payment.pk, back="http://testserver/wallet")

    assert first == second
    assert first.endswith(Payment.objects.get().session_id)


@pytest.mark.parametrize("amount", ["", "101", "-1", "many", "500.0", "9" * 5000])
def test_another_amount_is_refused_at_its_field(
    stripe: StripeServer, browser: Client, amount: str
) -> None:
    response = browser.post("/wallet", {"amount": amount})

    assert response.status_code == 422
    assert list(response.context["form"].errors) == ["amount"]
    assert not Payment.objects.exists()
    assert not stripe.requests


def test_an_account_without_room_buys_nothing(
    stripe: StripeServer, browser: Client, user: User
) -> None:
    ledger.set_available(user_id=user.pk, new_amount=1_000_000_000)

    response = browser.post("/wallet", {"amount": "100"})

    assert response.status_code == 422
    assert not Payment.objects.exists()


def test_the_wallet_tells_of_the_latest_payments(
    browser: Client, payment: Payment, make_user: Callable[..., User]
) -> None:
    checkout.start(user_id=make_user("bob@example.com").pk, amount=2000)
    before = words(browser.get("/wallet"))
    deliver(checkout_event(payment))
    after = words(browser.get("/wallet"))

    assert "2.00 EUR" in before
    assert "not confirmed yet" in before
    assert "40.00 EUR" not in before.partition("Latest payments")[2]
    assert "not confirmed yet" not in after
    assert "Paid 2.00 EUR" in after


@pytest.mark.parametrize(
    ("amount", "currency", "text"),
    [
        (1250, "eur", "12.50 EUR"),
        (5, "usd", "0.05 USD"),
        (1250, "jpy", "1,250 JPY"),
        (1250, "kwd", "1.250 KWD"),
    ],
)
def test_money_is_written_as_people_write_it(amount: int, currency: str, text: str) -> None:
    assert checkout.money(amount, currency) == text


# --- The webhook: paid ---------------------------------------------------------------------------


def test_a_paid_checkout_adds_the_credits_by_one_entry(payment: Payment, user: User) -> None:
    response = deliver(checkout_event(payment))

    assert (response.status_code, response.json()) == (200, {"received": True})
    payment.refresh_from_db()
    assert payment.entry
    assert (payment.status, payment.entry.balance_change) == ("paid", 100)
    assert payment.paid_at == payment.entry.created_at
    assert money(user) == 1100
    assert breaches() == []


def test_an_event_that_comes_again_changes_nothing(payment: Payment, user: User) -> None:
    paid = checkout_event(payment)

    statuses = {deliver(paid).status_code for _ in range(3)}

    assert statuses == {200}
    assert money(user) == 1100
    assert StripeEvent.objects.count() == 1


def test_two_events_of_one_payment_credit_it_once(payment: Payment, user: User) -> None:
    for kind in ("completed", "async_payment_succeeded", "completed"):
        deliver(checkout_event(payment, kind))

    assert money(user) == 1100
    assert breaches() == []


def test_a_checkout_that_is_not_paid_yet_adds_nothing(payment: Payment, user: User) -> None:
    deliver(checkout_event(payment, payment_status="unpaid"))
    before = money(user)
    deliver(checkout_event(payment, "async_payment_succeeded"))

    assert (before, money(user)) == (1000, 1100)


@pytest.mark.parametrize(
    ("kind", "status"), [("expired", "expired"), ("async_payment_failed", "failed")]
)
def test_a_checkout_that_ends_unpaid_is_marked_so(
    payment: Payment, user: User, kind: str, status: str
) -> None:
    deliver(checkout_event(payment, kind, payment_status="unpaid"))

    assert told(payment)[0] == status
    assert money(user) == 1000


@pytest.mark.parametrize("changes", [{"amount_total": 199}, {"currency": "jpy"}])
def test_another_sum_than_the_price_adds_nothing_and_is_sent_again(
    payment: Payment, user: User, changes: dict[str, Any]
) -> None:
    response = deliver(checkout_event(payment, **changes))

    assert response.status_code == 409
    assert money(user) == 1000
    assert not StripeEvent.objects.exists()


def test_what_an_account_has_no_room_for_is_credited_once_there_is(
    payment: Payment, user: User
) -> None:
    ledger.set_available(user_id=user.pk, new_amount=1_000_000_000)
    paid = checkout_event(payment)
    refused = deliver(paid).status_code
    ledger.set_available(user_id=user.pk, new_amount=0)

    accepted = deliver(paid).status_code

    assert (refused, accepted) == (409, 200)
    assert money(user) == 100


def test_what_is_paid_after_credits_are_no_longer_sold_is_credited(
    payment: Payment, user: User, settings: LazySettings
) -> None:
    settings.TOP_UPS = "operator"

    deliver(checkout_event(payment))

    assert money(user) == 1100


# --- The webhook: refunds ------------------------------------------------------------------------


def test_a_refund_takes_the_credits_back(payment: Payment, user: User) -> None:
    deliver(checkout_event(payment))
    deliver(refund_event(payment, 200))

    assert told(payment) == ("paid", 200, 100, 0)
    assert money(user) == 1000
    assert LedgerEntry.objects.latest("pk").kind == "adjustment"
    assert breaches() == []


def test_parts_of_a_refund_add_up_to_whole_credits(payment: Payment, user: User) -> None:
    deliver(checkout_event(payment))
    for refunded, balance in ((1, 1100), (3, 1099), (99, 1051), (200, 1000)):
        deliver(refund_event(payment, refunded))

        assert money(user) == balance
        assert breaches() == []


def test_what_is_not_available_is_owed(payment: Payment, user: User) -> None:
    deliver(checkout_event(payment))
    ledger.place_hold(user_id=user.pk, amount=1070, subject_id=uuid4())

    deliver(refund_event(payment, 200))

    account = CreditAccount.objects.get(pk=user.pk)
    assert told(payment) == ("paid", 200, 30, 70)
    assert (account.balance, account.available) == (1070, 0)


def test_what_is_owed_is_not_taken_of_the_next_payment(payment: Payment, user: User) -> None:
    deliver(checkout_event(payment))
    ledger.set_available(user_id=user.pk, new_amount=0)
    deliver(refund_event(payment, 200))
    ledger.top_up(user_id=user.pk, amount=500)

    deliver(refund_event(payment, 200))

    assert told(payment) == ("paid", 200, 0, 100)
    assert money(user) == 500


def steps(payment: Payment) -> dict[str, dict[str, Any]]:
    return {
        "unpaid": checkout_event(payment, payment_status="unpaid"),
        "succeeded": checkout_event(payment, "async_payment_succeeded"),
        "part": refund_event(payment, 50),
        "all": refund_event(payment, 200),
        "expired": checkout_event(payment, "expired", payment_status="unpaid"),
    }


@pytest.mark.parametrize("order", list(permutations(range(5))), ids=str)
def test_in_whatever_order_events_come_they_end_the_same(
    payment: Payment, user: User, order: tuple[int, ...]
) -> None:
    told_once = list(steps(payment).values())

    for number in (*order, *order[::2]):
        assert deliver(told_once[number]).status_code == 200

    assert told(payment) == ("paid", 200, 100, 0)
    assert money(user) == 1000
    assert LedgerEntry.objects.filter(payment=payment).count() == 1
    assert -sum(row.entry.balance_change for row in TakeBack.objects.all()) == 100
    assert StripeEvent.objects.count() == 5
    assert breaches() == []


# --- The webhook: who may call it ----------------------------------------------------------------


def post(body: str | bytes, signature: str | None, **options: Any) -> Any:
    headers = {} if signature is None else {"Stripe-Signature": signature}
    options.setdefault("content_type", "application/json")
    return Client(enforce_csrf_checks=True).post(WEBHOOK, body, headers=headers, **options)


@pytest.mark.parametrize(
    "make",
    [
        lambda body: None,
        lambda body: "",
        lambda body: "x",
        lambda body: "t=1,v1=",
        lambda body: "t=now,v1=abc",
        lambda body: "v1=abc",
        lambda body: sign(body, secret="whsec_of_somebody_else"),
        lambda body: sign(body + " "),
        lambda body: sign(body, age=301),
        lambda body: sign(body).replace("v1=", "v0="),
        lambda body: sign(body)[:-1],
    ],
    ids=[
        "none", "empty", "a word", "no signature", "no time", "no time at all", "foreign",
        "other body", "old", "old scheme", "cut",
    ],
)  # fmt: skip
def test_what_stripe_has_not_signed_lately_does_nothing(
    payment: Payment, user: User, make: Callable[[str], str | None]
) -> None:
    body = json.dumps(checkout_event(payment))

    response = post(body, make(body))

    assert (response.status_code, response.json()["code"]) == (400, "invalid_request")
    assert money(user) == 1000
    assert not StripeEvent.objects.exists()


def test_a_signature_of_some_minutes_ago_is_good(payment: Payment, user: User) -> None:
    body = json.dumps(checkout_event(payment))

    assert post(body, sign(body, age=290)).status_code == 200
    assert money(user) == 1100


@pytest.mark.parametrize("body", ["", "{", "[]", "7", "{}", '{"id": "evt_1"}'])
def test_a_signed_body_that_is_no_event_is_400(sold: None, body: str) -> None:
    assert post(body, sign(body)).status_code == 400


def test_a_body_that_is_no_text_is_400(sold: None) -> None:
    assert post(b"\xff\xfe", sign("x")).status_code == 400


def test_a_body_over_the_limit_is_413(sold: None) -> None:
    body = " " * 262_145

    assert post(body, sign(body)).status_code == 413


def test_it_sets_no_cookie_and_is_not_cached(payment: Payment) -> None:
    response = deliver(checkout_event(payment))

    assert not response.cookies
    assert "no-store" in response["Cache-Control"]


@pytest.mark.parametrize(
    "about",
    [
        {},
        {"metadata": None},
        {"metadata": {"order": "7"}},
        {"metadata": {"payment": "x"}},
        {"metadata": {"payment": str(UUID(int=1))}},
    ],
)
def test_events_about_something_else_are_left_alone(sold: None, about: dict[str, Any]) -> None:
    for kind in ("checkout.session.completed", "charge.refunded", "customer.created"):
        assert deliver(event(kind, about)).status_code == 200
    assert not StripeEvent.objects.exists()


def test_without_its_secret_there_is_no_webhook(
    payment: Payment, settings: LazySettings, user: User
) -> None:
    settings.STRIPE_WEBHOOK_SECRET = ""

    response = deliver(checkout_event(payment))

    assert response.status_code == 404
    assert money(user) == 1000


def test_it_takes_a_post_alone(sold: None) -> None:
    assert Client().get(WEBHOOK).status_code == 405


# --- Crashes -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "place",
    [
        (ledger, "top_up"),
        (ledger, "take_back"),
        (Payment, "save"),
        (StripeEvent.objects, "create"),
    ],
    ids=["before the entry", "after the entry", "before the payment", "before the event"],
)
def test_a_crash_changes_nothing_and_the_next_delivery_does_all(
    payment: Payment, user: User, monkeypatch: pytest.MonkeyPatch, place: tuple[Any, str]
) -> None:
    def crash(*_: Any, **__: Any) -> None:
        raise RuntimeError("killed")

    paid = events.Event(
        "evt_1", "checkout.session.completed", checkout_event(payment)["data"]["object"]
    )
    deliver(refund_event(payment, 100))
    with monkeypatch.context() as patch:
        patch.setattr(*place, crash)
        with pytest.raises(RuntimeError), transaction.atomic():
            events.receive(paid)
    after_crash = told(payment), money(user)

    events.receive(paid)

    assert after_crash == (("pending", 100, 0, 0), 1000)
    assert (told(payment), money(user)) == (("paid", 100, 50, 0), 1050)
    assert breaches() == []


def test_a_payment_cannot_say_that_it_is_paid_without_an_entry(payment: Payment) -> None:
    with pytest.raises(IntegrityError), transaction.atomic():
        Payment.objects.update(status="paid")


# --- At the same instant -------------------------------------------------------------------------


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
def test_deliveries_at_once_credit_and_take_back_once(
    payment: Payment, user: User, at_once: AtOnce
) -> None:
    paid, again = checkout_event(payment), checkout_event(payment, "async_payment_succeeded")
    refunded = refund_event(payment, 100)

    answers = at_once([lambda told=told: deliver(told) for told in (paid, again, refunded) * 3])

    assert {answer.status_code for answer in answers} == {200}
    assert told(payment) == ("paid", 100, 50, 0)
    assert money(user) == 1050
    assert StripeEvent.objects.count() == 3
    assert breaches() == []


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
def test_forms_sent_at_once_lead_to_one_page(
    stripe: StripeServer, user: User, at_once: AtOnce
) -> None:
    fields = {"amount": "500", "form_key": str(uuid4())}
    browsers = [browser_of(user) for _ in range(4)]

    answers = at_once(
        [lambda browser=browser: browser.post("/wallet", fields) for browser in browsers]
    )

    assert len({answer["Location"] for answer in answers}) == 1
    assert Payment.objects.count() == len(stripe.sessions) == 1


# --- The admin -----------------------------------------------------------------------------------


@pytest.fixture
def operator(make_user: Callable[..., User]) -> User:
    return make_user("op@example.com", credit=0, is_staff=True, is_superuser=True)


@pytest.fixture
def owed(payment: Payment, user: User) -> Payment:
    deliver(checkout_event(payment))
    ledger.set_available(user_id=user.pk, new_amount=0)
    deliver(refund_event(payment, 200))
    return payment


def test_an_operator_sees_what_is_owed(operator: User, owed: Payment) -> None:
    page = browser_of(operator).get("/admin/payments/payment/", {"owed": "yes"})

    assert [row.owed for row in page.context["cl"].result_list] == [100]


def test_an_operator_takes_back_what_is_owed_as_it_becomes_available(
    operator: User, owed: Payment, user: User
) -> None:
    ledger.top_up(user_id=user.pk, amount=60)
    path = f"/admin/payments/payment/{owed.pk}/collect/"

    page = browser_of(operator).post(path, {"reason": "Charged back"}, follow=True)

    assert "-60 credits" in words(page)
    assert told(owed) == ("paid", 200, 60, 40)
    assert LedgerEntry.objects.latest("pk").actor == operator
    assert money(user) == 0
    assert breaches() == []


def test_nothing_is_taken_back_where_nothing_is_available(operator: User, owed: Payment) -> None:
    with pytest.raises(WrongState):
        events.collect_owed(payment_id=owed.pk, reason="why", actor=operator)
    assert told(owed) == ("paid", 200, 0, 100)


def test_payments_and_events_are_read_only(operator: User, owed: Payment) -> None:
    browser = browser_of(operator)
    paths = [f"payment/{owed.pk}", *(f"stripeevent/{row.pk}" for row in StripeEvent.objects.all())]

    for path in paths:
        page = browser.get(f"/admin/payments/{path}/change/")
        assert page.status_code == 200
        assert 'name="_save"' not in page.content.decode()
        assert browser.post(f"/admin/payments/{path}/change/", {"owed": "0"}).status_code == 403
        assert browser.post(f"/admin/payments/{path}/delete/", {"post": "yes"}).status_code == 403
    assert told(owed) == ("paid", 200, 0, 100)
