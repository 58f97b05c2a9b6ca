"""Signatures of Standard Webhooks, and the secrets that they are made with.

A secret is derived from SECRET_KEY and a salt of its own, and only the salt is stored. It can be
made again whenever something is to be signed, and a copy of the database tells it to nobody. With
another SECRET_KEY it would be another secret without anybody noticing, so a check is stored as
well: a few bytes of the secret's hash.
"""

import base64
import hashlib
import hmac
import secrets

from django.utils.crypto import constant_time_compare, salted_hmac

PREFIX = "whsec_"


class SecretLost(Exception):
    """SECRET_KEY is not the one that the secret was made with."""


def new_seed() -> str:
    """What is stored of a new secret."""
    salt = secrets.token_hex(16)
    return f"{salt}.{_check_of(_derive(salt))}"


def secret_of(seed: str) -> str:
    """The secret as its user has it. Raises SecretLost."""
    salt, _, check = seed.partition(".")
    key = _derive(salt)
    if not constant_time_compare(_check_of(key), check):
        raise SecretLost
    return PREFIX + base64.b64encode(key).decode()


def sign(secret: str, message_id: str, timestamp: int, body: bytes) -> str:
    """One signature of the `webhook-signature` header."""
    key = base64.b64decode(secret.removeprefix(PREFIX))
    content = f"{message_id}.{timestamp}.".encode() + body
    return "v1," + base64.b64encode(hmac.digest(key, content, "sha256")).decode()


def _derive(salt: str) -> bytes:
    return salted_hmac("predictions.webhooks", salt, algorithm="sha256").digest()


def _check_of(key: bytes) -> str:
    return hashlib.sha256(key).hexdigest()[:16]
