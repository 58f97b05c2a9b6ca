"""What is sent: the event as JSON, and the headers of Standard Webhooks."""

import json
import time
from datetime import UTC, datetime
from typing import Any

from django.conf import settings

from carprice.http.errors import NotFound
from predictions.models import Prediction
from predictions.webhooks import signing
from predictions.webhooks.models import Delivery, Endpoint


def body_of(delivery: Delivery) -> bytes:
    """The event, with the task as the API would answer now. Raises NotFound once it is erased."""
    at, data = (
        (delivery.created_at, {"webhook_id": str(delivery.endpoint_id)})
        if delivery.kind == Delivery.Kind.TEST
        else _task(delivery)
    )
    event = {"type": delivery.kind, "timestamp": at.astimezone(UTC).isoformat(), "data": data}
    return json.dumps(event, separators=(",", ":"), default=str).encode()


def _task(delivery: Delivery) -> tuple[datetime, Any]:
    # A worker that delivers nothing need not load what the API is made of.
    from predictions.api.serializers import Task

    assert delivery.prediction_id is not None  # noqa: S101  # all but tests have one
    rows = Prediction.objects.filter(pk=delivery.prediction_id, erased_at=None)
    row = rows.for_display().first()
    if row is None:
        raise NotFound("The prediction was deleted.")
    assert row.finished_at is not None  # noqa: S101  # it has ended
    return row.finished_at, Task.bodies([row])[0]


def headers_of(delivery: Delivery, body: bytes) -> dict[str, str]:
    """Those of an attempt at this moment. Raises SecretLost."""
    timestamp = int(time.time())
    secrets = [signing.secret_of(seed) for seed in _seeds(delivery.endpoint)]
    signatures = [signing.sign(each, delivery.message_id, timestamp, body) for each in secrets]
    return {
        "Content-Type": "application/json",
        "User-Agent": f"Carprice/{settings.VERSION}",
        "webhook-id": delivery.message_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": " ".join(signatures),
    }


def _seeds(endpoint: Endpoint) -> list[str]:
    until = endpoint.previous_until
    is_good = endpoint.previous_seed and until and datetime.now(UTC) < until
    return [endpoint.secret_seed, *([endpoint.previous_seed] if is_good else [])]
