"""Access tokens: short-lived JWTs that name the session they belong to."""

from typing import Self

from rest_framework_simplejwt.tokens import AccessToken

from accounts.models import TokenSession, User

SESSION_CLAIM = "sid"


class SessionAccessToken(AccessToken):
    @classmethod
    def for_session(cls, session: TokenSession) -> Self:
        token = cls.for_user(session.user)
        token[SESSION_CLAIM] = str(session.pk)
        return token


def open_session(user: User) -> TokenSession:
    return TokenSession.objects.create(user=user, password_digest=user.get_session_auth_hash())
