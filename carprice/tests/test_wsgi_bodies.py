"""Bodies as a WSGI server passes them on: in chunks, cut off, or of a wrong length."""

from io import BytesIO
from typing import Any

import pytest
from django.test import Client

from carprice.server.chunked_bodies import ChunkedBodyBuffer
from testing.api_table import LIMIT, wrong_with
from testing.bad_input import World, changed, everything

pytestmark = pytest.mark.django_db


class Broken(BytesIO):
    """What a client sent before it went away."""

    def read(self, size: int | None = -1) -> bytes:
        raise OSError("the connection was reset")


def top_up(world: World, body: bytes, **changes: Any) -> Any:
    """Ask for one as a server would; what is None is left out."""
    client = Client()
    handler = client.handler
    server = ChunkedBodyBuffer(lambda environ, _: handler(environ))
    client.handler = lambda environ: server(environ, None)  # type: ignore[assignment]
    environ = {
        "REQUEST_METHOD": "POST",
        "PATH_INFO": "/api/wallet/topup",
        "HTTP_AUTHORIZATION": f"Bearer {world.token}",
        "CONTENT_TYPE": "application/json",
        "CONTENT_LENGTH": str(len(body)),
        "wsgi.input": BytesIO(body),
        **changes,
    }
    return client.request(**{name: value for name, value in environ.items() if value is not None})


IN_CHUNKS = {"HTTP_TRANSFER_ENCODING": "chunked", "CONTENT_LENGTH": None}


def test_a_body_in_chunks_is_read(world: World) -> None:
    answer = top_up(world, b'{"amount": 5}', **IN_CHUNKS)

    assert (answer.status_code, answer.json()["transaction"]["amount"]) == (201, 5)


@pytest.mark.parametrize(
    ("body", "changes", "status", "code"),
    [
        pytest.param(b'{"amount": 0}', IN_CHUNKS, 400, "invalid_request", id="chunks"),
        pytest.param(b"", IN_CHUNKS, 400, "invalid_request", id="no-chunk"),
        pytest.param(b" " * (LIMIT + 1), IN_CHUNKS, 413, "body_too_large", id="large-chunks"),
        pytest.param(
            b'{"amount": 5}',
            {**IN_CHUNKS, "HTTP_CONTENT_ENCODING": "gzip"},
            415,
            "unsupported_media_type",
            id="packed-chunks",
        ),
        pytest.param(
            b'{"amount": 5}',
            {**IN_CHUNKS, "HTTP_TRANSFER_ENCODING": "gzip, chunked"},
            400,
            "invalid_request",
            id="chunks-of-gzip",
        ),
        pytest.param(
            b'{"amount": 5}',
            {**IN_CHUNKS, "wsgi.input": Broken()},
            400,
            "invalid_request",
            id="broken-chunks",
        ),
        pytest.param(
            b'{"amount": 5}', {"wsgi.input": Broken()}, 400, "invalid_request", id="reset"
        ),
        pytest.param(
            b'{"amount": 5}', {"CONTENT_LENGTH": "14"}, 400, "invalid_request", id="one-more"
        ),
        pytest.param(
            b'{"amount": 5}', {"CONTENT_LENGTH": "12"}, 400, "invalid_request", id="one-less"
        ),
        pytest.param(
            b'{"amount": 5}', {"CONTENT_LENGTH": "abc"}, 400, "invalid_request", id="a-word"
        ),
        pytest.param(b'{"amount": 5}', {"CONTENT_LENGTH": "-1"}, 400, "invalid_request", id="-1"),
        pytest.param(
            b'{"amount": 5}', {"CONTENT_LENGTH": "9" * 30}, 413, "body_too_large", id="10-to-30"
        ),
        pytest.param(b'{"amount": 5}', {"CONTENT_LENGTH": None}, 400, "invalid_request", id="none"),
    ],
)
def test_a_body_of_another_length_than_told_is_refused(
    world: World, body: bytes, changes: dict[str, Any], status: int, code: str
) -> None:
    before = everything()

    answer = top_up(world, body, **changes)

    assert not wrong_with(answer, status, code)
    assert not changed(before)


def test_a_page_cannot_be_sent_the_api_by_a_browser_that_is_not_signed_in(world: World) -> None:
    response = Client(enforce_csrf_checks=True).post("/api/wallet/topup", {"amount": 5})

    assert not wrong_with(response, 401, "not_authenticated")
