"""`Idempotency-Key`: a request sent again gets its first answer again, and has no second effect."""

import hashlib
import json
from collections.abc import Callable
from datetime import timedelta
from functools import wraps
from typing import Any
from uuid import UUID

from django.core.exceptions import BadRequest
from django.db import transaction
from django.db.models.functions import Now
from django.http import HttpRequest
from rest_framework.response import Response
from rest_framework.utils.encoders import JSONEncoder

from accounts.authentication import AuthenticatedRequest, signed_in
from accounts.models import IdempotentAnswer
from carprice.db import cursors
from carprice.http.errors import InvalidInput, ServiceError
from carprice.idempotency.keys import _STORE, _take


HEADER = "Idempotency-Key"

REPLAYED = "Idempotent-Replayed"

LONGEST_KEY = 255

Handler = Callable[..., Response]


class IdempotencyKeyReused(ServiceError):
    code = "idempotency_key_reused"


def idempotent(handler: Handler) -> Handler:
    """For an API view's method: honour the request's Idempotency-Key, if it has one."""

    @wraps(handler)
    def wrapped(view: Any, request: AuthenticatedRequest, *args: Any, **kwargs: Any) -> Response:
        key = request.headers.get(HEADER)
        if key is None:
            return handler(view, request, *args, **kwargs)
        try:
            _check(key)
            fingerprint = _fingerprint(request)
        except InvalidInput:
            view.check_capacity(request)  # the contract has 429 before 400
            raise
        with transaction.atomic():
            if not _take(request.user.pk, key, fingerprint):
                return _replay(request.user.pk, key, fingerprint)
            response = handler(view, request, *args, **kwargs)
            _store(request.user.pk, key, response)
        return response

    wrapped.honours_idempotency_key = True  # type: ignore[attr-defined]  # for the API's schema
    return wrapped


def _check(key: str) -> None:
    if not (1 <= len(key) <= LONGEST_KEY and all("!" <= char <= "~" for char in key)):
        raise InvalidInput({HEADER: [f"Send 1 to {LONGEST_KEY} visible ASCII characters."]})


def _fingerprint(request: AuthenticatedRequest) -> str:
    """Equal for requests of one route whose bodies are equal as JSON values."""
    body = json.dumps(_canonical(request.data), sort_keys=True)
    text = f"{request.method} {request.path}\n{body}"
    return hashlib.sha256(text.encode()).hexdigest()


def _canonical(value: Any) -> Any:
    """The same for 1 and 1.0, which JSON does not tell apart."""
    if isinstance(value, dict):
        return {key: _canonical(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_canonical(item) for item in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _store(user_id: UUID, key: str, response: Response) -> None:
    task_id = response.data.get("task_id") if isinstance(response.data, dict) else None
    cursors.execute(
        _STORE,
        response.status_code,
        json.dumps(response.data, cls=JSONEncoder),
        response.headers.get("Location", ""),
        UUID(task_id) if task_id else None,
        user_id,
        key,
    )


def _replay(user_id: UUID, key: str, fingerprint: str) -> Response:
    answer = IdempotentAnswer.objects.get(user_id=user_id, key=key)
    if answer.fingerprint != fingerprint:
        raise IdempotencyKeyReused("This Idempotency-Key was used for another request.")
    headers = {REPLAYED: "true"}
    if answer.location:
        headers["Location"] = answer.location
    return Response(json.loads(answer.body), status=answer.status, headers=headers)
