"""Limits on what any request brings, checked before anything of it is parsed."""

from collections.abc import Callable
from typing import Any

from django.conf import settings
from django.core.exceptions import RequestDataTooBig
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from rest_framework.views import APIView

from carprice.pages.errors import bad_request, refuse_input

# As gunicorn has it for one line; it joins the lines of a header that is sent many times.
MAX_HEADER_LENGTH = 8190
# One that is too long costs no more than others, and a wrong one is a 401 at every length.
CREDENTIAL = "HTTP_AUTHORIZATION"
MAX_PARAMETERS = 100
MAX_SEARCH_LENGTH = 200  # in the admin, where each word becomes a condition of the query
SEARCH = "q"
QUERY = "query"  # names the query string as a whole in `errors`


class RequestLimits:
    """Middleware that refuses headers, query strings and forms too large to be honest.

    JSON routes check their bodies on their own, after the credential. All others take forms, and
    Django parses those before their views run, with files of any size.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        for name, value in request.META.items():
            is_header = name.startswith("HTTP_") and name != CREDENTIAL
            if is_header and len(value) > MAX_HEADER_LENGTH:
                header = name.removeprefix("HTTP_").replace("_", "-").title()
                return refuse_input(request, header, f"At most {MAX_HEADER_LENGTH:,} characters.")
        if request.META.get("QUERY_STRING", "").count("&") >= MAX_PARAMETERS:
            return refuse_input(request, QUERY, f"At most {MAX_PARAMETERS} parameters.")
        return self._get_response(request)

    def process_view(
        self, request: HttpRequest, view: Any, args: Any, kwargs: Any
    ) -> HttpResponse | None:
        if issubclass(getattr(view, "cls", type(None)), APIView):
            return None
        length = request.META.get("CONTENT_LENGTH") or "0"
        if length.isdecimal() and int(length) > settings.FORM_LIMIT_BYTES:
            return bad_request(request, RequestDataTooBig())
        if len(request.GET.get(SEARCH, "")) > MAX_SEARCH_LENGTH and _is_admin(request):
            return refuse_input(request, SEARCH, f"At most {MAX_SEARCH_LENGTH} characters.")
        return None


def _is_admin(request: HttpRequest) -> bool:
    return request.resolver_match is not None and request.resolver_match.app_name == "admin"
