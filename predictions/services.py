"""What a user asks for: a prediction, or a look at one."""

import uuid
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models.functions import Now

from accounts.models import User
from billing.services import place_hold
from carprice.errors import NotFound
from mlmodels.catalogue import check_inputs
from mlmodels.models import Predictor
from predictions import doorbell
from predictions.models import Prediction


def request_prediction(*, user: User, predictor: Predictor, data: Any) -> Prediction:
    """Queue a prediction by a predictor that is on sale, and hold its price.

    Raises InvalidInput or InsufficientCredits, and then has changed nothing.
    """
    inputs = check_inputs(predictor, data)
    assert predictor.current_version_id is not None  # noqa: S101  # on sale means it has one
    prediction = Prediction(
        pk=uuid.uuid4(),
        user=user,
        predictor=predictor,
        version_id=predictor.current_version_id,
        status=Prediction.Status.QUEUED,
        price=predictor.price,
        data=inputs.data,
        defaulted=inputs.defaulted,
        queued_at=Now(),
        deadline_at=Now() + timedelta(seconds=settings.DEADLINE_SECONDS),
    )
    with transaction.atomic():
        prediction.hold_id = place_hold(
            user_id=user.pk, amount=predictor.price, task_id=prediction.pk
        )
        prediction.save(force_insert=True)
        version_id = prediction.version_id
        transaction.on_commit(lambda: doorbell.ring(version_id))
    return prediction


def find(user: User, prediction_id: str) -> Prediction:
    """The user's own prediction. Raises NotFound for another's and for a string that is no id."""
    try:
        key = uuid.UUID(prediction_id)
        rows = Prediction.objects.of(user).select_related("predictor", "version")
        return rows.defer("version__signature", "version__metrics").get(pk=key)
    except (ValueError, Prediction.DoesNotExist):
        raise NotFound("There is no such prediction.") from None
