"""The ledger's invariants, each a query that finds what breaks it."""

from collections.abc import Iterator

from django.db import connection
from django.db.models import F, Q, Sum
from django.db.models.functions import Coalesce

from accounts.models import User
from billing import triggers
from billing.models import CreditAccount, LedgerEntry

Kind = LedgerEntry.Kind

SHOWN = 20  # breaches named for each invariant


def breaches() -> Iterator[str]:
    yield from _users_without_an_account()
    yield from _accounts_that_differ_from_their_entries()
    yield from _resolutions_that_do_not_fit()
    yield from missing_triggers(triggers.names())


def _users_without_an_account() -> Iterator[str]:
    for user in User.objects.filter(credit_account=None)[:SHOWN]:
        yield f"user {user.pk}: has no credit account"


def _accounts_that_differ_from_their_entries() -> Iterator[str]:
    """1. balance = Σ posted entries, held = Σ open holds, 0 ≤ held ≤ balance."""
    accounts = CreditAccount.objects.annotate(
        posted=Coalesce(Sum("entries__balance_change"), 0),
        reserved=Coalesce(Sum("entries__held_change"), 0),
    )
    wrong = accounts.filter(
        ~Q(balance=F("posted")) | ~Q(held=F("reserved")) | Q(held__lt=0) | Q(held__gt=F("balance"))
    )
    for account in wrong[:SHOWN]:
        yield (
            f"account {account.pk}: balance {account.balance} and held {account.held}, "
            f"but its entries give {account.posted} and {account.reserved}"
        )


def _resolutions_that_do_not_fit() -> Iterator[str]:
    """A capture or release ends a whole hold, a refund gives back a whole capture."""
    ends = Q(
        ~Q(kind=Kind.REFUND),
        resolves__kind=Kind.HOLD,
        resolves__held_change=-F("held_change"),
    )
    gives_back = Q(
        kind=Kind.REFUND,
        resolves__kind=Kind.CAPTURE,
        resolves__balance_change=-F("balance_change"),
    )
    wrong = LedgerEntry.objects.filter(resolves__isnull=False).exclude(
        ends | gives_back, resolves__account=F("account"), resolves__task_id=F("task_id")
    )
    for entry in wrong[:SHOWN]:
        yield f"entry {entry.pk}: does not fit the entry {entry.resolves_id} that it resolves"


def missing_triggers(names: set[str]) -> Iterator[str]:
    """5. What forbids editing the ledger is in place."""
    query = (
        "SELECT tgname FROM pg_trigger WHERE tgenabled <> 'D'"
        if connection.vendor == "postgresql"
        else "SELECT name FROM sqlite_master WHERE type = 'trigger'"
    )
    with connection.cursor() as cursor:
        cursor.execute(query)
        present = {row[0] for row in cursor.fetchall()}
    for name in sorted(names - present):
        yield f"trigger {name}: missing or disabled"
