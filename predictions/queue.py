"""The queue of each predictor version: how it is joined, in what order served, and when it is full.

Users are served round-robin. A row gets its queue rank when it is submitted, and the lowest rank is
claimed first. The rank of a user's row is that of their last waiting one plus two, so that their
rows come one by one between those of others. The row of somebody who has none waiting gets the
rank that comes next of all, ahead of the second rows of those who have. So a new user's row is in
the next claim, however many rows another user has put before it; and no new row gets a rank that is
already being served, so nobody waits for ever.
"""

import json
import math
import time
from collections.abc import Callable
from datetime import timedelta
from functools import lru_cache
from typing import Any
from uuid import UUID, uuid4

from django.conf import settings
from django.db import connection, transaction
from django.db.models import QuerySet
from django.db.models.expressions import RawSQL
from django.utils.translation import gettext as _

from accounts.models import User
from billing.services import HOLD_PARTS, place_hold
from carprice.db import cursors, dialect
from carprice.http.errors import RetryLater
from mlmodels.catalogue.queries import ON_SALE_PART
from mlmodels.models import Predictor
from mlmodels.signature import Inputs
from predictions import ranks
from predictions.models import Prediction

ORDER = "queue_rank, queued_at, id"


def next_rank(user: str, version: str) -> str:
    """An expression for a new row's queue rank, of expressions for its user and its version.

    Rows of one user are numbered one by one: their account is locked by their hold.
    """
    return ranks.CALL[connection.vendor].format(user=user, version=version)


def rank_expression(user_id: UUID, version_id: UUID) -> RawSQL:
    """The same for the ORM."""
    statement = next_rank("%s", "%s")
    parameters = [user_id, *[version_id] * (statement.count("%s") - 1)]
    return RawSQL(statement, list(map(cursors.adapt, parameters)))  # noqa: S611  # placeholders only


# --- Joining it ----------------------------------------------------------------------------------

# A new row and the hold of its price are one statement on PostgreSQL: it sees whether the predictor
# is on sale as it was read, reserves the credits, and writes both. If one of these cannot be, it
# writes nothing and returns nothing. It needs no transaction, so the account is locked no longer
# than it takes. The WITH of SQLite changes nothing, so there the same INSERT comes after the rest.
#
# By hand, because building this INSERT in the ORM takes longer than running it; see decision 0004.
_INSERT = """
    INSERT INTO predictions_prediction (id, user_id, predictor_id, version_id, status, price,
        data, defaulted, entered, explain, queued_at, deadline_at, hold_id, attempts, failure,
        queue_rank)
    SELECT %(subject_id)s, %(user_id)s, %(predictor_id)s, %(version_id)s, 'queued', %(price)s,
        {data}, {defaulted}, {entered}, %(explain)s, {now}, {deadline}, hold.id, 0, '', {rank}
    FROM hold
    RETURNING hold_id, created_at, queued_at
"""
_AT_ONCE = "WITH " + ON_SALE_PART + ", " + HOLD_PARTS.format(condition="on_sale") + _INSERT
_IS_ON_SALE = f"WITH {ON_SALE_PART} SELECT 1 FROM on_sale"  # noqa: S608  # no input in it
_AFTER_HOLD = "WITH hold(id) AS (SELECT %(hold_id)s)" + _INSERT

# Columns of a row that has just been queued. They need not be read to know them.
_STILL_NULL = ("started_at", "finished_at", "value", "explanation", "erased_at")


