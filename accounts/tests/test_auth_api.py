"""Every route below /api/auth/, and the common rules as they apply to them."""

import base64
import json
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from threading import Barrier
from typing import Any
from urllib.parse import quote
from uuid import UUID

import jwt
import pytest
from django.conf import settings
from django.db import OperationalError, connection
from django.db.models.functions import Now
from django.utils import timezone
from rest_framework.test import APIClient

from accounts import services
from accounts.models import TokenSession, User
from accounts.tokens import SessionAccessToken, SessionRefreshToken, open_session
from billing.models import CreditAccount
from carprice.http import throttling
from testing.fixtures import PASSWORD

pytestmark = pytest.mark.django_db

ACCOUNT = {"name": "Bob", "email": "bob@example.com", "password": PASSWORD}
CREDENTIALS = {"email": "ada@example.com", "password": PASSWORD}
FORM = f"username=ada%40example.com&password={quote(PASSWORD)}"
FORM_TYPE = "application/x-www-form-urlencoded"
BODY_LIMIT = 2_621_440
ROUTES = {
    "/api/auth/register": "POST",
    "/api/auth/login": "POST",
    "/api/auth/refresh": "POST",
    "/api/auth/logout": "POST",
    "/api/auth/me": "GET",
}
PUBLIC = ["/api/auth/register", "/api/auth/login", "/api/auth/refresh"]
PRIVATE = ["/api/auth/logout", "/api/auth/me"]
PAIR = {"access_token", "refresh_token", "token_type", "expires_in"}
NO_TEXTS = [None, 7, 1.5, True, [], ["x"], {}, {"a": 1}]
AtOnce = Callable[..., list[Any]]
Pair = dict[str, str]


# --- Helpers -------------------------------------------------------------------------------------


def post(path: str, body: Any = None, token: str | None = None) -> Any:
    """A request with a JSON body; none for None."""
    headers: dict[str, Any] = {"HTTP_AUTHORIZATION": f"Bearer {token}"} if token else {}
    if body is None:
        return APIClient().post(path, **headers)
    return APIClient().post(path, body, format="json", **headers)


def send(path: str, body: bytes, content_type: str = "application/json", **headers: Any) -> Any:
    """A request with exactly this body."""
    return APIClient().generic("POST", path, body, content_type, **headers)  # type: ignore[arg-type]


def log_in(form: str) -> Any:
    return send("/api/auth/login", form.encode(), FORM_TYPE)


def refresh(token: Any) -> Any:
    return post("/api/auth/refresh", {"refresh_token": token})


def me(token: str) -> Any:
    return APIClient().get("/api/auth/me", HTTP_AUTHORIZATION=f"Bearer {token}")


def log_out(token: str) -> Any:
    return post("/api/auth/logout", token=token)


def claims(token: str) -> dict[str, Any]:
    return jwt.decode(token, options={"verify_signature": False})


def sign(payload: dict[str, Any], key: str = settings.JWT_SIGNING_KEY) -> str:
    return jwt.encode(payload, key, algorithm="HS256")


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


def assert_dead(pair: Pair) -> None:
    assert_refused(me(pair["access_token"]), 401, "not_authenticated")
    assert_refused(refresh(pair["refresh_token"]), 401, "not_authenticated")


def assert_alive(pair: Pair) -> None:
    assert me(pair["access_token"]).status_code == 200
    assert refresh(pair["refresh_token"]).status_code == 200


