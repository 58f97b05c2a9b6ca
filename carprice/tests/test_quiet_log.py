"""What a stranger can send at will writes no traceback, whatever it is answered."""

import socket
import struct
import time
from collections.abc import Iterator

import pytest

from testing.processes import Service, Trained, answers, eventually

pytestmark = pytest.mark.processes

HOST = "Host: localhost\r\nConnection: close\r\n"
FORM = "Content-Type: application/x-www-form-urlencoded\r\n"
JSON = "Content-Type: application/json\r\n"
PARTS = "Content-Type: multipart/form-data; boundary=x\r\n"


@pytest.fixture(scope="module")
def service(trained: Trained) -> Iterator[Service]:
    with Service() as service:
        service.set_up(trained[:1], pages=True)
        yield service


@pytest.fixture(scope="module")
def address(service: Service) -> str:
    return service.start_web()


def get(path: str, headers: str = "", method: str = "GET") -> bytes:
    return f"{method} {path} HTTP/1.1\r\n{HOST}{headers}\r\n".encode("latin-1")


def post(path: str, headers: str, body: bytes, method: str = "POST") -> bytes:
    head = f"{method} {path} HTTP/1.1\r\n{HOST}{headers}Content-Length: {len(body)}\r\n\r\n"
    return head.encode("latin-1") + body


MANY_FIELDS = b"&".join(b"f%d=1" % number for number in range(2000))
MANY_PARTS = b"".join(
    b'--x\r\nContent-Disposition: form-data; name="f%d"\r\n\r\n1\r\n' % number
    for number in range(2000)
)
REQUESTS = {
    "bad cookies": get("/wallet", "Cookie: sessionid=\xff\xfe; csrftoken=<>; a\r\n"),
    "bad cookie names": get("/", 'Cookie: =;;;"; sessionid="x"; preferences={{{\r\n'),
    "long session": get("/wallet", f"Cookie: sessionid={'a' * 4000}\r\n"),
    "language": get("/", "Cookie: django_language=../../x\r\nAccept-Language: ;;q=x\r\n"),
    "bad host": b"GET / HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n",
    "no name of a host": b"GET / HTTP/1.1\r\nHost: <script>\r\nConnection: close\r\n\r\n",
    "no host": b"GET / HTTP/1.0\r\n\r\n",
    "bad path": get("/%ff%fe/%00"),
    "NUL in a path": get("/catalogue/a%00b"),
    "NUL in an API path": get("/api/predictors/a%00b"),
    "climbing path": get("/static/../../etc/passwd"),
    "climbing static path": get("/static/%2e%2e/%2e%2e/etc/passwd"),
    "long path": get("/" + "a" * 4000),
    "too long a path": get("/" + "a" * 9000),
    "bad query": get("/predictions?page=%ff&cursor=%00&status=%F0"),
    "bad token": get("/balance", "Authorization: Bearer \xff.\xfe.\x80\r\n"),
    "two tokens": get("/balance", "Authorization: Bearer a b\r\n"),
    "bad accept": get("/balance", "Accept: ;;;,//,*;q=z\r\n"),
    "bad range": get("/static/style.css", "Range: bytes=9-1,-\r\n"),
    "bad dates": get("/", "If-Modified-Since: yesterday\r\nIf-None-Match: \xff\r\n"),
    "bad method": get("/", method="BREW"),
    "no request": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
    "bad header": b"GET / HTTP/1.1\r\nHost: localhost\r\nno colon\r\n\r\n",
    "bad length": b"POST /sign_in HTTP/1.1\r\nHost: localhost\r\nContent-Length: x\r\n\r\n",
    "two lengths": get("/", "Content-Length: 1\r\nContent-Length: 2\r\n"),
    "bad chunks": get("/sign_in", JSON + "Transfer-Encoding: chunked\r\n", "POST") + b"zz\r\n",
    "bad JSON": post("/sign_in", JSON, b'{"email": \xff'),
    "deep JSON": post("/sign_in", JSON, b"[" * 100_000),
    "huge number": post("/sign_in", JSON, b'{"email": 1' + b"0" * 10_000 + b"}"),
    "surrogate": post("/sign_in", JSON, rb'{"email": "\ud800@x.de", "password": "\u0000"}'),
    "bad charset": post("/sign_in", "Content-Type: application/json; charset=x\r\n", b"{}"),
    "bad form": post("/account/sign-in", FORM, b"%ff=%fe&\x00&&=&csrfmiddlewaretoken=%00"),
    "many fields": post("/account/sign-in", FORM, MANY_FIELDS),
    "bad multipart": post("/account/sign-in", PARTS, b"--x\r\nrubbish"),
    "no boundary": post("/account/sign-in", "Content-Type: multipart/form-data\r\n", b"--"),
    "long boundary": post("/account/sign-in", PARTS.replace("=x", "=" + "x" * 3000), b"--x"),
    "many parts": post("/account/sign-in", PARTS, MANY_PARTS + b"--x--\r\n"),
    "bad encoding of a part": post(
        "/account/sign-in",
        PARTS,
        b'--x\r\nContent-Disposition: form-data; name="a"\r\n'
        b"Content-Transfer-Encoding: base64\r\n\r\n!!!!=\r\n--x--\r\n",
    ),
    "file of multipart": post(
        "/account/sign-in",
        PARTS,
        b'--x\r\nContent-Disposition: form-data; name="a"; filename="../\x00"\r\n'
        b"\r\n1\r\n--x--\r\n",
    ),
    "large form": post("/account/sign-in", FORM, b"a=" + b"b" * 2_000_000),
    "large JSON": post("/sign_in", JSON, b'"' + b"b" * 3_000_000),
    "form of the API": post("/api/auth/login", FORM, b"username=%ff&password=%00"),
    "foreign origin": post("/account/sign-in", FORM + "Origin: https://[\r\n", b"a=b"),
    "bad referer": post("/account/sign-in", FORM + "Referer: http://[::1\r\n", b"a=b"),
    "preferences": post("/preferences", FORM, b"language=%00&next=//evil&theme=x"),
    "forwarded": get("/", "X-Forwarded-For: \xff,,,\r\nX-Forwarded-Proto: x\r\n"),
    "bad id": get("/", "X-Request-ID: \xff'\r\n"),
    "share link": get("/shared/%00%ff"),
    "admin": post("/admin/login/", FORM, b"username=%00&password=%00&next=//x"),
}


