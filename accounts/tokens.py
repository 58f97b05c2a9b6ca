"""JWTs that name the session they belong to: access tokens, and one refresh token at a time."""

from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any, ClassVar, Self
from uuid import UUID, uuid4

from django.conf import settings
from django.db.models.functions import Now
from rest_framework_simplejwt.backends import TokenBackend
from rest_framework_simplejwt.exceptions import TokenBackendError, TokenError
from rest_framework_simplejwt.settings import api_settings
from rest_framework_simplejwt.tokens import AccessToken, Token

from accounts.models import TokenSession, User
from carprice.db.cursors import fetch_one, instance

SESSION_CLAIM = "sid"


class RotatedKeysBackend(TokenBackend):
    """Signs with the key of now, and verifies with that or a former one."""

    def decode(self, token: Any, verify: bool = True) -> dict[str, Any]:
        try:
            return super().decode(token, verify)
        except TokenBackendError:
            for former in _former_backends():
                with suppress(TokenBackendError):
                    return former.decode(token, verify)
            raise


def _backend(key: str, kind: type[TokenBackend]) -> TokenBackend:
    jwt = api_settings
    return kind(jwt.ALGORITHM, signing_key=key, audience=jwt.AUDIENCE, issuer=jwt.ISSUER)


@cache
def _current_backend() -> TokenBackend:
    return _backend(settings.JWT_SIGNING_KEY, RotatedKeysBackend)


@cache
def _former_backends() -> list[TokenBackend]:
    return [_backend(key, TokenBackend) for key in settings.JWT_SIGNING_KEY_FALLBACKS]


class SessionToken(Token):
    def get_token_backend(self) -> TokenBackend:
        return _current_backend()

    @classmethod
    def for_session(cls, session: TokenSession) -> Self:
        token = cls.for_user(session.user)
        token[SESSION_CLAIM] = str(session.pk)
        return token

    @property
    def session_id(self) -> UUID:
        return UUID(str(self[SESSION_CLAIM]))

    @property
    def id(self) -> UUID:
        return UUID(str(self["jti"]))

    def verify(self) -> None:
        """Raises TokenError also for claims that no token of ours has, such as a malformed id."""
        try:
            super().verify()
            self.session_id, self.id  # noqa: B018  # reading them raises if they are malformed
        except (KeyError, TypeError, ValueError, OverflowError, OSError) as error:
            raise TokenError("A claim is missing or malformed.") from error

    def set_iat(self, claim: str = "iat", at_time: datetime | None = None) -> None:
        """Leave it out: a machine whose clock is behind would refuse a token "from the future"."""


class SessionAccessToken(SessionToken, AccessToken):
    pass


class SessionRefreshToken(SessionToken):
    token_type = "refresh"  # noqa: S105  # a claim, no secret
    lifetime = api_settings.REFRESH_TOKEN_LIFETIME

    @classmethod
    def for_session(cls, session: TokenSession) -> Self:
        """The one refresh token that this refreshable session takes now."""
        token = super().for_session(session)
        token["jti"] = str(session.refresh_id)
        return token


@dataclass(frozen=True)
class Grant:
    """What the client of an open session receives, in OAuth2's words (RFC 6749, 5.1).

    Each token is signed when it is read. A session of one access token has no refresh token.
    """

    session: TokenSession
    token_type: ClassVar[str] = "bearer"  # noqa: S105  # a scheme, no secret

    @property
    def access_token(self) -> str:
        return str(SessionAccessToken.for_session(self.session))

    @property
    def refresh_token(self) -> str:
        return str(SessionRefreshToken.for_session(self.session))

    @property
    def expires_in(self) -> int:
        return int(SessionAccessToken.lifetime.total_seconds())


# Finding the session is on the path of every API request, so it is one statement that fetches only
# what is needed of the session and its user (docs/decisions/0004-sql-on-the-hot-path.md).
USER_FIELDS = [
    "id", "email", "name", "password", "is_active", "is_staff", "is_superuser", "is_verified",
]  # fmt: skip
_FIND_SESSION = """
    SELECT s.password_digest, s.ended_at,
        u.id, u.email, u.name, u.password, u.is_active, u.is_staff, u.is_superuser,
        u.is_verified
    FROM accounts_tokensession AS s JOIN accounts_user AS u ON u.id = s.user_id
    WHERE s.id = %s
"""


def find_session(session_id: UUID) -> TokenSession:
    """A session with its user. Raises DoesNotExist."""
    row = fetch_one(_FIND_SESSION, session_id)
    if row is None:
        raise TokenSession.DoesNotExist
    user = instance(User, USER_FIELDS, row[2:])
    return TokenSession(pk=session_id, user=user, password_digest=row[0], ended_at=row[1])


def open_session(user: User, *, refreshable: bool = False) -> TokenSession:
    """Begin a session: of one access token, or one whose tokens can be replaced."""
    last_token = SessionRefreshToken if refreshable else SessionAccessToken
    return TokenSession.objects.create(
        user=user,
        password_digest=user.get_session_auth_hash(),
        refresh_id=uuid4() if refreshable else None,
        expires_at=Now() + last_token.lifetime,
    )
