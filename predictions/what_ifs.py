"""What-ifs: what a finished prediction would have been with other features.

They are free, and somebody waits for each, so they are no predictions: they have a table of their
own, hold nothing and are not queued behind anything. The same message may come twice and two
workers may score the same one: the first answer stays, and the other is the same.
"""

import json
from dataclasses import asdict
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

from django.db import connection, transaction
from django.db.models import Q, QuerySet
from django.db.models.functions import Now

from accounts.models import User
from carprice.db import cursors, dialect
from carprice.http.errors import InvalidInput, NotFound, RetryLater, ServiceError, WrongState
from mlmodels.catalogue import queries
from mlmodels.domains import DOMAINS
from mlmodels.serving import input_warnings
from predictions import notifications, waiting
from predictions.execution import compatibility, scoring
from predictions.execution.claims import Claim, Row
from predictions.execution.runner import ScoringStopped
from predictions.execution.scoring import Outcome
from predictions.models import Prediction, WhatIf
from predictions.services import lock_own

MOST = 20  # of one prediction
ANSWERED_WITHIN_SECONDS = 10
RETRY_AFTER_SECONDS = 5

Failure = Prediction.Failure


class Timeout(ServiceError):
    code = "timeout"
    status = 504


class Unavailable(RetryLater):
    code = "unavailable"
    status = 503


# --- What a user asks for ------------------------------------------------------------------------


def ask(*, user: User, prediction_id: str, changes: Any) -> WhatIf:
    """Have a finished prediction scored with some features changed, and wait for the answer.

    Raises InvalidInput, NotFound, WrongState or NoPlace, and then has changed nothing; or Timeout
    or Unavailable.
    """
    with waiting.place():
        what_if = _queue(user, prediction_id, changes)
        if what_if.value is None:
            waiting.until_ended(what_if.pk, ANSWERED_WITHIN_SECONDS)
            _look_again(what_if)
    if what_if.failure == Failure.INVALID_INPUT:
        raise InvalidInput({"data": ["The predictor can make nothing of these values."]})
    if what_if.failure:
        raise Unavailable(what_if.get_failure_display(), RETRY_AFTER_SECONDS)
    if what_if.value is None:
        raise Timeout(f"There was no answer within {ANSWERED_WITHIN_SECONDS} seconds; try again.")
    return what_if


def _look_again(what_if: WhatIf) -> None:
    try:
        what_if.refresh_from_db(fields=["value", "failure"])
    except WhatIf.DoesNotExist:  # its prediction was deleted meanwhile
        raise NotFound("There is no such prediction.") from None


@transaction.atomic
def _queue(user: User, prediction_id: str, changes: Any) -> WhatIf:
    """A new one, or the one that asked the same before."""
    row = lock_own(user, prediction_id)
    domain = DOMAINS[row.predictor.domain]
    queries.check_inputs_of(row.version_id, domain, changes)
    if row.status != Prediction.Status.FINISHED:
        raise WrongState(f"Only what has finished can be varied; it is {row.status}.")
    given = {name: value for name, value in row.data.items() if name not in row.defaulted}
    changed = {**given, **domain.resolve_aliases(changes)}
    data = queries.check_inputs_of(row.version_id, domain, changed).data
    asked = list(counted(row))
    if same := next((each for each in asked if each.data == data and not each.failure), None):
        return same
    if len(asked) >= MOST:
        raise WrongState(f"It has had its {MOST} what-ifs.")
    what_if = WhatIf.objects.create(
        prediction=row,
        version_id=row.version_id,
        data=data,
        deadline_at=Now() + timedelta(seconds=ANSWERED_WITHIN_SECONDS),
    )
    transaction.on_commit(lambda: notifications.ring_for_what_ifs(row.version_id), robust=True)
    return what_if


def counted(row: Prediction) -> QuerySet[WhatIf]:
    """Those that count against MOST, oldest first: all but those that got no answer in time."""
    unanswered = Q(value=None, failure="", deadline_at__lt=Now())
    return (
        WhatIf.objects.filter(prediction=row)
        .exclude(unanswered)
        .select_related("prediction__predictor")
    )


