"""What a key is good for: wherever an access token stands, but not to manage an account."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.conf import settings
from django.db import connection
from django.db.models.functions import Now
from django.test.utils import CaptureQueriesContext
from rest_framework.test import APIClient

from accounts.keys import lookup, services
from accounts.keys.models import ApiKey
from accounts.models import User
from carprice.http import throttling
from testing.fixtures import ClientOf, MakeUser

pytestmark = pytest.mark.django_db

REFUSAL = {"code": "not_authenticated", "detail": "Sign in and send a valid access token."}
MakeKey = Callable[..., ApiKey]


@pytest.fixture
def make_key(user: User) -> MakeKey:
    def make(access: str = "write", **fields: Any) -> ApiKey:
        return services.make_key(user=user, name="A program", access=access, **fields)

    return make


def client_with(text: str, scheme: str = "Bearer") -> APIClient:
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION=f"{scheme} {text}")
    return client


def change(key: ApiKey, **fields: Any) -> None:
    ApiKey.objects.filter(pk=key.pk).update(**fields)


def last_use(key: ApiKey) -> Any:
    return ApiKey.objects.values_list("last_used_at", flat=True).get(pk=key.pk)


def assert_refused(response: Any) -> None:
    assert response.status_code == 401
    assert response["WWW-Authenticate"] == "Bearer"
    assert response.json() == REFUSAL


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
def test_a_key_opens_its_users_account(make_key: MakeKey, user: User, scheme: str) -> None:
    client = client_with(make_key().text, scheme)

    assert client.get("/balance").json() == {"amount": 1000}
    assert client.get("/api/auth/me").json()["email"] == user.email


def test_a_key_that_may_write_writes(make_key: MakeKey) -> None:
    client = client_with(make_key().text)

    assert client.post("/balance", {"new_amount": 7}, format="json").status_code == 200
    assert client.get("/balance").json() == {"amount": 7}


@pytest.mark.parametrize("accept", ["application/json", "text/html"])
def test_a_read_only_key_only_reads(make_key: MakeKey, accept: str) -> None:
    client = client_with(make_key("read").text)

    answers = {
        method: client.generic(method, "/balance", HTTP_ACCEPT=accept)
        for method in ("GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE")
    }

    statuses = {method: answer.status_code for method, answer in answers.items()}
    writing = dict.fromkeys(["POST", "PUT", "PATCH", "DELETE"], 403)
    assert statuses == {**dict.fromkeys(["GET", "HEAD", "OPTIONS"], 200), **writing}
    assert "read-only" in answers["POST"].content.decode()
    assert client.get("/balance").json() == {"amount": 1000}


def test_a_refusal_of_a_read_only_key_has_the_codes_of_the_contract(make_key: MakeKey) -> None:
    body = client_with(make_key("read").text).post("/balance", {"new_amount": 7}).json()

    assert body["code"] == "permission_denied"
    assert set(body) == {"code", "detail"}


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/api/auth/logout"),
        ("GET", "/api/keys"),
        ("POST", "/api/keys"),
        ("DELETE", "/api/keys/{}"),
    ],
)
def test_no_key_manages_credentials(make_key: MakeKey, method: str, path: str) -> None:
    key = make_key()

    response = client_with(key.text).generic(method, path.format(key.pk), "{}", "application/json")

    assert (response.status_code, response.json()["code"]) == (403, "permission_denied")
    assert "sign in" in response.json()["detail"]
    assert ApiKey.objects.live().get() == key


def test_a_key_is_no_refresh_token(make_key: MakeKey) -> None:
    body = {"refresh_token": make_key().text}

    assert APIClient().post("/api/auth/refresh", body, format="json").status_code == 401


def test_a_key_opens_no_page(make_key: MakeKey) -> None:
    assert client_with(make_key().text).get("/account/keys").status_code == 302


@pytest.mark.parametrize(
    "change_text",
    [
        lambda text: text[:-1],
        lambda text: text + "0",
        lambda text: text[:-1] + ("0" if text[-1] != "0" else "1"),
        lambda text: text.upper(),
        lambda text: text.replace("cp_", "cp_cp_"),
        lambda text: text[3:],
        lambda text: text + " " + text,
        lambda text: "cp_",
        lambda text: "cp_" + "é" * 64,
        lambda text: "cp_" + "x" * 100_000,
        lambda text: text + "\x00",
    ],
)
def test_a_wrong_key_is_answered_like_a_wrong_token(
    make_key: MakeKey, change_text: Callable[[str], str]
) -> None:
    text = change_text(make_key().text)

    assert_refused(client_with(text).get("/balance"))
    assert_refused(client_with(text).post("/balance"))


def test_what_is_stored_of_a_key_is_no_key(make_key: MakeKey) -> None:
    key = make_key()

    assert key.text not in repr(ApiKey.objects.values().get())
    assert key.text.startswith(key.prefix)
    assert_refused(client_with(f"cp_{key.digest}").get("/balance"))


def test_a_revoked_an_expired_and_an_inactive_users_key_are_refused_alike(
    make_key: MakeKey, user: User
) -> None:
    revoked, expired, left = make_key(), make_key(expires_in_days=1), make_key()
    services.revoke_key(user=user, key_id=revoked.pk)
    change(expired, expires_at=Now() - timedelta(seconds=1))
    answers = [client_with(key.text).get("/balance") for key in (revoked, expired)]
    User.objects.filter(pk=user.pk).update(is_active=False)
    answers.append(client_with(left.text).get("/balance"))

    for answer in answers:
        assert_refused(answer)
    assert {answer.content for answer in answers} == {answers[0].content}
    assert last_use(revoked) is last_use(left) is None


def test_a_key_is_good_until_it_expires(make_key: MakeKey) -> None:
    key = make_key(expires_in_days=1)
    change(key, expires_at=Now() + timedelta(seconds=30))

    assert client_with(key.text).get("/balance").status_code == 200


def test_a_key_dies_with_its_user(make_user: MakeUser) -> None:
    user = make_user("eve@example.com", credit=0)
    key = services.make_key(user=user, name="A program", access="read")
    user.delete()

    assert_refused(client_with(key.text).get("/balance"))


def test_a_key_outlives_the_password(make_key: MakeKey, user: User) -> None:
    key = make_key()
    user.set_password("another battery horse")
    user.save()

    assert client_with(key.text).get("/balance").status_code == 200


def test_requests_with_a_key_count_for_its_user(
    make_key: MakeKey, user: User, client_of: ClientOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    counted: list[tuple[str, ...]] = []
    monkeypatch.setattr(throttling, "count", lambda scope, *keys: counted.append((scope, *keys)))

    client_with(make_key().text).get("/balance")
    client_of(user).get("/balance")

    assert counted == [("other", "address:127.0.0.1", f"account:{user.pk}")] * 2


# --- What it costs -------------------------------------------------------------------------------


def statements(client: APIClient) -> int:
    with CaptureQueriesContext(connection) as queries:
        assert client.get("/api/auth/me").status_code == 200
    return len(queries)


def test_a_key_costs_the_one_query_that_a_token_costs(
    make_key: MakeKey, user: User, client_of: ClientOf
) -> None:
    by_token, by_key = client_of(user), client_with(make_key().text)

    first, later = statements(by_key), statements(by_key)

    assert (first, later, statements(by_token)) == (2, 1, 1)  # the first notes its use


def test_what_is_no_key_of_ours_asks_the_database_nothing(user: User) -> None:
    with CaptureQueriesContext(connection) as queries:
        client_with("cp_x").get("/api/auth/me")

    assert len(queries) == 0


def test_a_use_is_noted_about_once_a_minute(make_key: MakeKey) -> None:
    key = make_key()
    client = client_with(key.text)
    ages = {"fresh": lookup.NOTED_EVERY / 2, "stale": lookup.NOTED_EVERY * 2}

    kept = {}
    for name, age in ages.items():
        change(key, last_used_at=Now() - age)
        before = last_use(key)
        client.get("/balance")
        kept[name] = last_use(key) == before

    assert kept == {"fresh": True, "stale": False}


def test_keys_are_asked_for_before_tokens() -> None:
    """A key that came to the token's class would be refused there."""
    names: Any = settings.REST_FRAMEWORK["DEFAULT_AUTHENTICATION_CLASSES"]
    first, second, *_ = names

    assert (first.rpartition(".")[2], second.rpartition(".")[2]) == (
        "KeyAuthentication",
        "BearerAuthentication",
    )
