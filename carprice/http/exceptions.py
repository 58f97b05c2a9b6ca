"""The exception handler: every refusal is answered with the same body."""

import logging
from dataclasses import dataclass
from typing import Any

from django.core.exceptions import PermissionDenied, RequestDataTooBig
from django.db import InterfaceError, OperationalError
from django.http import Http404
from django.utils.translation import gettext_noop
from rest_framework import exceptions
from rest_framework.response import Response

from carprice.http.errors import BODY, RetryLater, ServiceError

logger = logging.getLogger(__name__)

RETRY_AFTER_OUTAGE_SECONDS = 2


@dataclass(frozen=True)
class Refusal:
    """The answer to an error that is no ServiceError; without a sentence, in the error's words."""

    code: str
    status: int
    sentence: str = ""


INVALID_REQUEST = Refusal("invalid_request", 400, gettext_noop("The request is not valid."))
NOT_AUTHENTICATED = Refusal(
    "not_authenticated", 401, gettext_noop("Sign in and send a valid access token.")
)
PERMISSION_DENIED = Refusal("permission_denied", 403, gettext_noop("This is not allowed."))
NOT_FOUND = Refusal("not_found", 404, gettext_noop("There is nothing here."))
BODY_TOO_LARGE = Refusal("body_too_large", 413, gettext_noop("The body is too large."))
INTERNAL_ERROR = Refusal(
    "internal_error", 500, gettext_noop("Something went wrong on our side; it has been logged.")
)
UNAVAILABLE = Refusal(
    "unavailable", 503, gettext_noop("The service is unavailable for a moment; try again.")
)

REFUSAL_OF_EXCEPTION: list[tuple[type[Exception], Refusal]] = [
    (exceptions.NotAuthenticated, NOT_AUTHENTICATED),
    (exceptions.AuthenticationFailed, NOT_AUTHENTICATED),
    (exceptions.PermissionDenied, PERMISSION_DENIED),
    (PermissionDenied, PERMISSION_DENIED),
    (exceptions.NotFound, NOT_FOUND),
    (Http404, NOT_FOUND),
    (exceptions.MethodNotAllowed, Refusal("method_not_allowed", 405)),
    (RequestDataTooBig, BODY_TOO_LARGE),
    (exceptions.UnsupportedMediaType, Refusal("unsupported_media_type", 415)),
]


def exception_handler(error: Exception, context: dict[str, Any]) -> Response | None:
    """The answer to a refusal; None lets an unexpected error surface as a 500."""
    if isinstance(error, ServiceError):
        return _service_error_response(error)
    if isinstance(error, exceptions.ValidationError):
        errors = flatten(error.detail)
        return _response(INVALID_REQUEST, errors=errors)
    if isinstance(error, OperationalError | InterfaceError):
        logger.error("The database failed a request: %s", error)
        response = _response(UNAVAILABLE)
        response["Retry-After"] = str(RETRY_AFTER_OUTAGE_SECONDS)
        return response
    for kind, refusal in REFUSAL_OF_EXCEPTION:
        if isinstance(error, kind):
            return _response(
                refusal, detail=refusal.sentence or str(getattr(error, "detail", error))
            )
    return None


def error_body(code: str, detail: str, **extra: Any) -> dict[str, Any]:
    return {"code": code, "detail": detail, **extra}


def flatten(detail: Any, field: str = BODY) -> dict[str, list[str]]:
    """A serializer's nested errors as {field: [sentence, ...]}, with the innermost field names."""
    if isinstance(detail, dict):
        merged: dict[str, list[str]] = {}
        for key, value in detail.items():
            name = field if key == "non_field_errors" else str(key)
            for inner, messages in flatten(value, name).items():
                merged.setdefault(inner, []).extend(messages)
        return merged
    if isinstance(detail, list):
        messages = [text for item in detail for text in flatten(item, field)[field]]
        return {field: messages}
    return {field: [str(detail)]}


def _service_error_response(error: ServiceError) -> Response:
    response = Response(error_body(error.code, error.detail, **error.extra), status=error.status)
    if isinstance(error, RetryLater):
        response["Retry-After"] = str(error.retry_after)
    return _with_challenge(response)


def _response(refusal: Refusal, detail: str = "", **extra: Any) -> Response:
    body = error_body(refusal.code, detail or refusal.sentence, **extra)
    return _with_challenge(Response(body, status=refusal.status))


def _with_challenge(response: Response) -> Response:
    if response.status_code == 401:
        response["WWW-Authenticate"] = "Bearer"
    return response
