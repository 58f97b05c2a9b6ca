"""Where rows stand in the queue of their version, as far as its front is numbered."""

from collections.abc import Sequence
from itertools import chain
from uuid import UUID

from django.db.models import IntegerField
from django.db.models.expressions import RawSQL

from carprice.db import cursors
from predictions.models import Prediction

NUMBERED = 1000  # rows at the front of each queue; what is behind them has the position after

# Retries are claimed one by one, behind the first attempts. However long the queue is, no more than
# its front is read.
_FRONT = """(
    SELECT id, ROW_NUMBER() OVER (ORDER BY is_retry, queue_rank, queued_at, id) AS position FROM (
        SELECT * FROM (
            SELECT id, 0 AS is_retry, queue_rank, queued_at FROM predictions_prediction AS waiting
            WHERE version_id = {version} AND status = 'queued' AND queue_rank >= 0
            ORDER BY queue_rank, queued_at, id LIMIT {numbered}
        ) AS first_attempts
        UNION ALL SELECT * FROM (
            SELECT id, 1, queue_rank, queued_at FROM predictions_prediction AS waiting
            WHERE version_id = {version} AND status = 'queued' AND queue_rank < 0
            ORDER BY queue_rank, queued_at, id LIMIT {numbered}
        ) AS retries
    ) AS waiting
) AS front"""
_OWN_POSITION = """
    CASE WHEN predictions_prediction.status = 'queued' THEN COALESCE(
        (SELECT position FROM {front} WHERE front.id = predictions_prediction.id), {behind}
    ) END
"""
_POSITIONS_OF_VERSION = "SELECT id, position FROM {front} WHERE id IN ({ids})"


def own_position() -> RawSQL:
    """The position of one row, for its query; rows of a list are numbered by `set_positions`."""
    front = _front("predictions_prediction.version_id")
    statement = _OWN_POSITION.format(front=front, behind=NUMBERED + 1)
    return RawSQL(statement, [], IntegerField())  # noqa: S611  # no parameters


def set_positions(rows: Sequence[Prediction]) -> None:
    """Set where queued rows stand in the queue of their version, unless their query has."""
    is_queued = Prediction.Status.QUEUED
    queued = [row for row in rows if row.status == is_queued and row.position is None]
    if not queued:
        return
    ids = ", ".join(["%s"] * len(queued))
    front = _front("%s")
    versions = {row.version_id for row in queued}
    statement = " UNION ALL ".join(
        [_POSITIONS_OF_VERSION.format(front=front, ids=ids)] * len(versions)
    )
    keys = [row.pk for row in queued]
    numbered = cursors.fetch_all(statement, *chain(*([v, v, *keys] for v in versions)))
    positions = {UUID(str(key)): int(position) for key, position in numbered}
    for row in queued:
        row.position = min(positions.get(row.pk, NUMBERED + 1), NUMBERED + 1)


def _front(version: str) -> str:
    return _FRONT.format(version=version, numbered=NUMBERED)
