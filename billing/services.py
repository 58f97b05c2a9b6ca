"""Every change of credits.

Each function locks the account it changes. Callers that also lock predictions do so before.
"""

from collections.abc import Collection, Sequence
from datetime import timedelta
from itertools import groupby
from operator import itemgetter
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.db.models import Sum
from django.db.models.functions import Abs, Now
from django.template.defaultfilters import pluralize
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from accounts.models import User
from billing.models import CreditAccount, LedgerEntry
from carprice.db.cursors import execute, fetch_all, fetch_one
from carprice.db.dialect import values
from carprice.http.errors import InvalidInput, ServiceError, WrongState

Kind = LedgerEntry.Kind
CORRECTIONS_ADD_UP_FOR = timedelta(hours=24)
NO_CHARGE = "Only a charge can be given back."


class OwnAccount(ServiceError):
    code = "permission_denied"
    status = 403


class TopUpsClosed(ServiceError):
    code = "top_ups_closed"
    status = 403


class InsufficientCredits(ServiceError):
    code = "insufficient_credits"
    status = 402

    def __init__(self, *, required: int, available: int) -> None:
        needed = ngettext("%(count)d credit is needed", "%(count)d credits are needed", required)
        there = ngettext("%(count)d is available", "%(count)d are available", available)
        sentence = _("%(needed)s and %(there)s.") % {
            "needed": needed % {"count": required},
            "there": there % {"count": available},
        }
        super().__init__(
            sentence,
            required=required,
            available=available,
        )


def check_top_ups_open() -> None:
    """Raise TopUpsClosed, with the way that is open, where not everybody adds credits at will."""
    ways = {
        "voucher": _("Credits are added by vouchers here."),
        "stripe": _("Credits are bought here."),
        "operator": _("Credits are added by the operators here."),
    }
    if settings.TOP_UPS in ways:
        raise TopUpsClosed(ways[settings.TOP_UPS])


@transaction.atomic
def top_up(*, user_id: UUID, amount: int, reason: str = "") -> LedgerEntry:
    """Add whole credits, whoever has decided so; `check_top_ups_open` is for users who do.

    Raises InvalidInput above the limit of one top-up or the ceiling.
    """
    if not 1 <= amount <= settings.TOP_UP_LIMIT:
        raise InvalidInput(
            {"amount": [_("Enter 1 to %(most)s credits.") % {"most": f"{settings.TOP_UP_LIMIT:,}"}]}
        )
    account = _lock(user_id)
    _refuse_above_ceiling(account.balance + amount, field="amount")
    return _write(account, Kind.TOP_UP, balance_change=amount, reason=reason)


@transaction.atomic
def take_back(
    *, user_id: UUID, most: int, reason: str, actor: User | None = None
) -> LedgerEntry | None:
    """Take credits away as far as they are available; None if none are. What is held stays so."""
    account = _lock(user_id)
    amount = min(most, account.available)
    if amount <= 0:
        return None
    return _write(account, Kind.ADJUSTMENT, balance_change=-amount, reason=reason, actor=actor)


@transaction.atomic
def set_available(*, user_id: UUID, new_amount: int) -> CreditAccount:
    """Make `new_amount` credits available, recording the difference; none writes nothing."""
    account = _lock(user_id)
    if new_amount < 0:
        raise InvalidInput({"new_amount": ["Enter 0 or more credits."]})
    _refuse_above_ceiling(new_amount + account.held, field="new_amount")
    change = new_amount - account.available
    if change:
        _write(account, Kind.TOP_UP if change > 0 else Kind.ADJUSTMENT, balance_change=change)
    return account


