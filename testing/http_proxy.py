"""A proxy of HTTP that loses answers, or gives others in their place, when it is told to."""

import socket
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx

NOT_FORWARDED = frozenset({"host", "connection", "accept-encoding"})
NOT_RETURNED = frozenset({"connection", "transfer-encoding", "content-length", "content-encoding"})


@dataclass(frozen=True)
class Fault:
    """What happens to a request; without a status, it is done and its answer lost."""

    method: str
    path: str
    status: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Seen:
    method: str
    path: str  # with its query
    headers: dict[str, str]


class FaultyProxy:
    """Leads to a service, at `address`; remembers the requests that it has `seen`."""

    def __init__(self, service: str) -> None:
        self.seen: list[Seen] = []
        self._faults: list[Fault] = []
        self._lock = threading.Lock()
        self._http = httpx.Client(base_url=service, timeout=60)
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self.address = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._http.close()

    def lose_answers(self, method: str, path: str, *, times: int = 1) -> None:
        """Of the next requests to a path: they are done, and the connection is closed."""
        self._faults += [Fault(method, path)] * times

    def refuse(
        self, method: str, path: str, status: int, *, times: int = 1, **headers: str
    ) -> None:
        """Answer the next requests to a path so, without the service knowing of them."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        self._faults += [Fault(method, path, status, named)] * times

    def requests(self, method: str, path: str) -> list[Seen]:
        return [seen for seen in self.seen if (seen.method, _bare(seen.path)) == (method, path)]

    def _next_fault(self, method: str, path: str) -> Fault | None:
        with self._lock:
            for fault in self._faults:
                if (fault.method, fault.path) == (method, _bare(path)):
                    self._faults.remove(fault)
                    return fault
        return None

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def handle_any(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                headers = dict(self.headers.items())
                proxy.seen.append(Seen(self.command, self.path, headers))
                fault = proxy._next_fault(self.command, self.path)
                if fault is not None and fault.status is not None:
                    self.answer(fault.status, fault.headers, b"out of order")
                    return
                passed = {k: v for k, v in headers.items() if k.lower() not in NOT_FORWARDED}
                response = proxy._http.request(
                    self.command, self.path, content=body, headers=passed
                )
                if fault is not None:
                    self.close_connection = True
                    self.connection.shutdown(socket.SHUT_RDWR)
                    return
                kept = {k: v for k, v in response.headers.items() if k not in NOT_RETURNED}
                self.answer(response.status_code, kept, response.content)

            do_GET = do_POST = do_PATCH = do_DELETE = handle_any  # noqa: N815  # their names

            def answer(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                if status != 204:
                    self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                pass

        return Handler


def _bare(path: str) -> str:
    return path.partition("?")[0]
