"""Gunicorn's worker with threads, which a slow client cannot keep.

Gunicorn gives a connection to a thread as soon as its first byte is there, and the thread then
reads headers and body, however long they take. As many slow clients as there are threads stop the
process, on purpose or not. Here the thread that polls the sockets reads as well, without waiting,
and gives a connection away when its request is whole. Threads read from no socket. What they send
has to be taken within a time, too.

Why this and not another server is in docs/decisions/0019-slow-clients.md.
"""

import contextlib
import errno
import select
import selectors
import socket
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from typing import Any

from django.conf import settings
from gunicorn import util
from gunicorn.errors import ConfigError
from gunicorn.workers.gthread import TConn, ThreadWorker

from carprice.server.incoming_requests import IncomingRequest

READ_BYTES = 64 * 1024
# What requests that are not answered yet, and answers that are not taken, may hold in memory before
# unfinished ones are closed.
HELD_LIMIT_BYTES = 64 * 1024 * 1024
# How long a connection that was answered for the last time is kept, so that the client reads the
# answer before a reset could reach it; and how long a stopping process waits for a whole request.
LINGER_SECONDS = 2.0
CHECK_SECONDS = 0.5
# What a client need not have taken of an answer before the thread is free.
UNSENT_LIMIT_BYTES = 1024 * 1024
# A client that reads at least so fast may take as long as it needs.
PACE_BYTES_PER_SECOND = 32 * 1024
OUT_OF_FILES = (errno.EMFILE, errno.ENFILE)


class ClientSocket(socket.socket):
    """Takes an answer from a thread, and keeps what the client does not take at once.

    A thread waits for the client only while there is more than UNSENT_LIMIT_BYTES of that. What is
    left when it has finished is sent by the thread that polls. The socket never blocks.
    """

    @classmethod
    def wrap(cls, accepted: socket.socket) -> "ClientSocket":
        wrapped = cls(accepted.family, accepted.type, accepted.proto, fileno=accepted.detach())
        wrapped.settimeout(0)
        wrapped.unsent = bytearray()
        wrapped._seconds_left = 0.0
        return wrapped

    unsent: bytearray
    _seconds_left: float  # which the thread may wait, of this answer

    def setblocking(self, flag: bool) -> None:
        """Gunicorn asks for a blocking socket when a thread begins an answer."""
        if flag:
            self._seconds_left = settings.ANSWER_TIMEOUT_SECONDS

    def sendall(self, data: Any, flags: int = 0) -> None:
        self.unsent += data
        self.send_some()
        while len(self.unsent) > UNSENT_LIMIT_BYTES:
            self._wait_for_client()
            self.send_some()

    def send_some(self) -> None:
        """Send what the client takes now."""
        try:
            while self.unsent:
                sent = self.send(self.unsent)
                del self.unsent[:sent]
                self._seconds_left += sent / PACE_BYTES_PER_SECOND
        except BlockingIOError:
            pass

    def _wait_for_client(self) -> None:
        began = time.monotonic()
        poller = select.poll()
        poller.register(self, select.POLLOUT)
        poller.poll(max(self._seconds_left, 0) * 1000)
        self._seconds_left -= time.monotonic() - began
        if self._seconds_left <= 0:
            self.unsent.clear()  # for gunicorn, a client that went away
            raise BrokenPipeError(errno.EPIPE, "The client reads too slowly.")


class Connection(TConn):
    """One whose client is waited for has a deadline."""

    sock: ClientSocket
    parser: Any
    deadline = 0.0
    is_polled = False
    request: IncomingRequest | None = None  # that is not whole yet
    answering: IncomingRequest | None = None  # that a thread has or had
    held = 0  # bytes of the request, or of the answer
    drained = 0

    @property
    def has_rest(self) -> bool:
        """Whether more came than the request that was answered."""
        return self.answering is not None and self.answering.has_rest


def _is_kept(fs: "Future[bool]") -> bool:
    """Whether gunicorn, having answered, wants the connection to be kept."""
    return not fs.cancelled() and fs.exception() is None and bool(fs.result())


class CachedConfig:
    """Gunicorn's settings, each looked up once; it reads some twenty of them for each request."""

    def __init__(self, cfg: Any) -> None:
        self._cfg = cfg

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._cfg, name)
        self.__dict__[name] = value
        return value