def before_the_first_update(wait: Callable[[], Any]) -> Callable[..., Any]:
    """For `execute_wrapper`: hold a request back between what it reads and what it writes."""
    waiting = [wait]

    def execute(call: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        if sql.startswith("UPDATE") and waiting:
            waiting.pop()()
        return call(sql, params, many, context)

    return execute


@pytest.fixture
def session(user: User) -> TokenSession:
    return open_session(user, refreshable=True)


@pytest.fixture
def pair(session: TokenSession) -> Pair:
    """Tokens as a login gives them."""
    return pair_of(session)


@pytest.fixture
def bearer(pair: Pair) -> dict[str, Any]:
    return {"HTTP_AUTHORIZATION": f"Bearer {pair['access_token']}"}


@pytest.fixture
def other(user: User) -> Pair:
    """Those of another login of the same user."""
    return pair_of(open_session(user, refreshable=True))


# --- POST /api/auth/register ---------------------------------------------------------------------


def test_registering_answers_with_id_name_and_email() -> None:
    response = post("/api/auth/register", ACCOUNT)

    user = User.objects.get()
    assert response.status_code == 201
    assert response.json() == {"id": str(user.pk), "name": "Bob", "email": "bob@example.com"}


def test_a_name_may_be_left_out() -> None:
    response = post("/api/auth/register", {"email": "bob@example.com", "password": PASSWORD})

    assert (response.status_code, response.json()["name"]) == (201, "")


def test_whoever_registered_has_an_empty_account_and_may_log_in() -> None:
    post("/api/auth/register", ACCOUNT)

    body = {"email": ACCOUNT["email"], "password": PASSWORD}
    assert post("/api/auth/login", body).status_code == 200
    assert CreditAccount.objects.get().balance == 0


@pytest.mark.parametrize("field", ["email", "password"])
def test_registering_needs_an_email_and_a_password(field: str) -> None:
    body = {key: value for key, value in ACCOUNT.items() if key != field}

    assert_invalid(post("/api/auth/register", body), field)
    assert not User.objects.exists()


@pytest.mark.parametrize("field", ["role", "is_staff", "is_superuser", "id", "balance", "username"])
def test_registering_refuses_any_other_field(field: str) -> None:
    assert_invalid(post("/api/auth/register", {**ACCOUNT, field: True}), field)
    assert not User.objects.exists()


@pytest.mark.parametrize("field", list(ACCOUNT))
@pytest.mark.parametrize("value", NO_TEXTS, ids=repr)
def test_registering_refuses_what_is_no_text(field: str, value: Any) -> None:
    assert_invalid(post("/api/auth/register", {**ACCOUNT, field: value}), field)
    assert not User.objects.exists()


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", ""),
        ("name", "  "),
        ("name", "x" * 151),
        ("email", "ada"),
        ("email", "a" * 243 + "@example.com"),
        ("password", "seven-7"),
        ("password", "x9!" * 43),
        ("password", "password123"),
        ("password", "8462903751"),
    ],
)
def test_registering_refuses_a_bad_value_by_its_name(field: str, value: str) -> None:
    response = post("/api/auth/register", {**ACCOUNT, field: value})

    assert_invalid(response, field)
    assert not User.objects.exists()


@pytest.mark.parametrize("email", ["ada@example.com", "ADA@Example.COM"])
def test_a_taken_email_is_409(user: User, email: str) -> None:
    response = post("/api/auth/register", {**ACCOUNT, "email": email})

    assert_refused(response, 409, "email_taken")
    assert User.objects.count() == 1


def test_an_idempotency_key_means_nothing_here() -> None:
    body = json.dumps(ACCOUNT).encode()

    answers = [send("/api/auth/register", body, HTTP_IDEMPOTENCY_KEY="k") for _ in range(2)]

    assert [answer.status_code for answer in answers] == [201, 409]


# --- POST /api/auth/login ------------------------------------------------------------------------


def assert_granted(response: Any, user: User) -> None:
    body = response.json()
    assert response.status_code == 200
    assert set(body) == PAIR
    assert (body["token_type"], body["expires_in"]) == ("bearer", 1800)
    assert response["Cache-Control"] == "no-store"
    assert me(body["access_token"]).json()["id"] == str(user.pk)
    assert refresh(body["refresh_token"]).status_code == 200


def test_logging_in_with_json_answers_with_a_pair_of_tokens(user: User) -> None:
    assert_granted(post("/api/auth/login", CREDENTIALS), user)


@pytest.mark.parametrize(
    "more",
    [
        "",
        "&grant_type=password",
        "&grant_type=password&scope=&client_id=&client_secret=",
        "&grant_type=password&scope=a+b&client_id=x&client_secret=y",
        "&",
    ],
)
def test_logging_in_with_a_form_answers_with_a_pair_of_tokens(user: User, more: str) -> None:
    assert_granted(log_in(FORM + more), user)


def test_the_client_that_oauth2_names_in_a_header_does_not_matter(user: User) -> None:
    response = send("/api/auth/login", FORM.encode(), FORM_TYPE, HTTP_AUTHORIZATION="Basic Og==")

    assert_granted(response, user)


@pytest.mark.parametrize("charset", ["utf-8", "UTF-8", "iso-8859-1", "utf-7", "bogus"])
def test_a_form_is_utf_8_whatever_its_charset_says(user: User, charset: str) -> None:
    user.set_password("grün + 100 % sure")
    user.save()
    form = "username=ada@example.com&password=gr%C3%BCn+%2B+100+%25+sure"

    response = send("/api/auth/login", form.encode(), f"{FORM_TYPE}; charset={charset}")

    assert_granted(response, user)


