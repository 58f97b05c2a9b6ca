from django.db.models.functions import Now

from accounts.browsers.models import BrowserSession, digest
from accounts.models import User

MOST_SHOWN = 20
PURGED_AT_ONCE = 500


def open_sessions(user: User) -> list[BrowserSession]:
    """Those a person can still use, the last used first, MOST_SHOWN at most."""
    rows = BrowserSession.objects.open_of(user)[:MOST_SHOWN]
    return [row for row in rows if row.is_of_password(user)]


def end(user: User, key: str) -> None:
    """Sign a browser of this user out; another's stays as it is."""
    BrowserSession.objects.filter(user=user, pk=key).delete()


def end_all(user: User, *, keep: str = "") -> None:
    """Sign every browser of a user out, but for that with the session key `keep`."""
    BrowserSession.objects.filter(user=user).exclude(pk=digest(keep)).delete()


def purge_expired() -> int:
    """Delete sessions that have run out, PURGED_AT_ONCE at most. Returns how many were deleted."""
    expired = BrowserSession.objects.filter(expire_date__lt=Now()).order_by("expire_date")
    keys = list(expired.values_list("pk", flat=True)[:PURGED_AT_ONCE])
    return BrowserSession.objects.filter(pk__in=keys).delete()[0]
