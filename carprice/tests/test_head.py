"""HEAD, as a server passes it on: the headers of GET, and nothing after them."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from django.core.handlers.wsgi import WSGIHandler
from django.http import FileResponse, StreamingHttpResponse
from django.test import Client, RequestFactory
from django.urls import URLPattern, reverse

from accounts.models import User
from carprice.http.head import HeadWithoutBody
from predictions.models import Prediction
from testing.routes import api_routes, page_routes

ROUTES = {str(route.name): route for route in [*api_routes(), *page_routes()]}
# What differs from one answer to the next.
CHANGING = {"Set-Cookie", "Location", "X-Request-ID", "RateLimit"}


@dataclass
class Answer:
    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""


def ask(method: str, path: str, **headers: str) -> Answer:
    """What the application gives to a server, which the test client would have mended."""
    answer = Answer()

    def start_response(status: str, items: list[tuple[str, str]], *_: Any) -> Any:
        answer.status, answer.headers = int(status.split()[0]), dict(items)

    environ = RequestFactory().generic(method, path, headers=headers).environ
    chunks: Any = WSGIHandler()(environ, start_response)
    answer.body = b"".join(chunks)
    chunks.close()
    return answer


@pytest.fixture
def credential(client_of: Callable[[User], Any], user: User) -> dict[str, str]:
    """A user's token, and the cookie of the same user's session."""
    client = Client()
    client.force_login(user)
    token = client_of(user)._credentials["HTTP_AUTHORIZATION"]
    return {"Authorization": token, "Cookie": f"sessionid={client.cookies['sessionid'].value}"}


def path_of(route: URLPattern, prediction: Prediction) -> str:
    known = {
        "task_id": prediction.pk,
        "prediction_id": prediction.pk,
        "batch_id": prediction.pk,
        "model_name": prediction.version.predictor.name,
    }
    names = route.pattern.converters
    return reverse(str(route.name), kwargs={name: known.get(name, prediction.pk) for name in names})


@pytest.mark.parametrize("name", sorted(ROUTES))
@pytest.mark.parametrize("accept", ["application/json", "text/html"])
def test_head_has_the_headers_of_get_and_no_body(
    name: str, accept: str, credential: dict[str, str], finished: Prediction
) -> None:
    path = path_of(ROUTES[name], finished)

    get = ask("GET", path, Accept=accept, **credential)
    head = ask("HEAD", path, Accept=accept, **credential)

    assert (head.status, head.body) == (get.status, b"")
    assert set(head.headers) == set(get.headers)
    growing: set[str] = (
        {"Content-Length"} if name == "metrics" else set()
    )  # it counts these two as well
    for header in set(get.headers) - CHANGING - growing:
        assert head.headers[header] == get.headers[header], header


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("path", "headers"),
    [
        ("/no/such/path", {}),
        ("/no/such/path", {"Accept": "text/html"}),
        ("/balance", {}),
        ("/", {"Host": "evil.example"}),
        ("/catalogue/none", {"Accept": "text/html"}),
        ("/static/carprice.css", {}),
    ],
)
def test_the_head_of_an_error_has_no_body(path: str, headers: dict[str, str]) -> None:
    get, head = ask("GET", path, **headers), ask("HEAD", path, **headers)

    assert get.status >= 400 or path.startswith("/static")
    assert (head.status, head.body) == (get.status, b"")
    assert head.headers.get("Content-Length") == get.headers.get("Content-Length")


def test_a_stream_is_closed_without_having_been_begun() -> None:
    told = []

    class Rows:
        def __iter__(self) -> Any:
            told.append("begun")
            return iter([b"row"])

        def close(self) -> None:
            told.append("closed")

    request = RequestFactory().head("/")
    response: Any = HeadWithoutBody(lambda _: StreamingHttpResponse(Rows()))(request)

    assert b"".join(response.streaming_content) == b""
    response.close()
    assert "closed" in told


def test_a_file_is_closed_unread_with_its_length_told(tmp_path: Path) -> None:
    (tmp_path / "file.css").write_bytes(b"x" * 1000)
    file = (tmp_path / "file.css").open("rb")

    response: Any = HeadWithoutBody(lambda _: FileResponse(file))(RequestFactory().head("/"))
    sent = b"".join(response.streaming_content)
    response.close()

    assert (sent, response["Content-Length"]) == (b"", "1000")
    assert response.file_to_stream is None
    assert file.closed