def left(row: Prediction) -> int:
    return max(0, MOST - counted(row).count())


def describe(what_if: WhatIf) -> dict[str, Any]:
    """The contract's answer: value, range and changed features, beside what they were before."""
    row = what_if.prediction
    facts = queries.facts_of(what_if.version_id)
    domain, signature = DOMAINS[row.predictor.domain], queries.signature_of(what_if.version_id)
    assumed = set(row.defaulted) - set(what_if.changed)
    found = input_warnings.warnings_of(domain, signature, what_if.data, assumed)
    assert what_if.value is not None  # noqa: S101  # it was answered
    assert row.value is not None  # noqa: S101  # it has finished

    def side(value: float, changed: dict[str, Any]) -> dict[str, Any]:
        interval = facts.interval(value)
        return {
            "value": value,
            "interval": asdict(interval) if interval else None,
            "changed": changed,
        }

    return {
        **side(what_if.value, what_if.changed),
        "unit": facts.unit,
        "warnings": [asdict(warning) for warning in found],
        "before": side(row.value, what_if.changed_from),
    }


# --- What a worker does --------------------------------------------------------------------------

AT_ONCE = 64
LEASE = timedelta(seconds=3)  # after which one is tried once more, alone
TRIES = 2

_PICK = """
    WITH picked AS MATERIALIZED (
        SELECT id FROM predictions_whatif
        WHERE version_id = %s AND value IS NULL AND failure = '' AND deadline_at > {now} AND {which}
        ORDER BY created_at, id LIMIT %s {skip_locked}
    )
    UPDATE predictions_whatif SET attempts = attempts + 1, lease_expires_at = {lease_end}
    WHERE id IN (SELECT id FROM picked)
    RETURNING id, data
"""


def run_waiting(version_id: UUID) -> int:
    """Score what-ifs that nobody has tried, or one that was tried in vain; returns how many.

    Raises ScoringStopped.
    """
    if not compatibility.is_for_us(version_id):
        return 0
    again = f"attempts BETWEEN 1 AND {TRIES - 1} AND lease_expires_at < {dialect.now()}"
    claim = _pick(version_id, "attempts = 0", AT_ONCE) or _pick(version_id, again, 1)
    if claim is None:
        return 0
    try:
        outcomes = scoring.score(claim)
    except Exception as error:  # out of time: it is tried once more when its lease is over
        raise ScoringStopped(f"{len(claim.rows)} what-ifs: {error!r}") from error
    _settle(outcomes)
    return len(claim.rows)


def _pick(version_id: UUID, which: str, limit: int) -> Claim | None:
    statement = _PICK.format(
        now=dialect.now(),
        lease_end=dialect.now(LEASE),
        which=which,
        # SQLite has one writer at a time instead.
        skip_locked="FOR UPDATE SKIP LOCKED" if connection.vendor == "postgresql" else "",
    )
    found = cursors.fetch_all(statement, version_id, limit)
    rows = [Row(UUID(str(key)), json.loads(data)) for key, data in found]
    return Claim(uuid4(), version_id, rows) if rows else None


@transaction.atomic
def _settle(outcomes: list[Outcome]) -> None:
    for outcome in sorted(outcomes, key=lambda each: each.row.id):
        row = WhatIf.objects.filter(pk=outcome.row.id, value=None, failure="")
        failure = outcome.failure or (Failure.INTERNAL_ERROR if outcome.may_pass else "")
        row.update(value=outcome.value, failure=failure)


def waiting_versions() -> list[UUID]:
    """Versions that have what-ifs to score."""
    untried = Q(attempts=0) | Q(attempts__lt=TRIES, lease_expires_at__lt=Now())
    rows = WhatIf.objects.filter(untried, value=None, failure="", deadline_at__gt=Now())
    return list(rows.order_by().values_list("version_id", flat=True).distinct())


KEPT_UNANSWERED = timedelta(hours=1)


def forget_unanswered() -> None:
    """Delete what nobody was told."""
    old = WhatIf.objects.filter(value=None, failure="", deadline_at__lt=Now() - KEPT_UNANSWERED)
    old.delete()
