"""The queue of each predictor version: in what order it is served, and when it is full.

It is served in rounds, one row of each user in a round. A user's row joins the round after that
of their last waiting one; of somebody who has none waiting, the round after the one being served,
ahead of those who have. So a new user's row is in the next claim, however many rows another user
has put before it; and no round grows once it is being served, so nobody waits for ever.
"""

import time
from collections.abc import Callable, Iterable
from functools import lru_cache
from uuid import UUID

from django.conf import settings

from accounts.models import User
from carprice.db import cursors, dialect
from carprice.http.errors import RetryLater
from predictions.models import Prediction

ORDER = "turn, queued_at, id"

NO_TURN = -1  # of rows that are tried again: they are claimed one by one, beside the others

# A turn is twice its round; plus one for users who had a row waiting already.
_AFTER_OWN = """COALESCE((
    SELECT (MAX(turn) | 1) + 2 FROM predictions_prediction
    WHERE user_id = %s AND version_id = %s AND status = 'queued'
), 0)"""
_NEXT_ROUND = """COALESCE((
    SELECT (MIN(turn) | 1) + 1 FROM predictions_prediction
    WHERE version_id = %s AND status = 'queued' AND turn >= 0
), 0)"""


def next_turn(user_id: UUID, version_id: UUID) -> tuple[str, list[UUID]]:
    """An SQL expression for a new row's turn, and its parameters.

    Rows of one user are numbered one by one: their account is locked by their hold.
    """
    return dialect.greatest(_AFTER_OWN, _NEXT_ROUND), [user_id, version_id, version_id]


# Rows that have been tried before are claimed one by one, behind those that have not.
_POSITION = """
    SELECT p.id, 1 + (
        SELECT COUNT(*) FROM predictions_prediction AS before
        WHERE before.version_id = p.version_id AND before.status = 'queued'
            AND (before.attempts > 0, before.turn, before.queued_at, before.id)
                < (p.attempts > 0, p.turn, p.queued_at, p.id)
    )
    FROM predictions_prediction AS p WHERE p.status = 'queued' AND p.id = %s
"""
# Counts the whole queue, but once; to count for each row of a page would take a second.
_POSITIONS = """
    SELECT id, position FROM (
        SELECT id, ROW_NUMBER() OVER (
            PARTITION BY version_id ORDER BY attempts > 0, turn, queued_at, id
        ) AS position
        FROM predictions_prediction WHERE status = 'queued' AND version_id IN ({versions})
    ) AS places
    WHERE id IN ({ids})
"""


def positions(rows: Iterable[Prediction]) -> dict[UUID, int]:
    """Where queued rows stand in the queue of their version, from 1; others are left out."""
    queued = {row.pk: row.version_id for row in rows if row.status == Prediction.Status.QUEUED}
    if not queued:
        return {}
    if len(queued) == 1:
        found = cursors.fetch_all(_POSITION, *queued)
    else:
        versions = set(queued.values())
        statement = _POSITIONS.format(
            versions=", ".join(["%s"] * len(versions)), ids=", ".join(["%s"] * len(queued))
        )
        found = cursors.fetch_all(statement, *versions, *queued)
    return {UUID(str(key)): int(position) for key, position in found}


# --- When it is full -----------------------------------------------------------------------------

RETRY_AFTER_SECONDS = 5
COUNT_IS_GOOD_FOR_SECONDS = 1.0
NEAR = 1000  # rows from the limit, where each submission counts anew


class QueueFull(RetryLater):
    code = "queue_full"


def refuse_if_full(user: User) -> None:
    """Raise QueueFull if too many predictions wait, of this user or of all."""
    if _gauge(user.pk).is_at(settings.QUEUE_LIMIT_PER_USER, lambda: _waiting_of(user.pk)):
        raise QueueFull("Too many of your predictions are waiting.", RETRY_AFTER_SECONDS)
    if _gauge(None).is_at(settings.QUEUE_LIMIT, _waiting):
        raise QueueFull("Too many predictions are waiting.", RETRY_AFTER_SECONDS)


class _Gauge:
    """How long a queue is, counted as seldom as its limit allows."""

    def __init__(self) -> None:
        self._length = 0
        self._good_until = 0.0

    def is_at(self, limit: int, count: Callable[[], int]) -> bool:
        """Whether the queue has reached its limit; if not, one more is about to join it."""
        if self._length > limit - NEAR or time.monotonic() > self._good_until:
            self._length = count()
            self._good_until = time.monotonic() + COUNT_IS_GOOD_FOR_SECONDS
        self._length += 1
        return self._length > limit


@lru_cache(maxsize=10_000)
def _gauge(_user_id: UUID | None) -> _Gauge:
    """This process's gauge for one user, or for all."""
    return _Gauge()


def _waiting() -> int:
    return Prediction.objects.filter(status=Prediction.Status.QUEUED).count()


def _waiting_of(user_id: UUID) -> int:
    return Prediction.objects.filter(user=user_id, status=Prediction.Status.QUEUED).count()
