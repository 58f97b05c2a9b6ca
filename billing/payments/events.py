"""What Stripe tells of payments, and what that changes.

Stripe sends an event until it is answered with 2xx, for days, more than once at times, and in any
order. So each is done in one transaction that locks its payment, and is answered after the commit.
An event that was done changes nothing when it comes again; and whatever the events, a payment is
credited once, and no more is taken back than what was refunded has paid for:

- What a payment is worth depends on nothing but how much of it was paid and refunded. A refund that
  is told before its payment is remembered, and takes the credits back as soon as they are there.
- Stripe tells the sum of all refunds of a charge, so the largest sum that was told is the newest.

A refund takes credits back as far as they are available: what predictions hold is promised to
them, and a balance below zero would make the ledger's first rule an exception. The rest is noted as
owed. It is not taken silently from what the customer pays later: an operator sees it and decides,
as whether to forgive it depends on why the money was given back. A part of a credit is left to
the customer.
"""

import json
import logging
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import transaction

from accounts.models import User
from billing import services as ledger
from billing.models import LedgerEntry
from billing.payments.checkout import money
from billing.payments.models import Payment, StripeEvent, TakeBack
from carprice.http.errors import ServiceError, WrongState

logger = logging.getLogger(__name__)

TOLERANCE_SECONDS = 300  # how old a signature may be
Status = Payment.Status
PAID = {"checkout.session.completed", "checkout.session.async_payment_succeeded"}
UNPAID = {
    "checkout.session.expired": Status.EXPIRED,
    "checkout.session.async_payment_failed": Status.FAILED,
}
REFUNDED = "charge.refunded"


class NotSigned(ServiceError):
    code = "invalid_request"
    status = 400


@dataclass(frozen=True)
class Event:
    """An event whose signature is good; `about` is the checkout session or the charge."""

    id: str
    type: str
    about: dict[str, Any]


def read(body: bytes, signature: str) -> Event:
    """The event in a body. Raises NotSigned unless Stripe has signed it lately."""
    import stripe

    try:
        stripe.WebhookSignature.verify_header(
            body, signature, settings.STRIPE_WEBHOOK_SECRET, TOLERANCE_SECONDS
        )
        event = json.loads(body)
        return Event(event["id"], event["type"], event["data"]["object"])
    except (stripe.SignatureVerificationError, ValueError, KeyError, TypeError):
        raise NotSigned("This is no event that Stripe has signed lately.") from None


def receive(event: Event) -> None:
    """Do what an event asks for, unless that was done; returns once it is committed.

    Events of other types, and of payments that are not ours, are left alone: one account of
    Stripe's may serve several programs. Raises WrongState for what was paid but cannot be credited,
    so that Stripe tries again, and its dashboard and the log say so.
    """
    payment_id = _payment_of(event)
    if payment_id is None:
        return
    with transaction.atomic():
        payment = Payment.objects.select_for_update().filter(pk=payment_id).first()
        if payment is None or StripeEvent.objects.filter(pk=event.id).exists():
            return
        _apply(event, payment)
        payment.save()
        StripeEvent.objects.create(id=event.id, type=event.type, payment=payment)


def _payment_of(event: Event) -> UUID | None:
    if event.type not in {*PAID, *UNPAID, REFUNDED}:
        return None
    named = (event.about.get("metadata") or {}).get("payment", "")
    try:
        return UUID(named)
    except ValueError:
        return None


def _apply(event: Event, payment: Payment) -> None:
    if event.type == REFUNDED:
        told = min(event.about["amount_refunded"], payment.amount)
        payment.refunded = max(payment.refunded, told)
    elif event.type in UNPAID:
        if payment.status == Status.PENDING:
            payment.status = UNPAID[event.type]
    elif event.about["payment_status"] == "paid" and payment.status != Status.PAID:
        _credit(payment, event.about)
    if payment.status == Status.PAID:
        _take_back(payment)


def _credit(payment: Payment, session: dict[str, Any]) -> None:
    paid = (session["amount_total"], session["currency"])
    if paid != (payment.amount, payment.currency):
        logger.error("Payment %s: %s was paid instead of its amount", payment.pk, money(*paid))
        raise WrongState("Another amount was paid than the payment's.")
    try:
        payment.entry = ledger.top_up(
            user_id=payment.account_id,
            amount=payment.credits,
            reason=f"Paid {money(payment.amount, payment.currency)}",
        )
    except ServiceError as error:
        logger.error("Payment %s is paid and cannot be credited: %s", payment.pk, error)
        raise WrongState("The account has no room for the credits.") from error
    payment.status = Status.PAID
    payment.paid_at = payment.entry.created_at
    payment.payment_intent = session.get("payment_intent") or ""


def _take_back(payment: Payment) -> None:
    """Take back what refunds ask for and nothing has been noted of yet."""
    amount = payment.to_take_back - payment.taken_back - payment.owed
    payment.owed += amount
    _collect(payment, amount, reason=f"Refunded of {money(payment.amount, payment.currency)}")


def _collect(
    payment: Payment, most: int, *, reason: str, actor: User | None = None
) -> LedgerEntry | None:
    """Take owed credits back, `most` of them or as many as are available; None if none are."""
    entry = ledger.take_back(user_id=payment.account_id, most=most, reason=reason, actor=actor)
    if entry is not None:
        TakeBack.objects.create(payment=payment, entry=entry)
        payment.taken_back -= entry.balance_change
        payment.owed += entry.balance_change
    return entry


@transaction.atomic
def collect_owed(*, payment_id: UUID, reason: str, actor: User) -> LedgerEntry:
    """An operator's decision to take back what a payment is owed, as far as it is available.

    Raises WrongState if nothing is owed, or nothing available.
    """
    payment = Payment.objects.select_for_update().get(pk=payment_id)
    entry = _collect(payment, payment.owed, reason=reason, actor=actor)
    if entry is None:
        raise WrongState("Nothing is owed, or no credits are available.")
    payment.save()
    return entry
