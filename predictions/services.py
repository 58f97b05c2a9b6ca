"""What a user asks for: a prediction, a draft of one, and what becomes of either.

Rows are locked before accounts. Each change of a status names the one it starts from, so that of
two at the same moment one wins and the other is refused.
"""

from collections.abc import Collection
from datetime import timedelta
from functools import partial
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.db.models.functions import Now
from django.utils.translation import gettext

from accounts.models import User
from billing.services import insufficient_credits, place_hold, resolve_holds
from carprice.db.cursors import fetch_one, instance
from carprice.http.errors import InvalidInput, NotFound, ServiceError, WrongState
from carprice.idempotency import keys
from carprice.logs.context import note_prediction
from carprice.pages.formatting import credits_text
from mlmodels.catalogue.queries import (
    check_inputs,
    find_on_sale,
    is_same_offer,
    recall_on_sale,
)
from mlmodels.models import Predictor, PredictorVersion
from predictions import metrics, positions, queue
from predictions.models import Prediction, ShareLink, WhatIf
from predictions.notifications import notify_workers

Status = Prediction.Status

# Members of a stored answer to a submission that repeat its inputs, as they are once it is erased.
REDACTED: dict[str, Any] = {
    "data": {},
    "defaulted": [],
    "entered": {},
    "warnings": [],
    "validation_errors": {},
}


class PriceChanged(ServiceError):
    """It has another price than the one that was agreed to."""

    code = "price_changed"
    status = 409


def request_prediction(
    *,
    user: User,
    predictor: Predictor,
    data: Any,
    explain: bool = False,
    agreed_price: int | None = None,
) -> Prediction:
    """Queue a prediction by a predictor that was on sale when it was read, and hold its price.

    If it has changed since, it is read again. Raises PredictorNotFound, InvalidInput, PriceChanged
    or InsufficientCredits, and then has changed nothing.
    """
    while True:
        check_price(predictor, agreed_price)
        inputs = check_inputs(predictor, data)
        row = queue.enqueue(user, predictor, inputs, explain)
        if row is not None:
            note_prediction(row.pk)
            notify = partial(notify_workers, Prediction, row.version_id)
            transaction.on_commit(notify, robust=True)
            return row
        current = find_on_sale(predictor.name)
        if is_same_offer(current, predictor):
            raise insufficient_credits(user.pk, predictor.price)
        predictor = current


def request_prediction_by(model_name: str, **request: Any) -> Prediction:
    """The same by a predictor's name. What this process knows of it decides only what it sells.

    Before anything is refused, the predictor is read again.
    """
    predictor = recall_on_sale(model_name)
    try:
        return request_prediction(predictor=predictor, **request)
    except (ServiceError, PredictorVersion.DoesNotExist):  # it is gone if a backup was restored
        current = find_on_sale(model_name)
        if is_same_offer(current, predictor):
            raise
    return request_prediction(predictor=current, **request)


def check_price(predictor: Predictor, agreed: int | None) -> None:
    """Raise PriceChanged unless the price is the one agreed to, if a price was agreed to at all."""
    if agreed is not None and agreed != predictor.price:
        sentence = gettext("The price is now %(price)s; nothing has been bought.")
        raise PriceChanged(sentence % {"price": credits_text(predictor.price)})


def find(user: User, prediction_id: UUID) -> Prediction:
    """The user's own prediction, with its position in the queue. Raises NotFound."""
    note_prediction(prediction_id)
    rows = Prediction.objects.of(user).for_display()
    row = rows.annotate(own_position=positions.own_position()).filter(pk=prediction_id).first()
    if row is None:
        raise _no_such_prediction()
    row.position = row.own_position  # type: ignore[attr-defined]  # of the annotation
    return row


# A script asks for the status of each of its predictions several times. By hand, because building
# the query in the ORM takes longer than all else of such a request; see decision 0004.
_STATUS_COLUMNS = ("id", "status", "created_at", "finished_at", "value")
_FIND_STATUS = """
    SELECT p.id, p.status, p.created_at, p.finished_at, p.value, r.name
    FROM predictions_prediction AS p JOIN mlmodels_predictor AS r ON r.id = p.predictor_id
    WHERE p.id = %s AND p.user_id = %s AND p.erased_at IS NULL
"""


def find_status(user: User, prediction_id: UUID) -> Prediction:
    """The user's own prediction, all but its status and result deferred. Raises NotFound."""
    note_prediction(prediction_id)
    columns = fetch_one(_FIND_STATUS, prediction_id, user.pk)
    if columns is None:
        raise _no_such_prediction()
    *values, predictor_name = columns
    row = instance(Prediction, _STATUS_COLUMNS, values)
    row.predictor = Predictor(name=predictor_name)
    return row


def was_erased(user: User, prediction_id: UUID) -> bool:
    """Whether the user had this prediction and deleted it; a deleted draft leaves no trace."""
    rows = Prediction.objects.filter(user=user, erased_at__isnull=False)
    return rows.filter(pk=prediction_id).exists()


# --- Drafts --------------------------------------------------------------------------------------


def create_draft(*, user: User, predictor: Predictor, data: Any, explain: bool) -> Prediction:
    """Keep input as it is sent, right or wrong; nothing is held."""
    return Prediction.objects.create(
        user=user,
        predictor=predictor,
        version_id=_version_on_sale(predictor),
        status=Status.DRAFT,
        price=predictor.price,
        data=data,
        explain=explain,
    )


