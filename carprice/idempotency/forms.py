"""A page's form sent twice is done once."""

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
from carprice.db import cursors
from carprice.http.errors import InvalidInput, ServiceError
from carprice.idempotency.keys import _STORE, _take


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
        cursors.execute(_STORE, 302, "", address, None, user_id, key)
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
