"""Requests by route, method and status class, with how long they took."""

import time
from collections.abc import Callable

from django.http import HttpRequest
from django.http.response import HttpResponseBase

from carprice.metrics.registry import histogram, observe

METHODS = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}
NO_ROUTE = "none"  # static files, and what is not found

REQUESTS = histogram(
    "carprice_http_request_seconds",
    "Time until an answer begins.",
    ["route", "method", "status"],
)


class CountedRequests:
    """A middleware that counts in this process's memory; no name comes from a client."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        began = time.perf_counter()
        response = self._get_response(request)
        observe(
            REQUESTS,
            time.perf_counter() - began,
            route_of(request),
            request.method if request.method in METHODS else "other",
            f"{response.status_code // 100}xx",
        )
        return response


def route_of(request: HttpRequest) -> str:
    """The name of the route in the URL conf; all of the admin are one."""
    match = request.resolver_match
    if match is None:
        return NO_ROUTE
    return match.namespaces[0] if match.namespaces else match.url_name or NO_ROUTE
