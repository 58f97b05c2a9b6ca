"""Compression of answers; docs/decisions/0024-the-web-server.md says why it tells no secret."""

from typing import Any

from django.http import HttpRequest
from django.middleware.gzip import GZipMiddleware

LEAST_BYTES = 1024  # below, an answer fits in a packet anyway


class CompressedAnswers(GZipMiddleware):
    """Texts from a kilobyte on, for clients that take gzip; streamed ones part by part.

    Django adds up to 100 random bytes, so that a length tells nothing of what is in a page.
    """

    def process_response(self, request: HttpRequest, response: Any) -> Any:
        if not response.streaming and len(response.content) < LEAST_BYTES:
            return response
        return super().process_response(request, response)