def test_a_form_may_hold_utf_8_as_it_is(user: User) -> None:
    user.set_password("пароль-из-слов")
    user.save()

    assert_granted(log_in("username=ADA@example.com&password=пароль-из-слов"), user)


def test_the_tokens_tell_nothing_but_ids(pair: Pair) -> None:
    for token in pair.values():
        payload = claims(token)
        assert set(payload) == {"token_type", "exp", "jti", "user_id", "sid", "iss", "aud"}
        assert "@" not in json.dumps(payload)


def test_an_access_token_lasts_30_minutes_and_a_refresh_token_14_days(pair: Pair) -> None:
    now = timezone.now().timestamp()

    lifetimes = [claims(token)["exp"] - now for token in pair.values()]

    assert lifetimes == pytest.approx([30 * 60, 14 * 24 * 3600], abs=10)


@pytest.mark.parametrize(
    ("email", "password"),
    [
        ("ada@example.com", "wrong"),
        ("nobody@example.com", PASSWORD),
        ("gone@example.com", PASSWORD),
    ],
)
def test_wrong_credentials_are_answered_as_at_the_root_contract(
    make_user: Callable[..., User], email: str, password: str
) -> None:
    make_user()
    make_user("gone@example.com", is_active=False)
    body = {"email": email, "password": password}

    by_json = post("/api/auth/login", body)
    by_form = log_in(f"username={quote(email)}&password={quote(password)}")

    assert_refused(by_json, 401, "invalid_credentials")
    assert by_json.content == by_form.content == post("/sign_in", body).content


def test_wrong_passwords_are_counted_together_with_those_of_the_root_contract(user: User) -> None:
    wrong = {**CREDENTIALS, "password": "wrong"}
    for _ in range(4):
        post("/sign_in", wrong)
        post("/api/auth/login", wrong)
    for _ in range(2):
        log_in("username=ADA@example.com&password=wrong")

    response = post("/api/auth/login", CREDENTIALS)

    assert_refused(response, 429, "too_many_requests")
    assert 1 <= int(response["Retry-After"]) <= 60
    assert not TokenSession.objects.exists()


@pytest.mark.parametrize("field", ["email", "password"])
@pytest.mark.parametrize("value", [*NO_TEXTS, "", "x" * 255, "a\x00b"], ids=repr)
def test_logging_in_refuses_what_is_no_short_text(user: User, field: str, value: Any) -> None:
    assert_invalid(post("/api/auth/login", {**CREDENTIALS, field: value}), field)


@pytest.mark.parametrize("field", ["username", "grant_type", "scope", "name", "remember"])
def test_json_takes_no_other_field(user: User, field: str) -> None:
    assert_invalid(post("/api/auth/login", {**CREDENTIALS, field: "password"}), field)


@pytest.mark.parametrize(
    ("form", "field"),
    [
        (f"{FORM}&grant_type=", "grant_type"),
        (f"{FORM}&grant_type=refresh_token", "grant_type"),
        (f"{FORM}&grant_type=Password", "grant_type"),
        (f"{FORM}&email=ada@example.com", "email"),
        (f"{FORM}&remember", "remember"),
        (f"{FORM}&username=ada@example.com", "username"),
        (f"{FORM}&password=x", "password"),
        (f"{FORM}&scope=a&scope=a", "scope"),
        (f"{FORM}&scope=%00", "scope"),
        (f"{FORM}&scope={'x' * 1001}", "scope"),
        (f"{FORM}&a%00b=1", "body"),
        ("username=ada%00&password=x", "username"),
        ("username=ada&password=%FF", "password"),
        ("username=ada&password=%C3", "password"),
        ("username=ada&password=%ED%A0%80", "password"),
        ("username=ada&password=%C0%80", "password"),
        ("username=ada&%FF=x", "body"),
        ("username=ada", "password"),
        ("password=x", "username"),
        ("username=&password=x", "username"),
        ("username=ada&password=", "password"),
        (f"username=ada&password={'x' * 129}", "password"),
        (f"username={'x' * 255}&password=x", "username"),
        ("&".join(f"f{number}=1" for number in range(501)), "body"),
    ],
    ids=lambda value: value[-40:],
)
def test_a_bad_form_is_refused_by_field(user: User, form: str, field: str) -> None:
    assert_invalid(log_in(form), field)


