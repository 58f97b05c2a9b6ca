"""What was typed into a form whose session has ended, until its sender has signed in again.

The page that asks to sign in carries it in a hidden field, so that a stranger stores nothing here.
Whoever has signed in with it finds it in the session, and the form's page shows it as it was typed.
It is only ever shown: nothing is done with it unless its sender sends the form once more.
"""

import time
from copy import copy
from dataclasses import dataclass
from urllib.parse import unquote
from uuid import uuid4

from django.conf import settings
from django.http import HttpRequest, HttpResponse, QueryDict
from django.utils.module_loading import import_string

FIELD = "kept_form"  # of the sign-in form
PARAMETER = "kept"  # of the address that shows it
SESSION_KEY = "kept_form"
LONGEST = 20_000  # characters, encoded; the longest of our own forms has a tenth
SECONDS = 3600


@dataclass(frozen=True)
class KeptForm:
    """A form that was sent in vain: its page's address, and its fields, encoded as in a body."""

    address: str
    fields: str
    is_too_long: bool = False

    @classmethod
    def of(cls, request: HttpRequest) -> "KeptForm":
        """What `request` sends, without secrets; nothing if it is longer than any form of ours."""
        address, fields = request.get_full_path(), _without_secrets(request)
        # Counted before it is encoded, which would take a while for all that a body may hold.
        if sum(len(text) for name, values in fields.lists() for text in (name, *values)) > LONGEST:
            return cls(address, "", is_too_long=True)
        encoded = fields.urlencode()
        if len(encoded) > LONGEST:
            return cls(address, "", is_too_long=True)
        return cls(address, encoded)


def _without_secrets(request: HttpRequest) -> QueryDict:
    fields = QueryDict(mutable=True)
    for name, values in request.POST.lists():
        if name != "csrfmiddlewaretoken" and "password" not in name.lower():
            fields.setlist(name, values)
    return fields


def ask_to_sign_in(request: HttpRequest) -> HttpResponse:
    """The sign-in page as an answer to a form, which it carries."""
    page = import_string(settings.SIGN_IN_FIRST_VIEW)
    return page(request, KeptForm.of(request))  # type: ignore[no-any-return]


def carried(request: HttpRequest) -> str:
    """The encoded fields that a sign-in form carries."""
    fields = request.POST.get(FIELD, "")
    is_ours = len(fields) <= LONGEST and fields.count("&") < settings.DATA_UPLOAD_MAX_NUMBER_FIELDS
    return fields if is_ours else ""


def store(request: HttpRequest, form: KeptForm) -> str:
    """Put a form into the session, in the place of an earlier one. Returns where it is shown."""
    path, _, query = form.address.partition("?")
    parameters = QueryDict(query, mutable=True)
    parameters[PARAMETER] = uuid4().hex
    request.session[SESSION_KEY] = {
        "id": parameters[PARAMETER],
        "path": unquote(path),
        "fields": form.fields,
        "until": time.time() + SECONDS,
    }
    return f"{path}?{parameters.urlencode()}"


def find(request: HttpRequest) -> QueryDict | None:
    """The fields of the form that this address shows, for as long as the session has it."""
    if PARAMETER not in request.GET or request.method not in ("GET", "HEAD"):
        return None
    kept = request.session.get(SESSION_KEY)
    if kept is None or time.time() > kept["until"]:
        return None
    is_meant = (kept["id"], kept["path"]) == (request.GET[PARAMETER], request.path)
    return QueryDict(kept["fields"]) if is_meant else None


def as_sent(request: HttpRequest, fields: QueryDict) -> HttpRequest:
    """A request like the one that sent the form, for a view that only shows it."""
    _ = request.FILES  # read once, or the copy would look for a form in the body
    sent = copy(request)
    sent.method, sent.POST = "POST", fields  # type: ignore[assignment]  # it has a setter
    return sent


def as_opened(request: HttpRequest) -> HttpRequest:
    """A request like one that only opens the page of the form that was sent; see `typed`."""
    _ = request.FILES  # as above
    opened = copy(request)
    opened.typed_form = _without_secrets(request)  # type: ignore[attr-defined]  # read below
    opened.method, opened.POST = "GET", QueryDict()
    return opened


def typed(request: HttpRequest) -> QueryDict | None:
    """What a page that is opened is to show as it was typed."""
    return getattr(request, "typed_form", None) or find(request)


def drop(request: HttpRequest) -> None:
    """Forget what was typed, now that the form of this page is sent again."""
    kept = request.session.get(SESSION_KEY)
    if kept and kept["path"] == request.path:
        del request.session[SESSION_KEY]