class SlowClientWorker(ThreadWorker):
    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.cfg: Any = CachedConfig(self.cfg)
        self._unfinished: dict[Connection, None] = {}  # oldest first
        self._held = 0
        # Of what the threads that answer change too: what is held, and who may ask again.
        self._lock = threading.RLock()
        self._next_check = 0.0
        self._next_notify = 0.0

    @classmethod
    def check_config(cls, cfg: Any, log: Any) -> None:
        super().check_config(cfg, log)
        if cfg.is_ssl:
            raise ConfigError("TLS ends at a proxy, not here: leave certfile and keyfile out.")

    # What gunicorn calls, all in the thread that polls.

    def notify(self) -> None:
        """Tell the arbiter that this process lives: it looks once in a second."""
        now = time.monotonic()
        if now >= self._next_notify or not self.alive:
            self._next_notify = now + CHECK_SECONDS
            super().notify()

    def enqueue_req(self, conn: Any) -> None:
        self.tpool.submit(self.handle, conn).add_done_callback(partial(self._on_answered, conn))

    def accept(self, listener: socket.socket) -> None:
        try:
            accepted, client = listener.accept()
        except OSError as error:
            if error.errno in OUT_OF_FILES:
                self._close_oldest()
            elif error.errno not in (errno.EAGAIN, errno.ECONNABORTED):
                raise
            return
        self.nr_conns += 1
        conn = Connection(self.cfg, ClientSocket.wrap(accepted), client, listener.getsockname())
        self._begin_request(conn)
        self._make_room()

    def on_client_socket_readable(self, conn: Any, client: socket.socket) -> None:
        with self._lock:
            try:
                self.poller.unregister(client)
            except (KeyError, ValueError):  # it was closed since the poller told of it
                return
            self.keepalived_conns.remove(conn)
        self._begin_request(conn)

    def finish_request(self, conn: Any, fs: "Future[bool]") -> None:
        is_kept = _is_kept(fs)
        self._release(conn)
        if conn.sock.unsent:
            self._keep(conn, settings.ANSWER_TIMEOUT_SECONDS)
            self._poll(conn, partial(self._send, is_kept=is_kept), selectors.EVENT_WRITE)
            self._hold(conn, len(conn.sock.unsent))
            self._make_room()
        else:
            self._go_on(conn, is_kept=is_kept)

    def murder_pending(self) -> None:
        """Called all the time, so it looks only now and then."""
        now = time.monotonic()
        if now >= self._next_check:
            self._next_check = now + CHECK_SECONDS
            for conn in [conn for conn in self._unfinished if conn.deadline <= now]:
                self._give_up(conn)

    def _cap_keepalive(self, deadline: float) -> None:
        """Called when the process is told to stop."""
        self._stop_listening()
        with self._lock:
            super()._cap_keepalive(deadline)  # type: ignore[misc]  # newer than its types
        for conn in self._unfinished:
            if conn.request is not None:
                conn.deadline = min(conn.deadline, deadline)

    def _stop_listening(self) -> None:
        """Take who has connected already, and refuse who comes later: a proxy then asks elsewhere.

        Gunicorn listens until the process ends, and who connected meanwhile is reset, unanswered.
        """
        for listener in self.sockets:
            before = -1
            while before != self.nr_conns:
                before = self.nr_conns
                self.accept(listener)
            listener.close()

    # A request comes in.

    def _begin_request(self, conn: Connection, data: bytes = b"") -> None:
        conn.request = IncomingRequest(self.cfg, conn.client)
        self._keep(conn, settings.HEADER_TIMEOUT_SECONDS)
        if data:
            self._feed(conn, conn.request, data)
        else:
            self._read(conn)

    def _read(self, conn: Connection, _: object = None) -> None:
        request = conn.request
        if request is None:  # it was closed since the poller told of it
            return
        try:
            data = conn.sock.recv(READ_BYTES)
        except BlockingIOError:
            self._poll(conn, self._read)
        except OSError:
            self._close(conn)
        else:
            self._feed(conn, request, data)

    def _feed(self, conn: Connection, request: IncomingRequest, data: bytes) -> None:
        had_head = request.has_head
        if data:
            request.feed(data)
            self._hold(conn, len(data))
        else:
            request.end()
        if request.is_ready:
            conn.answering = request
            conn.parser = request.parser
            conn.initialized = True  # it has its parser, and data need not be waited for
            self._forget(conn)
            self.enqueue_req(conn)
        elif not data:
            self._close(conn)
        elif request.is_head_too_long:
            self._refuse(conn, 431, "Request Header Fields Too Large")
        else:
            if request.has_head and not had_head:
                self._keep(conn, settings.BODY_TIMEOUT_SECONDS)
            if request.expects_continue:
                request.expects_continue = False
                self._tell_to_continue(conn)
            self._poll(conn, self._read)
            self._make_room()

    def _tell_to_continue(self, conn: Connection) -> None:
        with contextlib.suppress(OSError):  # a client that is gone is met at the next read
            conn.sock.send(b"HTTP/1.1 100 Continue\r\n\r\n")

    # An answer is taken.

    def _on_answered(self, conn: Connection, fs: "Future[bool]") -> None:
        """In the thread that has answered: most often the client just may ask again.

        The thread that polls need not be woken for that; it has all else to itself.
        """
        is_next_awaited = _is_kept(fs) and not conn.sock.unsent and not conn.has_rest
        with self._lock:
            if self.alive and is_next_awaited:
                self._release(conn)
                self._await_next_request(conn)
                return
        self.method_queue.defer(self.finish_request, conn, fs)

    def _send(self, conn: Connection, _: object, *, is_kept: bool) -> None:
        if conn not in self._unfinished:  # it was closed since the poller told of it
            return
        try:
            conn.sock.send_some()
        except OSError:
            self._close(conn)
            return
        if not conn.sock.unsent:
            self._forget(conn)
            self._release(conn)
            self._go_on(conn, is_kept=is_kept)

    def _go_on(self, conn: Connection, *, is_kept: bool) -> None:
        rest = conn.answering.take_rest() if conn.answering else b""
        if not is_kept:
            self._linger(conn)
        elif rest:  # the client did not wait for the answer before it sent its next request
            self._begin_request(conn, rest)
        else:
            self._await_next_request(conn)

    def _await_next_request(self, conn: Connection) -> None:
        seconds = self.cfg.keepalive if self.alive else LINGER_SECONDS
        conn.timeout = time.monotonic() + seconds
        on_readable = partial(self.on_client_socket_readable, conn)
        with self._lock:
            self.keepalived_conns.append(conn)
            self.poller.register(conn.sock, selectors.EVENT_READ, on_readable)

    # A connection ends.

    def _give_up(self, conn: Connection) -> None:
        """Its time is over. One that sent nothing, as browsers open in advance, just ends."""
        if conn.request is not None and conn.request.size:
            self._refuse(conn, 408, "Request Timeout")
        else:
            self._close(conn)

    def _refuse(self, conn: Connection, status: int, reason: str) -> None:
        with contextlib.suppress(OSError):
            util.write_error(conn.sock, status, reason, reason)
        self._linger(conn)

    def _linger(self, conn: Connection) -> None:
        """Say that nothing more will come, and wait for the client to go, as RFC 9112, 9.6, asks.

        Gunicorn does that where it waits for all others, for up to two seconds.
        """
        self._forget(conn)
        self._release(conn)
        try:
            conn.sock.shutdown(socket.SHUT_WR)
        except OSError:  # the client was faster
            self._close(conn)
        else:
            self._keep(conn, LINGER_SECONDS)
            self._drain(conn)

    def _drain(self, conn: Connection, _: object = None) -> None:
        if conn not in self._unfinished:
            return
        try:
            data = conn.sock.recv(READ_BYTES)
        except BlockingIOError:
            self._poll(conn, self._drain)
            return
        except OSError:
            data = b""
        conn.drained += len(data)
        if not data or conn.drained > READ_BYTES:
            self._close(conn)
        else:
            self._poll(conn, self._drain)

    def _close(self, conn: Connection) -> None:
        self._forget(conn)
        self._release(conn)
        self.nr_conns -= 1
        conn.close()

    def _make_room(self) -> None:
        if self._held > HELD_LIMIT_BYTES or self.nr_conns >= self.worker_connections:
            self._close_oldest()

    def _close_oldest(self) -> None:
        """Who means to send a request has sent it soon, so the oldest one is missed least."""
        if self._unfinished:
            self._close(next(iter(self._unfinished)))
            return
        with self._lock:
            if not self.keepalived_conns:
                return
            conn: Any = self.keepalived_conns.popleft()
            self.poller.unregister(conn.sock)
        self._close(conn)

    # What is waited for, and until when.

    def _keep(self, conn: Connection, seconds: float) -> None:
        if not self.alive and conn.request is not None:
            seconds = min(seconds, LINGER_SECONDS)
        conn.deadline = time.monotonic() + seconds
        self._unfinished[conn] = None

    def _hold(self, conn: Connection, size: int) -> None:
        with self._lock:
            conn.held += size
            self._held += size

    def _release(self, conn: Connection) -> None:
        with self._lock:
            self._held -= conn.held
            conn.held = 0

    def _poll(
        self,
        conn: Connection,
        callback: Callable[[Connection, object], None],
        event: int = selectors.EVENT_READ,
    ) -> None:
        if not conn.is_polled:
            conn.is_polled = True
            self.poller.register(conn.sock, event, partial(callback, conn))

    def _forget(self, conn: Connection) -> None:
        """Wait no longer for its client."""
        self._unfinished.pop(conn, None)
        if conn.is_polled:
            conn.is_polled = False
            self.poller.unregister(conn.sock)
        conn.request = None