@pytest.mark.parametrize("body", [b"username=ada&password=\xff", b"username=ada&password=%C3\xa9"])
def test_bytes_that_are_no_utf_8_are_refused(user: User, body: bytes) -> None:
    assert_invalid(send("/api/auth/login", body, FORM_TYPE), "password")


@pytest.mark.parametrize("body", [b"", b"&", b"&&&"])
def test_an_empty_form_lacks_both_fields(body: bytes) -> None:
    assert_invalid(send("/api/auth/login", body, FORM_TYPE), "password", "username")


@pytest.mark.parametrize("body", [b"{", b"[]", b"null", b'"s"', b'{"email": 1, "email": 2}'])
def test_a_body_that_is_no_json_object_is_refused(body: bytes) -> None:
    assert_refused(send("/api/auth/login", body), 400, "invalid_request")


# --- POST /api/auth/refresh ----------------------------------------------------------------------


def test_refreshing_answers_with_a_new_pair(user: User, pair: Pair) -> None:
    response = refresh(pair["refresh_token"])

    assert response.json()["refresh_token"] != pair["refresh_token"]
    assert_granted(response, user)


def test_a_session_can_be_refreshed_again_and_again(pair: Pair) -> None:
    token = pair["refresh_token"]

    for _ in range(5):
        token = refresh(token).json()["refresh_token"]

    assert TokenSession.objects.count() == 1
    assert_alive({**pair, "refresh_token": token})


def test_a_refresh_leaves_the_older_access_token_its_time(pair: Pair) -> None:
    refresh(pair["refresh_token"])

    assert me(pair["access_token"]).status_code == 200


def test_using_a_refresh_token_twice_ends_the_whole_session(pair: Pair, other: Pair) -> None:
    newer = refresh(pair["refresh_token"]).json()

    response = refresh(pair["refresh_token"])

    assert_refused(response, 401, "not_authenticated")
    assert_dead(newer)
    assert_dead(pair)
    assert_alive(other)


def test_an_older_refresh_token_ends_the_session_too(pair: Pair) -> None:
    newer = refresh(pair["refresh_token"]).json()
    newest = refresh(newer["refresh_token"]).json()

    refresh(pair["refresh_token"])

    assert_dead(newest)


@pytest.mark.parametrize("value", NO_TEXTS, ids=repr)
def test_a_refresh_token_that_is_no_text_is_400(value: Any) -> None:
    assert_invalid(refresh(value), "refresh_token")


@pytest.mark.parametrize("value", ["", "x" * 2001, "x" * 1_000_000, "a\x00b"], ids=lambda v: v[:9])
def test_a_text_that_cannot_be_a_token_is_400(value: str) -> None:
    assert_invalid(refresh(value), "refresh_token")


def test_a_refresh_needs_its_token_and_nothing_else(pair: Pair) -> None:
    body = {"refresh_token": pair["refresh_token"], "grant_type": "refresh_token"}

    assert_invalid(post("/api/auth/refresh", {}), "refresh_token")
    assert_invalid(post("/api/auth/refresh", body), "grant_type")
    assert_alive(pair)


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
def test_a_text_that_is_no_token_is_401(pair: Pair, token: str) -> None:
    assert_refused(refresh(token), 401, "not_authenticated")
    assert_alive(pair)


def test_a_changed_token_is_refused(pair: Pair, other: Pair) -> None:
    head, _, signature = pair["refresh_token"].split(".")
    foreign = other["refresh_token"].split(".")[1]

    assert_refused(refresh(f"{head}.{foreign}.{signature}"), 401, "not_authenticated")
    assert_refused(refresh(pair["refresh_token"] + "x"), 401, "not_authenticated")
    assert_alive(pair)
    assert_alive(other)


@pytest.mark.parametrize("algorithm", ["none", "None", "NONE"])
def test_a_token_without_a_signature_is_refused(pair: Pair, algorithm: str) -> None:
    header = json.dumps({"alg": algorithm, "typ": "JWT"}).encode()
    encoded = base64.urlsafe_b64encode(header).rstrip(b"=").decode()
    payload = pair["refresh_token"].split(".")[1]

    assert_refused(refresh(f"{encoded}.{payload}."), 401, "not_authenticated")
    assert_alive(pair)


