"""The audit names a voucher, a payment and a refund whose entries are not as they must be."""

from collections.abc import Callable

import pytest
from django.conf import LazySettings
from django.db.models import F

from accounts.models import User
from billing import services as ledger
from billing.models import LedgerEntry
from billing.payments import codes, services
from billing.payments.models import Payment, TakeBack, Voucher
from predictions.audit import breaches
from testing.stripe_server import WEBHOOK_SECRET, checkout_event, deliver, refund_event

pytestmark = pytest.mark.django_db


@pytest.fixture
def other_entry(user: User) -> LedgerEntry:
    return ledger.top_up(user_id=user.pk, amount=7)


@pytest.fixture
def voucher(user: User, make_user: Callable[..., User]) -> Voucher:
    """Redeemed, of 50 credits."""
    seed = codes.new_seed()
    operator = make_user("op@example.com", credit=0)
    services.make_vouchers(seed=seed, count=1, credit=50, actor=operator)
    return services.redeem(user=user, code=codes.derive(seed, 1)[0], address="")


@pytest.fixture
def payment(user: User, settings: LazySettings) -> Payment:
    """Paid, of 100 credits, half refunded."""
    settings.STRIPE_WEBHOOK_SECRET = WEBHOOK_SECRET
    row = Payment.objects.create(account_id=user.pk, credits=100, amount=200, currency="eur")
    deliver(checkout_event(row))
    deliver(refund_event(row, 100))
    return row


def test_it_is_quiet_about_what_is_in_order(voucher: Voucher, payment: Payment) -> None:
    assert breaches() == []


def test_a_voucher_with_an_entry_of_something_else(
    voucher: Voucher, other_entry: LedgerEntry
) -> None:
    Voucher.objects.update(entry=other_entry)

    assert breaches() == [
        f"voucher {voucher.pk} ({voucher.beginning}): redeemed without one entry of its credits"
    ]


def test_a_payment_with_an_entry_of_something_else(
    payment: Payment, other_entry: LedgerEntry
) -> None:
    Payment.objects.update(entry=other_entry)

    assert breaches() == [f"payment {payment.pk} (paid): without one entry of its credits"]


def test_one_entry_for_a_voucher_and_a_payment(payment: Payment, voucher: Voucher) -> None:
    payment.refresh_from_db()
    Voucher.objects.update(entry=payment.entry, credits=100)

    assert breaches() == [f"entry {payment.entry_id}: is of a payment and of a voucher"]


def test_a_refund_that_took_nothing_back(payment: Payment) -> None:
    TakeBack.objects.all().delete()

    (breach,) = breaches()
    assert breach.startswith(f"payment {payment.pk}: 50 credits taken back and 0 owed")
    assert breach.endswith("asks for 50, and its entries took 0")


def test_a_refund_that_is_not_owed_for(payment: Payment) -> None:
    Payment.objects.update(refunded=F("refunded") + 100)

    (breach,) = breaches()
    assert "asks for 100, and its entries took 50" in breach
