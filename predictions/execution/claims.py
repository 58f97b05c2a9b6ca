"""Claiming rows: a token with a lease, by which one worker alone may settle them."""

import json
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

from django.db import connection

from carprice.db import cursors, dialect
from predictions import metrics, queue
from predictions.models import ScoringRequest, ScoringRequestQuerySet


@dataclass(frozen=True)
class Row:
    """A claimed row, as far as scoring it needs."""

    id: UUID
    data: dict[str, Any]
    explain: bool = False


@dataclass(frozen=True)
class Claim:
    """Rows of one version that this worker alone may settle, until its lease runs out."""

    model: type[ScoringRequest]
    token: UUID
    version_id: UUID
    rows: list[Row]


# One statement both picks the rows and marks them, so that no two workers pick the same. SKIP
# LOCKED lets workers pass over rows that another one is just picking, instead of waiting for it.
# MATERIALIZED keeps the planner from running the limited query once for each row it updates.
_CLAIM = """
    WITH picked AS MATERIALIZED (
        SELECT id FROM {table}
        WHERE version_id = %s AND status = 'queued' AND deadline_at > {now} AND {condition}
        ORDER BY {order} LIMIT %s {skip_locked}
    )
    UPDATE {table}
    SET status = 'running', claim = %s, attempts = attempts + 1, retry_at = NULL,
        started_at = COALESCE(started_at, {now}), lease_expires_at = {lease_end}
    WHERE id IN (SELECT id FROM picked)
    RETURNING id, data, explain, CASE WHEN attempts = 1 THEN {waited} END
"""


def claim_first_attempts(model: type[ScoringRequest], version_id: UUID) -> Claim | None:
    """Claim the next rows that were never tried, as many as the model's policy says."""
    return _claim(model, version_id, "attempts = 0", model.policy().rows_per_claim)


def claim_retry(model: type[ScoringRequest], version_id: UUID) -> Claim | None:
    """Claim one row whose attempt failed and whose pause is over; alone, since it may be why."""
    is_due = f"attempts > 0 AND (retry_at IS NULL OR retry_at <= {dialect.now()})"
    return _claim(model, version_id, is_due, 1)


def _claim(
    model: type[ScoringRequest], version_id: UUID, condition: str, limit: int
) -> Claim | None:
    statement = _CLAIM.format(
        table=model._meta.db_table,  # noqa: SLF001  # a public API in spite of its name
        condition=condition,
        order=queue.ORDER,
        # SQLite has one writer at a time instead.
        skip_locked="FOR UPDATE SKIP LOCKED" if connection.vendor == "postgresql" else "",
        now=dialect.now(),
        lease_end=dialect.now(model.policy().lease),
        waited=dialect.seconds_between("queued_at", "started_at"),
    )
    token = uuid4()
    claimed = cursors.fetch_all(statement, version_id, limit, token)
    if not claimed:
        return None
    rows = []
    for key, data, explain, waited in claimed:
        rows.append(Row(UUID(str(key)), json.loads(data), bool(explain)))
        if waited is not None:
            metrics.observe_stage(model, "waiting", waited)
    return Claim(model, token, version_id, rows)


def held_by(claim: Claim) -> ScoringRequestQuerySet[Any]:
    """The rows that still carry the claim's token."""
    rows = claim.model.objects.filter(pk__in=[row.id for row in claim.rows])
    return rows.filter(claim=claim.token, status=ScoringRequest.Status.RUNNING)


def lock_unlocked(rows: ScoringRequestQuerySet[Any]) -> ScoringRequestQuerySet[Any]:
    """Lock rows, passing over those that somebody else has locked."""
    return rows.select_for_update(skip_locked=True, no_key=True, of=("self",))
