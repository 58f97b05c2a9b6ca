"""The sessions of /api/auth/: refreshed, logged out of, and expired."""

import base64
import json
from collections.abc import Callable
from datetime import timedelta
from threading import Barrier
from typing import Any
from uuid import UUID

import jwt
import pytest
from django.conf import settings
from django.db import connection
from django.db.models.functions import Now
from django.utils import timezone
from rest_framework.test import APIClient

from accounts import services
from accounts.models import TokenSession, User
from accounts.tokens import open_session
from testing.auth_api import (
    CREDENTIALS,
    FORM_TYPE,
    NO_TEXTS,
    Pair,
    assert_alive,
    assert_granted,
    assert_invalid,
    assert_refused,
    claims,
    me,
    pair_of,
    post,
    refresh,
    send,
)
from testing.fixtures import AtOnce

pytestmark = pytest.mark.django_db


def log_out(token: str) -> Any:
    return post("/api/auth/logout", token=token)


def sign(payload: dict[str, Any], key: str = settings.JWT_SIGNING_KEY) -> str:
    return jwt.encode(payload, key, algorithm="HS256")


def assert_dead(token_pair: Pair) -> None:
    assert_refused(me(token_pair["access_token"]), 401, "not_authenticated")
    assert_refused(refresh(token_pair["refresh_token"]), 401, "not_authenticated")


