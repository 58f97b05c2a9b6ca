"""What each answer forbids a browser: to load, to keep, and to let a page use."""

from collections.abc import Callable

from csp.constants import HEADER
from csp.middleware import CSPMiddleware
from django.http import HttpRequest, HttpResponseBase

# What a page of ours never asks for, and so a script that got into one shall not get.
UNUSED_FEATURES = [
    "accelerometer",
    "camera",
    "display-capture",
    "geolocation",
    "gyroscope",
    "hid",
    "magnetometer",
    "microphone",
    "midi",
    "payment",
    "screen-wake-lock",
    "serial",
    "usb",
    "xr-spatial-tracking",
]
PERMISSIONS_POLICY = ", ".join(f"{feature}=()" for feature in UNUSED_FEATURES)
PRIVATE = "private, no-store"


class PrivateAnswers:
    """Middleware by which an answer is kept nowhere, unless it says itself how it may be kept.

    Nearly all of them show a balance, data or a token. Those that anybody may keep, such as static
    files, have a Cache-Control of their own, so that a new page is private from the start.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        response = self._get_response(request)
        response.headers.setdefault("Cache-Control", PRIVATE)
        response.headers.setdefault("Permissions-Policy", PERMISSIONS_POLICY)
        return response


class ContentSecurityPolicy(CSPMiddleware):
    """Adds the policy of the settings to answers that have none of their own."""

    def process_response(
        self, request: HttpRequest, response: HttpResponseBase
    ) -> HttpResponseBase:
        return response if HEADER in response else super().process_response(request, response)
