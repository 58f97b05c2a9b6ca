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

# Waits for a request with the same key that is being answered; an expired key makes room.
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
    """Whether the key was free, and is now this transaction's."""
    statement = _TAKE.format(now=dialect.now(), expired=dialect.now(-KEPT_FOR))
    return cursors.fetch_one(statement, user_id, key, fingerprint) is not None


def find(user_id: UUID, key: str) -> IdempotencyKey:
    """A key that another request has taken."""
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
    """Keep the answer with a key that this transaction has taken."""
    IdempotencyKey.objects.filter(user_id=user_id, key=key).update(
        status=status, body=body, location=location, subject_id=subject_id
    )


def redact(subject_id: UUID, replacements: Mapping[str, Any]) -> None:
    """Replace members of the stored bodies that repeat an object's data."""
    for row in IdempotencyKey.objects.filter(subject_id=subject_id):
        body = {**json.loads(row.body), **replacements}
        # A request that takes the key over meanwhile makes the answer that of another object.
        same = IdempotencyKey.objects.filter(pk=row.pk, subject_id=subject_id)
        same.update(body=json.dumps(body))


def purge_expired() -> None:
    """Delete some of the keys that are kept no longer."""
    expired = IdempotencyKey.objects.filter(created_at__lt=Now() - KEPT_FOR)
    oldest = expired.order_by("created_at").values_list("pk", flat=True)[:PURGED_AT_ONCE]
    if primary_keys := list(oldest):
        expired.filter(pk__in=primary_keys).delete()
