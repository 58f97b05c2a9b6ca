"""Claiming rows: a token with a lease, by which one worker alone may settle them."""

import json
import uuid
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import connection

from carprice.db import cursors, dialect
from predictions import queue
from predictions.models import Prediction, PredictionQuerySet

Status = Prediction.Status


@dataclass(frozen=True)
class Row:
    """A claimed prediction, as far as scoring it needs."""

    id: UUID
    data: dict[str, Any]
    explain: bool = False


@dataclass(frozen=True)
class Claim:
    """Rows of one version that this worker alone may settle, until its lease runs out."""

    token: UUID
    version_id: UUID
    rows: list[Row]


# --- Claim ---------------------------------------------------------------------------------------

# Materialized, or the planner may run the limited query once for each row it updates.
_CLAIM = """
    WITH picked AS MATERIALIZED (
        SELECT id FROM predictions_prediction
        WHERE version_id = %s AND status = 'queued' AND {which}
        ORDER BY {order} LIMIT %s {skip_locked}
    )
    UPDATE predictions_prediction
    SET status = 'running', claim = %s, attempts = attempts + 1, retry_at = NULL,
        started_at = COALESCE(started_at, {now}), lease_expires_at = {lease_end}
    WHERE id IN (SELECT id FROM picked)
    RETURNING id, data, explain
"""


def claim_fresh(version_id: UUID) -> Claim | None:
    """Take the rows whose turn it is, tried for the first time, up to CLAIM_ROWS."""
    return _claim(version_id, "attempts = 0", settings.CLAIM_ROWS)


def claim_suspect(version_id: UUID) -> Claim | None:
    """Take a waiting row that has been tried in vain, alone: it may be why."""
    due = f"attempts > 0 AND (retry_at IS NULL OR retry_at <= {dialect.now()})"
    return _claim(version_id, due, 1)


def _claim(version_id: UUID, which: str, limit: int) -> Claim | None:
    statement = _CLAIM.format(
        now=dialect.now(),
        lease_end=dialect.now(timedelta(seconds=settings.LEASE_SECONDS)),
        which=which,
        order=queue.ORDER,
        # SQLite has one writer at a time instead.
        skip_locked="FOR UPDATE SKIP LOCKED" if connection.vendor == "postgresql" else "",
    )
    token = uuid.uuid4()
    rows = cursors.fetch_all(statement, version_id, limit, token)
    if not rows:
        return None
    claimed = [Row(UUID(str(key)), json.loads(data), bool(asked)) for key, data, asked in rows]
    return Claim(token, version_id, claimed)


def _held_by(claim: Claim) -> PredictionQuerySet:
    return Prediction.objects.filter(
        pk__in=[row.id for row in claim.rows], claim=claim.token, status=Status.RUNNING
    )


def _lock(rows: PredictionQuerySet) -> PredictionQuerySet:
    """Lock rows that nobody else has locked."""
    return rows.select_for_update(skip_locked=True, no_key=True, of=("self",))
