"""What-ifs: what a finished prediction would have been with other features.

They are free, and somebody waits for each. They are rows that wait for a score like predictions
(see `predictions.execution`), in a table of their own, so they wait behind no prediction.
"""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import Q, QuerySet
from django.db.models.functions import Now
from django.utils.translation import gettext

from accounts.models import User
from carprice.http.errors import InvalidInput, NotFound, RetryLater, ServiceError, WrongState
from mlmodels.catalogue import queries
from mlmodels.domains import DOMAINS
from mlmodels.serving import input_warnings
from mlmodels.serving.input_warnings import Warning  # noqa: A004  # the contract's word
from mlmodels.serving.intervals import Interval
from mlmodels.signature import Inputs
from predictions import waiting
from predictions.models import Prediction, WhatIf
from predictions.notifications import notify_workers
from predictions.services import lock_own

MAX_WHAT_IFS = 20  # of one prediction
TIMEOUT_SECONDS = 10
RETRY_AFTER_SECONDS = 5
UNANSWERED_KEPT_FOR = timedelta(hours=1)
TRIALS_KEPT_FOR = timedelta(minutes=1)

Failure = WhatIf.Failure
UNANSWERED = (Failure.DEADLINE_EXCEEDED, Failure.WORKER_LOST)  # these do not count


class Timeout(ServiceError):
    code = "timeout"
    status = 504


class Unavailable(RetryLater):
    code = "unavailable"
    status = 503


@dataclass(frozen=True)
class Side:
    """A value with its range, and the features by which it differs from the other side."""

    value: float
    interval: Interval | None
    changed: dict[str, Any]


@dataclass(frozen=True)
class Answer:
    """An answered what-if beside the prediction it varies."""

    after: Side
    before: Side
    unit: str
    warnings: list[Warning]


def ask(*, user: User, prediction_id: UUID, changes: Any) -> WhatIf:
    """Have a finished prediction scored with some features changed, and wait for the answer.

    Raises InvalidInput, NotFound, WrongState or NoWaitSlot, and then has changed nothing; or
    Timeout or Unavailable.
    """
    with waiting.wait_slot():
        what_if = _queue(user, prediction_id, changes)
        await_answer(what_if)
    return what_if


def await_answer(what_if: WhatIf) -> None:
    """Wait until it has a value. Raises InvalidInput, NotFound, Timeout or Unavailable."""
    if not what_if.has_ended:
        waiting.until_ended(WhatIf, what_if.pk, TIMEOUT_SECONDS)
        _refresh(what_if)
    if what_if.failure == Failure.INVALID_INPUT:
        raise InvalidInput({"data": [gettext("The predictor can make nothing of these values.")]})
    if what_if.failure and what_if.failure not in UNANSWERED:
        raise Unavailable(gettext(what_if.get_failure_display()), RETRY_AFTER_SECONDS)
    if what_if.value is None:
        raise Timeout(
            gettext("There was no answer within %(seconds)d seconds; try again.")
            % {"seconds": TIMEOUT_SECONDS}
        )


def _refresh(what_if: WhatIf) -> None:
    try:
        what_if.refresh_from_db(fields=["status", "value", "explanation", "failure"])
    except WhatIf.DoesNotExist:  # its prediction was deleted meanwhile
        raise NotFound(gettext("There is no such prediction.")) from None


@transaction.atomic
def _queue(user: User, prediction_id: UUID, changes: Any) -> WhatIf:
    """A new one, or an earlier one with the same features."""
    row = lock_own(user, prediction_id)
    domain = DOMAINS[row.predictor.domain]
    queries.check_version_inputs(row.version_id, domain, changes, null_counts=True)
    if row.status != Prediction.Status.FINISHED:
        raise WrongState(f"Only what has finished can be varied; it is {row.status}.")
    entered = {name: value for name, value in row.data.items() if name not in row.defaulted}
    # A feature that is changed to null is typical again; so may all of them be.
    varied = {**entered, **domain.resolve_aliases(changes)}
    inputs = queries.check_version_inputs(row.version_id, domain, varied, null_counts=True)
    data = inputs.data
    earlier = list(counted(row))
    for what_if in earlier:
        if what_if.data == data and not what_if.failure:
            return what_if
    if len(earlier) >= MAX_WHAT_IFS:
        raise WrongState(gettext("It has had its %(count)d what-ifs.") % {"count": MAX_WHAT_IFS})
    return enqueue(row.version_id, inputs, prediction=row)


def enqueue(version_id: UUID, inputs: Inputs, **fields: Any) -> WhatIf:
    """A new row that waits, of which workers are told."""
    what_if = WhatIf.objects.create(
        version_id=version_id,
        status=WhatIf.Status.QUEUED,
        data=inputs.data,
        entered=inputs.entered or None,
        queue_rank=0,
        queued_at=Now(),
        deadline_at=Now() + timedelta(seconds=TIMEOUT_SECONDS),
        **fields,
    )
    transaction.on_commit(lambda: notify_workers(WhatIf, version_id), robust=True)
    return what_if


def counted(row: Prediction) -> QuerySet[WhatIf]:
    """Those that count against MAX_WHAT_IFS, oldest first: all but those without an answer."""
    is_overdue = Q(status__in=WhatIf.ACTIVE, deadline_at__lt=Now())
    return (
        WhatIf.objects.filter(prediction=row)
        .exclude(is_overdue | Q(failure__in=UNANSWERED))
        .select_related("prediction__predictor")
    )


def left(row: Prediction) -> int:
    return max(0, MAX_WHAT_IFS - counted(row).count())


def answer(what_if: WhatIf) -> Answer:
    """A finished what-if's value, range and changed features, beside what they were before."""
    row = what_if.varied
    summary = queries.summary_of(what_if.version_id)
    domain, signature = DOMAINS[row.predictor.domain], queries.signature_of(what_if.version_id)
    changed, typical = what_if.changed, signature.example()
    assumed = {name for name in row.defaulted if name not in changed}
    assumed |= {name for name in typical if name in changed and changed[name] == typical[name]}
    entered = set(row.entered or ()) - set(changed)
    assert what_if.value is not None  # noqa: S101  # it has finished
    assert row.value is not None  # noqa: S101  # as this has
    return Answer(
        after=Side(what_if.value, summary.interval(what_if.value), changed),
        before=Side(row.value, summary.interval(row.value), what_if.changed_from),
        unit=summary.unit,
        warnings=input_warnings.warnings_of(domain, signature, what_if.data, assumed, entered),
    )


def purge_unanswered() -> None:
    """Delete, after a while, those that ended without an answer, and trials that nobody fetched."""
    WhatIf.objects.filter(prediction=None, created_at__lt=Now() - TRIALS_KEPT_FOR).delete()
    WhatIf.objects.filter(
        status=WhatIf.Status.FAILED,  # of which there is an index
        failure__in=UNANSWERED,
        finished_at__lt=Now() - UNANSWERED_KEPT_FOR,
    ).delete()
