"""A visitor's trial: an estimate without an account or a price, of which nothing stays."""

from typing import Any

from django.db import transaction
from django.utils import timezone

from mlmodels.catalogue.queries import check_inputs
from mlmodels.models import Predictor
from predictions import waiting, what_ifs
from predictions.models import Prediction


def run(predictor: Predictor, data: Any) -> Prediction:
    """Have data scored by a predictor that is on sale, and wait for the result.

    Returned is a prediction that is not stored: neither it nor the row that was scored. Raises
    InvalidInput, NoWaitSlot, Timeout or Unavailable.
    """
    inputs = check_inputs(predictor, data)
    version_id = predictor.current_version_id
    assert version_id is not None  # noqa: S101  # on sale means it has one
    with waiting.wait_slot():
        with transaction.atomic():
            row = what_ifs.enqueue(version_id, inputs, explain=True)
        try:
            what_ifs.await_answer(row)
        finally:
            type(row).objects.filter(pk=row.pk).delete()
    return Prediction(
        predictor=predictor,
        version_id=version_id,
        status=Prediction.Status.FINISHED,
        queued_at=timezone.now(),
        data=inputs.data,
        defaulted=inputs.defaulted,
        entered=inputs.entered or None,
        value=row.value,
        explanation=row.explanation,
    )
