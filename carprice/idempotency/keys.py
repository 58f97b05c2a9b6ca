"""Taking a key, and keeping the answer of the request that took it."""

import json
from collections.abc import Mapping
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.db.models.functions import Now

from carprice.db import cursors, dialect
from carprice.idempotency.models import IdempotencyKey

KEPT_FOR = timedelta(hours=24)
PURGED_AT_ONCE = 1000

# A key is taken by an INSERT that becomes an UPDATE if the key exists (an upsert). Of several
# requests with one key at the same moment, the database lets the first INSERT through and has the
# others wait for its transaction to end:
# - if it committed, the key exists and is young. The condition does not hold, nothing is changed or
#   returned, and the others give the stored answer again;
# - if it was rolled back, because the request was refused, the next one inserts the key;
# - a key that has expired is overwritten, as if it had been purged.
# `get_or_create` has no such update, and on a conflict needs a savepoint and a second query.
_TAKE = """
    INSERT INTO idempotency_idempotencykey
        (user_id, key, fingerprint, status, body, location, created_at)
    VALUES (%s, %s, %s, 0, '', '', {now})
    ON CONFLICT (user_id, key) DO UPDATE
    SET fingerprint = excluded.fingerprint, status = 0, body = '', location = '', subject_id = NULL,
        created_at = {now}
    WHERE idempotency_idempotencykey.created_at <= {expired}
    RETURNING id
"""


def take(user_id: UUID, key: str, fingerprint: str) -> bool:
    """Whether the key was free and now belongs to this transaction."""
    statement = _TAKE.format(now=dialect.now(), expired=dialect.now(-KEPT_FOR))
    return cursors.fetch_one(statement, user_id, key, fingerprint) is not None


def find(user_id: UUID, key: str) -> IdempotencyKey:
    """A key that an earlier request has taken, with its answer."""
    return IdempotencyKey.objects.get(user_id=user_id, key=key)


def store_answer(
    user_id: UUID,
    key: str,
    *,
    status: int,
    body: str = "",
    location: str = "",
    subject_id: UUID | None = None,
) -> None:
    """Store the answer with a key that this transaction has taken."""
    IdempotencyKey.objects.filter(user_id=user_id, key=key).update(
        status=status, body=body, location=location, subject_id=subject_id
    )


def release(user_id: UUID, key: str) -> None:
    """Give back a key that this transaction has taken and did nothing with."""
    IdempotencyKey.objects.filter(user_id=user_id, key=key).delete()


def redact(subject_id: UUID, replacements: Mapping[str, Any]) -> None:
    """Replace members of the stored bodies that repeat an object's data."""
    for row in IdempotencyKey.objects.filter(subject_id=subject_id):
        body = {**json.loads(row.body), **replacements}
        # Filtered by subject once more: meanwhile a request may have taken an expired key over, and
        # its answer is about another object.
        unchanged = IdempotencyKey.objects.filter(pk=row.pk, subject_id=subject_id)
        unchanged.update(body=json.dumps(body))


def purge_expired() -> None:
    """Delete the oldest expired keys, PURGED_AT_ONCE at most."""
    expired = IdempotencyKey.objects.filter(created_at__lt=Now() - KEPT_FOR)
    oldest = expired.order_by("created_at").values_list("pk", flat=True)[:PURGED_AT_ONCE]
    if primary_keys := list(oldest):
        expired.filter(pk__in=primary_keys).delete()