@transaction.atomic
def correct_balance(*, user_id: UUID, change: int, reason: str, actor: User) -> LedgerEntry:
    """An operator's signed correction.

    Raises OwnAccount, or InvalidInput if it leaves less than is held, or if it is more than the
    operator may still correct today.
    """
    if not reason.strip():
        raise InvalidInput({"reason": ["Say why the balance is corrected."]})
    if change == 0:
        raise InvalidInput({"change": ["A correction changes something."]})
    _refuse_own(user_id, actor)
    _refuse_beyond_largest(change, actor)
    account = _lock(user_id)
    _refuse_above_ceiling(account.balance + change, field="change")
    if account.available + change < 0:
        available = account.available
        verb = pluralize(available, " is,s are")
        raise InvalidInput({"change": [f"Only {available} credit{verb} available."]})
    return _write(
        account, Kind.ADJUSTMENT, balance_change=change, reason=reason.strip(), actor=actor
    )


@transaction.atomic
def forfeit(*, user_id: UUID, reason: str) -> LedgerEntry | None:
    """Take all credits that are not held from an account whose owner has left; None without any.

    Nothing can be bought from it afterwards, not even by a request that is already under way.
    """
    account = _lock(user_id)
    if not account.available:
        return None
    return _write(account, Kind.ADJUSTMENT, balance_change=-account.available, reason=reason)


def refund_refusal(entry: LedgerEntry) -> str:
    """Why an entry cannot be given back; empty if it can."""
    if entry.kind != Kind.CAPTURE:
        return NO_CHARGE
    if LedgerEntry.objects.filter(resolves=entry).exists():
        return "This charge has been given back."
    return ""


@transaction.atomic
def refund_charge(*, capture: LedgerEntry, reason: str, actor: User) -> LedgerEntry:
    """Give a charge back in full.

    Raises OwnAccount, or WrongState if that was done, or if it is no charge.
    """
    if not reason.strip():
        raise InvalidInput({"reason": ["Say why the charge is given back."]})
    if capture.kind != Kind.CAPTURE:
        raise WrongState(NO_CHARGE)
    _refuse_own(capture.account_id, actor)
    account = _lock(capture.account_id)
    if refusal := refund_refusal(capture):
        raise WrongState(refusal)
    amount = -capture.balance_change
    _refuse_above_ceiling(account.balance + amount, field="amount")
    return _write(
        account,
        Kind.REFUND,
        balance_change=amount,
        reason=reason.strip(),
        actor=actor,
        resolves=capture,
    )


# Placing a hold is on the path of every submission, so it is two statements. The UPDATE both asks
# whether enough is free and reserves it. Nothing can come in between, as it could between a SELECT
# and an UPDATE, so two submissions at the same moment cannot spend the same credits; and the
# account stays locked only from here to the end of the transaction. What the UPDATE returns is the
# account's state after the entry, which the entry records.
_RESERVE = """
    UPDATE billing_creditaccount SET held = held + %s
    WHERE user_id = %s AND balance - held >= %s RETURNING balance, held
"""
_WRITE_HOLD = """
    INSERT INTO billing_ledgerentry
        (account_id, kind, balance_change, held_change, balance_after, held_after, subject_id,
        reason)
    VALUES (%s, 'hold', 0, %s, %s, %s, %s, '') RETURNING id
"""


@transaction.atomic
def place_hold(*, user_id: UUID, amount: int, subject_id: UUID) -> int:
    """Reserve whole credits; returns the hold's id.

    Raises InsufficientCredits, writing nothing, if too few are free.
    """
    account = fetch_one(_RESERVE, amount, user_id, amount)
    if account is None:
        raise insufficient_credits(user_id, amount)
    hold = fetch_one(_WRITE_HOLD, user_id, amount, *account, subject_id)
    assert hold is not None  # noqa: S101  # an INSERT that returns has inserted
    return int(hold[0])


# The same as parts of a larger statement of PostgreSQL, with the parameters `user_id`, `price` and
# `subject_id`. `{condition}` names a part that comes before: if it is empty, nothing is reserved.
# `hold` is empty then, and if too few credits are free.
HOLD_PARTS = """
    reserved AS (
        UPDATE billing_creditaccount SET held = held + %(price)s
        WHERE user_id = %(user_id)s AND balance - held >= %(price)s
            AND EXISTS (SELECT FROM {condition})
        RETURNING balance, held
    ),
    hold AS (
        INSERT INTO billing_ledgerentry (account_id, kind, balance_change, held_change,
            balance_after, held_after, subject_id, reason)
        SELECT %(user_id)s, 'hold', 0, %(price)s, balance, held, %(subject_id)s, '' FROM reserved
        RETURNING id
    )
"""


