"""Django's sessions in the database, under a hash of their keys, and with columns about them.

The columns are written when a session is saved anyway. That one is in use is noted every few
minutes, by what reading it has told.
"""

from contextlib import suppress
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.contrib.auth import SESSION_KEY
from django.contrib.sessions.backends.db import SessionStore as DatabaseStore
from django.db import DatabaseError, transaction
from django.utils import timezone
from django.utils.dateparse import parse_datetime

from accounts.browsers.models import BrowserSession, digest

SIGNED_IN = "signed_in"  # in a session: when and from what, as `signals` has written it
SEEN_EVERY = timedelta(minutes=5)


class SessionStore(DatabaseStore):
    """Its name is part of what Django signs a session's data with: that of the one it replaces."""

    @classmethod
    def get_model_class(cls) -> type[BrowserSession]:
        return BrowserSession

    def load(self) -> dict[str, Any]:
        unexpired = BrowserSession.objects.filter(expire_date__gt=timezone.now())
        try:
            row = unexpired.get(pk=digest(self.session_key or ""))
        except BrowserSession.DoesNotExist:
            self._session_key = None
            return {}
        data = self.decode(row.session_data)
        if timezone.now() - row.seen_at > SEEN_EVERY:
            _note_use(row, data)
        return data

    def exists(self, session_key: str) -> bool:
        return BrowserSession.objects.filter(pk=digest(session_key)).exists()

    def delete(self, session_key: str | None = None) -> None:
        if key := session_key or self.session_key:
            BrowserSession.objects.filter(pk=digest(key)).delete()

    def create_model_instance(self, data: dict[str, Any]) -> BrowserSession:
        row: BrowserSession = super().create_model_instance(data)  # type: ignore[assignment]  # our model
        row.session_key = digest(row.session_key)
        row.user_id = _user_id(data)
        started_at, row.device = data.get(SIGNED_IN) or (None, "")
        row.started_at = started_at and parse_datetime(started_at)
        row.seen_at = timezone.now()
        return row


def _note_use(row: BrowserSession, data: dict[str, Any]) -> None:
    """No request fails for it. A session of before there were columns learns whose it is."""
    with suppress(DatabaseError), transaction.atomic():
        BrowserSession.objects.filter(pk=row.pk).update(
            seen_at=timezone.now(), user_id=_user_id(data)
        )


def _user_id(data: dict[str, Any]) -> UUID | None:
    return UUID(data[SESSION_KEY]) if SESSION_KEY in data else None
