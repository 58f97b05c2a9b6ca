"""Every change of credits. Each function locks the account, so callers lock predictions before."""

from collections.abc import Iterable
from uuid import UUID

from django.conf import settings
from django.db import transaction

from accounts.models import User
from billing.models import CreditAccount, LedgerEntry
from carprice.errors import InvalidInput, ServiceError
from carprice.sql import fetch_one

Kind = LedgerEntry.Kind


class InsufficientCredits(ServiceError):
    code = "insufficient_credits"

    def __init__(self, *, required: int, available: int) -> None:
        super().__init__(
            f"{required} credits are needed and {available} are available.",
            required=required,
            available=available,
        )


@transaction.atomic
def top_up(*, user_id: UUID, amount: int) -> LedgerEntry:
    """Add whole credits. Raises InvalidInput above the limit of one top-up or the ceiling."""
    if not 1 <= amount <= settings.TOP_UP_LIMIT:
        raise InvalidInput({"amount": [f"Enter 1 to {settings.TOP_UP_LIMIT:,} credits."]})
    account = _lock(user_id)
    _refuse_above_ceiling(account.balance + amount, field="amount")
    return _write(account, Kind.TOP_UP, balance_change=amount)


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
    """An operator's signed correction. Raises InvalidInput if it leaves less than is held."""
    if not reason.strip():
        raise InvalidInput({"reason": ["Say why the balance is corrected."]})
    if change == 0:
        raise InvalidInput({"change": ["A correction changes something."]})
    account = _lock(user_id)
    _refuse_above_ceiling(account.balance + change, field="change")
    if account.available + change < 0:
        raise InvalidInput({"change": [f"Only {account.available} credits are available."]})
    return _write(
        account, Kind.ADJUSTMENT, balance_change=change, reason=reason.strip(), actor=actor
    )


_RESERVE = """
    UPDATE billing_creditaccount SET held = held + %s
    WHERE user_id = %s AND balance - held >= %s RETURNING balance, held
"""
_WRITE_HOLD = """
    INSERT INTO billing_ledgerentry
        (account_id, kind, balance_change, held_change, balance_after, held_after, task_id, reason)
    VALUES (%s, 'hold', 0, %s, %s, %s, %s, '') RETURNING id
"""


@transaction.atomic
def place_hold(*, user_id: UUID, amount: int, task_id: UUID) -> int:
    """Reserve whole credits; returns the hold's id.

    Raises InsufficientCredits, writing nothing, if too few are free.
    """
    account = fetch_one(_RESERVE, amount, user_id, amount)
    if account is None:
        available = CreditAccount.objects.get(pk=user_id).available
        raise InsufficientCredits(required=amount, available=available)
    hold = fetch_one(_WRITE_HOLD, user_id, amount, *account, task_id)
    assert hold is not None  # noqa: S101  # an INSERT that returns has inserted
    return int(hold[0])


def capture_holds(holds: Iterable[int]) -> None:
    """Charge open holds in full. Raises IntegrityError if one is already resolved."""
    _resolve(holds, Kind.CAPTURE)


def release_holds(holds: Iterable[int]) -> None:
    """Give open holds back in full. Raises IntegrityError if one is already resolved."""
    _resolve(holds, Kind.RELEASE)


@transaction.atomic
def _resolve(holds: Iterable[int], kind: LedgerEntry.Kind) -> None:
    rows = list(LedgerEntry.objects.filter(pk__in=holds, kind=Kind.HOLD).order_by("pk"))
    locked = CreditAccount.objects.select_for_update(no_key=True).order_by("pk")
    accounts = {
        account.pk: account for account in locked.filter(pk__in={row.account_id for row in rows})
    }
    LedgerEntry.objects.bulk_create(
        _apply(
            accounts[hold.account_id],
            kind,
            balance_change=-hold.held_change if kind == Kind.CAPTURE else 0,
            held_change=-hold.held_change,
            task_id=hold.task_id,
            resolves=hold,
        )
        for hold in rows
    )
    for account in accounts.values():
        account.save(update_fields=["balance", "held"])


def _lock(user_id: UUID) -> CreditAccount:
    # no_key: the foreign keys of entries that others insert need not wait for this lock.
    return CreditAccount.objects.select_for_update(no_key=True).get(pk=user_id)


def _apply(
    account: CreditAccount,
    kind: LedgerEntry.Kind,
    *,
    balance_change: int = 0,
    held_change: int = 0,
    task_id: UUID | None = None,
    resolves: LedgerEntry | None = None,
    reason: str = "",
    actor: User | None = None,
) -> LedgerEntry:
    """Change a locked account in memory and return the unsaved entry of that change."""
    account.balance += balance_change
    account.held += held_change
    return LedgerEntry(
        account=account,
        kind=kind,
        balance_change=balance_change,
        held_change=held_change,
        balance_after=account.balance,
        held_after=account.held,
        task_id=task_id,
        resolves=resolves,
        reason=reason,
        actor=actor,
    )


def _write(
    account: CreditAccount,
    kind: LedgerEntry.Kind,
    *,
    balance_change: int = 0,
    held_change: int = 0,
    task_id: UUID | None = None,
    reason: str = "",
    actor: User | None = None,
) -> LedgerEntry:
    entry = _apply(
        account,
        kind,
        balance_change=balance_change,
        held_change=held_change,
        task_id=task_id,
        reason=reason,
        actor=actor,
    )
    account.save(update_fields=["balance", "held"])
    entry.save(force_insert=True)
    return entry


def _refuse_above_ceiling(balance: int, *, field: str) -> None:
    if balance > settings.CREDIT_CEILING:
        raise InvalidInput({field: [f"An account holds at most {settings.CREDIT_CEILING:,}."]})