@pytest.mark.parametrize("key", ["x" * 64, settings.SECRET_KEY], ids=["any", "SECRET_KEY"])
def test_a_foreign_signature_is_refused(pair: Pair, key: str) -> None:
    forged = sign(claims(pair["refresh_token"]), key)

    assert_refused(refresh(forged), 401, "not_authenticated")
    assert_alive(pair)


def test_a_refresh_token_is_refused_one_second_after_it_expired(pair: Pair) -> None:
    late = int(timezone.now().timestamp()) - 1
    expired = sign({**claims(pair["refresh_token"]), "exp": late})

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
def test_a_signed_token_with_a_wrong_claim_is_refused(pair: Pair, changes: dict[str, Any]) -> None:
    odd = sign({**claims(pair["refresh_token"]), **changes})

    assert_refused(refresh(odd), 401, "not_authenticated")
    assert_alive(pair)


@pytest.mark.parametrize("missing", ["sid", "jti", "token_type", "exp", "iss", "aud"])
def test_a_signed_token_without_a_claim_is_refused(pair: Pair, missing: str) -> None:
    payload = claims(pair["refresh_token"])
    del payload[missing]

    assert_refused(refresh(sign(payload)), 401, "not_authenticated")
    assert_alive(pair)


def test_an_access_token_refreshes_nothing(pair: Pair) -> None:
    assert_refused(refresh(pair["access_token"]), 401, "not_authenticated")
    assert_alive(pair)


def test_a_refresh_token_is_no_access_token(pair: Pair) -> None:
    assert_refused(me(pair["refresh_token"]), 401, "not_authenticated")
    assert_refused(log_out(pair["refresh_token"]), 401, "not_authenticated")
    assert_alive(pair)


def test_a_session_of_the_root_contract_has_no_refresh_token(user: User) -> None:
    granted = post("/sign_in", CREDENTIALS).json()

    assert set(granted) == {"access_token", "token_type", "name", "email"}
    assert TokenSession.objects.get().refresh_id is None


@pytest.mark.parametrize("current", [True, False])
def test_a_deactivated_user_is_refused_whatever_the_token(
    pair: Pair, user: User, current: bool
) -> None:
    newer = refresh(pair["refresh_token"]).json()
    User.objects.filter(pk=user.pk).update(is_active=False)

    assert_dead(newer if current else pair)


def test_a_refresh_refused_to_a_deactivated_user_does_not_use_the_token_up(
    pair: Pair, user: User
) -> None:
    User.objects.filter(pk=user.pk).update(is_active=False)
    refresh(pair["refresh_token"])
    User.objects.filter(pk=user.pk).update(is_active=True)

    assert_alive(pair)


def test_a_new_password_ends_both_tokens(pair: Pair, user: User) -> None:
    user.set_password("another battery horse")
    user.save()

    assert_dead(pair)


def test_both_tokens_die_with_their_user(make_user: Callable[..., User]) -> None:
    user = make_user("eve@example.com", credit=0)
    pair = pair_of(open_session(user, refreshable=True))
    user.delete()

    assert_dead(pair)


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
def test_of_eight_uses_at_once_one_gets_a_pair_and_the_session_ends(
    pair: Pair, at_once: AtOnce
) -> None:
    everybody_has_read = Barrier(8)

    def use() -> Any:
        with connection.execute_wrapper(before_the_first_update(everybody_has_read.wait)):
            return refresh(pair["refresh_token"])

    answers = at_once([use] * 8)

    granted = [answer.json() for answer in answers if answer.status_code == 200]
    assert sorted(answer.status_code for answer in answers) == [200, *[401] * 7]
    assert_dead(pair)
    assert_dead(granted[0])


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
def test_a_refresh_and_a_logout_at_once_leave_no_token_alive(pair: Pair, at_once: AtOnce) -> None:
    both_have_read = Barrier(2)

    def run(call: Callable[[], Any]) -> Any:
        with connection.execute_wrapper(before_the_first_update(both_have_read.wait)):
            return call()

    refreshed, logged_out = at_once(
        [
            lambda: run(lambda: refresh(pair["refresh_token"])),
            lambda: run(lambda: log_out(pair["access_token"])),
        ]
    )

    assert refreshed.status_code in (200, 401)
    assert logged_out.status_code == 204
    assert_dead(pair)
    if refreshed.status_code == 200:
        assert_dead(refreshed.json())


# --- POST /api/auth/logout -----------------------------------------------------------------------