def insufficient_credits(user_id: UUID, required: int) -> InsufficientCredits:
    """What to raise when an account has too few credits."""
    available = CreditAccount.objects.get(pk=user_id).available
    return InsufficientCredits(required=required, available=available)


# A worker settles many predictions in one transaction, and all their holds are resolved by one
# SELECT, one UPDATE for each account and one INSERT of all entries.
#
# The SELECT locks nothing, because holds are never edited. That each is resolved once is left to
# the unique column `resolves`: the second INSERT fails, and with it all that its transaction did.
#
# An account is changed by one UPDATE for all its holds, so it is locked once. The states after each
# single entry are computed from the state after the last one, which the UPDATE returns.
#
# Accounts are updated in the order of their ids. Two workers that settle predictions of the same
# users then lock the accounts in the same order, and neither waits for one that the other has.
_HOLDS = """
    SELECT id, account_id, held_change, subject_id FROM billing_ledgerentry
    WHERE kind = 'hold' AND id IN ({ids}) ORDER BY account_id, id
"""
_SETTLE = """
    UPDATE billing_creditaccount SET balance = balance - %s, held = held - %s
    WHERE user_id = %s RETURNING balance, held
"""
_WRITE_RESOLUTIONS = """
    INSERT INTO billing_ledgerentry (account_id, kind, balance_change, held_change,
        balance_after, held_after, subject_id, resolves_id, reason)
    VALUES {rows}
"""


# The same for holds that are all captured, as parts of a larger statement of PostgreSQL whose part
# `{holds}` has them in a column `hold_id`.
#
# Accounts are locked first, in the order of their ids. What the statement read of them before may
# be outdated then, so it uses nothing of it: an UPDATE that has waited, or comes after a lock that
# has, computes with the newest state, and that is what it returns.
CAPTURE_PARTS = """
    hold AS MATERIALIZED (
        SELECT entry.id, entry.account_id, entry.held_change AS amount, entry.subject_id
        FROM billing_ledgerentry AS entry JOIN {holds} ON {holds}.hold_id = entry.id
        WHERE entry.kind = 'hold'
    ),
    account AS MATERIALIZED (
        SELECT user_id FROM billing_creditaccount
        WHERE user_id IN (SELECT account_id FROM hold)
        ORDER BY user_id FOR NO KEY UPDATE
    ),
    total AS MATERIALIZED (
        SELECT account_id, SUM(amount)::bigint AS amount FROM hold GROUP BY account_id
    ),
    charged AS (
        UPDATE billing_creditaccount AS charging
        SET balance = balance - total.amount, held = held - total.amount
        FROM account JOIN total ON total.account_id = account.user_id
        WHERE charging.user_id = account.user_id
        RETURNING charging.user_id, charging.balance, charging.held, total.amount
    ),
    captured AS (
        INSERT INTO billing_ledgerentry (account_id, kind, balance_change, held_change,
            balance_after, held_after, subject_id, resolves_id, reason)
        SELECT account_id, 'capture', -hold.amount, -hold.amount,
            balance + charged.amount - SUM(hold.amount) OVER entries_up_to_this,
            held + charged.amount - SUM(hold.amount) OVER entries_up_to_this,
            subject_id, hold.id, ''
        FROM hold JOIN charged ON charged.user_id = hold.account_id
        WINDOW entries_up_to_this AS (PARTITION BY account_id ORDER BY hold.id)
        ORDER BY account_id, hold.id
    )
"""


