"""The pages' adapter: a key in a hidden field, a new one for each form that is shown."""

import hashlib
import json
from collections.abc import Callable
from uuid import UUID

from django.core.exceptions import BadRequest
from django.db import transaction
from django.http import HttpRequest

from carprice.idempotency import keys

FORM_KEY = "form_key"
_NOT_IN_FINGERPRINT = {FORM_KEY, "csrfmiddlewaretoken"}


def submit_once(
    request: HttpRequest, work: Callable[[], str], *, admit: Callable[[], None] = lambda: None
) -> tuple[str, bool]:
    """Do what a signed-in person's form asks for, unless the same form was sent before.

    `work` returns the address to redirect to. Returned are that address, now or as it was the first
    time, and whether this was the first time. Two forms are the same if their keys and their values
    are: somebody who goes back and changes a value asks for something else. A form without a key
    is always new. `admit` is as in `headers.respond_once`.
    """
    form_key = request.POST.get(FORM_KEY)
    if not form_key:
        admit()
        return work(), True
    user_id: UUID = request.user.pk  # type: ignore[assignment]  # the page asks for a user
    fingerprint = _fingerprint(request)
    # An API client's own key contains no blanks, so it cannot be equal to this one.
    key = f"form {_parse(form_key)} {fingerprint}"
    with transaction.atomic():
        if not keys.take(user_id, key, fingerprint):
            return keys.find(user_id, key).location, False
        admit()
        address = work()
        keys.store_answer(user_id, key, status=302, location=address)
    return address, True


def _parse(form_key: str) -> UUID:
    try:
        return UUID(form_key)
    except ValueError:
        raise BadRequest("The form's key is not one of ours.") from None


def _fingerprint(request: HttpRequest) -> str:
    """Equal for forms of one page with equal values."""
    fields = sorted(set(request.POST) - _NOT_IN_FINGERPRINT)
    values = [(name, request.POST.getlist(name)) for name in fields]
    return hashlib.sha256(json.dumps([request.path, values]).encode()).hexdigest()
