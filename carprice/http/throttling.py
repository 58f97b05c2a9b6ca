"""Throttles, by account and by address.

The `limits` library counts requests in fixed windows: in Redis where several processes share the
counters, otherwise in the memory of the one web process. If the store fails, nothing is throttled;
an outage of the store is no outage of the service.
"""

import logging
import threading
import time
from collections.abc import Callable
from functools import cache
from typing import Any

from django.conf import settings
from django.http import HttpRequest
from limits import RateLimitItem, parse
from limits.errors import StorageError
from limits.storage import storage_from_string
from limits.strategies import FixedWindowRateLimiter

from carprice.http.errors import RetryLater

logger = logging.getLogger(__name__)

OUTAGE_SECONDS = 5  # how long counting pauses after the store has failed
STORE_TIMEOUT_SECONDS = 0.3


class TooManyRequests(RetryLater):
    code = "too_many_requests"

    def __init__(self, retry_after: int) -> None:
        super().__init__(f"Too many requests; try again in {retry_after} seconds.", retry_after)


def count(scope: str, *keys: str) -> None:
    """Count one request of `scope` for each key. Raises TooManyRequests past the limit."""
    for key in keys:
        _refuse_unless(_limiter().hit, scope, key)


def count_request(request: HttpRequest, scope: str) -> None:
    """Count a request by its address and its account. Raises TooManyRequests past the limit."""
    keys = [f"address:{address(request)}"]
    if request.user.is_authenticated:
        keys.append(f"account:{request.user.pk}")
    count(scope, *keys)


def check(scope: str, key: str) -> None:
    """Raise TooManyRequests if `key` has used up its limit, without counting."""
    _refuse_unless(_limiter().test, scope, key)


def address(request: HttpRequest) -> str:
    """The client's address, as the outermost trusted proxy saw it."""
    forwarded = request.META.get("HTTP_X_FORWARDED_FOR", "").split(",")
    if settings.TRUSTED_PROXIES and len(forwarded) >= settings.TRUSTED_PROXIES:
        return str(forwarded[-settings.TRUSTED_PROXIES].strip())
    return str(request.META.get("REMOTE_ADDR", ""))


def reset() -> None:
    """Set all counters to zero."""
    _limiter().storage.reset()


def _refuse_unless(allows: Callable[..., bool], scope: str, key: str) -> None:
    limit = _limit(scope)
    try:
        if _outage.is_over() and not allows(limit, scope, key):
            window = _limiter().get_window_stats(limit, scope, key)
            raise TooManyRequests(max(1, round(window.reset_time - time.time())))
    except StorageError as error:
        _outage.begin()
        logger.warning("Throttling pauses for %s s: %s", OUTAGE_SECONDS, error)


class _Outage:
    """After the store has failed, requests do not wait for it again for a while."""

    def __init__(self) -> None:
        self._until = 0.0

    def begin(self) -> None:
        self._until = time.monotonic() + OUTAGE_SECONDS

    def is_over(self) -> bool:
        return time.monotonic() >= self._until


_outage = _Outage()


_limiter_lock = threading.Lock()


def _limiter() -> FixedWindowRateLimiter:
    with _limiter_lock:  # threads must not import the store's client at the same moment
        return _make_limiter()


@cache
def _make_limiter() -> FixedWindowRateLimiter:
    url = settings.THROTTLE_STORAGE_URL
    options: dict[str, Any] = {}
    if not url.startswith("memory"):
        options = {
            "socket_timeout": STORE_TIMEOUT_SECONDS,
            "socket_connect_timeout": STORE_TIMEOUT_SECONDS,
        }
    return FixedWindowRateLimiter(storage_from_string(url, wrap_exceptions=True, **options))


@cache
def _limit(scope: str) -> RateLimitItem:
    return parse(settings.THROTTLES[scope])
