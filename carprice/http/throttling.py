"""Throttles, by account and by address.

The `limits` library counts requests in fixed windows: in Redis where several processes share the
counters (by slices, see there), otherwise in the memory of the one web process. While the store is
away, or refuses to write, each process counts on its own; an outage of the store is no outage of
the service, and no way around a limit.
"""

import logging
import re
import threading
import time
from dataclasses import dataclass
from functools import cache
from ipaddress import IPv4Address, ip_address, ip_network
from typing import Any, NoReturn, cast

from django.conf import settings
from django.http import HttpRequest
from django.utils.translation import ngettext
from limits import RateLimitItem, parse
from limits.errors import StorageError
from limits.storage import MemoryStorage, RedisStorage, storage_from_string
from limits.strategies import FixedWindowRateLimiter

from carprice.http.errors import RetryLater
from carprice.http.slices import Slices

logger = logging.getLogger(__name__)

OUTAGE_SECONDS = 5  # how long the store is left alone after it has failed
STORE_TIMEOUT_SECONDS = 0.3


class TooManyRequests(RetryLater):
    code = "too_many_requests"

    def __init__(self, retry_after: int) -> None:
        sentence = ngettext(
            "Too many requests; try again in %(seconds)d second.",
            "Too many requests; try again in %(seconds)d seconds.",
            retry_after,
        )
        super().__init__(sentence % {"seconds": retry_after}, retry_after)


@dataclass(frozen=True)
class Quota:
    """What a client may still send: `remaining` requests of `scope`, at most, for some seconds."""

    scope: str
    limit: int
    window: int  # seconds
    remaining: int
    seconds: int

    def headers(self) -> dict[str, str]:
        """As draft-ietf-httpapi-ratelimit-headers has them."""
        return {
            "RateLimit-Policy": f'"{self.scope}";q={self.limit};w={self.window}',
            "RateLimit": f'"{self.scope}";r={self.remaining};t={self.seconds}',
        }


def count(scope: str, *keys: str) -> Quota:
    """Count one request of `scope` for each key. Raises TooManyRequests past the limit.

    Returns what the key with least has left.
    """
    limit = _limit(scope)
    for key in keys:
        _refuse_what_an_outage_used_up(limit, scope, key)
    slices = _slices()
    if slices is not None and _outage.is_over():
        try:
            wait = slices.spend(limit, [limit.key_for(scope, key) for key in keys])
        except StorageError as error:
            _outage.begin(error)
        else:
            if wait:
                raise TooManyRequests(max(1, round(wait)))
            left = [slices.remaining(limit.key_for(scope, key)) for key in keys]
            return _quota(scope, limit, left)
    limiter = _own_limiter()
    for key in keys:
        if not limiter.hit(limit, scope, key):
            _refuse(limiter, limit, scope, key)
    stats = [limiter.get_window_stats(limit, scope, key) for key in keys]
    return _quota(scope, limit, [(each.remaining, each.reset_time - time.time()) for each in stats])


def _quota(scope: str, limit: RateLimitItem, left: list[tuple[int, float]]) -> Quota:
    remaining, seconds = min(left)
    return Quota(scope, limit.amount, limit.get_expiry(), remaining, max(0, round(seconds)))


def spent_quota(scope: str, retry_after: int) -> Quota:
    """That of a client which was refused."""
    limit = _limit(scope)
    return Quota(scope, limit.amount, limit.get_expiry(), 0, retry_after)


def count_request(request: HttpRequest, scope: str) -> Quota:
    """Count a request by its address and its account. Raises TooManyRequests past the limit."""
    keys = [f"address:{address(request)}"]
    if request.user.is_authenticated:
        keys.append(f"account:{request.user.pk}")
    return count(scope, *keys)


def check(scope: str, key: str) -> None:
    """Raise TooManyRequests if `key` has used up its limit, without counting."""
    limit, limiter = _limit(scope), _limiter()
    _refuse_what_an_outage_used_up(limit, scope, key)
    if limiter is None or not _outage.is_over():
        limiter = _own_limiter()
    try:
        if not limiter.test(limit, scope, key):
            _refuse(limiter, limit, scope, key)
    except StorageError as error:
        _outage.begin(error)
        check(scope, key)


