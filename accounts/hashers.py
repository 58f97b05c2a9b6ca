import threading
from collections.abc import Iterator
from contextlib import contextmanager

from django.conf import settings
from django.contrib.auth.hashers import Argon2PasswordHasher

from carprice.http.throttling import TooManyRequests

RETRY_AFTER_SECONDS = 1

_admitted = threading.BoundedSemaphore(settings.PASSWORD_HASH_LIMIT)
_hashing = threading.Lock()


class Argon2Hasher(Argon2PasswordHasher):
    """Argon2id with OWASP's smallest recommended cost: 19 MiB, two passes, one lane.

    Django's default of 100 MiB would let a few simultaneous sign-ins exhaust a small server.
    Source: OWASP Password Storage Cheat Sheet, "Argon2id".

    A process hashes one password at a time, and has few wait for that, so that sign-ins leave the
    others their processor and their work slots. Whoever comes then gets TooManyHashes at once.
    Django hashes for unknown addresses as well, so that tells nothing about an address.
    """

    memory_cost = 19_456  # KiB
    time_cost = 2
    parallelism = 1

    def encode(self, password: str, salt: str) -> str:
        with admission(), _hashing:
            return super().encode(password, salt)

    def verify(self, password: str, encoded: str) -> bool:
        with admission(), _hashing:
            return super().verify(password, encoded)


class TooManyHashes(TooManyRequests):
    """The process has passwords enough to hash."""


@contextmanager
def admission() -> Iterator[None]:
    """The right to hash a password, or to be the next who does. Raises TooManyHashes."""
    if not _admitted.acquire(blocking=False):
        raise TooManyHashes(RETRY_AFTER_SECONDS)
    try:
        yield
    finally:
        _admitted.release()
