"""What is always true of vouchers and payments, with the queries that find what breaks it."""

from collections.abc import Iterator

from billing.audit import SHOWN, Invariant, uuid
from carprice.db import cursors

_VOUCHERS = """
    SELECT voucher.beginning, voucher.id FROM payments_voucher AS voucher
    LEFT JOIN billing_ledgerentry AS entry ON entry.id = voucher.entry_id
    WHERE (voucher.redeemed_at IS NOT NULL OR voucher.entry_id IS NOT NULL)
        AND NOT COALESCE(
            voucher.redeemed_at IS NOT NULL AND voucher.revoked_at IS NULL
            AND entry.kind = 'top_up' AND entry.balance_change = voucher.credits, FALSE)
    LIMIT %s
"""
_PAYMENTS = """
    SELECT payment.id, payment.status FROM payments_payment AS payment
    LEFT JOIN billing_ledgerentry AS entry ON entry.id = payment.entry_id
    WHERE CASE payment.status
        WHEN 'paid' THEN NOT COALESCE(
            entry.kind = 'top_up' AND entry.balance_change = payment.credits
            AND entry.account_id = payment.account_id, FALSE)
        ELSE payment.entry_id IS NOT NULL
    END
    LIMIT %s
"""
_TAKEN_BACK = """
    SELECT payment.id, payment.taken_back, payment.owed,
        payment.credits * payment.refunded / payment.amount, COALESCE(entries.taken, 0)
    FROM payments_payment AS payment
    LEFT JOIN (
        SELECT payment_id, -SUM(balance_change) AS taken
        FROM payments_takeback AS take_back
        JOIN billing_ledgerentry AS entry ON entry.id = take_back.entry_id
        GROUP BY payment_id
    ) AS entries ON entries.payment_id = payment.id
    WHERE payment.taken_back <> COALESCE(entries.taken, 0)
        OR (payment.status = 'paid' AND payment.taken_back + payment.owed
            <> payment.credits * payment.refunded / payment.amount)
    LIMIT %s
"""
_CREDITED_TWICE = """
    SELECT payment.entry_id FROM payments_payment AS payment
    JOIN payments_voucher AS voucher ON voucher.entry_id = payment.entry_id LIMIT %s
"""


def _vouchers_without_their_entry() -> Iterator[str]:
    for beginning, key in cursors.fetch_all(_VOUCHERS, SHOWN):
        yield f"voucher {key} ({beginning}): redeemed without one entry of its credits"


def _payments_without_their_entry() -> Iterator[str]:
    for key, status in cursors.fetch_all(_PAYMENTS, SHOWN):
        breach = (
            "without one entry of its credits" if status == "paid" else "credited without being so"
        )
        yield f"payment {uuid(key)} ({status}): {breach}"
    for (entry_id,) in cursors.fetch_all(_CREDITED_TWICE, SHOWN):
        yield f"entry {entry_id}: is of a payment and of a voucher"


def _refunds_that_differ() -> Iterator[str]:
    for key, taken, owed, due, entries in cursors.fetch_all(_TAKEN_BACK, SHOWN):
        yield (
            f"payment {uuid(key)}: {taken} credits taken back and {owed} owed, but what was "
            f"refunded asks for {due}, and its entries took {entries}"
        )


PAID_ONCE = Invariant(
    "Every redeemed voucher and every paid payment has one entry of its credits",
    [_vouchers_without_their_entry, _payments_without_their_entry],
)
REFUNDS_TAKEN_BACK = Invariant(
    "What was refunded of a payment is taken back of its credits, or owed", [_refunds_that_differ]
)
