"""Both secrets are replaced while people are signed in: what the former ones signed stays good."""

from collections.abc import Callable, Iterator
from typing import Any

import jwt
import pytest
from django.conf import settings
from django.test import Client

from accounts import tokens
from accounts.models import TokenSession, User
from testing.auth_api import assert_refused, me, pair_of, refresh
from testing.fixtures import PASSWORD

pytestmark = pytest.mark.django_db

FORMER_SECRET, FORMER_JWT_KEY = settings.SECRET_KEY, settings.JWT_SIGNING_KEY
NEW_SECRET, NEW_JWT_KEY = "s" * 64, "j" * 64

Rotate = Callable[[list[str], list[str]], None]


def forget_backends() -> None:
    for backends in (tokens._current_backend, tokens._former_backends):
        backends.cache_clear()


@pytest.fixture
def rotate(settings: Any) -> Iterator[Rotate]:
    """Replaces both secrets, and says which former ones still verify."""

    def replace(secrets: list[str], jwt_keys: list[str]) -> None:
        settings.SECRET_KEY, settings.SECRET_KEY_FALLBACKS = NEW_SECRET, secrets
        settings.JWT_SIGNING_KEY, settings.JWT_SIGNING_KEY_FALLBACKS = NEW_JWT_KEY, jwt_keys
        forget_backends()

    yield replace
    forget_backends()


def test_tokens_of_a_former_key_are_good_and_renewed_with_the_new(
    token_session: TokenSession, rotate: Rotate
) -> None:
    former = pair_of(token_session)

    rotate(["x" * 64, FORMER_SECRET], ["y" * 64, FORMER_JWT_KEY])

    assert me(former["access_token"]).status_code == 200
    renewed = refresh(former["refresh_token"]).json()
    assert jwt.decode(renewed["access_token"], NEW_JWT_KEY, ["HS256"], audience="carprice")
    assert me(renewed["access_token"]).status_code == 200


def test_tokens_of_a_dropped_key_are_worthless(token_session: TokenSession, rotate: Rotate) -> None:
    former = pair_of(token_session)

    rotate([FORMER_SECRET], [])

    assert_refused(me(former["access_token"]), 401, "not_authenticated")
    assert_refused(refresh(former["refresh_token"]), 401, "not_authenticated")


def test_a_browser_stays_signed_in_and_takes_the_new_secret(client: Client, rotate: Rotate) -> None:
    User.objects.create_user("grace@example.com", PASSWORD, name="Grace")
    client.login(username="grace@example.com", password=PASSWORD)

    rotate([FORMER_SECRET], [])
    first = client.get("/account")
    rotate([], [])
    second = client.get("/account")

    assert (first.status_code, second.status_code) == (200, 200)


def test_a_browser_of_a_dropped_secret_is_signed_out(client: Client, rotate: Rotate) -> None:
    User.objects.create_user("grace@example.com", PASSWORD, name="Grace")
    client.login(username="grace@example.com", password=PASSWORD)

    rotate([], [])

    assert client.get("/account").status_code == 302


def test_a_new_password_ends_a_session_of_a_former_secret(
    user: User, token_session: TokenSession, rotate: Rotate
) -> None:
    former = pair_of(token_session)
    rotate([FORMER_SECRET], [FORMER_JWT_KEY])
    assert TokenSession.objects.open_of(user).count() == 1

    user.set_password("another-password-1")
    user.save()

    assert_refused(me(former["access_token"]), 401, "not_authenticated")
    assert not TokenSession.objects.open_of(user).exists()
