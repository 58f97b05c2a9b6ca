"""Answers to errors that no view handles: a page for a browser, else the API's error body."""

import sys

from django.core.exceptions import RequestDataTooBig
from django.db import InterfaceError, OperationalError
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.template.loader import render_to_string

from carprice.http.exceptions import (
    BODY_TOO_LARGE,
    INTERNAL_ERROR,
    INVALID_REQUEST,
    NOT_FOUND,
    PERMISSION_DENIED,
    RETRY_AFTER_OUTAGE_SECONDS,
    UNAVAILABLE,
    Refusal,
    error_body,
)


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    too_large = isinstance(exception, RequestDataTooBig)
    return _answer(request, BODY_TOO_LARGE if too_large else INVALID_REQUEST)


def permission_denied(request: HttpRequest, exception: Exception) -> HttpResponse:
    return _answer(request, PERMISSION_DENIED)


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    return _answer(request, NOT_FOUND)


def csrf_failure(request: HttpRequest, reason: str = "") -> HttpResponse:
    sentence = "The form has expired; go back, reload and try again."
    return _answer(request, Refusal(PERMISSION_DENIED.code, PERMISSION_DENIED.status, sentence))


def server_error(request: HttpRequest) -> HttpResponse:
    """500, or 503 where the error is that the database cannot be reached."""
    if isinstance(sys.exc_info()[1], OperationalError | InterfaceError):
        response = _answer(request, UNAVAILABLE)
        response["Retry-After"] = str(RETRY_AFTER_OUTAGE_SECONDS)
        return response
    return _answer(request, INTERNAL_ERROR)


def _answer(request: HttpRequest, refusal: Refusal) -> HttpResponse:
    if "text/html" in request.META.get("HTTP_ACCEPT", ""):
        # Rendered without the request, whose context processors may need the failed database.
        context = {"status": refusal.status, "sentence": refusal.sentence}
        return HttpResponse(render_to_string("error.html", context), status=refusal.status)
    return JsonResponse(error_body(refusal.code, refusal.sentence), status=refusal.status)
