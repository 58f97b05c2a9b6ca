"""When a request that comes in pieces is whole, or needs no more of itself to be refused."""

import time
from collections.abc import Iterable
from typing import Any

import pytest
from django.conf import settings
from gunicorn.config import Config
from gunicorn.http.errors import InvalidHeader, InvalidRequestLine, NoMoreData

from carprice.server.incoming_requests import IncomingRequest

LIMIT = settings.BODY_LIMIT_BYTES
HOST = b"Host: localhost\r\n"
GET = b"GET /healthz HTTP/1.1\r\n" + HOST + b"\r\n"
POST = b"POST /sign_in HTTP/1.1\r\n" + HOST
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"
IN_CHUNKS = b"5\r\nhello\r\n6;a=b\r\n world\r\n0\r\nX-Trailer: 1\r\n\r\n"


def sized(length: int) -> bytes:
    return POST + b"Content-Length: %d\r\n\r\n" % length


def received(*pieces: bytes) -> IncomingRequest:
    request = IncomingRequest(Config(), ("127.0.0.1", 1))
    for piece in pieces:
        assert not request.is_ready
        request.feed(piece)
    return request


def one_by_one(data: bytes) -> Iterable[bytes]:
    return (data[place : place + 1] for place in range(len(data)))


def read(request: IncomingRequest) -> tuple[str, bytes, bool]:
    """What a thread finds: the path, the body, and whether the connection ends after it."""
    parsed: Any = next(request.parser)
    return parsed.path, parsed.body.read(), parsed.should_close()


@pytest.mark.parametrize(
    ("sent", "outcome"),
    [
        pytest.param(GET, ("/healthz", b"", False), id="no body"),
        pytest.param(b"\r\n" + GET, ("/healthz", b"", False), id="empty line first"),
        pytest.param(sized(5) + b"hello", ("/sign_in", b"hello", False), id="length"),
        pytest.param(sized(0), ("/sign_in", b"", False), id="length of none"),
        pytest.param(CHUNKED + IN_CHUNKS, ("/sign_in", b"hello world", False), id="chunks"),
        pytest.param(CHUNKED + b"0\r\n\r\n", ("/sign_in", b"", False), id="no chunk"),
    ],
)
def test_a_request_is_ready_with_its_last_byte(
    sent: bytes, outcome: tuple[str, bytes, bool]
) -> None:
    slow = received(*one_by_one(sent))
    fast = received(sent)

    assert slow.is_ready
    assert fast.is_ready
    assert read(slow) == read(fast) == outcome


@pytest.mark.parametrize("first", [GET, sized(5) + b"hello", CHUNKED + IN_CHUNKS])
@pytest.mark.parametrize("cut", [0, 1, 3])
def test_what_follows_a_request_is_kept(first: bytes, cut: int) -> None:
    place = len(first) - cut
    request = (
        received(first[:place], first[place:] + b"GET /nex")
        if cut
        else received(first + b"GET /nex")
    )

    read(request)

    assert request.take_rest() == b"GET /nex"


def test_a_body_above_the_limit_is_refused_without_waiting_for_it() -> None:
    request = received(sized(LIMIT + 1))

    assert request.is_ready
    assert read(request) == ("/sign_in", b"", True)


def test_a_body_at_the_limit_is_waited_for() -> None:
    request = received(sized(LIMIT), b"x" * (LIMIT - 1))
    assert not request.is_ready

    request.feed(b"x")

    assert read(request) == ("/sign_in", b"x" * LIMIT, False)


def test_chunks_above_the_limit_are_refused_once_they_are() -> None:
    chunk = b"10000\r\n" + b"x" * 65536 + b"\r\n"
    request = received(CHUNKED)

    while not request.is_ready:
        request.feed(chunk)

    parsed: Any = next(request.parser)
    assert LIMIT < len(parsed.body.read(LIMIT + 1)) <= request.size < LIMIT + 100_000
    assert parsed.should_close()


def test_chunks_of_a_byte_are_refused_before_they_cost_much() -> None:
    began = time.process_time()
    request = received(CHUNKED, b"1\r\nx\r\n" * 100_000)

    parsed: Any = next(request.parser)
    with pytest.raises(NoMoreData):
        parsed.body.read()
    assert parsed.should_close()
    assert time.process_time() - began < 3  # with a copy of the rest for each it took minutes


def test_a_few_small_chunks_are_as_good_as_any() -> None:
    request = received(CHUNKED, b"1\r\nx\r\n" * 10_000, b"0\r\n\r\n")

    assert read(request) == ("/sign_in", b"x" * 10_000, False)


@pytest.mark.parametrize(
    ("sent", "error"),
    [
        (b"hello\r\n\r\n", InvalidRequestLine),
        (b"GET / HTTP/1.1\n", InvalidRequestLine),
        (b"GET / HTTP/1.1\r\nHost: a\n", InvalidHeader),
        (POST + b"Content-Length: -1\r\n\r\n", InvalidHeader),
        (POST + b"Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", InvalidHeader),
    ],
)
def test_headers_that_are_wrong_are_for_the_thread_to_answer(
    sent: bytes, error: type[Exception]
) -> None:
    request = received(sent)

    assert request.is_ready
    with pytest.raises(error):
        next(request.parser)


def test_chunks_that_are_wrong_are_for_the_application_to_refuse() -> None:
    request = received(CHUNKED, b"zz\r\n")

    assert request.is_ready
    assert next(request.parser).should_close()


@pytest.mark.parametrize("begin", [sized(5) + b"hel", CHUNKED + b"5\r\nhel"])
def test_a_body_that_breaks_off_is_for_the_application_to_refuse(begin: bytes) -> None:
    request = received(begin)

    request.end()

    assert request.is_ready
    assert next(request.parser).should_close()


def test_headers_that_break_off_are_nothing() -> None:
    request = received(POST)

    request.end()

    assert not request.is_ready


def test_headers_without_end_are_too_long_at_some_point() -> None:
    request = received(POST + b"X: ")
    assert not request.is_head_too_long

    request.feed(b"a" * 1_000_000)

    assert request.is_head_too_long


def test_a_client_that_waits_for_leave_is_told_once() -> None:
    expecting = POST + b"Expect: 100-continue\r\nContent-Length: 2\r\n\r\n"

    request = received(expecting)

    assert request.expects_continue
    parsed: Any = next(request.parser)
    assert not parsed._expected_100_continue  # so gunicorn does not tell it again