def address(request: HttpRequest) -> str:
    """Whom a request counts for by its address: an IPv4 address, or the /64 network of an IPv6 one.

    It is the client as the outermost trusted proxy saw it. Where the proxies named none, or what
    is no address, it is the peer, so that strangers cannot make themselves counters at will.
    """
    forwarded = request.META.get("HTTP_X_FORWARDED_FOR", "").split(",")
    named = ""
    if settings.TRUSTED_PROXIES and len(forwarded) >= settings.TRUSTED_PROXIES:
        named = forwarded[-settings.TRUSTED_PROXIES]
    peer = str(request.META.get("REMOTE_ADDR", ""))  # empty behind a socket of Unix
    return _network(named) or _network(peer) or peer


def reset() -> None:
    """Set all counters to zero."""
    _own_limiter().storage.reset()
    if (limiter := _limiter()) is not None:
        limiter.storage.reset()
    if (slices := _slices()) is not None:
        slices.reset()


# One address, perhaps with a port, as proxies write it: 192.0.2.1:443, [2001:db8::1]:443,
# fe80::1%eth0. An IPv6 address with a port has brackets.
_WITH_PORT = re.compile(r"\[([^\]]*)\](?::\d{1,5})?|([\d.]+):\d{1,5}", re.ASCII)
MAX_ADDRESS_LENGTH = 100


def _network(text: str) -> str:
    """Whom a written address counts for; empty if it is none."""
    text = text.strip()
    if len(text) > MAX_ADDRESS_LENGTH:
        return ""
    if match := _WITH_PORT.fullmatch(text):
        text = match[1] or match[2] or ""
    try:
        parsed = ip_address(text.partition("%")[0])  # the zone names an interface of the proxy
    except ValueError:
        return ""
    if isinstance(parsed, IPv4Address):
        return str(parsed)
    if parsed.ipv4_mapped:
        return str(parsed.ipv4_mapped)
    # Whoever has one address of a /64 has all of them (RFC 6177).
    return str(ip_network((parsed.packed, 64), strict=False))


def _refuse_what_an_outage_used_up(limit: RateLimitItem, scope: str, key: str) -> None:
    """What this process has counted during an outage of the store stays in force afterwards."""
    own = _own_limiter()
    if _outage.has_been and not own.test(limit, scope, key):
        _refuse(own, limit, scope, key)


def _refuse(
    limiter: FixedWindowRateLimiter, limit: RateLimitItem, scope: str, key: str
) -> NoReturn:
    window = limiter.get_window_stats(limit, scope, key)
    raise TooManyRequests(max(1, round(window.reset_time - time.time())))


class _Outage:
    """After the store has failed, requests do not wait for it again for a while."""

    def __init__(self) -> None:
        self.has_been = False
        self._until = 0.0

    def begin(self, error: Exception) -> None:
        self.has_been = True
        self._until = time.monotonic() + OUTAGE_SECONDS
        logger.warning("Each process counts on its own for %s s: %s", OUTAGE_SECONDS, error)

    def is_over(self) -> bool:
        return time.monotonic() >= self._until


_outage = _Outage()
_making = threading.Lock()  # threads must not import the store's client at the same moment


def _limiter() -> FixedWindowRateLimiter | None:
    """What reads the shared counters; None if no process shares any."""
    with _making:
        return _make_limiter()


def _slices() -> Slices | None:
    """What counts in the shared counters."""
    with _making:
        return _make_slices()


def _own_limiter() -> FixedWindowRateLimiter:
    """What counts in this process alone: for want of a store, or while it is away."""
    with _making:
        return _make_own_limiter()


@cache
def _make_limiter() -> FixedWindowRateLimiter | None:
    url = settings.THROTTLE_STORAGE_URL
    if url.startswith("memory"):
        return None
    seconds: dict[str, Any] = {
        "socket_timeout": STORE_TIMEOUT_SECONDS,
        "socket_connect_timeout": STORE_TIMEOUT_SECONDS,
    }
    return FixedWindowRateLimiter(storage_from_string(url, wrap_exceptions=True, **seconds))


@cache
def _make_slices() -> Slices | None:
    limiter = _make_limiter()
    return Slices(cast("RedisStorage", limiter.storage)) if limiter else None


@cache
def _make_own_limiter() -> FixedWindowRateLimiter:
    return FixedWindowRateLimiter(MemoryStorage())


@cache
def _limit(scope: str) -> RateLimitItem:
    return parse(settings.THROTTLES[scope])