@pytest.mark.parametrize("body", [None, {}])
def test_logging_out_ends_both_tokens_of_this_session(pair: Pair, other: Pair, body: Any) -> None:
    response = post("/api/auth/logout", body, pair["access_token"])

    assert (response.status_code, response.content) == (204, b"")
    assert_dead(pair)
    assert_alive(other)


@pytest.mark.parametrize("content_type", [FORM_TYPE, "text/plain", ""])
def test_the_type_of_no_body_does_not_matter(bearer: dict[str, Any], content_type: str) -> None:
    assert send("/api/auth/logout", b"", content_type, **bearer).status_code == 204


def test_logging_out_ends_the_tokens_of_a_refreshed_session(pair: Pair) -> None:
    newer = refresh(pair["refresh_token"]).json()

    log_out(pair["access_token"])

    assert_dead(newer)


def test_a_token_of_the_root_contract_can_log_out(user: User) -> None:
    token = post("/sign_in", CREDENTIALS).json()["access_token"]

    assert log_out(token).status_code == 204
    assert_refused(me(token), 401, "not_authenticated")


def test_logging_out_a_second_time_is_401(pair: Pair) -> None:
    log_out(pair["access_token"])

    assert_refused(log_out(pair["access_token"]), 401, "not_authenticated")


def test_a_session_that_has_ended_keeps_its_time(session: TokenSession) -> None:
    services.end_session(session.pk)
    session.refresh_from_db()
    first = session.ended_at

    services.end_session(session.pk)

    session.refresh_from_db()
    assert first is not None
    assert session.ended_at == first


def test_a_refused_logout_ends_nothing(pair: Pair) -> None:
    response = post("/api/auth/logout", {"everywhere": True}, pair["access_token"])

    assert_invalid(response, "everywhere")
    assert_alive(pair)


def test_without_a_token_logging_out_ends_the_signed_in_session(user: User, pair: Pair) -> None:
    browser = APIClient()
    browser.force_login(user)

    response = browser.post("/api/auth/logout")

    assert response.status_code == 204
    assert_refused(browser.get("/api/auth/me"), 401, "not_authenticated")
    assert_alive(pair)


def test_beside_a_token_the_signed_in_session_stays(user: User, pair: Pair) -> None:
    browser = APIClient()
    browser.force_login(user)

    browser.post("/api/auth/logout", HTTP_AUTHORIZATION=f"Bearer {pair['access_token']}")

    assert browser.get("/api/auth/me").status_code == 200
    assert_dead(pair)


def test_a_foreign_page_cannot_log_a_browser_out(user: User) -> None:
    browser = APIClient(enforce_csrf_checks=True)
    browser.force_login(user)

    assert_refused(browser.post("/api/auth/logout"), 403, "permission_denied")
    assert browser.get("/api/auth/me").status_code == 200


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
def test_eight_logouts_at_once_do_no_harm(pair: Pair, at_once: AtOnce) -> None:
    answers = at_once([lambda: log_out(pair["access_token"])] * 8)

    assert {answer.status_code for answer in answers} <= {204, 401}
    assert 204 in [answer.status_code for answer in answers]
    assert_dead(pair)


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


# --- GET /api/auth/me ----------------------------------------------------------------------------


def test_me_is_whoever_the_token_belongs_to(user: User, pair: Pair) -> None:
    response = me(pair["access_token"])

    assert response.status_code == 200
    assert response.json() == {"id": str(user.pk), "name": "Ada", "email": "ada@example.com"}


def test_me_is_whoever_is_signed_in(user: User) -> None:
    browser = APIClient()
    browser.force_login(user)

    assert browser.get("/api/auth/me").json()["id"] == str(user.pk)


# --- Old sessions --------------------------------------------------------------------------------


def lifetime(session: TokenSession) -> timedelta:
    """How long it is kept, as the database has it."""
    session.refresh_from_db()
    return session.expires_at - session.created_at


def expire(session: TokenSession, ago: timedelta) -> None:
    TokenSession.objects.filter(pk=session.pk).update(expires_at=Now() - ago)


def test_a_session_expires_with_its_last_token(user: User, session: TokenSession) -> None:
    second = timedelta(seconds=1).total_seconds()

    assert lifetime(open_session(user)).total_seconds() == pytest.approx(30 * 60, abs=second)
    assert lifetime(session) == timedelta(days=14)