def before_the_first_update(wait: Callable[[], Any]) -> Callable[..., Any]:
    """For `execute_wrapper`: hold a request back between what it reads and what it writes."""
    waiting = [wait]

    def execute(call: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        if sql.startswith("UPDATE") and waiting:
            waiting.pop()()
        return call(sql, params, many, context)

    return execute


# --- POST /api/auth/refresh -----------------------------------------------------------------------


def test_refreshing_answers_with_a_new_pair(user: User, token_pair: Pair) -> None:
    response = refresh(token_pair["refresh_token"])

    assert response.json()["refresh_token"] != token_pair["refresh_token"]
    assert_granted(response, user)


def test_a_session_can_be_refreshed_again_and_again(token_pair: Pair) -> None:
    token = token_pair["refresh_token"]

    for _ in range(5):
        token = refresh(token).json()["refresh_token"]

    assert TokenSession.objects.count() == 1
    assert_alive({**token_pair, "refresh_token": token})


def test_a_refresh_leaves_the_older_access_token_its_time(token_pair: Pair) -> None:
    refresh(token_pair["refresh_token"])

    assert me(token_pair["access_token"]).status_code == 200


def test_using_a_refresh_token_twice_ends_the_whole_session(
    token_pair: Pair, other_pair: Pair
) -> None:
    newer = refresh(token_pair["refresh_token"]).json()

    response = refresh(token_pair["refresh_token"])

    assert_refused(response, 401, "not_authenticated")
    assert_dead(newer)
    assert_dead(token_pair)
    assert_alive(other_pair)


def test_an_older_refresh_token_ends_the_session_too(token_pair: Pair) -> None:
    newer = refresh(token_pair["refresh_token"]).json()
    newest = refresh(newer["refresh_token"]).json()

    refresh(token_pair["refresh_token"])

    assert_dead(newest)


@pytest.mark.parametrize("value", NO_TEXTS, ids=repr)
def test_a_refresh_token_that_is_no_text_is_400(value: Any) -> None:
    assert_invalid(refresh(value), "refresh_token")


@pytest.mark.parametrize("value", ["", "x" * 2001, "x" * 1_000_000, "a\x00b"], ids=lambda v: v[:9])
def test_a_text_that_cannot_be_a_token_is_400(value: str) -> None:
    assert_invalid(refresh(value), "refresh_token")


def test_a_refresh_needs_its_token_and_nothing_else(token_pair: Pair) -> None:
    body = {"refresh_token": token_pair["refresh_token"], "grant_type": "refresh_token"}

    assert_invalid(post("/api/auth/refresh", {}), "refresh_token")
    assert_invalid(post("/api/auth/refresh", body), "grant_type")
    assert_alive(token_pair)


@pytest.mark.parametrize(
    "token",
    [
        " ",
        "a",
        "..",
        "a.b.c",
        "e30.e30.e30",
        "é.é.é",
        "bnVsbA.bnVsbA.bnVsbA",
        "eyJhbGciOlsiSFMyNTYiXX0.e30.e30",
        base64.urlsafe_b64encode(b"[" * 1400).decode() + ".e30.e30",
        "Bearer a.b.c",
    ],
    ids=lambda token: token[:20],
)
def test_a_text_that_is_no_token_is_401(token_pair: Pair, token: str) -> None:
    assert_refused(refresh(token), 401, "not_authenticated")
    assert_alive(token_pair)


def test_a_changed_token_is_refused(token_pair: Pair, other_pair: Pair) -> None:
    head, _, signature = token_pair["refresh_token"].split(".")
    foreign = other_pair["refresh_token"].split(".")[1]

    assert_refused(refresh(f"{head}.{foreign}.{signature}"), 401, "not_authenticated")
    assert_refused(refresh(token_pair["refresh_token"] + "x"), 401, "not_authenticated")
    assert_alive(token_pair)
    assert_alive(other_pair)


@pytest.mark.parametrize("algorithm", ["none", "None", "NONE"])
def test_a_token_without_a_signature_is_refused(token_pair: Pair, algorithm: str) -> None:
    header = json.dumps({"alg": algorithm, "typ": "JWT"}).encode()
    encoded = base64.urlsafe_b64encode(header).rstrip(b"=").decode()
    payload = token_pair["refresh_token"].split(".")[1]

    assert_refused(refresh(f"{encoded}.{payload}."), 401, "not_authenticated")
    assert_alive(token_pair)


@pytest.mark.parametrize("key", ["x" * 64, settings.SECRET_KEY], ids=["any", "SECRET_KEY"])
def test_a_foreign_signature_is_refused(token_pair: Pair, key: str) -> None:
    forged = sign(claims(token_pair["refresh_token"]), key)

    assert_refused(refresh(forged), 401, "not_authenticated")
    assert_alive(token_pair)


def test_a_refresh_token_is_refused_one_second_after_it_expired(token_pair: Pair) -> None:
    late = int(timezone.now().timestamp()) - 1
    expired = sign({**claims(token_pair["refresh_token"]), "exp": late})

    assert_refused(refresh(expired), 401, "not_authenticated")


@pytest.mark.parametrize(
    "changes",
    [
        {"sid": None},
        {"sid": "1"},
        {"sid": {"a": 1}},
        {"sid": str(UUID(int=7))},
        {"jti": None},
        {"jti": "1"},
        {"jti": 7},
        {"token_type": "access"},
        {"token_type": None},
        {"iss": "elsewhere"},
        {"aud": "elsewhere"},
        {"exp": "soon"},
        {"exp": None},
        {"exp": 10**30},
        {"exp": "99999999999"},
    ],
    ids=repr,
)
def test_a_signed_token_with_a_wrong_claim_is_refused(
    token_pair: Pair, changes: dict[str, Any]
) -> None:
    odd = sign({**claims(token_pair["refresh_token"]), **changes})

    assert_refused(refresh(odd), 401, "not_authenticated")
    assert_alive(token_pair)


@pytest.mark.parametrize("missing", ["sid", "jti", "token_type", "exp", "iss", "aud"])
def test_a_signed_token_without_a_claim_is_refused(token_pair: Pair, missing: str) -> None:
    payload = claims(token_pair["refresh_token"])
    del payload[missing]

    assert_refused(refresh(sign(payload)), 401, "not_authenticated")
    assert_alive(token_pair)


def test_an_access_token_refreshes_nothing(token_pair: Pair) -> None:
    assert_refused(refresh(token_pair["access_token"]), 401, "not_authenticated")
    assert_alive(token_pair)


def test_a_refresh_token_is_no_access_token(token_pair: Pair) -> None:
    assert_refused(me(token_pair["refresh_token"]), 401, "not_authenticated")
    assert_refused(log_out(token_pair["refresh_token"]), 401, "not_authenticated")
    assert_alive(token_pair)


def test_a_session_of_the_root_contract_has_no_refresh_token(user: User) -> None:
    granted = post("/sign_in", CREDENTIALS).json()

    assert set(granted) == {"access_token", "token_type", "name", "email"}
    assert TokenSession.objects.get().refresh_id is None


@pytest.mark.parametrize("current", [True, False])
def test_a_deactivated_user_is_refused_whatever_the_token(
    token_pair: Pair, user: User, current: bool
) -> None:
    newer = refresh(token_pair["refresh_token"]).json()
    User.objects.filter(pk=user.pk).update(is_active=False)

    assert_dead(newer if current else token_pair)


def test_a_refresh_refused_to_a_deactivated_user_does_not_use_the_token_up(
    token_pair: Pair, user: User
) -> None:
    User.objects.filter(pk=user.pk).update(is_active=False)
    refresh(token_pair["refresh_token"])
    User.objects.filter(pk=user.pk).update(is_active=True)

    assert_alive(token_pair)


def test_a_new_password_ends_both_tokens(token_pair: Pair, user: User) -> None:
    user.set_password("another battery horse")
    user.save()

    assert_dead(token_pair)


def test_both_tokens_die_with_their_user(make_user: Callable[..., User]) -> None:
    user = make_user("eve@example.com", credit=0)
    token_pair = pair_of(open_session(user, refreshable=True))
    user.delete()

    assert_dead(token_pair)


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
def test_of_eight_uses_at_once_one_gets_a_pair_and_the_session_ends(
    token_pair: Pair, at_once: AtOnce
) -> None:
    everybody_has_read = Barrier(8)

    def use() -> Any:
        with connection.execute_wrapper(before_the_first_update(everybody_has_read.wait)):
            return refresh(token_pair["refresh_token"])

    answers = at_once([use] * 8)

    granted = [answer.json() for answer in answers if answer.status_code == 200]
    assert sorted(answer.status_code for answer in answers) == [200, *[401] * 7]
    assert_dead(token_pair)
    assert_dead(granted[0])


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
def test_a_refresh_and_a_logout_at_once_leave_no_token_alive(
    token_pair: Pair, at_once: AtOnce
) -> None:
    both_have_read = Barrier(2)

    def run(call: Callable[[], Any]) -> Any:
        with connection.execute_wrapper(before_the_first_update(both_have_read.wait)):
            return call()

    refreshed, logged_out = at_once(
        [
            lambda: run(lambda: refresh(token_pair["refresh_token"])),
            lambda: run(lambda: log_out(token_pair["access_token"])),
        ]
    )

    assert refreshed.status_code in (200, 401)
    assert logged_out.status_code == 204
    assert_dead(token_pair)
    if refreshed.status_code == 200:
        assert_dead(refreshed.json())


# --- POST /api/auth/logout ------------------------------------------------------------------------


@pytest.mark.parametrize("body", [None, {}])
def test_logging_out_ends_both_tokens_of_this_session(
    token_pair: Pair, other_pair: Pair, body: Any
) -> None:
    response = post("/api/auth/logout", body, token_pair["access_token"])

    assert (response.status_code, response.content) == (204, b"")
    assert_dead(token_pair)
    assert_alive(other_pair)


@pytest.mark.parametrize("content_type", [FORM_TYPE, "text/plain", ""])
def test_the_type_of_no_body_does_not_matter(bearer: dict[str, Any], content_type: str) -> None:
    assert send("/api/auth/logout", b"", content_type, **bearer).status_code == 204


def test_logging_out_ends_the_tokens_of_a_refreshed_session(token_pair: Pair) -> None:
    newer = refresh(token_pair["refresh_token"]).json()

    log_out(token_pair["access_token"])

    assert_dead(newer)


def test_a_token_of_the_root_contract_can_log_out(user: User) -> None:
    token = post("/sign_in", CREDENTIALS).json()["access_token"]

    assert log_out(token).status_code == 204
    assert_refused(me(token), 401, "not_authenticated")


def test_logging_out_a_second_time_is_401(token_pair: Pair) -> None:
    log_out(token_pair["access_token"])

    assert_refused(log_out(token_pair["access_token"]), 401, "not_authenticated")


def test_a_session_that_has_ended_keeps_its_time(token_session: TokenSession) -> None:
    services.end_session(token_session.pk)
    token_session.refresh_from_db()
    first = token_session.ended_at

    services.end_session(token_session.pk)

    token_session.refresh_from_db()
    assert first is not None
    assert token_session.ended_at == first


def test_a_refused_logout_ends_nothing(token_pair: Pair) -> None:
    response = post("/api/auth/logout", {"everywhere": True}, token_pair["access_token"])

    assert_invalid(response, "everywhere")
    assert_alive(token_pair)


def test_without_a_token_logging_out_ends_the_signed_in_session(
    user: User, token_pair: Pair
) -> None:
    browser = APIClient()
    browser.force_login(user)

    response = browser.post("/api/auth/logout")

    assert response.status_code == 204
    assert_refused(browser.get("/api/auth/me"), 401, "not_authenticated")
    assert_alive(token_pair)


def test_beside_a_token_the_signed_in_session_stays(user: User, token_pair: Pair) -> None:
    browser = APIClient()
    browser.force_login(user)

    browser.post("/api/auth/logout", HTTP_AUTHORIZATION=f"Bearer {token_pair['access_token']}")

    assert browser.get("/api/auth/me").status_code == 200
    assert_dead(token_pair)


def test_a_foreign_page_cannot_log_a_browser_out(user: User) -> None:
    browser = APIClient(enforce_csrf_checks=True)
    browser.force_login(user)

    assert_refused(browser.post("/api/auth/logout"), 403, "permission_denied")
    assert browser.get("/api/auth/me").status_code == 200


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
def test_eight_logouts_at_once_do_no_harm(token_pair: Pair, at_once: AtOnce) -> None:
    answers = at_once([lambda: log_out(token_pair["access_token"])] * 8)

    assert {answer.status_code for answer in answers} <= {204, 401}
    assert 204 in [answer.status_code for answer in answers]
    assert_dead(token_pair)


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
def test_eight_logouts_of_one_browser_at_once_do_no_harm(user: User, at_once: AtOnce) -> None:
    browser = APIClient()
    browser.force_login(user)
    cookie = browser.cookies[settings.SESSION_COOKIE_NAME].value

    def leave() -> Any:
        client = APIClient()
        client.cookies[settings.SESSION_COOKIE_NAME] = cookie
        return client.post("/api/auth/logout")

    answers = at_once([leave] * 8)

    assert {answer.status_code for answer in answers} <= {204, 401}
    assert_refused(browser.get("/api/auth/me"), 401, "not_authenticated")


# --- Old sessions ---------------------------------------------------------------------------------


def lifetime(token_session: TokenSession) -> timedelta:
    """How long it is kept, as the database has it."""
    token_session.refresh_from_db()
    return token_session.expires_at - token_session.created_at


def expire(token_session: TokenSession, ago: timedelta) -> None:
    TokenSession.objects.filter(pk=token_session.pk).update(expires_at=Now() - ago)


def test_a_session_expires_with_its_last_token(user: User, token_session: TokenSession) -> None:
    second = timedelta(seconds=1).total_seconds()

    assert lifetime(open_session(user)).total_seconds() == pytest.approx(30 * 60, abs=second)
    assert lifetime(token_session) == timedelta(days=14)


def test_a_refresh_lengthens_the_session(token_session: TokenSession, token_pair: Pair) -> None:
    expire(token_session, timedelta(days=-1))

    refresh(token_pair["refresh_token"])

    assert lifetime(token_session) >= timedelta(days=14)


def test_sessions_whose_tokens_have_expired_are_purged(
    user: User, token_session: TokenSession, token_pair: Pair
) -> None:
    gone = open_session(user)
    expire(gone, services.CLOCK_TOLERANCE + timedelta(seconds=1))

    assert services.purge_expired_sessions() == 1
    assert services.purge_expired_sessions() == 0
    assert list(TokenSession.objects.all()) == [token_session]
    assert_alive(token_pair)


def test_a_session_just_expired_is_kept_for_clocks_that_differ(token_session: TokenSession) -> None:
    expire(token_session, services.CLOCK_TOLERANCE - timedelta(minutes=1))

    assert services.purge_expired_sessions() == 0


def test_a_purged_sessions_tokens_are_401(token_session: TokenSession, token_pair: Pair) -> None:
    expire(token_session, timedelta(days=1))
    services.purge_expired_sessions()

    assert_dead(token_pair)


def make_old_sessions(user: User, number: int) -> None:
    long_ago = timezone.now() - timedelta(days=1)
    TokenSession.objects.bulk_create(
        TokenSession(user=user, password_digest="", expires_at=long_ago) for _ in range(number)
    )


def test_many_old_sessions_are_purged_a_batch_at_a_time(user: User) -> None:
    make_old_sessions(user, services.PURGED_AT_ONCE + 1)

    numbers = [services.purge_expired_sessions() for _ in range(3)]

    assert numbers == [services.PURGED_AT_ONCE, 1, 0]


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
def test_eight_may_purge_at_once(user: User, at_once: AtOnce) -> None:
    make_old_sessions(user, 2 * services.PURGED_AT_ONCE)

    numbers = at_once([services.purge_expired_sessions] * 8)
    numbers += [services.purge_expired_sessions() for _ in range(2)]  # what one had locked and left

    assert sum(numbers) == 2 * services.PURGED_AT_ONCE
    assert not TokenSession.objects.exists()
