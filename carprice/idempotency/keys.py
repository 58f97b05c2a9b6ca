"""Keys in the database."""

import hashlib
import json
from collections.abc import Callable
from datetime import timedelta
from functools import wraps
from typing import Any
from uuid import UUID

from django.core.exceptions import BadRequest
from django.db import transaction
from django.db.models.functions import Now
from django.http import HttpRequest
from rest_framework.response import Response
from rest_framework.utils.encoders import JSONEncoder

from accounts.authentication import AuthenticatedRequest, signed_in
from accounts.models import IdempotentAnswer
from carprice.db import cursors, dialect
from carprice.http.errors import InvalidInput, ServiceError


KEPT_FOR = timedelta(hours=24)

FORGOTTEN_AT_ONCE = 1000

BLANK: dict[str, Any] = {
    "data": {},
    "defaulted": [],
    "entered": {},
    "warnings": [],
    "validation_errors": {},
}


def blank_out(task_id: UUID) -> None:
    """Take a task's inputs out of the answers that repeat them."""
    for answer in IdempotentAnswer.objects.filter(task_id=task_id):
        body = {**json.loads(answer.body), **BLANK}
        # A request that takes the key over meanwhile makes the answer that of another task.
        same = IdempotentAnswer.objects.filter(pk=answer.pk, task_id=task_id)
        same.update(body=json.dumps(body))


def forget_old_answers() -> None:
    """Delete some of the answers that are kept no longer."""
    old = IdempotentAnswer.objects.filter(created_at__lt=Now() - KEPT_FOR).order_by("created_at")
    keys = list(old.values_list("pk", flat=True)[:FORGOTTEN_AT_ONCE])
    if keys:
        IdempotentAnswer.objects.filter(pk__in=keys, created_at__lt=Now() - KEPT_FOR).delete()


# Waits for a request with the same key that is being answered; an old answer makes room.
_TAKE = """
    INSERT INTO accounts_idempotentanswer
        (user_id, key, fingerprint, status, body, location, created_at)
    VALUES (%s, %s, %s, 0, '', '', {now})
    ON CONFLICT (user_id, key) DO UPDATE
    SET fingerprint = excluded.fingerprint, status = 0, body = '', location = '', task_id = NULL,
        created_at = {now}
    WHERE accounts_idempotentanswer.created_at <= {then}
    RETURNING id
"""

_STORE = """
    UPDATE accounts_idempotentanswer SET status = %s, body = %s, location = %s, task_id = %s
    WHERE user_id = %s AND key = %s
"""


def _take(user_id: UUID, key: str, fingerprint: str) -> bool:
    """Whether the key was free."""
    statement = _TAKE.format(now=dialect.now(), then=dialect.now(-KEPT_FOR))
    return cursors.fetch_one(statement, user_id, key, fingerprint) is not None
