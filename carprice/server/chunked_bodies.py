"""Bodies sent in chunks, which come without a Content-Length: Django would take them for empty."""

from collections.abc import Callable, Iterable
from io import BytesIO
from typing import Any

from django.conf import settings

Application = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]
UNKNOWN = {"CONTENT_LENGTH": "unknown"}  # which the API refuses, and a page takes for nothing


class KnownLength:
    """A WSGI application that gives such a body the length it has, read up to the limit."""

    def __init__(self, application: Application) -> None:
        self._application = application

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        coding = environ.get("HTTP_TRANSFER_ENCODING")
        if coding and not environ.get("CONTENT_LENGTH"):
            is_plain = coding.lower() == "chunked"  # and not packed as well
            environ = {**environ, **(_whole(environ["wsgi.input"]) if is_plain else UNKNOWN)}
        return self._application(environ, start_response)


def _whole(stream: Any) -> dict[str, Any]:
    try:
        body = stream.read(settings.BODY_LIMIT_BYTES + 1)  # one more tells that it is too large
    except Exception:  # whatever a server raises for a body that breaks off
        return UNKNOWN
    return {"wsgi.input": BytesIO(body), "CONTENT_LENGTH": str(len(body))}
