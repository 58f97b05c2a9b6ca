"""One POST to an address that a stranger chose, within bounds.

Of the standard library: `http.client` speaks HTTP over a socket that is connected here, because it
must be connected to an address that was checked. It follows no redirect and knows no proxy. All of
a request, from the look-up of its name to the last byte of the answer, has one deadline.
"""

import http.client
import io
import socket
import ssl
import time
from collections.abc import Mapping
from contextlib import closing, suppress
from functools import cache
from typing import Any

from predictions.webhooks import addresses
from predictions.webhooks.addresses import BadUrl, NoPublicAddress, Target
from predictions.webhooks.models import Delivery

CONNECT_SECONDS = 5.0  # for one address
TOTAL_SECONDS = 10.0
MAX_BODY_BYTES = 64 * 1024

Failure = Delivery.Failure


class NotSent(Exception):
    """No answer came; `failure` is one of Delivery.Failure."""

    def __init__(self, failure: str) -> None:
        super().__init__(failure)
        self.failure = failure


def post(url: str, body: bytes, headers: Mapping[str, str]) -> int:
    """Send a body; returns the status of the answer. Raises NotSent."""
    try:
        return _post(addresses.parse(url), body, headers)
    except (BadUrl, NoPublicAddress) as error:
        raise NotSent(Failure.REFUSED_ADDRESS) from error
    except TimeoutError as error:
        raise NotSent(Failure.TIMEOUT) from error
    except ssl.SSLCertVerificationError as error:
        raise NotSent(Failure.CERTIFICATE) from error
    except http.client.HTTPException as error:
        raise NotSent(Failure.PROTOCOL) from error
    except OSError as error:  # of sockets and of TLS
        raise NotSent(Failure.CONNECTION) from error


@cache
def tls_context() -> ssl.SSLContext:
    """Trusts what the system does, or SSL_CERT_FILE says."""
    return ssl.create_default_context()


def _post(target: Target, body: bytes, headers: Mapping[str, str]) -> int:
    deadline = time.monotonic() + TOTAL_SECONDS
    kind = http.client.HTTPSConnection if target.is_tls else http.client.HTTPConnection
    options: dict[str, Any] = {"context": tls_context()} if target.is_tls else {}
    connection = kind(target.host, target.port, **options)
    connection.auto_open = 0  # it would connect on its own
    with closing(connection):
        connection.sock = _connect(target, deadline)
        connection.request("POST", target.path, body, {**headers, "Connection": "close"})
        with closing(connection.getresponse()) as response:
            # What is left unread at the close would reset the other side's connection.
            with suppress(OSError, http.client.HTTPException):
                response.read(MAX_BODY_BYTES)
            return response.status


def _connect(target: Target, deadline: float) -> Any:
    """A connection to the first checked address that takes one. Raises what the last one did."""
    checked = addresses.resolve(target, min(CONNECT_SECONDS, _left(deadline)))
    for number, address in enumerate(checked, 1):
        try:
            return _connect_to(address, target, deadline)
        except OSError:
            if number == len(checked):
                raise
    raise NoPublicAddress


def _connect_to(address: str, target: Target, deadline: float) -> Any:
    seconds = min(CONNECT_SECONDS, _left(deadline))
    connected = socket.create_connection((address, target.port), seconds)
    try:
        if target.is_tls:
            connected = tls_context().wrap_socket(connected, server_hostname=target.host)
    except BaseException:
        connected.close()
        raise
    return _Bounded(connected, deadline)


def _left(deadline: float) -> float:
    seconds = deadline - time.monotonic()
    if seconds <= 0:
        raise TimeoutError
    return seconds


class _Bounded:
    """A socket as `http.client` uses it, whose deadline is for all of its calls together."""

    def __init__(self, connected: socket.socket, deadline: float) -> None:
        self._connected = connected
        self._deadline = deadline

    def sendall(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            self._connected.settimeout(_left(self._deadline))
            view = view[self._connected.send(view) :]

    def makefile(self, *_: Any) -> io.BufferedReader:
        return io.BufferedReader(_Reader(self._connected, self._deadline))

    def close(self) -> None:
        self._connected.close()


class _Reader(io.RawIOBase):
    def __init__(self, connected: socket.socket, deadline: float) -> None:
        super().__init__()
        self._connected = connected
        self._deadline = deadline

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        self._connected.settimeout(_left(self._deadline))
        return self._connected.recv_into(buffer)
