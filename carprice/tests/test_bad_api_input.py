"""Every common rule of the contract at every route of /api/: one table of routes, one of faults.

A new route is covered by its line in ROUTES; a test fails as long as it has none.
"""

import json
import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from io import BytesIO
from typing import Any

import jwt
import pytest
from django.conf import LazySettings, settings
from django.db import transaction
from django.test import Client
from django.urls import resolve
from rest_framework.test import APIClient

from accounts.models import User
from accounts.tokens import SessionAccessToken
from carprice.http import throttling
from carprice.server.chunked_bodies import KnownLength
from carprice.tests.test_bad_input import BROKEN_BODIES
from testing.bad_input import CAR, MODEL, NO_ID, VARIED, World, changed, everything, leaks
from testing.fixtures import PASSWORD
from testing.routes import api_routes

pytestmark = pytest.mark.django_db

LIMIT = settings.BODY_LIMIT_BYTES
METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE", "TRACE", "CONNECT", "BREW", "INITIAL"]
FOR_OPERATORS = {"api-schema", "api-docs"}  # described, not part of the surface


@dataclass(frozen=True)
class Route:
    """A method and a path; `{draft}` and the like stand for ids of the world."""

    method: str
    path: str
    status: int = 200
    body: dict[str, Any] | None = None  # valid; None where none is looked at
    public: bool = False
    keyed: bool = False  # honours Idempotency-Key
    form: bool = False  # takes an URL-encoded form too
    scope: str = "other"
    optional: frozenset[str] = frozenset()

    def __str__(self) -> str:
        return f"{self.method} {self.path}"


BOB = {"name": "Bob", "email": "bob@example.com", "password": "an unusual sentence"}
SIGN_IN = {"email": "ada@example.com", "password": PASSWORD}
ORDER = {"model_name": MODEL, "data": CAR, "explain": True}
SAVED = frozenset({"data", "explain"})

ROUTES = [
    Route(
        "POST",
        "/api/auth/register",
        201,
        BOB,
        public=True,
        scope="sign_up",
        optional=frozenset({"name"}),
    ),
    Route("POST", "/api/auth/login", 200, SIGN_IN, public=True, form=True, scope="sign_in"),
    Route("POST", "/api/auth/refresh", 200, {"refresh_token": "{refresh_token}"}, public=True),
    Route("POST", "/api/auth/logout", 204, {}),
    Route("GET", "/api/auth/me"),
    Route("GET", "/api/wallet"),
    Route("POST", "/api/wallet/topup", 201, {"amount": 5}, keyed=True, scope="top_up"),
    Route("GET", "/api/wallet/transactions"),
    Route("GET", "/api/predictors"),
    Route("GET", f"/api/predictors/{MODEL}"),
    Route(
        "POST",
        "/api/tasks/predict",
        202,
        ORDER,
        keyed=True,
        scope="submit",
        optional=frozenset({"explain"}),
    ),
    Route("POST", "/api/tasks", 201, ORDER, scope="submit", optional=SAVED),
    Route("GET", "/api/tasks"),
    Route("GET", "/api/tasks/history"),
    Route("GET", "/api/tasks/running"),
    Route("GET", "/api/tasks/{draft}"),
    Route("PATCH", "/api/tasks/{draft}", 200, {"data": CAR, "explain": True}, optional=SAVED),
    Route("DELETE", "/api/tasks/{draft}", 204),
    Route("POST", "/api/tasks/{draft}/run", 202, {}, keyed=True, scope="submit"),
    Route("POST", "/api/tasks/{draft}/cancel", 200, {}),
    Route("POST", "/api/tasks/{finished}/what-if", 200, {"data": VARIED}, scope="submit"),
]
GUARDED = [route for route in ROUTES if not route.public]
WITH_BODY = [route for route in ROUTES if route.body is not None]
WITH_FIELDS = [route for route in WITH_BODY if route.body]
WITH_ID = [route for route in ROUTES if "{" in route.path]
KEYED = [route for route in ROUTES if route.keyed]
SUBMITTING = [route for route in KEYED if route.scope == "submit"]


def at(route: Route, place: str) -> str:
    """The route's path with another id."""
    return re.sub(r"\{\w+\}", lambda _: place, route.path)


