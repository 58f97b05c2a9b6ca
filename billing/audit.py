"""The ledger's invariants, each with the queries that find what breaks it.

A query reads whole tables once, whatever their size; `carprice.db.snapshots` gives all of them the
same state of the database.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.db import connection

from billing import triggers
from carprice.db import cursors, snapshots

SHOWN = 20  # how many breaches each query names


@dataclass(frozen=True)
class Invariant:
    """What is always true. Each check yields a sentence for every breach it finds."""

    name: str
    checks: Sequence[Callable[[], Iterator[str]]]

    def breaches(self) -> list[str]:
        return [breach for check in self.checks for breach in check()]


def breaches() -> list[str]:
    """What breaks the ledger's invariants, in one state of the database."""
    with snapshots.snapshot():
        return [*ACCOUNTS_ADD_UP.breaches(), *ENTRIES_STAY.breaches()]


# --- Accounts and their entries ------------------------------------------------------------------

_WITHOUT_ACCOUNT = """
    SELECT person.id FROM accounts_user AS person
    LEFT JOIN billing_creditaccount AS account ON account.user_id = person.id
    WHERE account.user_id IS NULL LIMIT %s
"""
# A resolution takes back the whole of its hold (_RESOLUTIONS checks that), so the sum of all
# changes of `held` is what the open holds reserve.
_SUMS = """
    SELECT account.user_id, balance, held, COALESCE(posted, 0), COALESCE(reserved, 0),
        latest.id, latest.balance_after, latest.held_after
    FROM billing_creditaccount AS account
    LEFT JOIN (
        SELECT account_id, SUM(balance_change) AS posted, SUM(held_change) AS reserved,
            MAX(id) AS latest_id
        FROM billing_ledgerentry GROUP BY account_id
    ) AS entries ON entries.account_id = account.user_id
    LEFT JOIN billing_ledgerentry AS latest ON latest.id = entries.latest_id
    WHERE balance <> COALESCE(posted, 0) OR held <> COALESCE(reserved, 0)
        OR held < 0 OR held > balance
        OR latest.balance_after <> balance OR latest.held_after <> held
    LIMIT %s
"""
_RESOLUTIONS = """
    SELECT entry.id, entry.resolves_id FROM billing_ledgerentry AS entry
    LEFT JOIN billing_ledgerentry AS resolved ON resolved.id = entry.resolves_id
    WHERE (entry.kind IN ('capture', 'release', 'refund') OR entry.resolves_id IS NOT NULL)
        AND NOT COALESCE(
            resolved.account_id = entry.account_id
            AND COALESCE(
                resolved.subject_id = entry.subject_id,
                resolved.subject_id IS NULL AND entry.subject_id IS NULL
            )
            AND CASE
                WHEN entry.kind IN ('capture', 'release')
                    THEN resolved.kind = 'hold' AND resolved.held_change = -entry.held_change
                WHEN entry.kind = 'refund' THEN resolved.kind = 'capture'
                    AND resolved.balance_change = -entry.balance_change
            END,
            FALSE
        )
    LIMIT %s
"""
_RESOLVED_TWICE = """
    SELECT resolves_id FROM billing_ledgerentry WHERE resolves_id IS NOT NULL
    GROUP BY resolves_id HAVING COUNT(*) > 1 LIMIT %s
"""


def _users_without_an_account() -> Iterator[str]:
    for (user_id,) in cursors.fetch_all(_WITHOUT_ACCOUNT, SHOWN):
        yield f"user {uuid(user_id)}: has no credit account"


def _accounts_that_differ_from_their_entries() -> Iterator[str]:
    for row in cursors.fetch_all(_SUMS, SHOWN):
        user_id, balance, held, posted, reserved, latest_id, balance_after, held_after = row
        yield (
            f"account {uuid(user_id)}: balance {balance} and held {held}, "
            f"but its entries give {posted} and {reserved}, "
            f"and the last one, {latest_id}, leaves {balance_after} and {held_after}"
        )


def _resolutions_that_do_not_fit() -> Iterator[str]:
    """A capture or release ends a whole hold, a refund gives back a whole capture; once."""
    for entry_id, resolved_id in cursors.fetch_all(_RESOLUTIONS, SHOWN):
        yield f"entry {entry_id}: does not fit the entry {resolved_id} that it resolves"
    for (entry_id,) in cursors.fetch_all(_RESOLVED_TWICE, SHOWN):
        yield f"entry {entry_id}: is resolved more than once"


def uuid(value: Any) -> UUID:
    """A UUID column's value; SQLite stores it as text."""
    return UUID(str(value))


ACCOUNTS_ADD_UP = Invariant(
    "Every account is the sum of its entries, and has no more held than its balance",
    [
        _users_without_an_account,
        _accounts_that_differ_from_their_entries,
        _resolutions_that_do_not_fit,
    ],
)

# --- Entries that stay ---------------------------------------------------------------------------


def missing_triggers(names: set[str]) -> Iterator[str]:
    """The triggers that refuse a change are in place and enabled."""
    query = (
        "SELECT tgname FROM pg_trigger WHERE tgenabled IN ('O', 'A')"
        if connection.vendor == "postgresql"
        else "SELECT name FROM sqlite_master WHERE type = 'trigger'"
    )
    present = {name for (name,) in cursors.fetch_all(query)}
    for name in sorted(names - present):
        yield f"trigger {name}: missing or disabled"


ENTRIES_STAY = Invariant(
    "Ledger entries are never edited or deleted", [lambda: missing_triggers(triggers.names())]
)
