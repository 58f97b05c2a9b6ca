"""That a session has given a code is noted in it, so that no request needs a query for that."""

from django.http import HttpRequest

KEY = "staff_code"


def has_given_code(request: HttpRequest) -> bool:
    return bool(request.session.get(KEY) == str(request.user.pk))


def note_code(request: HttpRequest) -> None:
    """The session gets a new key, as with any that may do more than before."""
    request.session.cycle_key()
    request.session[KEY] = str(request.user.pk)
