"""Clients that take their time keep nobody else from being answered, in real web processes."""

import contextlib
import re
import signal
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest
from django.conf import settings

from carprice.server import thread_worker
from carprice.server.thread_worker import ClientSocket
from testing.processes import WEB, Process, Service, answers, eventually, free_port

THREADS = {"WEB_PROCESSES": "1", "WEB_THREADS": "1", "WEB_WAITERS": "1"}
TIMEOUTS = {"HEADER_TIMEOUT_SECONDS": "3", "BODY_TIMEOUT_SECONDS": "4"}
TIMEOUT = 20

HOST = b"Host: localhost\r\n"
GET = b"GET /healthz HTTP/1.1\r\n" + HOST
POST = b"POST /sign_in HTTP/1.1\r\n" + HOST + b"Content-Type: application/json\r\n"
BODY = b'{"email": 1}'  # refused before anybody looks into a database
SIZED = POST + b"Content-Length: %d\r\n" % len(BODY)
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"
CHUNKS = b"3\r\n%s\r\n%x\r\n%s\r\n0\r\n\r\n" % (BODY[:3], len(BODY) - 3, BODY[3:])
LARGE = POST + b"Content-Length: %d\r\n" % (settings.BODY_LIMIT_BYTES + 1)

real_processes = pytest.mark.processes


@pytest.fixture(scope="module")
def service() -> Iterator[Service]:
    with Service() as service:
        service.may_be_unsound = True  # nothing is sold, so there is nothing to audit
        yield service


@pytest.fixture(scope="module")
def port(service: Service) -> int:
    """Of a web process with two threads."""
    address = service.start_web(**THREADS, **TIMEOUTS)
    return int(address.rpartition(":")[2])


class Client:
    """A connection on which a test writes what it wants."""

    def __init__(self, port: int, *pieces: bytes, pause: float = 0.02) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=TIMEOUT)
        for piece in pieces:
            self._socket.sendall(piece)
            time.sleep(pause)

    def drip(self, piece: bytes) -> None:
        with contextlib.suppress(OSError):  # the service may have closed it
            self._socket.sendall(piece)

    def end_sending(self) -> None:
        self._socket.shutdown(socket.SHUT_WR)

    def statuses(self, count: int | None = None) -> list[int]:
        """Of so many answers; of all until the service closes, if no count is given."""
        received = b""
        found: list[int] = []
        while count is None or len(found) < count:
            data = self._socket.recv(65536)
            received += data
            found = [int(status) for status in re.findall(rb"HTTP/1\.\d (\d+) ", received)]
            if not data:
                break
        return found

    def close(self) -> None:
        self._socket.close()


@contextlib.contextmanager
def hanging(port: int, count: int, *pieces: bytes) -> Iterator[list[Client]]:
    clients = [Client(port, *pieces, pause=0) for _ in range(count)]
    try:
        yield clients
    finally:
        for client in clients:
            client.close()


def answered_in(port: int, *pieces: bytes) -> float:
    """The seconds until a new connection has its answer."""
    began = time.monotonic()
    client = Client(port, *pieces, pause=0)
    assert len(client.statuses(1)) == 1
    client.close()
    return time.monotonic() - began


@real_processes
@pytest.mark.parametrize(
    ("pieces", "drop"),
    [
        pytest.param([GET], b"X-Drop: 1\r\n", id="headers"),
        pytest.param([SIZED + b"\r\n"], b" ", id="a body"),
        pytest.param([CHUNKED], b"1\r\n \r\n", id="chunks"),
        pytest.param([], b"", id="nothing"),
        pytest.param([LARGE + b"\r\n"], b" ", id="what is refused"),
    ],
)
def test_clients_that_drip_keep_nobody_waiting(port: int, pieces: list[bytes], drop: bytes) -> None:
    with hanging(port, 40, *pieces) as clients:
        waits = []
        for _ in range(5):
            for client in clients:
                client.drip(drop)
            waits += [answered_in(port, GET + b"\r\n"), answered_in(port, SIZED + b"\r\n" + BODY)]

    assert max(waits) < 2  # seconds on a busy machine; with two threads it took for ever


@real_processes
@pytest.mark.parametrize(
    ("pieces", "statuses"),
    [
        pytest.param([GET], [408], id="headers"),
        pytest.param([SIZED + b"\r\n"], [408], id="body"),
        pytest.param([], [], id="nothing"),
        pytest.param([GET + b"\r\n", GET], [200, 408], id="second headers"),
    ],
)
def test_a_request_has_a_deadline(port: int, pieces: list[bytes], statuses: list[int]) -> None:
    client = Client(port, *pieces)
    began = time.monotonic()

    assert client.statuses() == statuses
    assert 1 < time.monotonic() - began < 10


