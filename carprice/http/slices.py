"""Slices of a limit that a process takes from the shared counters ahead of its requests.

Counting each request in Redis would cost each an exchange with it. So a process counts a hundredth
of a limit at once, and spends that by itself. Over all processes no more is let through than the
limit, and at the end of a window each process may have some of its last slice left over. A limit of
less than two hundred requests is counted one by one.
"""

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass

from limits import RateLimitItem
from limits.errors import StorageError
from limits.storage import RedisStorage

SLICES_OF_A_LIMIT = 100
MOST_KEPT = 20_000  # slices, unless more than half as many go on

# Adds to several counters; returns each one's count, and for how many milliseconds it goes on.
_ADD = """
local answer = {}
for i, key in ipairs(KEYS) do
    local count = redis.call('INCRBY', key, ARGV[1])
    local left = redis.call('PTTL', key)
    if left < 0 then
        left = tonumber(ARGV[2])
        redis.call('PEXPIRE', key, left)
    end
    answer[2 * i - 1] = count
    answer[2 * i] = left
end
return answer
"""


@dataclass
class Slice:
    left: int
    beyond: int  # what the limit had for other slices in this window, when this one was taken
    ends_at: float  # by this process's monotonic clock


class Slices:
    """Of the counters in one Redis, which may be read by `limits` as well."""

    def __init__(self, storage: RedisStorage) -> None:
        self._storage = storage
        self._add = storage.storage.register_script(_ADD)
        self._slices: dict[str, Slice] = {}
        self._kept = MOST_KEPT  # beyond so many, those that have ended are dropped
        self._lock = threading.Lock()

    def spend(self, limit: RateLimitItem, counters: Sequence[str]) -> float:
        """Spend a request of each counter, if all have one left.

        Returns after how many seconds one that has none starts anew; 0 if all had one. Raises
        StorageError.
        """
        while True:
            with self._lock:
                now = time.monotonic()
                slices = {name: self._current(name, now) for name in counters}
                missing = [name for name, part in slices.items() if part is None]
                if not missing:
                    return self._spend([part for part in slices.values() if part], now)
            self._take(limit, missing)

    def remaining(self, counter: str) -> tuple[int, float]:
        """How many requests a counter has left, at most, and for how many seconds it goes on."""
        with self._lock:
            now = time.monotonic()
            part = self._slices.get(counter)
            return (part.left + part.beyond, part.ends_at - now) if part else (0, 0.0)

    def reset(self) -> None:
        with self._lock:
            self._slices.clear()

    def _current(self, counter: str, now: float) -> Slice | None:
        """A slice of this window that is not used up, or after which there are none."""
        part = self._slices.get(counter)
        if part is None or part.ends_at <= now or (not part.left and part.beyond):
            return None
        return part

    def _spend(self, slices: Sequence[Slice], now: float) -> float:
        wait = max((part.ends_at - now for part in slices if not part.left), default=0.0)
        if not wait:
            for part in slices:
                part.left -= 1
        return wait

    def _take(self, limit: RateLimitItem, counters: Sequence[str]) -> None:
        """Count a slice more of each in one exchange."""
        size = max(1, limit.amount // SLICES_OF_A_LIMIT)
        keys = [self._storage.prefixed_key(name) for name in counters]
        asked = time.monotonic()  # a slice must not outlive its window by the exchange
        try:
            answer = self._add(keys, [size, 1000 * limit.get_expiry()])
        except self._storage.base_exceptions as error:
            raise StorageError(error) from error
        now = time.monotonic()
        with self._lock:
            for name, count, left in zip(counters, answer[::2], answer[1::2], strict=True):
                left_over = limit.amount - count
                part = Slice(
                    max(0, size + min(0, left_over)), max(0, left_over), asked + left / 1000
                )
                if (before := self._current(name, now)) is not None:  # another thread's
                    part.left += before.left
                self._slices[name] = part
            if len(self._slices) > self._kept:
                self._slices = {n: part for n, part in self._slices.items() if part.ends_at > now}
                self._kept = max(MOST_KEPT, 2 * len(self._slices))
