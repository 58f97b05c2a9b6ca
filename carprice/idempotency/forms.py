"""The pages' adapter: a key in a hidden field, a new one for each form that is shown.

A template writes the field with `{% include "forms/key.html" %}`.
"""

import json
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID, uuid4

from django.contrib import messages
from django.core.exceptions import BadRequest
from django.db import transaction
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.shortcuts import redirect
from django.utils.crypto import salted_hmac
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from carprice.http.errors import WrongState
from carprice.idempotency import keys
from carprice.idempotency.models import LONGEST_LOCATION

FORM_KEY = "form_key"
_NOT_IN_FINGERPRINT = {FORM_KEY, "csrfmiddlewaretoken"}


SENT_TWICE = gettext_lazy("This form was sent twice; it was done once.")


class UsedForm(WrongState):
    """A form that has moved credits came again with other values. Nothing was done."""


def form_key(request: HttpRequest) -> dict[str, Any]:
    """A context processor: the key of the forms on this page."""
    return {FORM_KEY: uuid4()}


def submit_once(
    request: HttpRequest, work: Callable[[], str], *, admit: Callable[[], None] = lambda: None
) -> tuple[str, bool]:
    """Do what a signed-in person's form asks for, unless the same form was sent before.

    `work` returns the address to redirect to, or "" if it did nothing. Returned are that address,
    now or as it was the first time, and whether this was the first time. Two forms are the same if
    their keys and their values are: somebody who goes back and changes a value asks for something
    else, unless the work is done through `use_up`. A form without a key is always new. `admit` is
    as in `headers.respond_once`.
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
        if address:
            keys.store_answer(user_id, key, status=302, location=_short(address))
        else:
            keys.release(user_id, key)
    return address, True


def use_up(request: HttpRequest, work: Callable[[], str]) -> str:
    """Do what adds up if it is done again, such as a top-up: once for a form, whatever its values.

    Call it in the work of `submit_once` or `respond_once`, which answer a form with equal values.
    `work` returns a sentence that says what was done. Raises UsedForm with the sentence of the
    first time.
    """
    form_key = request.POST.get(FORM_KEY)
    if not form_key:
        return work()
    user_id: UUID = request.user.pk  # type: ignore[assignment]  # the page asks for a user
    key = f"form {_parse(form_key)}"
    with transaction.atomic():
        if not keys.take(user_id, key, _fingerprint(request)):
            done = keys.find(user_id, key).body
            raise UsedForm(
                _(
                    "This form was sent before, with other values: %(done)s "
                    "Nothing was done now. To do this as well, send it once more."
                )
                % {"done": done}
            )
        done = work()
        keys.store_answer(user_id, key, status=302, body=done)
    return done


def respond_once(request: HttpRequest, respond: Callable[[], HttpResponseBase]) -> HttpResponseBase:
    """The answer of a view that redirects when it has done its work, and else shows the form again.

    A form that was sent before is answered with the same redirect, and with a message.
    """
    if request.method != "POST" or FORM_KEY not in request.POST:
        return respond()
    responses: list[HttpResponseBase] = []

    def work() -> str:
        responses.append(respond())
        return responses[0].get("Location", "")

    address, is_first = submit_once(request, work)
    if is_first:
        return responses[0]
    messages.info(request, SENT_TWICE)
    return redirect(address)


def _short(address: str) -> str:
    """An address that can be stored, without its query if need be."""
    return address if len(address) <= LONGEST_LOCATION else urlsplit(address).path


def _parse(form_key: str) -> UUID:
    try:
        return UUID(form_key)
    except ValueError:
        raise BadRequest("The form's key is not one of ours.") from None


def _fingerprint(request: HttpRequest) -> str:
    """Equal for forms of one page with equal values.

    Among the values may be a password, so nobody without the secret key can compute it.
    """
    fields = sorted(set(request.POST) - _NOT_IN_FINGERPRINT)
    values = [(name, request.POST.getlist(name)) for name in fields]
    text = json.dumps([request.path, values])
    return salted_hmac("carprice.idempotency.forms", text, algorithm="sha256").hexdigest()