@real_processes
@pytest.mark.parametrize(
    ("pieces", "statuses"),
    [
        pytest.param([GET + b"\r\n"], [200], id="at once"),
        pytest.param([GET[:9], GET[9:] + b"\r", b"\n"], [200], id="in pieces"),
        pytest.param([(GET + b"\r\n") * 3], [200] * 3, id="pipelined"),
        pytest.param([GET + b"\r\n" + GET, b"\r\n"], [200] * 2, id="pipelined in pieces"),
        pytest.param([GET + b"\r\n", GET + b"\r\n"], [200] * 2, id="kept alive"),
        pytest.param([SIZED + b"\r\n" + BODY + GET + b"\r\n"], [400, 200], id="after a body"),
        pytest.param([SIZED + b"\r\n", BODY[:4], BODY[4:]], [400], id="body in pieces"),
        pytest.param([CHUNKED + CHUNKS + GET + b"\r\n"], [400, 200], id="after chunks"),
        pytest.param([CHUNKED, CHUNKS[:7], CHUNKS[7:]], [400], id="chunks in pieces"),
        pytest.param(
            [SIZED + b"Expect: 100-continue\r\n\r\n", BODY], [100, 400], id="expects leave"
        ),
        pytest.param(
            [SIZED + b"Expect: 100-continue\r\n\r\n" + BODY + GET + b"\r\n"],
            [400, 200],
            id="expects leave but does not wait",
        ),
    ],
)
def test_a_request_is_answered_however_it_comes(
    port: int, pieces: list[bytes], statuses: list[int]
) -> None:
    client = Client(port, *pieces)

    assert client.statuses(len(statuses)) == statuses
    client.close()


@real_processes
@pytest.mark.parametrize(
    ("pieces", "statuses"),
    [
        pytest.param([GET + b"Connection: close\r\n\r\n"], [200], id="asks to close"),
        pytest.param([b"GET /healthz HTTP/1.0\r\n\r\n"], [200], id="HTTP/1.0"),
        pytest.param([b"hello\r\n\r\n"], [400], id="no request"),
        pytest.param([b"GET / HTTP/1.1\n\n"], [400], id="bare LF"),
        pytest.param([GET + b"X: " + b"a" * 9000 + b"\r\n\r\n"], [431], id="long header"),
        pytest.param([GET + b"X: ", *[b"a" * 100_000] * 5], [431], id="headers without end"),
        pytest.param([LARGE + b"\r\n", b" " * 100], [413], id="large body"),
        pytest.param([LARGE + b"Expect: 100-continue\r\n\r\n"], [413], id="large, expects leave"),
        pytest.param([CHUNKED, b"zz\r\n"], [400], id="broken chunks"),
        pytest.param(
            [CHUNKED, *[b"80000\r\n" + b" " * 0x80000 + b"\r\n"] * 6], [413], id="large chunks"
        ),
    ],
)
def test_a_connection_ends_after_an_answer_that_cannot_be_followed(
    port: int, pieces: list[bytes], statuses: list[int]
) -> None:
    client = Client(port)
    for piece in pieces:
        client.drip(piece)

    assert client.statuses() == statuses


@real_processes
@pytest.mark.parametrize(
    ("pieces", "statuses"),
    [
        pytest.param([GET + b"\r\n"], [200], id="whole"),
        pytest.param([SIZED + b"\r\n" + BODY], [400], id="whole, with a body"),
        pytest.param([SIZED + b"\r\n" + BODY[:4]], [400], id="half a body"),
        pytest.param([GET], [], id="half the headers"),
    ],
)
def test_a_client_that_sends_no_more_still_gets_its_answer(
    port: int, pieces: list[bytes], statuses: list[int]
) -> None:
    client = Client(port, *pieces)
    client.end_sending()

    assert client.statuses() == statuses


@real_processes
def test_clients_that_stay_after_the_last_answer_keep_nobody_waiting(port: int) -> None:
    with hanging(port, 20, GET + b"Connection: close\r\n\r\n") as clients:
        waited = answered_in(port, GET + b"\r\n")
        assert [client.statuses(1) for client in clients] == [[200]] * 20

    assert waited < 2  # it was two seconds for each of the twenty


@real_processes
def test_the_oldest_unfinished_connections_make_room(service: Service) -> None:
    address = service.start_web(**THREADS, WEB_CONNECTIONS="20")
    port = int(address.rpartition(":")[2])

    with hanging(port, 60, GET) as clients:
        waited = answered_in(port, GET + b"\r\n")
        oldest = clients[0].statuses()
        clients[-1].drip(b"\r\n")
        newest = clients[-1].statuses(1)

    assert waited < 2
    assert (oldest, newest) == ([], [200])


