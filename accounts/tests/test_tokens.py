"""When an access token is good, and everything that makes it worthless."""

import base64
import json
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import jwt
import pytest
from django.conf import settings
from django.utils import timezone
from rest_framework.test import APIClient
from rest_framework_simplejwt.tokens import RefreshToken

from accounts.models import TokenSession, User
from accounts.tokens import SESSION_CLAIM, SessionAccessToken, open_session
from testing.fixtures import PASSWORD

pytestmark = pytest.mark.django_db

REFUSAL = {"code": "not_authenticated", "detail": "Sign in and send a valid access token."}
GetBalance = Callable[[str], Any]


@pytest.fixture
def session(user: User) -> TokenSession:
    return open_session(user)


@pytest.fixture
def token(session: TokenSession) -> str:
    return str(SessionAccessToken.for_session(session))


@pytest.fixture
def get_balance() -> GetBalance:
    """GET /balance with an Authorization header."""

    def get_balance(header: str) -> Any:
        return APIClient().get("/balance", HTTP_AUTHORIZATION=header)

    return get_balance


def claims(session: TokenSession) -> dict[str, Any]:
    """What a good token of this session says."""
    token = str(SessionAccessToken.for_session(session))
    return jwt.decode(token, options={"verify_signature": False})


def assert_refused(response: Any) -> None:
    assert response.status_code == 401
    assert response["WWW-Authenticate"] == "Bearer"
    assert response.json() == REFUSAL


def test_a_fresh_token_opens_its_users_account(get_balance: GetBalance, token: str) -> None:
    response = get_balance(f"Bearer {token}")

    assert (response.status_code, response.json()) == (200, {"amount": 1000})


def test_a_token_from_signing_in_opens_the_account(get_balance: GetBalance, user: User) -> None:
    body = {"email": user.email, "password": PASSWORD}
    granted = APIClient().post("/sign_in", body, format="json").json()

    response = get_balance(f"Bearer {granted['access_token']}")

    assert response.status_code == 200


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER", "bEaReR", " BEARER "])
def test_the_scheme_has_no_case(get_balance: GetBalance, token: str, scheme: str) -> None:
    assert get_balance(f"{scheme} {token}").status_code == 200


def test_a_token_lasts_thirty_minutes(session: TokenSession) -> None:
    payload = claims(session)

    assert payload["exp"] == pytest.approx(time.time() + 30 * 60, abs=10)


def test_a_token_tells_nothing_but_ids(session: TokenSession) -> None:
    payload = claims(session)

    # Nor when it was issued: a machine whose clock is behind would refuse one "from the future".
    assert set(payload) == {"token_type", "exp", "jti", "user_id", "sid", "iss", "aud"}
    assert session.user.email not in json.dumps(payload)


def test_a_token_dies_when_its_user_is_deactivated(
    get_balance: GetBalance, token: str, user: User
) -> None:
    User.objects.filter(pk=user.pk).update(is_active=False)

    assert_refused(get_balance(f"Bearer {token}"))


def test_a_token_dies_with_its_user(
    get_balance: GetBalance, make_user: Callable[..., User]
) -> None:
    user = make_user(credit=0)
    token = SessionAccessToken.for_session(open_session(user))
    user.delete()

    assert_refused(get_balance(f"Bearer {token}"))


def test_a_token_dies_with_the_password_it_was_got_by(
    get_balance: GetBalance, token: str, user: User
) -> None:
    user.set_password("another battery horse")
    user.save()

    assert_refused(get_balance(f"Bearer {token}"))


def test_a_token_dies_with_its_session(
    get_balance: GetBalance, token: str, session: TokenSession
) -> None:
    session.ended_at = timezone.now()
    session.save()

    assert_refused(get_balance(f"Bearer {token}"))


def test_ending_one_session_leaves_the_users_other_tokens_alone(
    get_balance: GetBalance, token: str, session: TokenSession, user: User
) -> None:
    other = SessionAccessToken.for_session(open_session(user))
    session.ended_at = timezone.now()
    session.save()

    assert get_balance(f"Bearer {other}").status_code == 200


def test_a_token_is_refused_one_second_after_it_expired(
    get_balance: GetBalance, session: TokenSession
) -> None:
    token = SessionAccessToken.for_session(session)
    token.set_exp(lifetime=timedelta(seconds=-1))

    assert_refused(get_balance(f"Bearer {token}"))


@pytest.mark.parametrize(
    ("key", "algorithm"),
    [
        pytest.param("x" * 64, "HS256", id="another-key"),
        pytest.param(settings.SECRET_KEY, "HS256", id="the-site-secret"),
        pytest.param(settings.JWT_SIGNING_KEY, "HS512", id="another-algorithm"),
    ],
)
def test_a_foreign_signature_is_refused(
    get_balance: GetBalance, session: TokenSession, key: str, algorithm: str
) -> None:
    forged = jwt.encode(claims(session), key, algorithm=algorithm)

    assert_refused(get_balance(f"Bearer {forged}"))


