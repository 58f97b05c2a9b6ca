from copy import copy
from typing import Any

from django.http import HttpRequest, QueryDict
from rest_framework.authentication import SessionAuthentication
from rest_framework.permissions import IsAuthenticated
from rest_framework.request import Request
from rest_framework_simplejwt.authentication import JWTAuthentication
from rest_framework_simplejwt.exceptions import InvalidToken

from accounts.models import TokenSession, User
from accounts.tokens import SessionAccessToken, find_session
from carprice.http.errors import ServiceError


class AuthenticatedRequest(Request):
    """A request that has passed IsAuthenticated (for type checkers)."""

    user: User


def signed_in(request: HttpRequest) -> User:
    """The user of a page that requires sign-in."""
    assert isinstance(request.user, User)  # noqa: S101  # for type checkers
    return request.user


class BearerAuthentication(JWTAuthentication):
    """`Authorization: Bearer <access token>`, good for as long as its session is."""

    def get_raw_token(self, header: bytes) -> bytes | None:
        """The scheme has no case (RFC 9110, 11.1)."""
        scheme, *rest = header.split(maxsplit=1) or [b""]
        return super().get_raw_token(b" ".join([scheme.capitalize(), *rest]))

    def get_user(self, validated_token: SessionAccessToken) -> User:  # type: ignore[override]
        try:
            session = find_session(validated_token.session_id)
        except TokenSession.DoesNotExist:
            raise InvalidToken from None
        if not session.is_valid():
            raise InvalidToken
        return session.user

    def authenticate_header(self, request: Request) -> str:
        return "Bearer"


class SignedInSession(SessionAuthentication):
    """The session of the pages. Its CSRF token is read from the header `X-CSRFToken` alone.

    Django would look for the token in the body first, and so read and parse a body before it is
    known who sends it. It is given a copy of the request that has an empty form.
    """

    def enforce_csrf(self, request: Request) -> None:
        without_form = copy(request._request)  # noqa: SLF001  # Django checks its own request
        without_form.POST = QueryDict()
        super().enforce_csrf(without_form)  # type: ignore[arg-type]  # it takes what Django takes


class NotForKeys(ServiceError):
    code = "permission_denied"
    status = 403


class IsSignedIn(IsAuthenticated):
    """For routes that manage an account or its credentials: somebody who has signed in.

    An API key that leaked must not be able to make others, or to lock its owner out.
    """

    def has_permission(self, request: Request, view: Any) -> bool:
        if not isinstance(request.auth, SessionAccessToken | None):
            raise NotForKeys("An API key cannot be used here; sign in and send an access token.")
        return super().has_permission(request, view)
