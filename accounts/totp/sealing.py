"""Secrets of authenticators as they are stored: of no use without SECRET_KEY.

A secret is as random as what it is combined with, which is as long and used once: the HMAC-SHA256
of a random nonce by a key of its own. So none of the library that would do as much is needed.
"""

import secrets

from django.conf import settings
from django.utils.crypto import salted_hmac

NONCE_BYTES = 16
SECRET_BYTES = 20  # as RFC 4226 recommends


def seal(secret: bytes) -> str:
    nonce = secrets.token_bytes(NONCE_BYTES)
    return (nonce + _combine(secret, nonce, settings.SECRET_KEY)).hex()


def candidates(sealed: str) -> list[bytes]:
    """What was sealed if it was by SECRET_KEY, first, or by each former one of those still good."""
    text = bytes.fromhex(sealed)
    nonce, combined = text[:NONCE_BYTES], text[NONCE_BYTES:]
    keys = [settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS]
    return [_combine(combined, nonce, key) for key in keys]


def _combine(text: bytes, nonce: bytes, key: str) -> bytes:
    """Its own inverse."""
    pad = salted_hmac("accounts.totp", nonce, secret=key, algorithm="sha256").digest()
    return bytes(a ^ b for a, b in zip(text, pad[:SECRET_BYTES], strict=True))