def test_a_refresh_lengthens_the_session(session: TokenSession, pair: Pair) -> None:
    expire(session, timedelta(days=-1))

    refresh(pair["refresh_token"])

    assert lifetime(session) >= timedelta(days=14)


def test_sessions_whose_tokens_have_expired_are_forgotten(
    user: User, session: TokenSession, pair: Pair
) -> None:
    gone = open_session(user)
    expire(gone, services.CLOCK_TOLERANCE + timedelta(seconds=1))

    assert services.purge_expired_sessions() == 1
    assert services.purge_expired_sessions() == 0
    assert list(TokenSession.objects.all()) == [session]
    assert_alive(pair)


def test_a_session_just_expired_is_kept_for_clocks_that_differ(session: TokenSession) -> None:
    expire(session, services.CLOCK_TOLERANCE - timedelta(minutes=1))

    assert services.purge_expired_sessions() == 0


def test_a_forgotten_sessions_tokens_are_401(session: TokenSession, pair: Pair) -> None:
    expire(session, timedelta(days=1))
    services.purge_expired_sessions()

    assert_dead(pair)


def make_old_sessions(user: User, number: int) -> None:
    long_ago = timezone.now() - timedelta(days=1)
    TokenSession.objects.bulk_create(
        TokenSession(user=user, password_digest="", expires_at=long_ago) for _ in range(number)
    )


def test_many_old_sessions_are_forgotten_a_batch_at_a_time(user: User) -> None:
    make_old_sessions(user, services.PURGED_AT_ONCE + 1)

    numbers = [services.purge_expired_sessions() for _ in range(3)]

    assert numbers == [services.PURGED_AT_ONCE, 1, 0]


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
def test_eight_may_forget_at_once(user: User, at_once: AtOnce) -> None:
    make_old_sessions(user, 2 * services.PURGED_AT_ONCE)

    numbers = at_once([services.purge_expired_sessions] * 8)
    numbers += [services.purge_expired_sessions() for _ in range(2)]  # what one had locked and left

    assert sum(numbers) == 2 * services.PURGED_AT_ONCE
    assert not TokenSession.objects.exists()


# --- Refusals every route shares -----------------------------------------------------------------


def ask(path: str, method: str | None = None, body: bytes = b"", **headers: Any) -> Any:
    content_type = headers.pop("content_type", "application/json")
    return APIClient().generic(method or ROUTES[path], path, body, content_type, **headers)  # type: ignore[arg-type]


@pytest.mark.parametrize("path", PRIVATE)
@pytest.mark.parametrize("header", ["", "Bearer", "Bearer a.b.c", "Basic eDp5"])
def test_without_a_good_token_it_is_401(path: str, header: str) -> None:
    assert_refused(ask(path, HTTP_AUTHORIZATION=header), 401, "not_authenticated")


@pytest.mark.parametrize("path", PUBLIC)
def test_a_bad_token_is_no_matter_where_none_is_asked_for(path: str) -> None:
    response = ask(path, body=b"{}", HTTP_AUTHORIZATION="Bearer a.b.c")

    assert_refused(response, 400, "invalid_request")


@pytest.mark.parametrize("path", list(ROUTES))
def test_a_wrong_method_is_405_and_names_the_right_one(path: str, bearer: dict[str, Any]) -> None:
    for method in {"GET", "POST", "PUT", "PATCH", "DELETE", "TRACE"} - {ROUTES[path]}:
        response = ask(path, method, **bearer)

        assert_refused(response, 405, "method_not_allowed")
        assert set(response["Allow"].split(", ")) - {"HEAD", "OPTIONS"} == {ROUTES[path]}


@pytest.mark.parametrize("path", list(ROUTES))
def test_a_body_over_the_limit_is_413_whatever_its_type(path: str, bearer: dict[str, Any]) -> None:
    body = b" " * (BODY_LIMIT + 1)

    for content_type in ("application/json", FORM_TYPE, "text/plain"):
        response = ask(path, body=body, content_type=content_type, **bearer)
        assert_refused(response, 413, "body_too_large")


@pytest.mark.parametrize(
    ("path", "content_type"),
    [
        (path, content_type)
        for path in ROUTES
        for content_type in ("text/plain", "multipart/form-data; boundary=x", "nonsense", "")
    ]
    + [(path, FORM_TYPE) for path in ROUTES if path != "/api/auth/login"],
)
def test_another_content_type_is_415(path: str, content_type: str, bearer: dict[str, Any]) -> None:
    response = ask(path, body=b"a=b", content_type=content_type, **bearer)

    assert_refused(response, 415, "unsupported_media_type")