def each(routes: list[Route]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("route", routes, ids=str)


# --- The world, and asking in it -----------------------------------------------------------------


@dataclass(frozen=True)
class Ask:
    """A request that deviates from its route's valid one; `to` sends it."""

    body: bytes | None = None
    method: str = ""
    path: str = ""
    content_type: str = "application/json"
    headers: dict[str, Any] = field(default_factory=dict)
    names: list[str] | None = None  # the fields that its refusal must name

    def to(self, route: Route, world: World) -> Any:
        path = (self.path or route.path).format(**world.ids, refresh_token="")
        headers = dict(self.headers)
        if not route.public:
            headers.setdefault("HTTP_AUTHORIZATION", f"Bearer {world.token}")
        client = APIClient(enforce_csrf_checks=True)
        body = valid_body(route, world) if self.body is None else self.body
        return client.generic(
            self.method or route.method,
            path,
            body,  # type: ignore[arg-type]  # bytes are fine
            self.content_type,
            **{name: value for name, value in headers.items() if value is not None},
        )


def valid_body(route: Route, world: World) -> bytes:
    if route.body is None:
        return b""
    body = dict(route.body)
    if "refresh_token" in body:
        body["refresh_token"] = world.refresh_token
    return json.dumps(body).encode()


def with_field(route: Route, name: str, value: bytes) -> bytes:
    """The valid body with this field as this JSON."""
    fields = {key: json.dumps(item).encode() for key, item in (route.body or {}).items()}
    pairs = {**fields, name: value}
    return b"{%s}" % b", ".join(b'"%s": %s' % (key.encode(), pairs[key]) for key in pairs)


def wrong_with(
    response: Any, status: int, code: str, fields: list[str] | None = None
) -> dict[str, Any]:
    """How an answer differs from this refusal: empty if it does not."""
    body = response.json() if response["Content-Type"] == "application/json" else {}
    keys = {"code", "detail"} | ({"errors"} if status == 400 else set())
    messages = [text for texts in body.get("errors", {}).values() for text in texts]
    asked = status == 401
    later = status in (429, 503)
    facts: dict[str, tuple[Any, Any]] = {
        "status": (response.status_code, status),
        "code": (body.get("code"), code),
        "keys": (set(body), keys),
        "fields": (sorted(body.get("errors", {})), sorted(fields))
        if fields is not None
        else (True, True),
        "sentences": (all(isinstance(t, str) and t for t in [body.get("detail"), *messages]), True),
        "asks for a token": (response.get("WWW-Authenticate"), "Bearer" if asked else None),
        "says when": (response.get("Retry-After", "").isdecimal(), later),
        "leaks": (leaks(response), []),
    }
    return {name: found for name, (found, wanted) in facts.items() if found != wanted}


def refuse(world: World, route: Route, asks: dict[str, Ask], status: int, code: str) -> None:
    """Send each of them: all are refused like this, and nothing has changed."""
    before = everything()

    answers = {
        name: wrong_with(ask.to(route, world), status, code, ask.names)
        for name, ask in asks.items()
    }

    assert not {name[:60]: wrong for name, wrong in answers.items() if wrong}
    assert not changed(before)


# --- The table -----------------------------------------------------------------------------------


def json_routes() -> set[tuple[str, str]]:
    """Name and method of every route that answers JSON below /api/."""
    found = set()
    for route in api_routes():
        if route.name in FOR_OPERATORS or not str(route.pattern).startswith("api/"):
            continue
        view = route.callback.view_class  # type: ignore[attr-defined]
        methods = {"get", "post", "put", "patch", "delete"}
        found |= {(str(route.name), name.upper()) for name in methods if hasattr(view, name)}
    return found


def name_of(route: Route) -> str:
    return str(resolve(at(route, NO_ID)).url_name)


def test_every_route_is_in_the_table() -> None:
    assert json_routes() == {(name_of(route), route.method) for route in ROUTES}


@each(ROUTES)
def test_as_it_stands_in_the_table_a_route_is_answered(world: World, route: Route) -> None:
    response = Ask().to(route, world)

    assert response.status_code == route.status


# --- 401: credentials ----------------------------------------------------------------------------


def claims(world: World, **changes: Any) -> dict[str, Any]:
    """Those of a good access token, but for some."""
    good = SessionAccessToken(world.token).payload  # type: ignore[arg-type]  # its stub is wrong
    return {name: value for name, value in {**good, **changes}.items() if value is not None}


def signed(payload: dict[str, Any], key: str = settings.JWT_SIGNING_KEY) -> str:
    return jwt.encode(payload, key, algorithm="HS256")


def bad_tokens(world: World) -> dict[str, str]:
    header, payload, signature = world.token.split(".")
    past = datetime.now(UTC) - timedelta(seconds=1)
    theirs = SessionAccessToken(world.token_of(world.stranger))  # type: ignore[arg-type]
    return {
        "nothing": "",
        "a word": "token",
        "two words": "a b",
        "cut": world.token[:-1],
        "longer": world.token + "A",
        "no signature": f"{header}.{payload}.",
        "two parts": f"{header}.{payload}",
        "other signature": f"{header}.{payload}.{signature[::-1]}",
        "other payload": f"{header}.{payload[:-2]}AA.{signature}",
        "no algorithm": jwt.encode(claims(world), "", algorithm="none"),
        "foreign key": signed(claims(world), "x" * 50),
        "key of the pages": signed(claims(world), settings.SECRET_KEY),
        "refresh token": world.refresh_token,
        "expired": signed(claims(world, exp=past)),
        "never expires": signed(claims(world, exp=None)),
        "huge expiry": signed(claims(world, exp=10**20)),
        "no session": signed(claims(world, sid=None)),
        "unknown session": signed(claims(world, sid=NO_ID)),
        "odd session": signed(claims(world, sid="' OR 1=1 --")),
        "session of a number": signed(claims(world, sid=7)),
        "no id": signed(claims(world, jti=None)),
        "other issuer": signed(claims(world, iss="evil")),
        "other audience": signed(claims(world, aud="evil")),
        "other kind": signed(claims(world, token_type="sliding")),
        "ended session": world.ended_token(),
        "foreign session": theirs.__str__()[:-3] + "AAA",
        "long": "x" * 100_000,
        "not ascii": "é",
        "nul": "a\x00b",
    }


@each(GUARDED)
def test_without_a_good_token_it_is_401(world: World, route: Route) -> None:
    headers: dict[str, str | None] = {
        name: f"Bearer {token}" for name, token in bad_tokens(world).items()
    }
    headers |= {"none": None, "no scheme": world.token, "basic": "Basic YWRhOmFkYQ==", "empty": ""}
    asks = {name: Ask(headers={"HTTP_AUTHORIZATION": value}) for name, value in headers.items()}

    refuse(world, route, asks, 401, "not_authenticated")


@each(GUARDED)
@pytest.mark.parametrize(
    "change", [{"is_active": False}, {"password": "!"}], ids=["inactive", "other-password"]
)
def test_the_token_of_who_may_no_longer_sign_in_is_401(
    world: World, route: Route, change: dict[str, Any]
) -> None:
    User.objects.filter(pk=world.user.pk).update(**change)

    refuse(world, route, {"": Ask()}, 401, "not_authenticated")


@each([route for route in ROUTES if route.public])
def test_a_public_route_looks_at_no_token(world: World, route: Route) -> None:
    for token in ("Bearer x", "Basic x", "", "é"):
        with transaction.atomic():
            response = Ask(headers={"HTTP_AUTHORIZATION": token}).to(route, world)
            transaction.set_rollback(True)

        assert response.status_code == route.status


# --- 403: a signed-in browser --------------------------------------------------------------------


@each([route for route in GUARDED if route.method != "GET"])
def test_a_signed_in_browser_needs_its_csrf_token_whatever_it_sends(
    world: World, route: Route
) -> None:
    cookie = "; ".join(f"{name}={m.value}" for name, m in world.browser.cookies.items())
    headers = {"HTTP_AUTHORIZATION": None, "HTTP_COOKIE": cookie}
    asks = {
        "valid": Ask(headers=headers),
        "malformed": Ask(b"{", headers=headers),
        "too large": Ask(b"x" * (LIMIT + 1), headers=headers),
        "form": Ask(
            b"a=%ff&a=1", content_type="application/x-www-form-urlencoded", headers=headers
        ),
        "multipart": Ask(b"x", content_type="multipart/form-data; boundary=é", headers=headers),
        "many fields": Ask(
            b"&".join(b"a=1" for _ in range(600)),
            content_type="application/x-www-form-urlencoded",
            headers=headers,
        ),
        "wrong token": Ask(headers={**headers, "HTTP_X_CSRFTOKEN": "x" * 32}),
        "foreign page": Ask(headers={**headers, "HTTP_ORIGIN": "https://evil.example"}),
    }

    refuse(world, route, asks, 403, "permission_denied")


# --- 405: methods --------------------------------------------------------------------------------


def methods_of(route: Route) -> set[str]:
    """What the route's path takes."""
    return {other.method for other in ROUTES if name_of(other) == name_of(route)}


@each(ROUTES)
def test_another_method_is_405_and_told_which_there_are(world: World, route: Route) -> None:
    others = [method for method in METHODS if method not in methods_of(route)]

    refuse(world, route, {m: Ask(method=m) for m in others}, 405, "method_not_allowed")

    response = Ask(method=others[0]).to(route, world)
    allowed = {name.strip() for name in response["Allow"].split(",")}
    get = {"HEAD"} if "GET" in methods_of(route) else set()
    assert allowed - {"OPTIONS"} - get == methods_of(route)


@each(ROUTES)
@pytest.mark.parametrize("name", ["HTTP_X_HTTP_METHOD_OVERRIDE", "HTTP_X_METHOD_OVERRIDE"])
def test_a_method_in_a_header_is_ignored(world: World, route: Route, name: str) -> None:
    response = Ask(method="PUT", headers={name: route.method}).to(route, world)

    assert not wrong_with(response, 405, "method_not_allowed")


@pytest.mark.parametrize("query", ["_method=DELETE", "method=DELETE", "_method=PATCH"])
def test_a_method_in_the_query_or_the_body_is_ignored(world: World, query: str) -> None:
    before = everything()
    route = Route("POST", "/api/tasks/{draft}", body={})

    for ask in (Ask(b"", path=f"{route.path}?{query}"), Ask(b'{"_method": "DELETE"}')):
        assert not wrong_with(ask.to(route, world), 405, "method_not_allowed")

    assert not changed(before)


@each([route for route in ROUTES if route.method == "GET"])
def test_head_is_get_without_a_body(world: World, route: Route) -> None:
    response = Ask(method="HEAD").to(route, world)

    assert (response.status_code, response.content) == (200, b"")


@each(ROUTES)
def test_options_changes_nothing_and_lets_no_foreign_page_in(world: World, route: Route) -> None:
    before = everything()
    headers = {"HTTP_ORIGIN": "https://evil.example", "HTTP_ACCESS_CONTROL_REQUEST_METHOD": "POST"}

    response = Ask(b"", method="OPTIONS", headers=headers).to(route, world)

    assert response.status_code == 200
    assert response["Content-Type"] == "application/json"
    assert not [name for name in response.headers if name.lower().startswith("access-control")]
    assert not leaks(response)
    assert not changed(before)


# --- 413 and 415: the body from outside ----------------------------------------------------------


@each(ROUTES)
def test_a_body_over_the_limit_is_413(world: World, route: Route) -> None:
    asks = {kind: Ask(b" " * (LIMIT + 1), content_type=kind) for kind in ("application/json", "x")}

    refuse(world, route, asks, 413, "body_too_large")


@each(WITH_BODY)
def test_another_content_type_is_415(world: World, route: Route) -> None:
    kinds = ["text/plain", "text/json", "application/xml", "application/octet-stream", "x", "/", ""]
    kinds += ["multipart/form-data; boundary=x", "application/merge-patch+json", "é/é"]
    kinds += [] if route.form else ["application/x-www-form-urlencoded"]
    asks = {kind: Ask(b'{"a": 1}', content_type=kind) for kind in kinds}

    refuse(world, route, asks, 415, "unsupported_media_type")


@each(WITH_BODY)
def test_a_packed_body_is_415_and_never_unpacked(world: World, route: Route) -> None:
    encodings = ["gzip", "GZIP", "deflate", "br", "zstd", "identity, gzip", "x"]
    asks = {
        name: Ask(BROKEN_BODIES["gzip"], headers={"HTTP_CONTENT_ENCODING": name})
        for name in encodings
    }

    refuse(world, route, asks, 415, "unsupported_media_type")


# --- 429: too many requests, a full queue --------------------------------------------------------


@pytest.fixture
def closed(settings: LazySettings) -> Iterator[Callable[[str], None]]:
    """Let the limit of a scope refuse the next request."""

    def close(scope: str) -> None:
        settings.THROTTLES = {**settings.THROTTLES, scope: "1/hour"}
        throttling._limit.cache_clear()
        with suppress(throttling.TooManyRequests):
            throttling.count(scope, "address:127.0.0.1")

    yield close
    throttling._limit.cache_clear()


@each(ROUTES)
def test_too_many_requests_are_429_before_the_body_is_looked_at(
    world: World, route: Route, closed: Callable[[str], None]
) -> None:
    closed(route.scope)
    bad = Ask(b"{", headers={"HTTP_IDEMPOTENCY_KEY": "a b", "CONTENT_LENGTH": "abc"})

    refuse(world, route, {"valid": Ask(), "bad": Ask(b"{")}, 429, "too_many_requests")
    refuse(world, route, {"bad headers": bad}, 429, "too_many_requests")


@each(SUBMITTING)
def test_a_full_queue_is_429_before_errors_in_the_request(
    world: World, route: Route, settings: LazySettings
) -> None:
    settings.QUEUE_LIMIT_PER_USER = 1
    key = {"HTTP_IDEMPOTENCY_KEY": "k"}
    asks = {
        "valid": Ask(),
        "malformed": Ask(b"{"),
        "unknown field": Ask(b'{"x": 1}'),
        "unknown model": Ask(b'{"model_name": "x", "data": {}}'),
        "valid with a key": Ask(headers=key),
        "malformed with a key": Ask(b"{", headers=key),
        "with a bad key": Ask(headers={"HTTP_IDEMPOTENCY_KEY": "a b"}),
    }
    if "{" in route.path:
        asks["missing"] = Ask(path=at(route, NO_ID))

    refuse(world, route, asks, 429, "queue_full")


# --- 400: bodies ---------------------------------------------------------------------------------

BLANK = {"nothing", "blank"}  # as good as an empty object


@each(WITH_BODY)
def test_a_broken_body_is_refused(world: World, route: Route) -> None:
    bodies = {name: body for name, body in BROKEN_BODIES.items() if route.body or name not in BLANK}

    refuse(world, route, {n: Ask(b) for n, b in bodies.items()}, 400, "invalid_request")


EXTRA = ["role", "is_staff", "is_active", "user", "user_id", "id", "status", "price", "charged"]
EXTRA += ["result", "hold", "balance", "created_at", "Amount", "é", "__proto__", "x" * 10_000]


@each(WITH_BODY)
def test_an_unknown_field_is_refused_by_its_name(world: World, route: Route) -> None:
    asks = {name: Ask(with_field(route, name, b"1"), names=[name]) for name in EXTRA}

    refuse(world, route, asks, 400, "invalid_request")


@each(WITH_BODY)
def test_a_field_given_twice_is_refused_by_its_name(world: World, route: Route) -> None:
    asks = {
        name: Ask(b'{"%s": 1, "%s": 2}' % (name.encode(), name.encode()), names=[name])
        for name in route.body or ["x"]
    }

    refuse(world, route, asks, 400, "invalid_request")


@each(WITH_FIELDS)
def test_a_missing_field_is_refused_by_its_name(world: World, route: Route) -> None:
    body = route.body or {}
    rests = {name: {**body} for name in set(body) - route.optional}
    for name, rest in rests.items():
        del rest[name]

    asks = {name: Ask(json.dumps(rest).encode(), names=[name]) for name, rest in rests.items()}

    refuse(world, route, asks, 400, "invalid_request")


NO_TEXT = [b"null", b"7", b"-0.5", b"true", b"[]", b'["x"]', b"{}", b'{"a": 1}', b"1e308"]
ODD_TEXT = [
    b'""',
    b'"\\u0000"',
    b'"x\\u0000"',
    b'"\\ud800"',
    b'"\\udc00\\ud800"',
    b'"\xed\xa0\x80"',
]
LONG = b'"%s"' % (b"x" * 1_000_000)
HUGE = [b"NaN", b"Infinity", b"-Infinity", b"1e999", b"-1e999"]
NO_INTEGER = [b"null", b"true", b"false", b'"5"', b'""', b"5.0", b"0.5", b"1e2", b"1e308", b"[5]"]
NO_INTEGER += [b"{}", '"５"'.encode(), b'"1_0"', *HUGE]
NO_TRUTH = [b"null", b"0", b"1", b'"true"', b'""', b"[]", b"{}", b"1.0", b"1e308", *HUGE]
TEXT = [*NO_TEXT, *ODD_TEXT, *HUGE, LONG]
BAD: dict[str, list[bytes]] = {
    "name": [*TEXT, b'"   "', b'"%s"' % (b"x" * 151)],
    "email": [*TEXT, b'"%s@example.com"' % (b"x" * 300)],
    "password": [*TEXT, b'"%s"' % (b"x" * 129)],
    "refresh_token": [*TEXT, b'"%s"' % (b"x" * 2001)],
    "amount": [
        *NO_INTEGER,
        *[b"0", b"-1", b"-5", b"1000001", b"9223372036854775808"],
        *[b"1" + b"0" * 20, b"-1" + b"0" * 20, b"9" * 4_000, b"9" * 5_000, LONG],
    ],
    "model_name": [*TEXT, b'"%s"' % (b"x" * 61)],
    "explain": [*NO_TRUTH, LONG],
    "data": [*HUGE, *ODD_TEXT[1:], b'{"a": "\\u0000"}', b'{"\\ud800": 1}', b'{"a": NaN}', LONG],
}


def named(value: bytes, name: str) -> list[str] | None:
    """Which field a refusal of this value names; None if it may be an inner one."""
    if b"\xed" in value or len(value) == 5_000:
        return ["body"]  # the body itself is no JSON of ours
    return None if name == "data" else [name]


@each(WITH_FIELDS)
def test_a_bad_value_is_refused_by_its_field(world: World, route: Route) -> None:
    asks = {
        f"{name} {value[:30]!r} {len(value)}": Ask(
            with_field(route, name, value), names=named(value, name)
        )
        for name in route.body or {}
        for value in BAD[name]
    }

    refuse(world, route, asks, 400, "invalid_request")


PREDICT = next(route for route in ROUTES if route.path == "/api/tasks/predict")
BAD_NUMBERS = [*NO_INTEGER, b"-1", b"0", b"1" + b"0" * 20, b'"NaN"', b'"inf"', b"[[3]]", LONG]
BAD_FEATURES = {
    "horsepower": [value for value in BAD_NUMBERS if value not in (b"1e2", b"5.0")],
    "brand": [*NO_TEXT, *ODD_TEXT[:4], b'"tesla"', b'"BMW"', b"0", LONG],
    "wings": [b"1", b"null", b'"x"'],
    "": [b"1"],
    "__proto__": [b"1"],
    "x" * 10_000: [b"1"],
}


@pytest.mark.parametrize("feature", BAD_FEATURES, ids=lambda name: name[:20])
def test_a_bad_feature_is_refused_by_its_bare_name(world: World, feature: str) -> None:
    rows = {value: b'{"%s": %s}' % (feature.encode(), value) for value in BAD_FEATURES[feature]}
    asks = {
        f"{value[:30]!r} {len(value)}": Ask(with_field(PREDICT, "data", row), names=[feature])
        for value, row in rows.items()
    }

    refuse(world, PREDICT, asks, 400, "invalid_request")


@pytest.mark.parametrize("data", [b"null", b"7", b"true", b'"x"', b"[]", b'[{"brand": "bmw"}]'])
def test_data_that_is_no_object_is_refused_by_its_name(world: World, data: bytes) -> None:
    ask = Ask(with_field(PREDICT, "data", data), names=["data"])

    refuse(world, PREDICT, {"": ask}, 400, "invalid_request")


def test_no_feature_at_all_is_refused(world: World) -> None:
    refuse(world, PREDICT, {"": Ask(with_field(PREDICT, "data", b"{}"))}, 400, "invalid_request")


def test_a_patch_of_nothing_is_refused(world: World) -> None:
    [route] = [route for route in ROUTES if route.method == "PATCH"]

    refuse(world, route, {"": Ask(b"{}")}, 400, "invalid_request")


LOGIN = next(route for route in ROUTES if route.form)
FORM = b"username=ada@example.com&password=correct+horse+battery"


@pytest.mark.parametrize(
    ("form", "fields"),
    [
        (b"", ["password", "username"]),
        (FORM + b"&password=x", ["password"]),
        (FORM + b"&x=1", ["x"]),
        (FORM + b"&email=ada@example.com", ["email"]),
        (FORM.replace(b"ada", b"%00"), ["username"]),
        (FORM.replace(b"ada", b"%ED%A0%80"), ["username"]),
        (FORM.replace(b"ada", b"\xff"), ["username"]),
        (FORM.replace(b"ada", b"a" * 1_000_000), ["username"]),
        (FORM + b"&grant_type=x", ["grant_type"]),
        (FORM + b"".join(b"&f%d=1" % number for number in range(600)), ["body"]),
    ],
    ids=lambda value: str(value[:70]),
)
def test_a_bad_form_is_refused_by_field(world: World, form: bytes, fields: list[str]) -> None:
    ask = Ask(form, content_type="application/x-www-form-urlencoded", names=fields)

    refuse(world, LOGIN, {"": ask}, 400, "invalid_request")


# --- 400: headers and queries --------------------------------------------------------------------

BAD_KEYS = ["", " ", "a b", "a\tb", "k" * 256, "é", "\u2028", "\x7f", "\x00", "１", "k" * 100_000]


@each(KEYED)
def test_a_bad_idempotency_key_is_refused_by_its_name(world: World, route: Route) -> None:
    names = ["Idempotency-Key"]
    headers = {repr(key): {"HTTP_IDEMPOTENCY_KEY": key} for key in BAD_KEYS}
    asks = {key: Ask(headers=header, names=names) for key, header in headers.items()}

    refuse(world, route, asks, 400, "invalid_request")


@each(KEYED)
def test_a_refusal_leaves_its_idempotency_key_free(world: World, route: Route) -> None:
    key = {"HTTP_IDEMPOTENCY_KEY": "k"}

    refuse(world, route, {"": Ask(b'{"x": 1}', headers=key)}, 400, "invalid_request")

    assert Ask(headers=key).to(route, world).status_code == route.status


@each([route for route in ROUTES if not route.keyed])
def test_elsewhere_an_idempotency_key_means_nothing(world: World, route: Route) -> None:
    response = Ask(headers={"HTTP_IDEMPOTENCY_KEY": "a b"}).to(route, world)

    assert response.status_code == route.status


LISTS = ["/api/wallet/transactions", "/api/tasks", "/api/tasks/history", "/api/tasks/running"]
DATED = [path for path in LISTS if "running" not in path]
BAD_SIZES = ["0", "-1", "abc", "", "1.5", "1e9", "１０", "1_0", "%00", "%2B5", "10%20", "NaN"]
BAD_TIMES = ["", "abc", "2026-01-31", "2026-01-31T12:00:00", "9999-99-99T00:00:00Z", "%00", "0"]
BAD_TIMES += ["0001-01-01T00:00:00Z", "10000-01-01T00:00:00Z", "2026-01-31T12:00:00%2B99:99", "NaN"]
BAD_TIMES += ["２０２６-01-31T12:00:00Z", "9" * 30, "2026-01-31T12:00:00Z'%20OR%201=1--"]
BAD_CURSORS = ["", "x", "a.b", "%00", "%ED%A0%80", "é", "x" * 501, "x" * 3_000, "W10.x"]
BAD_WORDS = ["", "x", "QUEUED", "%00", "done'%20OR%201=1--", "%ED%A0%80", "x" * 3_000, "null"]
BAD_WAITS = ["-1", "31", "abc", "", "NaN", "inf", "1e999", "１", "1_0", "%00", "%201", "9" * 400]
QUERIES: list[tuple[str, str, list[str]]] = [
    *[(path, "page_size", BAD_SIZES) for path in LISTS],
    *[(path, "cursor", BAD_CURSORS) for path in LISTS],
    *[(path, "created_after", BAD_TIMES) for path in DATED],
    *[(path, "created_before", BAD_TIMES) for path in DATED],
    ("/api/wallet/transactions", "kind", [*BAD_WORDS, "hold", "release", "capture"]),
    *[(path, "status", [*BAD_WORDS, "done"]) for path in ("/api/tasks", "/api/tasks/history")],
    *[
        (path, "domain", BAD_WORDS)
        for path in ("/api/tasks", "/api/tasks/history", "/api/predictors")
    ],
    *[
        (path, "model_name", ["", "%00", "x" * 61, "x" * 3_000])
        for path in ("/api/tasks", "/api/tasks/history")
    ],
    ("/api/tasks/{draft}", "wait", BAD_WAITS),
]
WITH_QUERY = sorted({path for path, _, _ in QUERIES})


@pytest.mark.parametrize(("path", "name", "values"), QUERIES)
def test_a_bad_parameter_is_refused_by_its_name(
    world: World, path: str, name: str, values: list[str]
) -> None:
    asks = {value: Ask(path=f"{path}?{name}={value}", names=[name]) for value in values}

    refuse(world, Route("GET", path), asks, 400, "invalid_request")


@pytest.mark.parametrize("path", WITH_QUERY)
def test_an_unknown_parameter_is_refused_by_its_name(world: World, path: str) -> None:
    names = ["x", "ordering", "user", "Status", "page", "offset", "é", "cursor[]"]
    asks = {name: Ask(path=f"{path}?{name}=1", names=[name]) for name in names}

    refuse(world, Route("GET", path), asks, 400, "invalid_request")


@pytest.mark.parametrize(("path", "name"), [(path, name) for path, name, _ in QUERIES])
def test_a_parameter_given_twice_is_refused_by_its_name(world: World, path: str, name: str) -> None:
    ask = Ask(path=f"{path}?{name}=1&{name}=1", names=[name])

    refuse(world, Route("GET", path), {"": ask}, 400, "invalid_request")


@pytest.mark.parametrize("path", LISTS)
def test_the_cursor_of_somebody_else_or_of_another_list_is_refused(world: World, path: str) -> None:
    route = Route("GET", path)
    other = next(each for each in LISTS if ("wallet" in each) != ("wallet" in path))
    theirs = {"HTTP_AUTHORIZATION": f"Bearer {world.token_of(world.stranger)}"}
    for _ in range(2):
        for mine in (world.user, world.stranger):
            world._draft(mine), world._queued(mine), world._canceled(mine)
    foreign = cursor_in(Ask(path=f"{path}?page_size=1", headers=theirs).to(route, world))
    misplaced = cursor_in(Ask(path=f"{other}?page_size=1").to(route, world))

    asks = {
        name: Ask(path=f"{path}?cursor={cursor}", names=["cursor"])
        for name, cursor in {"foreign": foreign, "misplaced": misplaced}.items()
    }

    refuse(world, route, asks, 400, "invalid_request")


def cursor_in(page: Any) -> str:
    return str(page.json()["next"].split("cursor=")[1].split("&")[0])


def test_a_changed_cursor_is_refused(world: World) -> None:
    route = Route("GET", "/api/tasks")
    cursor = cursor_in(Ask(path="/api/tasks?page_size=1").to(route, world))
    bad = [cursor[:-1], cursor + "A", "A" + cursor, cursor.upper(), cursor.replace(".", "%00.")]

    asks = {value: Ask(path=f"/api/tasks?cursor={value}", names=["cursor"]) for value in bad}

    refuse(world, route, asks, 400, "invalid_request")


# --- 404, 409, 402 -------------------------------------------------------------------------------

ODD_IDS = [
    "1",
    "x",
    "-1",
    "%00",
    "%20",
    "%ED%A0%80",
    "é",
    "null",
    "x" * 10_000,
    "１" * 32,
]
ODD_IDS += ["' OR 1=1 --", NO_ID + "0", NO_ID[:-1], "{" + NO_ID]


@each(WITH_ID)
def test_what_is_not_mine_is_404_like_what_is_not_there(world: World, route: Route) -> None:
    ids = {name: world.ids[name] for name in ("theirs", "their_queued", "erased")}
    ids |= {name[:30]: name for name in [NO_ID, *ODD_IDS]}
    paths = {name: at(route, value) for name, value in ids.items()}
    missing = Ask(path=at(route, NO_ID)).to(route, world)

    refuse(
        world,
        route,
        {name: Ask(path=path.replace("{'", "{{'")) for name, path in escaped(paths).items()},
        404,
        "not_found",
    )
    for path in escaped(paths).values():
        assert Ask(path=path).to(route, world).content == missing.content


def escaped(paths: dict[str, str]) -> dict[str, str]:
    return {name: path.replace("{", "{{").replace("}", "}}") for name, path in paths.items()}


@pytest.mark.parametrize("name", ["no_such", "x" * 10_000, "%00", "%ED%A0%80", "é", "1"])
def test_an_unknown_predictor_is_404(world: World, name: str) -> None:
    route = Route("GET", f"/api/predictors/{name}")

    refuse(world, route, {"": Ask()}, 404, "predictor_not_found")


@pytest.mark.parametrize("path", ["/api/tasks/predict", "/api/tasks"])
@pytest.mark.parametrize(
    "data", [b"{}", b'{"wings": 2}', b'{"horsepower": "x"}', b"[]", b'"s"', b"7", b"true", b"null"]
)
def test_an_unknown_model_comes_before_errors_in_its_data(
    world: World, path: str, data: bytes
) -> None:
    ask = Ask(b'{"model_name": "no_such", "data": %s}' % data)

    refuse(world, Route("POST", path, body={}), {"": ask}, 404, "predictor_not_found")


@pytest.mark.parametrize("path", ["/api/tasks", "/api/tasks/history"])
def test_a_list_of_an_unknown_model_is_404(world: World, path: str) -> None:
    asks = {name: Ask(path=f"{path}?model_name={name}") for name in ("no_such", "'", "é")}

    refuse(world, Route("GET", path), asks, 404, "predictor_not_found")


@each(
    [route for route in ROUTES if route.path.startswith("/api/tasks/{") and route.method != "GET"]
)
def test_a_task_in_another_state_is_409(world: World, route: Route) -> None:
    name = "ended" if route.path.endswith("cancel") else "queued"
    ask = Ask(path=at(route, f"{{{name}}}"))

    refuse(world, route, {name: ask}, 409, "wrong_state")


def test_a_taken_email_is_409(world: World) -> None:
    bodies = [{**BOB, "email": email} for email in ("ada@example.com", "ADA@example.com")]

    asks = {body["email"]: Ask(json.dumps(body).encode()) for body in bodies}

    refuse(world, ROUTES[0], asks, 409, "email_taken")


@each(SUBMITTING)
def test_too_few_credits_are_402_with_what_is_needed_and_there(world: World, route: Route) -> None:
    headers = {"HTTP_AUTHORIZATION": f"Bearer {world.token_of(world.operator)}"}
    path = at(route, world._draft(world.operator))
    before = everything()

    response = Ask(path=path, headers=headers).to(route, world)

    assert response.status_code == 402
    body = response.json()
    assert set(body) == {"code", "detail", "required", "available"}
    assert body["code"] == "insufficient_credits"
    assert (body["required"], body["available"]) == (world.predictor.price, 0)
    assert not changed(before)


# --- Which refusal comes first -------------------------------------------------------------------


@each(GUARDED)
def test_401_comes_first(world: World, route: Route, closed: Callable[[str], None]) -> None:
    closed(route.scope)
    nobody = {"HTTP_AUTHORIZATION": None, "HTTP_IDEMPOTENCY_KEY": "a b"}
    asks = {
        "everything": Ask(b"x" * (LIMIT + 1), "PUT", content_type="x", headers=nobody),
        "malformed": Ask(b"{", headers=nobody),
        "length": Ask(b"{", headers={**nobody, "CONTENT_LENGTH": "abc"}),
    }
    if route in WITH_ID:
        asks["missing"] = Ask(path=at(route, NO_ID), headers=nobody)

    refuse(world, route, asks, 401, "not_authenticated")


@each(ROUTES)
def test_405_comes_before_413_which_comes_before_415(
    world: World, route: Route, closed: Callable[[str], None]
) -> None:
    closed("other")
    closed(route.scope)
    large = b"x" * (LIMIT + 1)
    method = "INITIAL"

    refuse(world, route, {"": Ask(large, method, content_type="x")}, 405, "method_not_allowed")
    refuse(world, route, {"": Ask(large, content_type="x")}, 413, "body_too_large")
    refuse(world, route, {"": Ask(b"x", content_type="x")}, 415, "unsupported_media_type")


@each([route for route in WITH_ID if route.body is not None])
def test_400_comes_before_404_and_409(world: World, route: Route) -> None:
    paths = [at(route, f"{{{name}}}") for name in ("queued", "ended", "theirs")]
    paths.append(at(route, NO_ID))

    body = with_field(route, "x", b"1")
    asks = {path: Ask(body, path=path, names=["x"]) for path in paths}

    refuse(world, route, asks, 400, "invalid_request")


def test_400_comes_before_404_in_a_query(world: World) -> None:
    names = {
        f"/api/tasks/{NO_ID}?wait=x": ["wait"],
        "/api/tasks?model_name=no_such&x=1": ["x"],
        "/api/tasks?model_name=no_such&status=x": ["status"],
    }
    asks = {path: Ask(path=path, names=named) for path, named in names.items()}

    refuse(world, Route("GET", "/api/tasks"), asks, 400, "invalid_request")


def test_400_comes_before_404_in_a_body(world: World) -> None:
    for route in (PREDICT, replace(PREDICT, path="/api/tasks")):
        ask = Ask(b'{"model_name": "no_such", "data": {}, "x": 1}', names=["x"])

        refuse(world, route, {"": ask}, 400, "invalid_request")


def test_400_comes_before_409_when_registering(world: World) -> None:
    body = {**BOB, "email": "ada@example.com", "password": "12345678"}
    ask = Ask(json.dumps(body).encode(), names=["password"])

    refuse(world, ROUTES[0], {"": ask}, 400, "invalid_request")


@pytest.mark.parametrize(
    ("change", "status", "code"),
    [
        ({"data": {"wings": 1}}, 400, "invalid_request"),
        ({"model_name": "no_such"}, 404, "predictor_not_found"),
    ],
)
def test_400_and_404_come_before_402(
    world: World, change: dict[str, Any], status: int, code: str
) -> None:
    headers = {"HTTP_AUTHORIZATION": f"Bearer {world.token_of(world.operator)}"}

    ask = Ask(json.dumps({**ORDER, **change}).encode(), headers=headers)

    refuse(world, PREDICT, {"": ask}, status, code)


# --- Where nothing is, and who asks --------------------------------------------------------------

NOWHERE = ["/api", "/api/", "/api/x", "/api/tasks/", "/api//tasks", "/api/tasks/x/y", "/api/%00"]
NOWHERE += [
    "/api/wallet/topup/",
    "/api/v1/tasks",
    "/api/tasks/%ED%A0%80/run/x",
    "/api/" + "x" * 9_000,
]
NOWHERE += [
    "/api/auth",
    "/api/auth/me.json",
    "/api/../etc/passwd",
    "/API/tasks",
    "/api/tasks/..%2Fx",
]


@pytest.mark.parametrize("path", NOWHERE, ids=lambda path: path[:30])
def test_an_unknown_path_is_404_in_json(world: World, path: str) -> None:
    asks = {method: Ask(method=method) for method in ("GET", "POST", "DELETE", "OPTIONS")}

    refuse(world, Route("GET", path), asks, 404, "not_found")
    refuse(world, Route("GET", path, public=True), asks, 404, "not_found")


@each(ROUTES)
def test_whoever_asks_for_no_page_is_refused_in_json(world: World, route: Route) -> None:
    accepted = [None, "*/*", "application/xml", "text/plain", "x", "é", ""]
    asks = {str(name): Ask(method="PUT", headers={"HTTP_ACCEPT": name}) for name in accepted}

    refuse(world, route, asks, 405, "method_not_allowed")


@each(ROUTES)
def test_a_browser_is_refused_with_a_page_and_never_a_500(world: World, route: Route) -> None:
    page = {"HTTP_ACCEPT": "text/html"}
    asks = {
        "method": (Ask(method="PUT", headers=page), 405),
        "large": (Ask(b"x" * (LIMIT + 1), headers=page), 413),
        "type": (Ask(b"x", content_type="x", headers=page), 415),
    }
    if not route.public:
        asks["nobody"] = (Ask(headers={**page, "HTTP_AUTHORIZATION": None}), 401)
    if route.body is not None:
        asks["malformed"] = (Ask(b"{", headers=page), 400)
        asks["list"] = (Ask(b"[]", headers=page), 400)
        asks["unknown"] = (Ask(b'{"x": 1}', headers=page), 400)
    if route in WITH_ID:
        asks["missing"] = (Ask(path=at(route, NO_ID), headers=page), 404)
    before = everything()

    answers = {name: (ask.to(route, world), status) for name, (ask, status) in asks.items()}

    for name, (response, status) in answers.items():
        assert (name, response.status_code) == (name, status)
        assert response["Content-Type"].startswith("text/html")
        assert PASSWORD not in response.content.decode()
    assert not changed(before)


@each(ROUTES)
def test_a_foreign_host_is_refused(world: World, route: Route) -> None:
    before = everything()
    hosts = ["evil.example", "a b", "localhost:abc", "[::1", "", "."]

    answers = [Ask(headers={"HTTP_HOST": host}).to(route, world) for host in hosts]

    for answer in answers:
        assert (answer.status_code, answer.json()["code"]) == (400, "invalid_request")
        assert "evil" not in answer.content.decode()
        assert not leaks(answer)
    assert not changed(before)


# --- What only a server sees ---------------------------------------------------------------------


class Broken(BytesIO):
    """What a client sent before it went away."""

    def read(self, size: int | None = -1) -> bytes:
        raise OSError("the connection was reset")


def top_up(world: World, body: bytes, **changes: Any) -> Any:
    """Ask for one as a server would; what is None is left out."""
    client = Client()
    handler = client.handler
    server = KnownLength(lambda environ, _: handler(environ))
    client.handler = lambda environ: server(environ, None)  # type: ignore[assignment]
    environ = {
        "REQUEST_METHOD": "POST",
        "PATH_INFO": "/api/wallet/topup",
        "HTTP_AUTHORIZATION": f"Bearer {world.token}",
        "CONTENT_TYPE": "application/json",
        "CONTENT_LENGTH": str(len(body)),
        "wsgi.input": BytesIO(body),
        **changes,
    }
    return client.request(**{name: value for name, value in environ.items() if value is not None})


IN_CHUNKS = {"HTTP_TRANSFER_ENCODING": "chunked", "CONTENT_LENGTH": None}


def test_a_body_in_chunks_is_read(world: World) -> None:
    answer = top_up(world, b'{"amount": 5}', **IN_CHUNKS)

    assert (answer.status_code, answer.json()["transaction"]["amount"]) == (201, 5)


@pytest.mark.parametrize(
    ("body", "changes", "status", "code"),
    [
        pytest.param(b'{"amount": 0}', IN_CHUNKS, 400, "invalid_request", id="chunks"),
        pytest.param(b"", IN_CHUNKS, 400, "invalid_request", id="no-chunk"),
        pytest.param(b" " * (LIMIT + 1), IN_CHUNKS, 413, "body_too_large", id="large-chunks"),
        pytest.param(
            b'{"amount": 5}',
            {**IN_CHUNKS, "HTTP_CONTENT_ENCODING": "gzip"},
            415,
            "unsupported_media_type",
            id="packed-chunks",
        ),
        pytest.param(
            b'{"amount": 5}',
            {**IN_CHUNKS, "HTTP_TRANSFER_ENCODING": "gzip, chunked"},
            400,
            "invalid_request",
            id="chunks-of-gzip",
        ),
        pytest.param(
            b'{"amount": 5}',
            {**IN_CHUNKS, "wsgi.input": Broken()},
            400,
            "invalid_request",
            id="broken-chunks",
        ),
        pytest.param(
            b'{"amount": 5}', {"wsgi.input": Broken()}, 400, "invalid_request", id="reset"
        ),
        pytest.param(
            b'{"amount": 5}', {"CONTENT_LENGTH": "14"}, 400, "invalid_request", id="one-more"
        ),
        pytest.param(
            b'{"amount": 5}', {"CONTENT_LENGTH": "12"}, 400, "invalid_request", id="one-less"
        ),
        pytest.param(
            b'{"amount": 5}', {"CONTENT_LENGTH": "abc"}, 400, "invalid_request", id="a-word"
        ),
        pytest.param(b'{"amount": 5}', {"CONTENT_LENGTH": "-1"}, 400, "invalid_request", id="-1"),
        pytest.param(
            b'{"amount": 5}', {"CONTENT_LENGTH": "9" * 30}, 413, "body_too_large", id="10-to-30"
        ),
        pytest.param(b'{"amount": 5}', {"CONTENT_LENGTH": None}, 400, "invalid_request", id="none"),
    ],
)
def test_a_body_of_another_length_than_told_is_refused(
    world: World, body: bytes, changes: dict[str, Any], status: int, code: str
) -> None:
    before = everything()

    answer = top_up(world, body, **changes)

    assert not wrong_with(answer, status, code)
    assert not changed(before)


def test_a_page_cannot_be_sent_the_api_by_a_browser_that_is_not_signed_in(world: World) -> None:
    response = Client(enforce_csrf_checks=True).post("/api/wallet/topup", {"amount": 5})

    assert not wrong_with(response, 401, "not_authenticated")