@pytest.mark.parametrize("name", ["none", "None", "NONE"])
def test_a_token_without_a_signature_is_refused(
    get_balance: GetBalance, session: TokenSession, name: str
) -> None:
    parts = [{"alg": name, "typ": "JWT"}, claims(session)]
    encoded = [base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=") for part in parts]

    assert_refused(get_balance(f"Bearer {b'.'.join([*encoded, b'']).decode()}"))


def test_changed_claims_break_the_signature(
    get_balance: GetBalance, token: str, make_user: Callable[..., User]
) -> None:
    other = open_session(make_user("eve@example.com"))
    head, _, signature = token.split(".")
    payload = base64.urlsafe_b64encode(json.dumps(claims(other)).encode()).rstrip(b"=").decode()

    assert_refused(get_balance(f"Bearer {head}.{payload}.{signature}"))


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"sid": None}, id="session-null"),
        pytest.param({"sid": "1"}, id="session-no-uuid"),
        pytest.param({"sid": "00000000-0000-4000-8000-000000000000"}, id="session-unknown"),
        pytest.param({"sid": {"a": 1}}, id="session-an-object"),
        pytest.param({"token_type": "refresh"}, id="type-refresh"),
        pytest.param({"token_type": None}, id="type-null"),
        pytest.param({"iss": "elsewhere"}, id="issuer"),
        pytest.param({"aud": "elsewhere"}, id="audience"),
        pytest.param({"exp": "soon"}, id="expiry-no-number"),
        pytest.param({"exp": "99999999999"}, id="expiry-a-text"),
        pytest.param({"exp": 10**30}, id="expiry-beyond-the-calendar"),
        pytest.param({"jti": "1"}, id="id-no-uuid"),
    ],
)
def test_a_signed_token_with_a_wrong_claim_is_refused(
    get_balance: GetBalance, session: TokenSession, changes: dict[str, Any]
) -> None:
    payload = {**claims(session), **changes}
    odd = jwt.encode(payload, settings.JWT_SIGNING_KEY, algorithm="HS256")

    assert_refused(get_balance(f"Bearer {odd}"))


@pytest.mark.parametrize("missing", ["sid", "token_type", "exp", "jti", "iss", "aud"])
def test_a_signed_token_without_a_claim_is_refused(
    get_balance: GetBalance, session: TokenSession, missing: str
) -> None:
    payload = claims(session)
    del payload[missing]
    odd = jwt.encode(payload, settings.JWT_SIGNING_KEY, algorithm="HS256")

    assert_refused(get_balance(f"Bearer {odd}"))


def test_a_refresh_token_is_no_access_token(get_balance: GetBalance, session: TokenSession) -> None:
    refresh = RefreshToken.for_user(session.user)
    refresh[SESSION_CLAIM] = str(session.pk)

    assert_refused(get_balance(f"Bearer {refresh}"))


@pytest.mark.parametrize(
    "header",
    [
        "",
        " ",
        "Bearer",
        "Bearer ",
        "Bearer a b",
        "BEARER",
        "BEARER a b",
        "BEARER{token}",
        "Bearer a",
        "Bearer a.b.c",
        "Bearer ..",
        "Bearer \xff\xfe.\xff.\xff",
        "Bearer e30.e30.e30",
        "Basic YWRhOnBhc3N3b3Jk",
        "Token {token}",
        "{token}",
        "Bearer {token}x",
        "Bearer {token} {token}",
        'Bearer "{token}"',
        "Bearer {token},",
    ],
)
def test_a_malformed_header_is_refused(get_balance: GetBalance, token: str, header: str) -> None:
    assert_refused(get_balance(header.format(token=token)))


@pytest.mark.parametrize("token", ["a" * 100_000, ".".join(["e30" * 10_000] * 3)])
def test_a_huge_token_is_refused(get_balance: GetBalance, token: str) -> None:
    assert_refused(get_balance(f"Bearer {token}"))


def test_no_header_at_all_is_refused() -> None:
    assert_refused(APIClient().get("/balance"))


def test_a_bad_token_is_refused_even_beside_a_signed_in_session(user: User) -> None:
    client = APIClient()
    client.force_login(user)

    assert_refused(client.get("/balance", HTTP_AUTHORIZATION="Bearer a.b.c"))


def test_a_signed_in_session_may_read_the_api(user: User) -> None:
    client = APIClient()
    client.force_login(user)

    assert client.get("/balance").status_code == 200


def test_a_signed_in_session_without_the_csrf_token_changes_nothing(user: User) -> None:
    client = APIClient(enforce_csrf_checks=True)
    client.force_login(user)

    response = client.post("/balance", {"new_amount": 5}, format="json")

    assert (response.status_code, response.json()["code"]) == (403, "permission_denied")
    assert client.get("/balance").json() == {"amount": 1000}


def test_a_signed_in_session_with_the_csrf_token_may_change(user: User) -> None:
    client = APIClient(enforce_csrf_checks=True)
    client.force_login(user)
    client.get("/wallet")
    csrf = client.cookies["csrftoken"].value

    response = client.post("/balance", {"new_amount": 5}, format="json", HTTP_X_CSRFTOKEN=csrf)

    assert (response.status_code, response.json()) == (200, {"amount": 5})


def test_a_session_of_a_deactivated_user_is_worth_nothing(user: User) -> None:
    client = APIClient()
    client.force_login(user)
    User.objects.filter(pk=user.pk).update(is_active=False)

    assert_refused(client.get("/balance"))
