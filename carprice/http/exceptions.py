"""Errors turned into HTTP answers: one body for all of them."""

import logging
from typing import Any

from csp.constants import HEADER
from django.conf import settings
from django.core.exceptions import PermissionDenied, RequestDataTooBig
from django.db import InterfaceError, OperationalError
from django.http import Http404
from rest_framework import exceptions
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from carprice.http import throttling
from carprice.http.errors import InvalidInput, ServiceError, TryLater
from carprice.http.parsers import BODY
from carprice.pages.security_headers import OF_DATA


logger = logging.getLogger(__name__)

STATUS_OF_CODE = {
    "invalid_request": 400,
    "not_authenticated": 401,
    "invalid_credentials": 401,
    "insufficient_credits": 402,
    "permission_denied": 403,
    "not_found": 404,
    "predictor_not_found": 404,
    "method_not_allowed": 405,
    "email_taken": 409,
    "wrong_state": 409,
    "body_too_large": 413,
    "unsupported_media_type": 415,
    "idempotency_key_reused": 422,
    "too_many_requests": 429,
    "queue_full": 429,
    "unavailable": 503,
    "timeout": 504,
}

CODE_OF_EXCEPTION: list[tuple[type[Exception], str]] = [
    (exceptions.NotAuthenticated, "not_authenticated"),
    (exceptions.AuthenticationFailed, "not_authenticated"),
    (exceptions.PermissionDenied, "permission_denied"),
    (PermissionDenied, "permission_denied"),
    (exceptions.NotFound, "not_found"),
    (Http404, "not_found"),
    (exceptions.MethodNotAllowed, "method_not_allowed"),
    (exceptions.UnsupportedMediaType, "unsupported_media_type"),
    (RequestDataTooBig, "body_too_large"),
]

SENTENCES = {
    "invalid_request": "The request is not valid.",
    "not_authenticated": "Sign in and send a valid access token.",
    "permission_denied": "This is not allowed.",
    "not_found": "There is nothing here.",
    "body_too_large": "The body is too large.",
    "unavailable": "The service is unavailable for a moment; try again.",
    "internal_error": "Something went wrong on our side; it has been logged.",
}

RETRY_AFTER_OUTAGE_SECONDS = 2


def exception_handler(error: Exception, context: dict[str, Any]) -> Response | None:
    """The one error body for every refusal; None lets an unexpected error surface as a 500."""
    headers: dict[str, str] = {}
    extra: dict[str, Any] = {}
    if isinstance(error, ServiceError):
        code, detail, extra = error.code, error.detail, error.extra
        if isinstance(error, TryLater):
            headers["Retry-After"] = str(error.retry_after)
    elif isinstance(error, exceptions.ValidationError):
        code, detail = "invalid_request", SENTENCES["invalid_request"]
        extra = {"errors": flatten(error.detail)}
    elif isinstance(error, OperationalError | InterfaceError):
        logger.error("The database failed a request: %s", error)
        code, detail = "unavailable", SENTENCES["unavailable"]
        headers["Retry-After"] = str(RETRY_AFTER_OUTAGE_SECONDS)
    else:
        known = next((code for kind, code in CODE_OF_EXCEPTION if isinstance(error, kind)), None)
        if known is None:
            return None
        code, detail = known, SENTENCES.get(known) or str(getattr(error, "detail", error))
    if STATUS_OF_CODE[code] == 401:
        headers["WWW-Authenticate"] = "Bearer"
    body = error_body(code, detail, **extra)
    return Response(body, status=STATUS_OF_CODE[code], headers=headers)


def error_body(code: str, detail: str, **extra: Any) -> dict[str, Any]:
    return {"code": code, "detail": detail, **extra}


def flatten(detail: Any, field: str = BODY) -> dict[str, list[str]]:
    """A serializer's nested errors as {field: [sentence, ...]}, fields by their bare names."""
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