def enqueue(user: User, predictor: Predictor, inputs: Inputs, explain: bool) -> Prediction | None:
    """A new row; None if the predictor has changed since it was read, or too few credits are free.

    For the latter this may raise InsufficientCredits as well. Columns of no use to an answer are
    deferred.
    """
    columns = {
        "user_id": user.pk,
        "predictor_id": predictor.pk,
        "version_id": predictor.current_version_id,
        "price": predictor.price,
        "explain": explain,
    }
    key = uuid4()
    parameters = {
        **columns,
        "subject_id": key,
        "data": json.dumps(inputs.data),
        "defaulted": json.dumps(inputs.defaulted),
        "entered": json.dumps(inputs.entered) if inputs.entered else None,
    }
    insert = _insert_at_once if connection.vendor == "postgresql" else _insert_in_steps
    inserted = insert(parameters)
    if inserted is None:
        return None
    values = {
        **columns,
        **dict(zip(("hold_id", "created_at", "queued_at"), inserted, strict=True)),
        "id": key,
        "status": Prediction.Status.QUEUED.value,
        "data": inputs.data,
        "defaulted": inputs.defaulted,
        "entered": inputs.entered or None,
        "failure": "",
        **dict.fromkeys(_STILL_NULL),
    }
    row = cursors.instance(Prediction, list(values), list(values.values()))
    row.predictor = predictor
    return row


def _insert_at_once(parameters: dict[str, Any]) -> tuple[Any, ...] | None:
    return cursors.fetch_one(_completed(_AT_ONCE), **parameters)


@transaction.atomic
def _insert_in_steps(parameters: dict[str, Any]) -> tuple[Any, ...] | None:
    if not cursors.fetch_one(_IS_ON_SALE, **parameters):
        return None
    hold_id = place_hold(
        user_id=parameters["user_id"],
        amount=parameters["price"],
        subject_id=parameters["subject_id"],
    )
    return cursors.fetch_one(_completed(_AFTER_HOLD), **parameters, hold_id=hold_id)


def _completed(statement: str) -> str:
    return statement.format(
        data=dialect.as_json("%(data)s"),
        defaulted=dialect.as_json("%(defaulted)s"),
        entered=dialect.as_json("%(entered)s"),
        now=dialect.now(),
        deadline=dialect.now(timedelta(seconds=settings.DEADLINE_SECONDS)),
        rank=next_rank("%(user_id)s", "%(version_id)s"),
    )


# --- When it is full -----------------------------------------------------------------------------

RETRY_AFTER_SECONDS = 5
NEAR_LIMIT = 1000  # rows from the limit, where each submission counts anew
FASTEST_GROWTH = 2000  # rows in a second, more than all web processes together take
LONGEST_VALID_SECONDS = 10.0


class QueueFull(RetryLater):
    code = "queue_full"


def check_capacity(user: User) -> None:
    """Raise QueueFull if too many predictions wait, of this user or of all."""
    everybody = _length_gauge(None)
    limit, own_limit = settings.QUEUE_LIMIT, settings.QUEUE_LIMIT_PER_USER
    is_full = everybody.reaches(limit, lambda: _length(Prediction.objects.all(), limit))
    if everybody.may_reach(own_limit):  # nobody has more waiting than there is
        rows = Prediction.objects.filter(user=user)
        if _length_gauge(user.pk).reaches(own_limit, lambda: _length(rows, own_limit)):
            raise QueueFull(_("Too many of your predictions are waiting."), RETRY_AFTER_SECONDS)
    if is_full:
        raise QueueFull(_("Too many predictions are waiting."), RETRY_AFTER_SECONDS)


class _LengthGauge:
    """How long a queue is, counted as seldom as the distance to its limit allows."""

    def __init__(self) -> None:
        self._length = 0
        self._counted_at = -math.inf

    def reaches(self, limit: int, count: Callable[[], int]) -> bool:
        """Whether the queue has reached its limit; if not, one more is about to join it."""
        if self.may_reach(limit):
            self._length = count()
            self._counted_at = time.monotonic()
        self._length += 1
        return self._length > limit

    def may_reach(self, limit: int) -> bool:
        """Whether it may have grown nearly to a limit, or was not counted for too long."""
        age = time.monotonic() - self._counted_at
        return (
            age > LONGEST_VALID_SECONDS or self._length + FASTEST_GROWTH * age > limit - NEAR_LIMIT
        )


@lru_cache(maxsize=10_000)
def _length_gauge(_user_id: UUID | None) -> _LengthGauge:
    """This process's gauge for one user, or for all."""
    return _LengthGauge()


def _length(rows: QuerySet[Prediction], limit: int) -> int:
    """How many wait, but no more than one over a limit."""
    return rows.filter(status=Prediction.Status.QUEUED)[: limit + 1].count()
