"""Requests for a host that the service does not answer to, and probes, which may ask for any."""

import logging
import threading
import time
from collections.abc import Callable

from django.conf import settings
from django.core.exceptions import DisallowedHost
from django.http import HttpRequest
from django.http.request import split_domain_port
from django.http.response import HttpResponseBase
from django.utils.translation import gettext

MAX_NAME_LENGTH = 253  # of a name in DNS
LOGGED_EVERY_SECONDS = 60
MAX_REMEMBERED = 1000

View = Callable[[HttpRequest], HttpResponseBase]


class ProbesOfAnyHost:
    """A middleware: what runs the process asks for its health as it likes, by address say."""

    def __init__(self, get_response: View) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        if request.path_info in settings.PROBE_PATHS:
            # Django's own middleware asks for the host, and would refuse one that is not allowed.
            request.get_host = lambda: "localhost"  # type: ignore[method-assign]
        return self._get_response(request)


def refusal(request: HttpRequest) -> str:
    """What to tell a client whose host was refused: the name, and what its operator has to set."""
    name = _name(request)
    if name is None:
        return gettext("The Host header of the request is no host name or address.")
    sentence = gettext(
        "This service does not answer to the host %(name)s; "
        "who runs it can add it to ALLOWED_HOSTS."
    )
    return sentence % {"name": name}


def _name(request: HttpRequest) -> str | None:
    """The host that the request asks for, without its port, if it has the form of one."""
    name, _ = split_domain_port(request.META.get("HTTP_HOST", ""))
    return name if name and len(name) <= MAX_NAME_LENGTH else None


class RefusedHosts(logging.Filter):
    """Makes one line a minute of all that Django logs about refused requests for one host.

    Whoever asks for ever new hosts gets no ever longer memory: beyond a thousand within a minute,
    hosts go unnamed, in one line for all of them.
    """

    def __init__(self) -> None:
        super().__init__()
        self._lock = threading.Lock()
        self._logged: dict[str, float] = {}  # the time at which it was, in the order of the times

    def filter(self, record: logging.LogRecord) -> bool:
        request = getattr(record, "request", None)
        if not isinstance(record.exc_info and record.exc_info[1], DisallowedHost) or not request:
            return True
        name = _name(request)
        host = f"the host {name}" if name else "what is no host name"
        described = self._next(host, time.monotonic())
        if not described:
            return False
        record.levelno, record.levelname = logging.WARNING, "WARNING"
        record.msg = "Refused requests for %s, which ALLOWED_HOSTS does not name."
        record.args = (described,)
        record.exc_info = record.exc_text = None
        return True

    def _next(self, host: str, now: float) -> str:
        """What to call the host in a line that is due; "" if none is."""
        with self._lock:
            self._forget(now)
            if len(self._logged) >= MAX_REMEMBERED and host not in self._logged:
                host = f"more than {MAX_REMEMBERED} other hosts"
            if host in self._logged:
                return ""
            self._logged[host] = now
            return host

    def _forget(self, now: float) -> None:
        """Drop the oldest, as far as a minute has passed since they were logged."""
        while self._logged:
            oldest = next(iter(self._logged))
            if now - self._logged[oldest] < LOGGED_EVERY_SECONDS:
                return
            del self._logged[oldest]