@transaction.atomic
def resolve_holds(*, captured: Collection[int] = (), released: Collection[int] = ()) -> None:
    """Charge some open holds in full and release others in full, by their ids.

    Call it once in a transaction, and lock no account besides: two of these then cannot deadlock.
    Raises IntegrityError if a hold is already resolved.
    """
    hold_ids = [*captured, *released]
    if not hold_ids:
        return
    holds = fetch_all(_HOLDS.format(ids=", ".join(["%s"] * len(hold_ids))), *hold_ids)
    entries: list[Any] = []
    for account_id, account_holds in groupby(holds, key=itemgetter(1)):
        entries += _settle_account(account_id, list(account_holds), set(captured))
    execute(_WRITE_RESOLUTIONS.format(rows=values(len(holds), 9)), *entries)


def _settle_account(
    account_id: UUID, holds: Sequence[tuple[Any, ...]], captured: set[int]
) -> list[Any]:
    """Change an account by all its holds. Returns the values of the entries, in one flat list."""
    total = sum(amount for _, _, amount, _ in holds)
    charged = sum(amount for hold_id, _, amount, _ in holds if hold_id in captured)
    account = fetch_one(_SETTLE, charged, total, account_id)
    assert account is not None  # noqa: S101  # entries keep their account from being deleted
    balance, held = account[0] + charged, account[1] + total
    values_of_entries: list[Any] = []
    for hold_id, _account, amount, subject_id in holds:
        kind, change = (Kind.CAPTURE, -amount) if hold_id in captured else (Kind.RELEASE, 0)
        balance, held = balance + change, held - amount
        values_of_entries += [
            account_id, kind.value, change, -amount, balance, held, subject_id, hold_id, "",
        ]  # fmt: skip
    return values_of_entries


def _lock(user_id: UUID) -> CreditAccount:
    # With no_key, entries that others insert for the account need not wait for this lock.
    return CreditAccount.objects.select_for_update(no_key=True).get(pk=user_id)


def _write(
    account: CreditAccount,
    kind: LedgerEntry.Kind,
    *,
    balance_change: int,
    reason: str = "",
    actor: User | None = None,
    resolves: LedgerEntry | None = None,
) -> LedgerEntry:
    """Change the balance of a locked account and write the entry of the change."""
    account.balance += balance_change
    account.save(update_fields=["balance"])
    entry = LedgerEntry.objects.create(
        account=account,
        kind=kind,
        balance_change=balance_change,
        held_change=0,
        balance_after=account.balance,
        held_after=account.held,
        subject_id=resolves.subject_id if resolves else None,
        resolves=resolves,
        reason=reason,
        actor=actor,
    )
    entry.refresh_from_db(fields=["created_at"])  # set by the database's clock
    return entry


def _refuse_own(user_id: UUID, actor: User) -> None:
    if actor.pk == user_id:
        raise OwnAccount("This is your own account; ask another operator.")


def _refuse_beyond_largest(change: int, actor: User) -> None:
    """Refuse what would make an operator's corrections of 24 hours more than they may be.

    The operator's row stays locked until the entry is committed, so that of two corrections at the
    same moment the second one counts the first.
    """
    User.objects.select_for_update(no_key=True).only("pk").get(pk=actor.pk)
    recent = LedgerEntry.objects.filter(
        actor=actor, kind=Kind.ADJUSTMENT, created_at__gt=Now() - CORRECTIONS_ADD_UP_FOR
    )
    corrected = recent.aggregate(credits=Sum(Abs("balance_change")))["credits"] or 0
    left = max(0, settings.LARGEST_CORRECTION - corrected)
    if abs(change) > left:
        limit = f"One operator corrects at most {settings.LARGEST_CORRECTION:,} credits in 24 hours"
        raise InvalidInput({"change": [f"{limit}; you have {left:,} left."]})


def _refuse_above_ceiling(balance: int, *, field: str) -> None:
    if balance > settings.CREDIT_CEILING:
        raise InvalidInput(
            {
                field: [
                    _("An account holds at most %(most)s.")
                    % {"most": f"{settings.CREDIT_CEILING:,}"}
                ]
            }
        )
