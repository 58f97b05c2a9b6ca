import hashlib
from typing import Any, Self

from django.conf import settings
from django.contrib.auth import HASH_SESSION_KEY
from django.contrib.sessions.base_session import AbstractBaseSession
from django.db import models
from django.db.models.functions import Now

from accounts.models import User, password_digests

DEVICE_LENGTH = 60


def digest(session_key: str) -> str:
    """Under what a session is stored; its key is in the browser's cookie alone."""
    return hashlib.sha256(session_key.encode()).hexdigest()


class BrowserSessionQuerySet(models.QuerySet["BrowserSession"]):
    def open_of(self, user: User) -> Self:
        """Those that have not run out, the last used first."""
        return self.filter(user=user, expire_date__gt=Now()).order_by("-seen_at", "session_key")


class BrowserSession(AbstractBaseSession):
    """What Django keeps for a browser, beside whose it is and what that person may recognize."""

    session_key = models.CharField("SHA-256 of the key", max_length=64, primary_key=True)
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.CASCADE, null=True, related_name="browser_sessions"
    )
    device = models.CharField(max_length=DEVICE_LENGTH, blank=True)
    started_at = models.DateTimeField(null=True)  # null of before there was this column
    seen_at = models.DateTimeField(db_default=Now())

    objects = BrowserSessionQuerySet.as_manager()  # type: ignore[assignment,misc]  # not Django's

    @classmethod
    def get_session_store_class(cls) -> Any:
        from accounts.browsers.store import SessionStore

        return SessionStore

    def is_of_password(self, user: User) -> bool:
        """Whether it began with the password that the user has now."""
        return self.get_decoded().get(HASH_SESSION_KEY) in password_digests(user)
