"""A request that is still coming in, as far as it has: when it is whole, a thread may have it.

Gunicorn's own parsers say where a request ends, so the thread that answers it cannot see that
otherwise. Nothing here touches a socket or waits.
"""

import re
from collections import deque
from typing import Any

from django.conf import settings
from gunicorn.asgi.parser import PythonProtocol
from gunicorn.http.body import ChunkedReader
from gunicorn.http.errors import NoMoreData
from gunicorn.http.message import Request
from gunicorn.http.parser import RequestParser
from gunicorn.http.unreader import Unreader

# Where the headers end; or a line that ends with a bare LF, after which they cannot end properly.
HEAD_END = re.compile(rb"\r\n\r\n|(?<!\r)\n")

# What chunking may add to a body. One in chunks of a few bytes takes far more time to read than its
# length would tell.
CHUNKING_LIMIT_BYTES = 64 * 1024

PIECE_BYTES = 8192


class Pieces(Unreader):
    """What was received, in pieces as small as those that gunicorn reads from a socket itself.

    Its reader of chunks copies what is left of a piece for each chunk in it.
    """

    def __init__(self) -> None:
        super().__init__()
        self._pieces: deque[bytes] = deque()

    def add(self, data: bytes) -> None:
        for begin in range(0, len(data), PIECE_BYTES):
            self._pieces.append(data[begin : begin + PIECE_BYTES])

    def chunk(self, size_hint: int | None = None) -> bytes:
        return self._pieces.popleft() if self._pieces else b""

    def take_rest(self) -> bytes:
        rest = self.take_buffered() + b"".join(self._pieces)
        self._pieces.clear()
        return rest

    def __len__(self) -> int:
        return len(self.buf.getvalue()) + sum(map(len, self._pieces))


class HeadParser(RequestParser):
    """Parses the headers of one request when they are complete, and tells the outcome later."""

    def __init__(self, cfg: Any, pieces: Pieces, client: Any) -> None:
        super().__init__(cfg, (), client)
        self.unreader: Any = pieces
        self._error: Exception = NoMoreData()

    def parse(self) -> Any:
        """The request; None if a thread is to answer what is wrong with it."""
        try:
            return super().__next__()
        except Exception as error:  # whatever it is, the thread meets it, as if it had parsed
            self._error = error
            return None

    def __next__(self) -> Request:
        if self.mesg is None:
            raise self._error
        return self.mesg


class IncomingRequest:
    """Takes bytes as they come until it `is_ready`; then its parser has what a thread needs.

    That is a whole request, or one that is refused whatever else might come.
    """

    def __init__(self, cfg: Any, client: Any) -> None:
        self._cfg = cfg
        self._pieces = Pieces()  # what the parser reads
        self.parser = HeadParser(cfg, self._pieces, client)
        self._received = bytearray()  # and what it will read
        self._request: Any = None
        self._body: _Body | None = None
        self.size = 0
        self.is_ready = False
        self.expects_continue = False  # the client waits to be told that it may send the body

    @property
    def has_head(self) -> bool:
        return self._body is not None

    @property
    def is_head_too_long(self) -> bool:
        fields = self._cfg.limit_request_fields * (self._cfg.limit_request_field_size + 2)
        return not self.has_head and self.size > self._cfg.limit_request_line + fields

    def feed(self, data: bytes) -> None:
        searched = max(0, len(self._received) - 3)
        self._received += data
        self.size += len(data)
        if self._body is not None:
            self._body.feed(data)
        elif HEAD_END.search(self._received, searched):
            self._parse_head()
        self._look_whether_ready()

    def end(self) -> None:
        """The client sends no more. A body that breaks off is refused by the application."""
        if self._body is not None:
            self._body.is_over = True
        self._look_whether_ready()

    @property
    def has_rest(self) -> bool:
        return len(self._pieces) > 0

    def take_rest(self) -> bytes:
        """What came after the request, once its body was read."""
        return self._pieces.take_rest()

    def _parse_head(self) -> None:
        head = self._pass_on()
        self._request = request = self.parser.parse()
        if request is None:
            self.is_ready = True
            return
        # It is told from here, so that no thread tells it again.
        self.expects_continue = request._expected_100_continue  # noqa: SLF001
        request._expected_100_continue = False  # noqa: SLF001
        if isinstance(request.body.reader, ChunkedReader):
            self._body = _ChunkedBody(self._cfg, head)
        else:
            self._body = _SizedBody(request.body.reader.length, len(self._pieces))

    def _look_whether_ready(self) -> None:
        if self._body is None or not (self._body.is_whole or self._body.is_over):
            return
        if not self._body.is_whole:  # where the next request begins is not known
            self._request.force_close()
        self._pass_on()
        self.is_ready = True

    def _pass_on(self) -> bytes:
        piece = bytes(self._received)
        self._received.clear()
        self._pieces.add(piece)
        return piece


class _Body:
    """How much of a body has come. It is over when more of it would not help."""

    is_whole = False
    is_over = False

    def feed(self, data: bytes) -> None:
        raise NotImplementedError


class _SizedBody(_Body):
    def __init__(self, length: int, read_ahead: int) -> None:
        self._missing = length - read_ahead
        self.is_whole = self._missing <= 0
        self.is_over = length > settings.BODY_LIMIT_BYTES

    def feed(self, data: bytes) -> None:
        self._missing -= len(data)
        self.is_whole = self._missing <= 0


class _ChunkedBody(_Body):
    def __init__(self, cfg: Any, begin: bytes) -> None:
        self._length = self._size = 0
        self._framing = PythonProtocol(
            on_body=self._count,
            limit_request_line=cfg.limit_request_line,
            limit_request_fields=cfg.limit_request_fields,
            limit_request_field_size=cfg.limit_request_field_size,
        )
        self.feed(begin)

    def feed(self, data: bytes) -> None:
        try:
            self._framing.feed(data)
        except Exception:  # of a parser that is fed by strangers, in a thread that all need
            self.is_over = True
            return
        self._size += len(data)
        self.is_whole = self._framing.is_complete
        self.is_over = (
            self._length > settings.BODY_LIMIT_BYTES
            or self._size - self._length > CHUNKING_LIMIT_BYTES
        )

    def _count(self, data: bytes) -> None:
        self._length += len(data)
