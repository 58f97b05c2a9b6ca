"""Every invariant of the service, each with the queries that find what breaks it."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta

from django.conf import settings
from django.db.models import Count, Sum
from django.db.models.functions import Coalesce

from billing.audit import ACCOUNTS_ADD_UP, ENTRIES_STAY, SHOWN, Invariant, missing_triggers, uuid
from billing.models import CreditAccount
from billing.payments.audit import PAID_ONCE, REFUNDS_TAKEN_BACK
from carprice.db import cursors, dialect, snapshots
from predictions import triggers
from predictions.models import AuditRun, Prediction

OVERDUE = timedelta(seconds=settings.DEADLINE_SECONDS + 60)


@dataclass(frozen=True)
class Finding:
    """The audit's result for one invariant: a sentence for each breach."""

    invariant: str
    breaches: list[str]
    seconds: float


def check(invariants: Sequence[Invariant] = ()) -> list[Finding]:
    """Look for breaches of some invariants or of all, in one state of the database."""
    with snapshots.snapshot():
        return [_check(invariant) for invariant in invariants or INVARIANTS]


def check_and_record() -> list[Finding]:
    """Look for breaches of all invariants, and remember how it went, for the operator's page."""
    findings = check()
    record(findings)
    return findings


def record(findings: Sequence[Finding]) -> AuditRun:
    return AuditRun.objects.create(
        breaches=sum(len(finding.breaches) for finding in findings),
        seconds=sum(finding.seconds for finding in findings),
        **CreditAccount.objects.aggregate(
            accounts=Count("*"),
            balance=Coalesce(Sum("balance"), 0),
            held=Coalesce(Sum("held"), 0),
        ),
    )


def breaches() -> list[str]:
    """One sentence for each breach; none if money and predictions are all there."""
    return [breach for finding in check() for breach in finding.breaches]


def _check(invariant: Invariant) -> Finding:
    started = time.perf_counter()
    breaches = invariant.breaches()
    return Finding(invariant.name, breaches, time.perf_counter() - started)


_CHARGES = """
    SELECT prediction.id, prediction.status
    FROM predictions_prediction AS prediction
    LEFT JOIN billing_ledgerentry AS capture
        ON capture.subject_id = prediction.id AND capture.kind = 'capture'
    WHERE CASE prediction.status
        WHEN 'finished' THEN NOT COALESCE(
            capture.resolves_id = prediction.hold_id AND capture.account_id = prediction.user_id
            AND capture.balance_change = -prediction.price, FALSE)
        ELSE capture.id IS NOT NULL
    END
    LIMIT %s
"""
_OPEN_HOLDS = """
    WITH open_hold AS (
        SELECT hold.id, hold.subject_id, hold.account_id, hold.held_change
        FROM billing_ledgerentry AS hold
        LEFT JOIN billing_ledgerentry AS ending ON ending.resolves_id = hold.id
        WHERE hold.kind = 'hold' AND ending.id IS NULL
    )
    SELECT prediction.id, prediction.status
    FROM predictions_prediction AS prediction
    LEFT JOIN open_hold ON open_hold.subject_id = prediction.id
    WHERE CASE
        WHEN prediction.status IN ('queued', 'running') THEN NOT COALESCE(
            open_hold.id = prediction.hold_id AND open_hold.account_id = prediction.user_id
            AND open_hold.held_change = prediction.price, FALSE)
        ELSE open_hold.id IS NOT NULL
    END
    LIMIT %s
"""
_HOLDS_OF_NOTHING = """
    SELECT hold.id FROM billing_ledgerentry AS hold
    LEFT JOIN predictions_prediction AS prediction
        ON prediction.hold_id = hold.id AND prediction.id = hold.subject_id
    WHERE hold.kind = 'hold' AND prediction.id IS NULL LIMIT %s
"""
_STUCK = """
    SELECT id, status FROM predictions_prediction
    WHERE status IN ('queued', 'running') AND queued_at < {overdue} LIMIT %s
"""


def _wrong_charges() -> Iterator[str]:
    for key, status in cursors.fetch_all(_CHARGES, SHOWN):
        breach = (
            "finished without a capture of exactly its price, or with another one"
            if status == Prediction.Status.FINISHED
            else "charged without having finished"
        )
        yield f"prediction {uuid(key)} ({status}): {breach}"


def _wrong_holds() -> Iterator[str]:
    for key, status in cursors.fetch_all(_OPEN_HOLDS, SHOWN):
        breach = (
            "waiting or running without an open hold of its price"
            if status in Prediction.ACTIVE
            else "ended with an open hold"
        )
        yield f"prediction {uuid(key)} ({status}): {breach}"
    for (hold_id,) in cursors.fetch_all(_HOLDS_OF_NOTHING, SHOWN):
        yield f"hold {hold_id}: no prediction names it"


def _stuck() -> Iterator[str]:
    for key, status in cursors.fetch_all(_STUCK.format(overdue=dialect.now(-OVERDUE)), SHOWN):
        yield f"prediction {uuid(key)} ({status}): not ended long after its deadline"


INVARIANTS = (
    ACCOUNTS_ADD_UP,
    Invariant(
        "Every finished prediction is charged its price, once, and no other is charged",
        [_wrong_charges],
    ),
    Invariant(
        "Every queued or running prediction has one open hold, of its price, and no other has any",
        [_wrong_holds],
    ),
    PAID_ONCE,
    REFUNDS_TAKEN_BACK,
    Invariant(f"No prediction waits or runs for more than {OVERDUE.seconds:,} seconds", [_stuck]),
    Invariant(ENTRIES_STAY.name, [*ENTRIES_STAY.checks, lambda: missing_triggers(triggers.NAMES)]),
)
