"""Buying credits: what they cost, and Stripe's page on which they are paid for.

The row of a payment is committed before Stripe is asked for its page, with the row's id as the
idempotency key. A crash in between leaves a payment that nobody pays; asking again for the same
payment leads to the same page. Credits come by `billing.payments.events` alone.
"""

import logging
from functools import cache
from typing import TYPE_CHECKING
from uuid import UUID

from django.conf import settings
from django.utils.translation import gettext as _

from billing.models import CreditAccount
from billing.payments.models import Payment
from billing.services import TopUpsClosed
from carprice.http.errors import InvalidInput, ServiceError

if TYPE_CHECKING:
    from stripe import StripeClient

logger = logging.getLogger(__name__)

TIMEOUT_SECONDS = 10
# https://docs.stripe.com/currencies#zero-decimal and, with three decimals, #three-decimal
NO_DECIMALS = frozenset(
    "bif clp djf gnf jpy kmf krw mga pyg rwf ugx vnd vuv xaf xof xpf".split()  # noqa: SIM905  # read as one line
)
THREE_DECIMALS = frozenset({"bhd", "jod", "kwd", "omr", "tnd"})


class PaymentsUnavailable(ServiceError):
    code = "unavailable"
    status = 503


def money(amount: int, currency: str) -> str:
    """An amount in the smallest unit of its currency, as people write it: 12.50 EUR."""
    decimals = 0 if currency in NO_DECIMALS else 3 if currency in THREE_DECIMALS else 2
    return f"{amount / 10**decimals:,.{decimals}f} {currency.upper()}"


def price(amount: int) -> int:
    """What so many credits cost, in the smallest unit of the currency."""
    return amount * settings.CREDIT_PRICE


def start(*, user_id: UUID, amount: int) -> Payment:
    """Note that somebody wants to buy credits.

    Raises TopUpsClosed where they are not sold, InvalidInput for an amount that is not, or one for
    which the account has no room.
    """
    if settings.TOP_UPS != "stripe":
        raise TopUpsClosed(_("Credits are not sold here."))
    if amount not in settings.CREDIT_AMOUNTS:
        raise InvalidInput({"amount": [_("Choose one of the amounts.")]})
    account = CreditAccount.objects.get(pk=user_id)
    if account.balance + amount > settings.CREDIT_CEILING:
        raise InvalidInput({"amount": [_("Your account has no room for so many.")]})
    return Payment.objects.create(
        account=account, credits=amount, amount=price(amount), currency=settings.CREDIT_CURRENCY
    )


def open_page(payment_id: UUID, *, back: str) -> str:
    """The address of Stripe's page for a payment, which leads back to the address `back`.

    Call it outside of a transaction. Raises PaymentsUnavailable.
    """
    import stripe

    payment = Payment.objects.get(pk=payment_id)
    try:
        session = _client().v1.checkout.sessions.create(
            {
                "mode": "payment",
                "client_reference_id": str(payment.pk),
                "metadata": {"payment": str(payment.pk)},
                # Stripe copies these to the charge, so that a refund names the payment as well.
                "payment_intent_data": {"metadata": {"payment": str(payment.pk)}},
                "line_items": [
                    {
                        "quantity": 1,
                        "price_data": {
                            "currency": payment.currency,
                            "unit_amount": payment.amount,
                            "product_data": {"name": f"{payment.credits:,} credits"},
                        },
                    }
                ],
                "success_url": back,
                "cancel_url": back,
            },
            {"idempotency_key": f"payment-{payment.pk}"},
        )
    except stripe.StripeError as error:
        logger.error("Stripe opened no page for payment %s: %s", payment.pk, error)
        raise PaymentsUnavailable(
            _("The payment service does not answer. Nothing was paid; try again later.")
        ) from error
    Payment.objects.filter(pk=payment.pk).update(session_id=session.id)
    return str(session.url)


@cache
def _client() -> "StripeClient":
    import stripe

    return stripe.StripeClient(
        settings.STRIPE_SECRET_KEY,
        base_addresses={"api": settings.STRIPE_API_BASE},
        http_client=stripe.RequestsClient(timeout=TIMEOUT_SECONDS),
        max_network_retries=1,  # with the same idempotency key
    )
