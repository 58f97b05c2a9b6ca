"""The pages' adapter: a key in a hidden field, made with each form that is shown."""

import hashlib
import json
from collections.abc import Callable
from uuid import UUID

from django.core.exceptions import BadRequest
from django.db import transaction
from django.http import HttpRequest

from carprice.idempotency import keys

FORM_KEY = "form_key"
_UNCOMPARED = {FORM_KEY, "csrfmiddlewaretoken"}


def submit_once(
    request: HttpRequest, work: Callable[[], str], *, admit: Callable[[], None] = lambda: None
) -> tuple[str, bool]:
    """Do what a signed-in person's form asks for, unless that very form was sent before.

    `work` returns the address to go to. The result is that address, of now or of the first time,
    and whether it is of now. A form is the same if its key and its values are: who goes back,
    changes a value and sends it again asks for something else. Without a key it is always done.
    `admit` is as in `headers.respond_once`.
    """
    form_key = request.POST.get(FORM_KEY)
    if not form_key:
        admit()
        return work(), True
    user_id: UUID = request.user.pk  # type: ignore[assignment]  # the page asks for a user
    fingerprint = _fingerprint(request)
    key = f"form {_parse(form_key)} {fingerprint}"  # with its blanks it is no client's own key
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
    fields = sorted(set(request.POST) - _UNCOMPARED)
    values = [(name, request.POST.getlist(name)) for name in fields]
    return hashlib.sha256(json.dumps([request.path, values]).encode()).hexdigest()
