"""Every route below /api/auth/, and the common rules as they apply to them."""

import json
from collections.abc import Callable
from contextlib import suppress
from typing import Any
from urllib.parse import quote

import pytest
from django.db import OperationalError, connection
from django.utils import timezone
from rest_framework.test import APIClient

from accounts.models import TokenSession, User
from billing.models import CreditAccount
from carprice.http import throttling
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
    post,
    send,
)
from testing.fixtures import PASSWORD

pytestmark = pytest.mark.django_db
ACCOUNT = {"name": "Bob", "email": "bob@example.com", "password": PASSWORD}
FORM = f"username=ada%40example.com&password={quote(PASSWORD)}"
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


def log_in(form: str) -> Any:
    return send("/api/auth/login", form.encode(), FORM_TYPE)


# --- POST /api/auth/register ----------------------------------------------------------------------


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


# --- POST /api/auth/login -------------------------------------------------------------------------


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


def test_the_tokens_tell_nothing_but_ids(token_pair: Pair) -> None:
    for token in token_pair.values():
        payload = claims(token)
        assert set(payload) == {"token_type", "exp", "jti", "user_id", "sid", "iss", "aud"}
        assert "@" not in json.dumps(payload)


def test_an_access_token_lasts_30_minutes_and_a_refresh_token_14_days(token_pair: Pair) -> None:
    now = timezone.now().timestamp()

    lifetimes = [claims(token)["exp"] - now for token in token_pair.values()]

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


# --- GET /api/auth/me -----------------------------------------------------------------------------


def test_me_is_whoever_the_token_belongs_to(user: User, token_pair: Pair) -> None:
    response = me(token_pair["access_token"])

    assert response.status_code == 200
    assert response.json() == {"id": str(user.pk), "name": "Ada", "email": "ada@example.com"}


def test_me_is_whoever_is_signed_in(user: User) -> None:
    browser = APIClient()
    browser.force_login(user)

    assert browser.get("/api/auth/me").json()["id"] == str(user.pk)


# --- Refusals every route shares ------------------------------------------------------------------


def request(path: str, method: str | None = None, body: bytes = b"", **headers: Any) -> Any:
    content_type = headers.pop("content_type", "application/json")
    return APIClient().generic(method or ROUTES[path], path, body, content_type, **headers)  # type: ignore[arg-type]


@pytest.mark.parametrize("path", PRIVATE)
@pytest.mark.parametrize("header", ["", "Bearer", "Bearer a.b.c", "Basic eDp5"])
def test_without_a_good_token_it_is_401(path: str, header: str) -> None:
    assert_refused(request(path, HTTP_AUTHORIZATION=header), 401, "not_authenticated")


@pytest.mark.parametrize("path", PUBLIC)
def test_a_bad_token_is_no_matter_where_none_is_asked_for(path: str) -> None:
    response = request(path, body=b"{}", HTTP_AUTHORIZATION="Bearer a.b.c")

    assert_refused(response, 400, "invalid_request")


@pytest.mark.parametrize("path", list(ROUTES))
def test_a_wrong_method_is_405_and_names_the_right_one(path: str, bearer: dict[str, Any]) -> None:
    for method in {"GET", "POST", "PUT", "PATCH", "DELETE", "TRACE"} - {ROUTES[path]}:
        response = request(path, method, **bearer)

        assert_refused(response, 405, "method_not_allowed")
        assert set(response["Allow"].split(", ")) - {"HEAD", "OPTIONS"} == {ROUTES[path]}


@pytest.mark.parametrize("path", list(ROUTES))
def test_a_body_over_the_limit_is_413_whatever_its_type(path: str, bearer: dict[str, Any]) -> None:
    body = b" " * (BODY_LIMIT + 1)

    for content_type in ("application/json", FORM_TYPE, "text/plain"):
        response = request(path, body=body, content_type=content_type, **bearer)
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
    response = request(path, body=b"a=b", content_type=content_type, **bearer)

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
    path: str, scope: str, token_pair: Pair, bearer: dict[str, Any]
) -> None:
    with suppress(throttling.TooManyRequests):
        while True:
            throttling.count(scope, "address:127.0.0.1")

    response = request(path, body=b"{", **bearer)

    assert_refused(response, 429, "too_many_requests")
    assert 1 <= int(response["Retry-After"]) <= 60
    throttling.reset()
    assert_alive(token_pair)


@pytest.mark.parametrize("path", PRIVATE)
def test_401_comes_before_everything(path: str) -> None:
    body = b"x" * (BODY_LIMIT + 1)

    response = request(path, "PUT", body, content_type="text/plain")

    assert_refused(response, 401, "not_authenticated")


@pytest.mark.parametrize("path", PUBLIC)
def test_405_comes_before_413_and_415(path: str) -> None:
    body = b"x" * (BODY_LIMIT + 1)

    response = request(path, "PUT", body, content_type="text/plain")

    assert_refused(response, 405, "method_not_allowed")


@pytest.mark.parametrize("path", list(ROUTES))
def test_without_the_database_it_is_503(
    path: str, token_pair: Pair, bearer: dict[str, Any]
) -> None:
    bodies = {
        "/api/auth/register": ACCOUNT,
        "/api/auth/login": CREDENTIALS,
        "/api/auth/refresh": {"refresh_token": token_pair["refresh_token"]},
    }

    def refuse(call: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        if "SAVEPOINT" in sql:
            return call(sql, params, many, context)
        raise OperationalError('connection to server at "10.0.0.7" failed')

    with connection.execute_wrapper(refuse):
        response = request(path, body=json.dumps(bodies.get(path, {})).encode(), **bearer)

    assert_refused(response, 503, "unavailable")
    assert int(response["Retry-After"]) >= 1
    assert b"10.0.0.7" not in response.content
    assert_alive(token_pair)


# --- The OpenAPI document -------------------------------------------------------------------------


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
    security = document["paths"]["/api/auth/me"]["get"]["security"]

    flow = {"tokenUrl": "/api/auth/login", "scopes": {}}
    bearer = {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}
    assert schemes["bearer"].items() >= bearer.items()
    assert "API key" in schemes["bearer"]["description"]
    assert schemes["password"] == {"type": "oauth2", "flows": {"password": flow}}
    assert security == [{"bearer": []}, {"password": []}]


def test_logging_in_is_described_with_json_and_with_a_form(document: dict[str, Any]) -> None:
    content = document["paths"]["/api/auth/login"]["post"]["requestBody"]["content"]

    fields = {}
    for kind, body in content.items():
        name = body["schema"]["$ref"].rpartition("/")[2]
        fields[kind] = set(document["components"]["schemas"][name]["properties"])
    oauth2 = {"username", "password", "grant_type", "scope", "client_id", "client_secret"}
    assert fields == {"application/json": {"email", "password"}, FORM_TYPE: oauth2}
