import threading
from collections.abc import Iterator
from contextlib import contextmanager

from django.conf import settings
from django.contrib.auth.hashers import Argon2PasswordHasher

from carprice.http.throttling import TooManyRequests

RETRY_AFTER_SECONDS = 1

_slots = threading.BoundedSemaphore(settings.PASSWORD_HASHES_AT_ONCE)


class Argon2Hasher(Argon2PasswordHasher):
    """Argon2id with OWASP's smallest recommended cost: 19 MiB, two passes, one lane.

    Django's default of 100 MiB would let a few simultaneous sign-ins exhaust a small server.
    Source: OWASP Password Storage Cheat Sheet, "Argon2id".

    A process hashes few passwords at the same moment, so that sign-ins leave the others their
    processor and their work slots. Whoever comes when all are busy gets TooManyRequests at once.
    Django hashes for unknown addresses as well, so that tells nothing about an address.
    """

    memory_cost = 19_456  # KiB
    time_cost = 2
    parallelism = 1

    def encode(self, password: str, salt: str) -> str:
        with _slot():
            return super().encode(password, salt)

    def verify(self, password: str, encoded: str) -> bool:
        with _slot():
            return super().verify(password, encoded)


@contextmanager
def _slot() -> Iterator[None]:
    if not _slots.acquire(blocking=False):
        raise TooManyRequests(RETRY_AFTER_SECONDS)
    try:
        yield
    finally:
        _slots.release()
