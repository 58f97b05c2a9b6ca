"""The API's adapter: the header `Idempotency-Key`, and answers that are replayed."""

import hashlib
import json
from collections.abc import Callable
from typing import Any
from uuid import UUID

from django.db import transaction
from drf_spectacular.utils import OpenApiParameter
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.utils.encoders import JSONEncoder

from carprice.http.errors import InvalidInput, ServiceError
from carprice.idempotency import keys

HEADER = "Idempotency-Key"
REPLAYED = "Idempotent-Replayed"
MAX_KEY_LENGTH = 255

# For `extend_schema(parameters=...)` of a view that uses `respond_once`.
PARAMETERS = [
    OpenApiParameter(
        HEADER,
        {"type": "string", "minLength": 1, "maxLength": MAX_KEY_LENGTH, "pattern": "^[!-~]+$"},
        OpenApiParameter.HEADER,
        description="Sent again with the same body, it gives the first answer again. "
        "Kept 24 hours.",
    ),
    OpenApiParameter(
        REPLAYED,
        {"type": "string", "enum": ["true"]},
        OpenApiParameter.HEADER,
        description="Only if this is the first answer to its Idempotency-Key, given again.",
        response=[201, 202],
    ),
]


class IdempotencyKeyReused(ServiceError):
    code = "idempotency_key_reused"
    status = 422


def respond_once(
    request: Request,
    respond: Callable[[], Response],
    *,
    admit: Callable[[], None] = lambda: None,
    subject: str | None = None,
) -> Response:
    """The answer of `respond`, or the stored one if the request's key was used before.

    `admit` raises RetryLater if there is no room for new work. By the contract that comes before
    any other refusal, but after a stored answer: replaying one is no new work. `subject` names the
    member of the body that has the id of the object whose data the body repeats.
    """
    key = request.headers.get(HEADER)
    if key is None:
        admit()
        return respond()
    try:
        _check(key)
        fingerprint = _fingerprint(request)
    except InvalidInput:
        admit()
        raise
    user_id: UUID = request.user.pk  # type: ignore[assignment]  # the route asks for a user
    with transaction.atomic():
        if not keys.take(user_id, key, fingerprint):
            return _replay(user_id, key, fingerprint)
        admit()
        response = respond()
        _store(user_id, key, response, subject)
    return response


def _check(key: str) -> None:
    if not (1 <= len(key) <= MAX_KEY_LENGTH and all("!" <= char <= "~" for char in key)):
        raise InvalidInput({HEADER: [f"Send 1 to {MAX_KEY_LENGTH} visible ASCII characters."]})


def _fingerprint(request: Request) -> str:
    """Equal for requests of one route whose bodies are equal as JSON values."""
    body = json.dumps(_canonical(request.data), sort_keys=True)
    text = f"{request.method} {request.path}\n{body}"
    return hashlib.sha256(text.encode()).hexdigest()


def _canonical(value: Any) -> Any:
    """The same for 1 and 1.0, which are one number in JSON."""
    if isinstance(value, dict):
        return {key: _canonical(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_canonical(item) for item in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _store(user_id: UUID, key: str, response: Response, subject: str | None) -> None:
    keys.store_answer(
        user_id,
        key,
        status=response.status_code,
        body=json.dumps(response.data, cls=JSONEncoder),
        location=response.headers.get("Location", ""),
        subject_id=UUID(str(response.data[subject])) if subject else None,
    )


def _replay(user_id: UUID, key: str, fingerprint: str) -> Response:
    answer = keys.find(user_id, key)
    if answer.fingerprint != fingerprint:
        raise IdempotencyKeyReused("This Idempotency-Key was used for another request.")
    headers = {REPLAYED: "true"}
    if answer.location:
        headers["Location"] = answer.location
    return Response(json.loads(answer.body), status=answer.status, headers=headers)
