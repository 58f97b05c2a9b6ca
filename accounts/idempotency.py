"""`Idempotency-Key`: a request sent again gets its first answer again, and has no second effect.

The key is taken before the work and the answer stored after it, both in the work's transaction:
requests with one key queue up behind the first, and a refusal leaves the key free.
"""

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
from carprice import sql
from carprice.errors import InvalidInput, ServiceError

HEADER = "Idempotency-Key"
REPLAYED = "Idempotent-Replayed"
LONGEST_KEY = 255
KEPT_FOR = timedelta(hours=24)
FORGOTTEN_AT_ONCE = 1000
BLANK: dict[str, Any] = {
    "data": {},
    "defaulted": [],
    "entered": {},
    "warnings": [],
    "validation_errors": {},
}

Handler = Callable[..., Response]


class IdempotencyKeyReused(ServiceError):
    code = "idempotency_key_reused"


def idempotent(handler: Handler) -> Handler:
    """For an API view's method: honour the request's Idempotency-Key, if it has one."""

    @wraps(handler)
    def wrapped(view: Any, request: AuthenticatedRequest, *args: Any, **kwargs: Any) -> Response:
        key = request.headers.get(HEADER)
        if key is None:
            return handler(view, request, *args, **kwargs)
        try:
            _check(key)
            fingerprint = _fingerprint(request)
        except InvalidInput:
            view.check_capacity(request)  # the contract has 429 before 400
            raise
        with transaction.atomic():
            if not _take(request.user.pk, key, fingerprint):
                return _replay(request.user.pk, key, fingerprint)
            response = handler(view, request, *args, **kwargs)
            _store(request.user.pk, key, response)
        return response

    wrapped.honours_idempotency_key = True  # type: ignore[attr-defined]  # for the API's schema
    return wrapped


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


def _check(key: str) -> None:
    if not (1 <= len(key) <= LONGEST_KEY and all("!" <= char <= "~" for char in key)):
        raise InvalidInput({HEADER: [f"Send 1 to {LONGEST_KEY} visible ASCII characters."]})


def _fingerprint(request: AuthenticatedRequest) -> str:
    """Equal for requests of one route whose bodies are equal as JSON values."""
    body = json.dumps(_canonical(request.data), sort_keys=True)
    text = f"{request.method} {request.path}\n{body}"
    return hashlib.sha256(text.encode()).hexdigest()


def _canonical(value: Any) -> Any:
    """The same for 1 and 1.0, which JSON does not tell apart."""
    if isinstance(value, dict):
        return {key: _canonical(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_canonical(item) for item in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


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
    statement = _TAKE.format(now=sql.now(), then=sql.now(-KEPT_FOR))
    return sql.fetch_one(statement, user_id, key, fingerprint) is not None


def _store(user_id: UUID, key: str, response: Response) -> None:
    task_id = response.data.get("task_id") if isinstance(response.data, dict) else None
    sql.execute(
        _STORE,
        response.status_code,
        json.dumps(response.data, cls=JSONEncoder),
        response.headers.get("Location", ""),
        UUID(task_id) if task_id else None,
        user_id,
        key,
    )


def _replay(user_id: UUID, key: str, fingerprint: str) -> Response:
    answer = IdempotentAnswer.objects.get(user_id=user_id, key=key)
    if answer.fingerprint != fingerprint:
        raise IdempotencyKeyReused("This Idempotency-Key was used for another request.")
    headers = {REPLAYED: "true"}
    if answer.location:
        headers["Location"] = answer.location
    return Response(json.loads(answer.body), status=answer.status, headers=headers)


# --- Pages ---------------------------------------------------------------------------------------

FORM_KEY = "form_key"  # a hidden field, made with each form that is shown
_NOT_OF_THE_FORM = {FORM_KEY, "csrfmiddlewaretoken"}


def once(request: HttpRequest, work: Callable[[], str]) -> tuple[str, bool]:
    """Do what a page's form asks for, unless that very form was sent before.

    `work` returns the address to go to. The result is that address, of now or of the first time,
    and whether it is of now. A form is the same if its key and its values are: who goes back,
    changes a value and sends it again asks for something else. Without a key it is always done.
    Key and work are in one transaction, so that a crash leaves both or neither.
    """
    sent = request.POST.get(FORM_KEY)
    if not sent:
        return work(), True
    user_id = signed_in(request).pk
    fingerprint = _fingerprint_of_form(request)
    key = f"form {_form_key(sent)} {fingerprint}"  # with its blanks it is no client's own key
    with transaction.atomic():
        if not _take(user_id, key, fingerprint):
            return IdempotentAnswer.objects.get(user_id=user_id, key=key).location, False
        address = work()
        sql.execute(_STORE, 302, "", address, None, user_id, key)
    return address, True


def _form_key(sent: str) -> UUID:
    try:
        return UUID(sent)
    except ValueError:
        raise BadRequest("The form's key is not one of ours.") from None


def _fingerprint_of_form(request: HttpRequest) -> str:
    """Equal for forms of one page with equal values."""
    fields = sorted(set(request.POST) - _NOT_OF_THE_FORM)
    values = [(name, request.POST.getlist(name)) for name in fields]
    return hashlib.sha256(json.dumps([request.path, values]).encode()).hexdigest()
