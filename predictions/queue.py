"""The queue of each predictor version: in what order it is served, and when it is full.

Users are served round-robin. A row gets its queue rank when it is submitted, and the lowest rank is
claimed first. The rank of a user's row is that of their last waiting one plus two, so that their
rows come one by one between those of others. The row of somebody who has none waiting gets the
rank that comes next of all, ahead of the second rows of those who have. So a new user's row is in
the next claim, however many rows another user has put before it; and no new row gets a rank that is
already being served, so nobody waits for ever.
"""

import time
from collections.abc import Callable, Iterable
from functools import lru_cache
from uuid import UUID

from django.conf import settings
from django.db.models.expressions import RawSQL

from accounts.models import User
from carprice.db import cursors, dialect
from carprice.http.errors import RetryLater
from predictions.models import Prediction

ORDER = "queue_rank, queued_at, id"

# Even ranks are of users who had no row waiting, odd ones of those who had: `| 1` makes both odd.
_AFTER_OWN = """COALESCE((
    SELECT (MAX(queue_rank) | 1) + 2 FROM predictions_prediction
    WHERE user_id = %s AND version_id = %s AND status = 'queued'
), 0)"""
_AFTER_LOWEST = """COALESCE((
    SELECT (MIN(queue_rank) | 1) + 1 FROM predictions_prediction
    WHERE version_id = %s AND status = 'queued' AND queue_rank >= 0
), 0)"""


def next_rank(user_id: UUID, version_id: UUID) -> tuple[str, list[UUID]]:
    """An SQL expression for a new row's queue rank, and its parameters.

    Rows of one user are numbered one by one: their account is locked by their hold.
    """
    return dialect.greatest(_AFTER_OWN, _AFTER_LOWEST), [user_id, version_id, version_id]


def rank_expression(user_id: UUID, version_id: UUID) -> RawSQL:
    """The same for the ORM."""
    statement, parameters = next_rank(user_id, version_id)
    return RawSQL(statement, list(map(cursors.adapt, parameters)))  # noqa: S611  # placeholders only


# Retries are claimed one by one, behind the first attempts.
_POSITION = """
    SELECT p.id, 1 + (
        SELECT COUNT(*) FROM predictions_prediction AS before
        WHERE before.version_id = p.version_id AND before.status = 'queued'
            AND (before.attempts > 0, before.queue_rank, before.queued_at, before.id)
                < (p.attempts > 0, p.queue_rank, p.queued_at, p.id)
    )
    FROM predictions_prediction AS p WHERE p.status = 'queued' AND p.id = %s
"""
# Counts the whole queue, but once; to count for each row of a page would take a second.
_POSITIONS = """
    SELECT id, position FROM (
        SELECT id, ROW_NUMBER() OVER (
            PARTITION BY version_id ORDER BY attempts > 0, queue_rank, queued_at, id
        ) AS position
        FROM predictions_prediction WHERE status = 'queued' AND version_id IN ({versions})
    ) AS numbered
    WHERE id IN ({ids})
"""


def positions(rows: Iterable[Prediction]) -> dict[UUID, int]:
    """Where queued rows stand in the queue of their version, from 1; others are left out."""
    queued = {row.pk: row.version_id for row in rows if row.status == Prediction.Status.QUEUED}
    if not queued:
        return {}
    if len(queued) == 1:
        numbered = cursors.fetch_all(_POSITION, *queued)
    else:
        versions = set(queued.values())
        statement = _POSITIONS.format(
            versions=", ".join(["%s"] * len(versions)), ids=", ".join(["%s"] * len(queued))
        )
        numbered = cursors.fetch_all(statement, *versions, *queued)
    return {UUID(str(key)): int(position) for key, position in numbered}


# --- When it is full -----------------------------------------------------------------------------

RETRY_AFTER_SECONDS = 5
COUNT_VALID_SECONDS = 1.0
NEAR_LIMIT = 1000  # rows from the limit, where each submission counts anew


class QueueFull(RetryLater):
    code = "queue_full"


def check_capacity(user: User) -> None:
    """Raise QueueFull if too many predictions wait, of this user or of all."""
    own, all_users = _length_gauge(user.pk), _length_gauge(None)
    if own.reaches(settings.QUEUE_LIMIT_PER_USER, lambda: _queue_length_of(user.pk)):
        raise QueueFull("Too many of your predictions are waiting.", RETRY_AFTER_SECONDS)
    if all_users.reaches(settings.QUEUE_LIMIT, _queue_length):
        raise QueueFull("Too many predictions are waiting.", RETRY_AFTER_SECONDS)


class _LengthGauge:
    """How long a queue is, counted as seldom as its limit allows."""

    def __init__(self) -> None:
        self._length = 0
        self._valid_until = 0.0

    def reaches(self, limit: int, count: Callable[[], int]) -> bool:
        """Whether the queue has reached its limit; if not, one more is about to join it."""
        if self._length > limit - NEAR_LIMIT or time.monotonic() > self._valid_until:
            self._length = count()
            self._valid_until = time.monotonic() + COUNT_VALID_SECONDS
        self._length += 1
        return self._length > limit


@lru_cache(maxsize=10_000)
def _length_gauge(_user_id: UUID | None) -> _LengthGauge:
    """This process's gauge for one user, or for all."""
    return _LengthGauge()


def _queue_length() -> int:
    return Prediction.objects.filter(status=Prediction.Status.QUEUED).count()


def _queue_length_of(user_id: UUID) -> int:
    return Prediction.objects.filter(user=user_id, status=Prediction.Status.QUEUED).count()
