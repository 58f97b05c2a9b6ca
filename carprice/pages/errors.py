"""Errors outside of any view: a page for a browser, the error body for everything else."""

import sys

from csp.decorators import csp_update
from django.core.exceptions import RequestDataTooBig
from django.db import InterfaceError, OperationalError
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.template.loader import render_to_string
from django.utils.decorators import method_decorator
from drf_spectacular.views import SpectacularSwaggerSplitView

from carprice.http.exceptions import RETRY_AFTER_OUTAGE_SECONDS, SENTENCES, error_body


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    if isinstance(exception, RequestDataTooBig):
        return _answer(request, 413, "body_too_large")
    return _answer(request, 400, "invalid_request")


def permission_denied(request: HttpRequest, exception: Exception) -> HttpResponse:
    return _answer(request, 403, "permission_denied")


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    return _answer(request, 404, "not_found")


def csrf_failure(request: HttpRequest, reason: str = "") -> HttpResponse:
    return _answer(
        request, 403, "permission_denied", "The form has expired; go back, reload and try again."
    )


def server_error(request: HttpRequest) -> HttpResponse:
    """500, or 503 where the error is that the database cannot be reached."""
    if isinstance(sys.exc_info()[1], OperationalError | InterfaceError):
        response = _answer(request, 503, "unavailable")
        response["Retry-After"] = str(RETRY_AFTER_OUTAGE_SECONDS)
        return response
    return _answer(request, 500, "internal_error")


def _answer(
    request: HttpRequest, status: int, code: str, detail: str | None = None
) -> HttpResponse:
    """An error page for a browser, the error body for everything else."""
    sentence = detail or SENTENCES[code]
    if "text/html" in request.META.get("HTTP_ACCEPT", ""):
        # Without the request: its context processors may need the database that has failed.
        page = render_to_string("error.html", {"status": status, "sentence": sentence})
        return HttpResponse(page, status=status)
    return JsonResponse(error_body(code, sentence), status=status)
