"""Request ids: by one a client, a proxy and the log speak of the same request."""

import re
import uuid
from collections.abc import Callable

from django.http import HttpRequest
from django.http.response import HttpResponseBase

from carprice.logs.context import about_request

HEADER = "X-Request-ID"
SANE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", re.ASCII)


class RequestIds:
    """A middleware: keeps the id that came with a request, or makes one; the answer names it."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        sent = request.META.get("HTTP_X_REQUEST_ID", "")
        request_id = sent if SANE.fullmatch(sent) else uuid.uuid4().hex
        with about_request(request_id):
            response = self._get_response(request)
        response.headers[HEADER] = request_id
        return response