def send(address: str, request: bytes) -> bytes:
    """The whole answer, as far as there is one."""
    port = int(address.rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port), timeout=30) as client:
        try:
            client.sendall(request)
            return b"".join(iter(lambda: client.recv(65536), b""))
        except ConnectionError:
            return b""  # refused before all was read


@pytest.mark.parametrize("name", REQUESTS)
def test_it_is_refused_or_answered_without_a_traceback(
    service: Service, address: str, name: str
) -> None:
    before = service.logs()

    answer = send(address, REQUESTS[name])

    written = service.logs().removeprefix(before)
    assert b" 500 " not in answer.partition(b"\r\n")[0]
    assert "Traceback" not in written
    assert " ERROR " not in written
    assert "[ERROR]" not in written


@pytest.mark.parametrize(
    "request_begun",
    [
        pytest.param(post("/sign_in", JSON, b"x" * 50_000)[:20_000], id="within a body"),
        pytest.param(post("/account/sign-in", FORM, b"x" * 50_000)[:20_000], id="within a form"),
        pytest.param(post("/account/sign-in", PARTS, b"x" * 50_000)[:20_000], id="within parts"),
        pytest.param(get("/")[:20], id="within the headers"),
        pytest.param(get("/"), id="before the answer"),
        pytest.param(get("/api/schema"), id="before a long answer"),
    ],
)
@pytest.mark.parametrize("abruptly", [False, True], ids=["closed", "reset"])
def test_a_client_that_goes_away_leaves_no_traceback(
    service: Service, address: str, request_begun: bytes, abruptly: bool
) -> None:
    before = service.logs()
    port = int(address.rpartition(":")[2])

    client = socket.create_connection(("127.0.0.1", port), timeout=30)
    client.sendall(request_begun)
    if abruptly:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()
    time.sleep(0.3)
    eventually(lambda: answers(address))

    written = service.logs().removeprefix(before)
    assert "Traceback" not in written
    assert " ERROR " not in written
    assert "[ERROR]" not in written