def validation_errors(draft: Prediction) -> dict[str, list[str]]:
    """What keeps a draft from being run, by feature."""
    try:
        check_inputs(draft.predictor, draft.data)
    except InvalidInput as error:
        return error.errors
    return {}


@transaction.atomic
def edit_draft(*, user: User, prediction_id: UUID, changes: dict[str, Any]) -> None:
    """Replace a draft's `data`, `explain` or both. Raises NotFound, WrongState."""
    row = lock_own(user, prediction_id)
    if row.status != Status.DRAFT:
        raise WrongState(gettext("Only a draft can be changed."))
    for name, value in changes.items():
        setattr(row, name, value)
    row.save(update_fields=list(changes))


@transaction.atomic
def run_draft(*, user: User, prediction_id: UUID, agreed_price: int | None = None) -> None:
    """Queue a draft at the current price, and hold it.

    Raises NotFound, WrongState, PredictorNotFound, PriceChanged, InvalidInput or
    InsufficientCredits, and then has changed nothing.
    """
    row = lock_own(user, prediction_id)
    if row.status != Status.DRAFT:
        raise WrongState(gettext("Only a draft can be run."))
    predictor = find_on_sale(row.predictor.name)
    check_price(predictor, agreed_price)
    version_id = _version_on_sale(predictor)
    inputs = check_inputs(predictor, row.data)
    hold_id = place_hold(user_id=user.pk, amount=predictor.price, subject_id=row.pk)
    Prediction.objects.filter(pk=row.pk).update(
        status=Status.QUEUED,
        version_id=version_id,
        price=predictor.price,
        data=inputs.data,
        defaulted=inputs.defaulted,
        entered=inputs.entered or None,
        hold_id=hold_id,
        queued_at=Now(),
        deadline_at=Now() + timedelta(seconds=settings.DEADLINE_SECONDS),
        queue_rank=queue.rank_expression(user.pk, version_id),
    )
    transaction.on_commit(partial(notify_workers, Prediction, version_id), robust=True)


@transaction.atomic
def run_draft_with(
    *, user: User, prediction_id: UUID, data: Any, agreed_price: int | None = None
) -> None:
    """Run a draft with other data than it has. Raises what `run_draft` does, changing nothing."""
    edit_draft(user=user, prediction_id=prediction_id, changes={"data": data})
    run_draft(user=user, prediction_id=prediction_id, agreed_price=agreed_price)


@transaction.atomic
def name_prediction(*, user: User, prediction_id: UUID, label: str) -> None:
    """Give a prediction its user's own label, or none. Raises NotFound."""
    row = lock_own(user, prediction_id)
    row.label = label.strip()
    row.save(update_fields=["label"])


# --- Ends that a user decides --------------------------------------------------------------------


@transaction.atomic
def cancel(*, user: User, prediction_id: UUID) -> None:
    """End a draft or a queued prediction, giving its hold back. Raises NotFound, WrongState."""
    row = lock_own(user, prediction_id)
    if row.status not in (Status.DRAFT, Status.QUEUED):
        raise WrongState(f"It cannot be canceled, because it is {row.status}.")
    Prediction.objects.filter(pk=row.pk).update(status=Status.CANCELED, finished_at=Now())
    metrics.count_ended(Prediction, row.version_id, Status.CANCELED, 1)
    if row.hold_id is not None:
        resolve_holds(released=[row.hold_id])


@transaction.atomic
def erase(*, user: User, prediction_id: UUID) -> None:
    """Delete a draft; of an ended prediction its inputs and result. Raises NotFound, WrongState.

    What it cost stays in the ledger, and the row stays for the audit.
    """
    row = lock_own(user, prediction_id)
    if row.status == Status.DRAFT:
        row.delete()
    elif row.has_ended:
        erase_ended([row.pk])
        keys.redact(row.pk, REDACTED)
    else:
        raise WrongState(f"It cannot be deleted while it is {row.status}; cancel it first.")


def erase_ended(prediction_ids: Collection[UUID]) -> None:
    """Erase inputs and results of ended predictions, which the caller has locked.

    Stored answers to their submissions are left to the caller.
    """
    Prediction.objects.filter(pk__in=prediction_ids).update(
        data={},
        defaulted=[],
        entered=None,
        value=None,
        explanation=None,
        label="",
        erased_at=Now(),
    )
    WhatIf.objects.filter(prediction__in=prediction_ids).delete()
    ShareLink.objects.filter(prediction__in=prediction_ids).delete()


def lock_own(user: User, prediction_id: UUID) -> Prediction:
    """Lock the user's prediction until the transaction ends. Raises NotFound."""
    note_prediction(prediction_id)
    rows = Prediction.objects.of(user).select_related("predictor")
    row = rows.select_for_update(no_key=True, of=("self",)).filter(pk=prediction_id).first()
    if row is None:
        raise _no_such_prediction()
    return row


def _no_such_prediction() -> NotFound:
    return NotFound(gettext("There is no such prediction."))


def _version_on_sale(predictor: Predictor) -> UUID:
    assert predictor.current_version_id is not None  # noqa: S101  # on sale means it has one
    return predictor.current_version_id