@pytest.mark.parametrize(
    ("path", "scope"),
    [
        ("/api/auth/register", "sign_up"),
        ("/api/auth/login", "sign_in"),
        ("/api/auth/refresh", "other"),
        ("/api/auth/logout", "other"),
        ("/api/auth/me", "other"),
    ],
)
def test_too_many_requests_are_429_before_the_body_is_looked_at(
    path: str, scope: str, pair: Pair, bearer: dict[str, Any]
) -> None:
    with suppress(throttling.TooManyRequests):
        while True:
            throttling.count(scope, "address:127.0.0.1")

    response = ask(path, body=b"{", **bearer)

    assert_refused(response, 429, "too_many_requests")
    assert 1 <= int(response["Retry-After"]) <= 60
    throttling.reset()
    assert_alive(pair)


@pytest.mark.parametrize("path", PRIVATE)
def test_401_comes_before_everything(path: str) -> None:
    body = b"x" * (BODY_LIMIT + 1)

    response = ask(path, "PUT", body, content_type="text/plain")

    assert_refused(response, 401, "not_authenticated")


@pytest.mark.parametrize("path", PUBLIC)
def test_405_comes_before_413_and_415(path: str) -> None:
    body = b"x" * (BODY_LIMIT + 1)

    response = ask(path, "PUT", body, content_type="text/plain")

    assert_refused(response, 405, "method_not_allowed")


@pytest.mark.parametrize("path", list(ROUTES))
def test_without_the_database_it_is_503(path: str, pair: Pair, bearer: dict[str, Any]) -> None:
    bodies = {
        "/api/auth/register": ACCOUNT,
        "/api/auth/login": CREDENTIALS,
        "/api/auth/refresh": {"refresh_token": pair["refresh_token"]},
    }

    def refuse(call: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        if "SAVEPOINT" in sql:
            return call(sql, params, many, context)
        raise OperationalError('connection to server at "10.0.0.7" failed')

    with connection.execute_wrapper(refuse):
        response = ask(path, body=json.dumps(bodies.get(path, {})).encode(), **bearer)

    assert_refused(response, 503, "unavailable")
    assert int(response["Retry-After"]) >= 1
    assert b"10.0.0.7" not in response.content
    assert_alive(pair)


# --- The OpenAPI document ------------------------------------------------------------------------


@pytest.fixture
def document() -> dict[str, Any]:
    response = APIClient().get("/api/schema", HTTP_ACCEPT="application/vnd.oai.openapi+json")
    return dict(json.loads(response.content))


@pytest.mark.parametrize(
    ("path", "statuses"),
    [
        ("/api/auth/register", {201, 409}),
        ("/api/auth/login", {200, 401}),
        ("/api/auth/refresh", {200, 401}),
        ("/api/auth/logout", {204, 401, 403}),
        ("/api/auth/me", {200, 401}),
    ],
)
def test_each_route_lists_every_status_it_can_answer(
    document: dict[str, Any], path: str, statuses: set[int]
) -> None:
    operation = document["paths"][path][ROUTES[path].lower()]

    always = {400, 405, 413, 415, 429, 503}
    assert {int(status) for status in operation["responses"]} == statuses | always


def test_a_token_can_be_pasted_in_or_fetched_by_password(document: dict[str, Any]) -> None:
    schemes = document["components"]["securitySchemes"]
    asked = document["paths"]["/api/auth/me"]["get"]["security"]

    flow = {"tokenUrl": "/api/auth/login", "scopes": {}}
    assert schemes["bearer"] == {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}
    assert schemes["password"] == {"type": "oauth2", "flows": {"password": flow}}
    assert asked == [{"bearer": []}, {"password": []}]


def test_logging_in_is_described_with_json_and_with_a_form(document: dict[str, Any]) -> None:
    content = document["paths"]["/api/auth/login"]["post"]["requestBody"]["content"]

    fields = {}
    for kind, body in content.items():
        name = body["schema"]["$ref"].rpartition("/")[2]
        fields[kind] = set(document["components"]["schemas"][name]["properties"])
    oauth2 = {"username", "password", "grant_type", "scope", "client_id", "client_secret"}
    assert fields == {"application/json": {"email", "password"}, FORM_TYPE: oauth2}
