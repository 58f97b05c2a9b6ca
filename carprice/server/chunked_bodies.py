"""Buffering of request bodies that are sent in chunks.

A chunked body comes without a Content-Length, and Django takes a request without one for a request
without a body. So such a body is read here, up to the limit for bodies, and passed on with its
length.
"""

from collections.abc import Callable, Iterable
from io import BytesIO
from typing import Any

from django.conf import settings

Application = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]

# For a body that cannot be read: the API refuses this length, and a page takes it for no body.
UNKNOWN_LENGTH = {"CONTENT_LENGTH": "unknown"}


class ChunkedBodyBuffer:
    """A WSGI application that passes requests on to another one, chunked bodies with a length."""

    def __init__(self, application: Application) -> None:
        self._application = application

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        coding = environ.get("HTTP_TRANSFER_ENCODING")
        if coding and not environ.get("CONTENT_LENGTH"):
            is_only_chunked = coding.lower() == "chunked"  # and not compressed as well
            body = _buffer(environ["wsgi.input"]) if is_only_chunked else UNKNOWN_LENGTH
            environ = {**environ, **body}
        return self._application(environ, start_response)


def _buffer(stream: Any) -> dict[str, Any]:
    """What the environment of the request has about its body."""
    try:
        # One byte more than the limit, so that a larger body has a length above it.
        body = stream.read(settings.BODY_LIMIT_BYTES + 1)
    except Exception:  # whatever a server raises for a body that breaks off
        return UNKNOWN_LENGTH
    return {"wsgi.input": BytesIO(body), "CONTENT_LENGTH": str(len(body))}
