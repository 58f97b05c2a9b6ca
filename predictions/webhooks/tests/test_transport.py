"""What a stranger's server can do to whoever calls it: nothing but take ten seconds."""

import socket
import time
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest

from predictions.webhooks import transport
from predictions.webhooks.transport import NotSent
from testing.webhooks import HOST, PUBLIC, Network, Receiver, reply, serve

URL = f"https://{HOST}/hook?for=ada"


def post(url: str = URL) -> int:
    return transport.post(url, b'{"a":1}', {"webhook-id": "msg_1"})


def failure(url: str = URL) -> str:
    with pytest.raises(NotSent) as raised:
        post(url)
    return raised.value.failure


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> float:
    monkeypatch.setattr(transport, "TOTAL_SECONDS", 0.5)
    return 0.5


def test_a_body_is_posted_to_the_name_at_the_checked_address(
    network: Network, receiver: Receiver
) -> None:
    assert post() == 204

    (received,) = receiver.received
    assert (received.path, received.body) == ("/hook?for=ada", b'{"a":1}')
    assert received.headers["host"] == HOST
    assert received.headers["webhook-id"] == "msg_1"
    assert network.connected == [(PUBLIC, 443)]


def test_the_name_is_resolved_once_so_it_cannot_be_bound_anew(
    network: Network, receiver: Receiver
) -> None:
    network.names[HOST] = [[PUBLIC], ["127.0.0.1"]]

    assert post() == 204

    assert network.asked == [HOST]
    assert network.connected == [(PUBLIC, 443)]


def test_a_name_that_was_bound_anew_since_it_was_saved_is_refused(
    network: Network, receiver: Receiver
) -> None:
    network.names[HOST] = [["169.254.169.254"]]

    assert failure() == "refused_address"
    assert network.connected == []


def test_an_address_that_takes_no_connection_is_passed_over(
    network: Network, receiver: Receiver
) -> None:
    network.names[HOST] = [["1.1.1.1", PUBLIC]]

    assert post() == 204
    assert network.connected == [("1.1.1.1", 443), (PUBLIC, 443)]


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_an_answer_and_followed_by_nothing(
    network: Network, receiver: Receiver, status: int
) -> None:
    receiver.answers = [reply(status, Location="http://169.254.169.254/latest/meta-data")]

    assert post() == status
    assert len(receiver.received) == 1
    assert network.asked == [HOST]


def test_a_proxy_of_the_environment_is_not_asked(
    network: Network, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")

    assert post() == 204
    assert network.connected == [(PUBLIC, 443)]


def test_of_a_huge_body_little_is_read(network: Network, receiver: Receiver) -> None:
    sent = []

    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.end_headers()
        for _ in range(1_000):
            handler.wfile.write(b"x" * 65_536)
            sent.append(65_536)

    receiver.answers = [answer]

    assert post() == 200
    time.sleep(0.2)
    assert sum(sent) < 16_000_000  # what the buffers of two sockets take


def test_a_body_that_drips_holds_nobody_up(
    network: Network, receiver: Receiver, quick: float
) -> None:
    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", "1000")
        handler.end_headers()
        for _ in range(50):
            handler.wfile.write(b"x")
            time.sleep(0.1)

    receiver.answers = [answer]
    began = time.monotonic()

    assert post() == 200  # it has answered
    assert time.monotonic() - began < quick + 0.5


@pytest.mark.parametrize("first", [b"", b"HTTP/1.1 200 OK\r\n"])
def test_headers_that_drip_are_a_timeout(
    network: Network, receiver: Receiver, quick: float, first: bytes
) -> None:
    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.wfile.write(first)
        for _ in range(50):
            handler.wfile.write(b"X: y\r\n" if first else b"")
            time.sleep(0.1)

    receiver.answers = [answer]
    began = time.monotonic()

    assert failure() == "timeout"
    assert time.monotonic() - began < quick + 0.5


def test_a_handshake_that_never_ends_is_a_timeout(network: Network, quick: float) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        network.port = silent.getsockname()[1]

        assert failure() == "timeout"


@pytest.mark.parametrize("answer", [b"SSH-2.0-OpenSSH\r\n", b"HTTP/1.1 two hundred\r\n\r\n", b""])
def test_what_is_no_http_is_a_failure(network: Network, receiver: Receiver, answer: bytes) -> None:
    def respond(handler: BaseHTTPRequestHandler) -> None:
        handler.wfile.write(answer)

    receiver.answers = [respond]

    assert failure() in ("protocol", "connection")


def test_endless_headers_are_a_failure(network: Network, receiver: Receiver) -> None:
    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.wfile.write(b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 10_000)

    receiver.answers = [answer]

    assert failure() == "protocol"


def test_a_certificate_that_nobody_vouches_for_is_refused(
    network: Network, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SSL_CERT_FILE")
    transport.tls_context.cache_clear()

    assert failure() == "certificate"
    assert receiver.received == []


def test_a_certificate_of_another_name_is_refused(network: Network, receiver: Receiver) -> None:
    network.names["other.example.com"] = [[PUBLIC]]

    assert failure("https://other.example.com/") == "certificate"
    assert receiver.received == []


def test_a_server_that_is_away_is_a_failure(network: Network) -> None:
    network.names[HOST] = [["1.1.1.1"]]

    assert failure() == "connection"


def test_http_is_refused_unless_it_is_allowed(settings: Any, tmp_path: Path) -> None:
    receiver = Receiver()
    server = serve(receiver, None)
    url = f"http://127.0.0.1:{receiver.port}/"

    assert failure(url) == "refused_address"
    settings.WEBHOOK_LOCAL = True
    assert post(url) == 204

    server.shutdown()
    server.server_close()
