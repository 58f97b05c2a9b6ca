"""The threads of a web process: so many at work, and one more for each that waits.

To start all of them at once would be simpler, but under load each request would then wake some
thread only to have it wait for a slot.
"""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future
from contextlib import contextmanager
from queue import SimpleQueue
from typing import Any

_mine = threading.local()  # the pool that this thread belongs to

Work = Callable[[], None]


class Pool(Executor):
    """Runs what is submitted on `size` threads; those that wait for something do not count."""

    def __init__(self, size: int) -> None:
        self._work: SimpleQueue[Work | None] = SimpleQueue()
        self._lock = threading.Lock()
        self._surplus = 0  # threads that end when they have done what they are at
        for _ in range(size):
            self._start()

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()

        def work() -> None:
            if not future.set_running_or_notify_cancel():
                return
            try:
                future.set_result(fn(*args, **kwargs))
            except BaseException as error:
                future.set_exception(error)

        self._work.put(work)
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Let each thread end after what has been submitted; nobody waits for that."""
        self._work.put(None)

    @contextmanager
    def one_more(self) -> Iterator[None]:
        """Until the end, another thread works in the place of this one."""
        with self._lock:
            if self._surplus:
                self._surplus -= 1
            else:
                self._start()
        try:
            yield
        finally:
            with self._lock:
                self._surplus += 1

    def _start(self) -> None:
        threading.Thread(target=self._run, name="request", daemon=True).start()

    def _run(self) -> None:
        _mine.pool = self
        while (work := self._work.get()) is not None:
            work()
            if self._surplus and self._is_surplus():
                return
        self._work.put(None)  # for the next thread

    def _is_surplus(self) -> bool:
        with self._lock:
            if not self._surplus:
                return False
            self._surplus -= 1
            return True


@contextmanager
def replaced() -> Iterator[None]:
    """Until the end, another thread works in the place of this one, if it is one of a pool."""
    pool: Pool | None = getattr(_mine, "pool", None)
    if pool is None:
        yield
        return
    with pool.one_more():
        yield
