"""What the tests of /api/auth/ share: requests, and pairs of tokens."""

from typing import Any

import jwt
import pytest
from rest_framework.test import APIClient

from accounts.models import TokenSession, User
from accounts.tokens import SessionAccessToken, SessionRefreshToken, open_session
from testing.fixtures import PASSWORD

CREDENTIALS = {"email": "ada@example.com", "password": PASSWORD}
FORM_TYPE = "application/x-www-form-urlencoded"
PAIR = {"access_token", "refresh_token", "token_type", "expires_in"}
NO_TEXTS = [None, 7, 1.5, True, [], ["x"], {}, {"a": 1}]
Pair = dict[str, str]


def post(path: str, body: Any = None, token: str | None = None) -> Any:
    """A request with a JSON body; none for None."""
    headers: dict[str, Any] = {"HTTP_AUTHORIZATION": f"Bearer {token}"} if token else {}
    if body is None:
        return APIClient().post(path, **headers)
    return APIClient().post(path, body, format="json", **headers)


def send(path: str, body: bytes, content_type: str = "application/json", **headers: Any) -> Any:
    """A request with exactly this body."""
    return APIClient().generic("POST", path, body, content_type, **headers)  # type: ignore[arg-type]


def refresh(token: Any) -> Any:
    return post("/api/auth/refresh", {"refresh_token": token})


def me(token: str) -> Any:
    return APIClient().get("/api/auth/me", HTTP_AUTHORIZATION=f"Bearer {token}")


def claims(token: str) -> dict[str, Any]:
    return jwt.decode(token, options={"verify_signature": False})


def pair_of(session: TokenSession) -> Pair:
    return {
        "access_token": str(SessionAccessToken.for_session(session)),
        "refresh_token": str(SessionRefreshToken.for_session(session)),
    }


def assert_refused(response: Any, status: int, code: str) -> dict[str, Any]:
    """The error body of the contract; returns its `errors`."""
    body = response.json()
    assert (response.status_code, body["code"]) == (status, code)
    assert response["Content-Type"] == "application/json"
    assert set(body) == {"code", "detail"} | ({"errors"} if status == 400 else set())
    if status == 401:
        assert response["WWW-Authenticate"] == "Bearer"
    return dict(body.get("errors", {}))


def assert_invalid(response: Any, *fields: str) -> None:
    assert sorted(assert_refused(response, 400, "invalid_request")) == sorted(fields)


def assert_alive(token_pair: Pair) -> None:
    assert me(token_pair["access_token"]).status_code == 200
    assert refresh(token_pair["refresh_token"]).status_code == 200


@pytest.fixture
def token_session(user: User) -> TokenSession:
    return open_session(user, refreshable=True)


@pytest.fixture
def token_pair(token_session: TokenSession) -> Pair:
    """Tokens as a login gives them."""
    return pair_of(token_session)


@pytest.fixture
def bearer(token_pair: Pair) -> dict[str, Any]:
    return {"HTTP_AUTHORIZATION": f"Bearer {token_pair['access_token']}"}


@pytest.fixture
def other_pair(user: User) -> Pair:
    """Those of another login of the same user."""
    return pair_of(open_session(user, refreshable=True))


def assert_granted(response: Any, user: User) -> None:
    body = response.json()
    assert response.status_code == 200
    assert set(body) == PAIR
    assert (body["token_type"], body["expires_in"]) == ("bearer", 1800)
    assert response["Cache-Control"] == "private, no-store"
    assert me(body["access_token"]).json()["id"] == str(user.pk)
    assert refresh(body["refresh_token"]).status_code == 200
