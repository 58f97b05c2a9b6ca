"""What a user asks for: a prediction, or a look at one."""

import json
import uuid
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.db import transaction

from accounts.models import User
from billing.services import place_hold
from carprice import sql
from carprice.errors import NotFound
from mlmodels.catalogue import check_inputs
from mlmodels.models import Predictor
from predictions import doorbell
from predictions.models import Prediction

_QUEUE = """
    INSERT INTO predictions_prediction (id, user_id, predictor_id, version_id, status, price,
        data, defaulted, queued_at, deadline_at, hold_id, attempts, failure)
    VALUES (%s, %s, %s, %s, 'queued', %s, %s, %s, {now}, {deadline}, %s, 0, '')
"""


def request_prediction(*, user: User, predictor: Predictor, data: Any) -> Prediction:
    """Queue a prediction by a predictor that is on sale, and hold its price.

    Raises InvalidInput or InsufficientCredits, and then has changed nothing.
    """
    inputs = check_inputs(predictor, data)
    version_id = predictor.current_version_id
    assert version_id is not None  # noqa: S101  # on sale means it has one
    key = uuid.uuid4()
    deadline = sql.now(timedelta(seconds=settings.DEADLINE_SECONDS))
    with transaction.atomic():
        hold_id = place_hold(user_id=user.pk, amount=predictor.price, task_id=key)
        sql.execute(
            _QUEUE.format(now=sql.now(), deadline=deadline),
            key,
            user.pk,
            predictor.pk,
            version_id,
            predictor.price,
            json.dumps(inputs.data),
            json.dumps(inputs.defaulted),
            hold_id,
        )
        transaction.on_commit(lambda: doorbell.ring(version_id), robust=True)
    return sql.instance(Prediction, ["id", "version_id"], [key, version_id])


def find(user: User, prediction_id: str) -> Prediction:
    """The user's own prediction. Raises NotFound for another's and for a string that is no id."""
    try:
        key = uuid.UUID(prediction_id)
        rows = Prediction.objects.of(user).select_related("predictor", "version")
        return rows.defer("version__signature", "version__metrics").get(pk=key)
    except (ValueError, Prediction.DoesNotExist):
        raise NotFound("There is no such prediction.") from None
