"""Finding a key by its text, with its user. On the path of each request that carries one.

A key is 32 random bytes, and stored as their SHA-256. A slow hash with a salt protects passwords,
which are guessed from lists; nobody guesses 256 random bits, so it would only make each request as
slow as signing in. As the hash of a key cannot be steered, how long its index is searched tells
nothing about any stored one.
"""

import re
from datetime import timedelta
from hashlib import sha256

from django.db.models import Q
from django.db.models.functions import Now

from accounts.keys.models import ApiKey
from accounts.models import User
from accounts.tokens import USER_FIELDS
from carprice.db import dialect
from carprice.db.cursors import fetch_one, instance

START = "cp_"  # no JWT begins so, and scanners for leaked secrets find it
KEY = re.compile(rf"{START}[0-9a-f]{{64}}")
NOTED_EVERY = timedelta(minutes=1)

_KEY_FIELDS = ["id", "access"]
_COLUMNS = ", ".join([f"k.{name}" for name in _KEY_FIELDS] + [f"u.{name}" for name in USER_FIELDS])


def digest(text: str) -> str:
    return sha256(text.encode()).hexdigest()


def find_key(text: str) -> ApiKey:
    """A key that is good now, with its active user. Raises DoesNotExist.

    One statement, as for an access token. It also tells whether the last use was noted long ago;
    only then, about once a minute, does a request write that it was used.
    """
    row = fetch_one(_statement(), digest(text)) if KEY.fullmatch(text) else None
    if row is None:
        raise ApiKey.DoesNotExist
    is_stale, *values = row
    key = instance(ApiKey, _KEY_FIELDS, values[: len(_KEY_FIELDS)])
    key.user = instance(User, USER_FIELDS, values[len(_KEY_FIELDS) :])
    if is_stale:
        _note_use(key)
    return key


def _statement() -> str:
    now = dialect.now()
    return f"""
        SELECT k.last_used_at IS NULL OR k.last_used_at < {dialect.now(-NOTED_EVERY)}, {_COLUMNS}
        FROM keys_apikey AS k JOIN accounts_user AS u ON u.id = k.user_id
        WHERE k.digest = %s AND k.revoked_at IS NULL
            AND (k.expires_at IS NULL OR k.expires_at > {now}) AND u.is_active
    """  # noqa: S608  # no input in it


def _note_use(key: ApiKey) -> None:
    """Of requests at the same moment the first writes; the others find it done."""
    stale = Q(last_used_at=None) | Q(last_used_at__lt=Now() - NOTED_EVERY)
    ApiKey.objects.filter(stale, pk=key.pk).update(last_used_at=Now())
