"""Answers to HEAD: the headers that GET would have, and no body."""

from collections.abc import Callable

from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase


class HeadWithoutBody:
    """A middleware around all others, so that it has answers of pages, API and errors alike.

    They see a GET, or they would count, name or refuse another method than the one they answer for.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        if request.method != "HEAD":
            return self._answer(request)
        request.method = "GET"
        response = self._answer(request)
        request.method = "HEAD"
        if isinstance(response, StreamingHttpResponse):
            # What was to be sent is closed with the response, without having been begun.
            response.streaming_content = []
        elif isinstance(response, HttpResponse):
            response.content = b""
        return response

    def _answer(self, request: HttpRequest) -> HttpResponseBase:
        response = self._get_response(request)
        if isinstance(response, HttpResponse):
            # CommonMiddleware sets it too, but for what the middleware around it answers.
            response.headers.setdefault("Content-Length", str(len(response.content)))
        return response