@real_processes
def test_a_process_that_is_told_to_stop_waits_for_no_drip(service: Service) -> None:
    port = free_port()
    web: Process = service.start(*WEB, **THREADS, PORT=str(port))
    eventually(lambda: answers(f"http://localhost:{port}"))

    with hanging(port, 5, GET) as slow, hanging(port, 5, SIZED + b"\r\n" + BODY[:3]):
        web.send(signal.SIGTERM)
        time.sleep(0.5)
        slow[0].drip(b"\r\n")
        soon = slow[0].statuses()
        began = time.monotonic()
        web.wait(within=15)

    assert soon == [200]  # what becomes whole soon is answered
    assert time.monotonic() - began < 10  # and 25 s is how long work may take


@real_processes
def test_kept_connections_are_used_by_many_at_once_closed_for_room_and_on_stopping(
    service: Service,
) -> None:
    """Several threads hand connections back while the one that polls closes others."""
    port = free_port()
    options = {"WEB_PROCESSES": "1", "WEB_THREADS": "4", "WEB_WAITERS": "4", "WEB_CONNECTIONS": "8"}
    web: Process = service.start(*WEB, **options, PORT=str(port))
    eventually(lambda: answers(f"http://localhost:{port}"))
    ended = threading.Event()

    def ask_until_it_stops(_: int) -> int:
        answered = 0
        while not ended.is_set():
            with contextlib.suppress(OSError), closing(Client(port, pause=0)) as client:
                for _ in range(20):  # on one connection, unless it is closed for others
                    client.drip(GET + b"\r\n")
                    statuses = client.statuses(1)
                    assert statuses in ([200], [])
                    if not statuses:
                        break
                    answered += 1
        return answered

    with ThreadPoolExecutor(24) as pool:
        counts = pool.map(ask_until_it_stops, range(24))
        time.sleep(2)
        before = web.children()
        time.sleep(1)
        after = web.children()
        web.send(signal.SIGTERM)
        began = time.monotonic()
        web.wait(within=15)
        ended.set()

    assert time.monotonic() - began < 10
    assert sum(counts) > 500
    assert len(before) == 1
    assert after == before
    assert "Traceback" not in web.output


# --- Slow readers --------------------------------------------------------------------------------


@pytest.fixture
def ends() -> Iterator[tuple[ClientSocket, socket.socket]]:
    """The service's end of a connection, and the client's."""
    service_end, client_end = socket.socketpair()
    wrapped = ClientSocket.wrap(service_end)
    with wrapped, client_end:
        yield wrapped, client_end


def test_a_thread_does_not_wait_for_the_end_of_an_answer_to_be_read(
    ends: tuple[ClientSocket, socket.socket],
) -> None:
    service_end, client_end = ends
    service_end.setblocking(True)
    began = time.monotonic()

    service_end.sendall(b"x" * thread_worker.UNSENT_LIMIT_BYTES)

    assert time.monotonic() - began < 1
    assert service_end.unsent
    while service_end.unsent:  # the thread that polls goes on with it
        client_end.recv(65536)
        service_end.send_some()


@pytest.mark.parametrize("read_bytes", [0, 1000])
def test_a_client_that_reads_too_slowly_is_given_up(
    ends: tuple[ClientSocket, socket.socket], monkeypatch: pytest.MonkeyPatch, read_bytes: int
) -> None:
    monkeypatch.setattr(settings, "ANSWER_TIMEOUT_SECONDS", 0.3)
    monkeypatch.setattr(thread_worker, "PACE_BYTES_PER_SECOND", 10**9)
    service_end, client_end = ends
    service_end.setblocking(True)

    def send_and_read() -> None:
        for _ in range(100):
            service_end.sendall(b"x" * 100_000)
            if read_bytes:
                client_end.recv(read_bytes)

    with pytest.raises(BrokenPipeError):
        send_and_read()
    assert not service_end.unsent


def test_a_client_that_reads_steadily_gets_everything(
    ends: tuple[ClientSocket, socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settings, "ANSWER_TIMEOUT_SECONDS", 0.01)
    monkeypatch.setattr(thread_worker, "PACE_BYTES_PER_SECOND", 100_000)
    service_end, client_end = ends
    size = 10_000_000

    def read() -> int:
        received = 0
        while received < size:
            received += len(client_end.recv(65536))
        return received

    with ThreadPoolExecutor(1) as reader:
        received = reader.submit(read)
        service_end.setblocking(True)
        service_end.sendall(b"x" * size)
        while service_end.unsent:
            service_end.send_some()

        assert received.result(TIMEOUT) == size


@real_processes
def test_clients_that_do_not_read_keep_nobody_waiting(port: int) -> None:
    many = (GET + b"\r\n") * 2000  # their answers are more than the kernel keeps
    with contextlib.ExitStack() as stack:
        for _ in range(10):
            client = stack.enter_context(closing(socket.socket()))
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            client.connect(("127.0.0.1", port))
            client.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                client.sendall(many)
        time.sleep(1)
        waits = [answered_in(port, GET + b"\r\n") for _ in range(5)]

    assert max(waits) < 2
