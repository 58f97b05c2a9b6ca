"""Answers to errors that no view handles: a page for a browser, else the API's error body."""

import sys
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from django.core.exceptions import DisallowedHost, RequestDataTooBig
from django.db import InterfaceError, OperationalError
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.http.response import HttpResponseBase
from django.middleware.csrf import REASON_NO_CSRF_COOKIE
from django.shortcuts import render
from django.template.loader import render_to_string
from django.utils import translation
from django.utils.translation import gettext, gettext_lazy

from carprice.http import hosts
from carprice.http.errors import RetryLater, ServiceError
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
from carprice.pages import admin_forms
from carprice.pages.preferences import theme_of
from carprice.pages.views import ServiceFormView, is_htmx, mark_unconfirmed

FOREIGN = gettext_lazy("This form was sent from another site, so nothing was done.")
NO_COOKIES = gettext_lazy(
    "Your browser sent no cookies, and signing in needs them, so nothing was done. "
    "Allow cookies for this site and send the form again."
)
TOO_OLD = gettext_lazy(
    "This page was too old, so nothing was done. Check what you typed and send it again."
)
TOO_OLD_PAGE = gettext_lazy("That page was too old, so nothing was done.")


class ServiceErrorAnswers:
    """Middleware that answers a refusal of which a view knows nothing, such as one of the admin.

    There a password is hashed too, and for that the process may be too busy.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        return self._get_response(request)

    def process_exception(self, request: HttpRequest, error: Exception) -> HttpResponse | None:
        if not isinstance(error, ServiceError):
            return None
        response = _answer(request, Refusal(error.code, error.status, error.detail))
        if isinstance(error, RetryLater):
            response["Retry-After"] = str(error.retry_after)
        return response


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    if isinstance(exception, DisallowedHost):
        sentence = hosts.refusal(request)
        refusal = Refusal(INVALID_REQUEST.code, INVALID_REQUEST.status, sentence)
        return _answer(request, refusal, errors={"Host": [sentence]})
    too_large = isinstance(exception, RequestDataTooBig)
    return _answer(request, BODY_TOO_LARGE if too_large else INVALID_REQUEST)


def refuse_input(request: HttpRequest, name: str, message: str) -> HttpResponse:
    """400 for one part of a request."""
    return _answer(request, INVALID_REQUEST, errors={name: [message]})


def permission_denied(request: HttpRequest, exception: Exception) -> HttpResponse:
    return _answer(request, PERMISSION_DENIED)


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    return _answer(request, NOT_FOUND)


def csrf_failure(request: HttpRequest, reason: str = "") -> HttpResponseBase:
    """A form whose token is not good: shown again as it was typed, with a fresh token.

    Not so a form that another site has sent: of that nothing is shown.
    """
    if reason.startswith(("Origin checking failed", "Referer checking failed")):
        return _forbidden(request, str(FOREIGN))
    has_cookie = reason != REASON_NO_CSRF_COOKIE
    match = request.resolver_match
    view_class = getattr(match.func, "view_class", None) if match else None
    if match and view_class and issubclass(view_class, ServiceFormView):
        mark_unconfirmed(request, str(TOO_OLD if has_cookie else NO_COOKIES))
        return match.func(request, *match.args, **match.kwargs)  # type: ignore[no-any-return]
    if admin_forms.is_of_admin(request):
        return admin_forms.show_typed(request, str(TOO_OLD if has_cookie else NO_COOKIES))
    if not _wants_page(request) or is_htmx(request):
        return _forbidden(request, str(TOO_OLD_PAGE))
    _ = request.user.is_authenticated  # read here, so that the template runs no query
    context = {
        "sentence": TOO_OLD_PAGE if has_cookie else NO_COOKIES,
        "address": _page_of_form(request),
    }
    return render(request, "expired.html", context, status=403)


def server_error(request: HttpRequest) -> HttpResponse:
    """500, or 503 where the error is that the database cannot be reached."""
    if isinstance(sys.exc_info()[1], OperationalError | InterfaceError):
        response = _answer(request, UNAVAILABLE)
        response["Retry-After"] = str(RETRY_AFTER_OUTAGE_SECONDS)
        return response
    return _answer(request, INTERNAL_ERROR)


def _forbidden(request: HttpRequest, sentence: str) -> HttpResponse:
    return _answer(request, Refusal(PERMISSION_DENIED.code, PERMISSION_DENIED.status, sentence))


def _page_of_form(request: HttpRequest) -> str:
    """The path of the page that a form was sent from, if it is one of this site."""
    try:
        page = urlsplit(request.META.get("HTTP_REFERER", ""))
    except ValueError:
        return ""
    is_ours = page.netloc == request.get_host() and page.path.startswith("/")
    return page.path if is_ours and not page.path.startswith("//") else ""


def _wants_page(request: HttpRequest) -> bool:
    return "text/html" in request.META.get("HTTP_ACCEPT", "")


def _answer(request: HttpRequest, refusal: Refusal, **extra: Any) -> HttpResponse:
    if not _wants_page(request):
        body = error_body(refusal.code, refusal.sentence, **extra)
        return JsonResponse(body, status=refusal.status)
    context: dict[str, Any] = {
        "is_error": True,  # without forms, so that all of one kind are the same
        "status": refusal.status,
        "sentence": gettext(refusal.sentence),
    }
    if refusal.status < 500 and hasattr(request, "user"):
        _ = request.user.is_authenticated  # read here, so that the template runs no query
        return render(request, "error.html", context, status=refusal.status)
    # Rendered without the request, whose context processors may need the failed database.
    context |= {
        "is_bare": True,
        "language": translation.get_language(),
        "theme": theme_of(request),
    }
    return HttpResponse(render_to_string("error.html", context), status=refusal.status)
