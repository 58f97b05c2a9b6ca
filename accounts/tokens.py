"""Access tokens: short-lived JWTs that name the session they belong to."""

from typing import Self
from uuid import UUID

from rest_framework_simplejwt.tokens import AccessToken

from accounts.models import TokenSession, User
from carprice.sql import fetch_one, instance

SESSION_CLAIM = "sid"


class SessionAccessToken(AccessToken):
    @classmethod
    def for_session(cls, session: TokenSession) -> Self:
        token = cls.for_user(session.user)
        token[SESSION_CLAIM] = str(session.pk)
        return token


_USER_FIELDS = ["id", "email", "name", "password", "is_active", "is_staff", "is_superuser"]
_FIND_SESSION = """
    SELECT s.password_digest, s.ended_at,
        u.id, u.email, u.name, u.password, u.is_active, u.is_staff, u.is_superuser
    FROM accounts_tokensession AS s JOIN accounts_user AS u ON u.id = s.user_id
    WHERE s.id = %s
"""


def find_session(session_id: UUID) -> TokenSession:
    """A session with its user. Raises DoesNotExist."""
    row = fetch_one(_FIND_SESSION, session_id)
    if row is None:
        raise TokenSession.DoesNotExist
    user = instance(User, _USER_FIELDS, row[2:])
    return TokenSession(pk=session_id, user=user, password_digest=row[0], ended_at=row[1])


def open_session(user: User) -> TokenSession:
    return TokenSession.objects.create(user=user, password_digest=user.get_session_auth_hash())
