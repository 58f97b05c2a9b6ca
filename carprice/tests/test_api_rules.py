"""Every common rule of the contract at every route of /api/: one table of routes, one of faults.

A new route is covered by its line in ROUTES; a test fails as long as it has none.
"""

import json
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import jwt
import pytest
from django.conf import LazySettings, settings
from django.db import transaction
from django.urls import resolve

from accounts.models import User
from accounts.tokens import SessionAccessToken
from carprice.http import throttling
from testing.api_table import (
    BOB,
    LIMIT,
    ORDER,
    PREDICT,
    ROUTES,
    SUBMITTING,
    WITH_BODY,
    WITH_ID,
    Attempt,
    Route,
    at,
    each,
    refuse,
    with_field,
    wrong_with,
)
from testing.bad_input import (
    BROKEN_BODIES,
    NO_ID,
    World,
    changed,
    everything,
    leaks,
)
from testing.fixtures import PASSWORD
from testing.routes import api_routes

pytestmark = pytest.mark.django_db
METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE", "TRACE", "CONNECT", "BREW", "INITIAL"]
FOR_OPERATORS = {"api-schema", "api-docs"}  # described, not part of the surface
GUARDED = [route for route in ROUTES if not route.public]


# --- The table ------------------------------------------------------------------------------------


def json_routes() -> set[tuple[str, str]]:
    """Name and method of every route that answers JSON below /api/."""
    routes = set()
    for route in api_routes():
        if route.name in FOR_OPERATORS or not str(route.pattern).startswith("api/"):
            continue
        view = route.callback.view_class  # type: ignore[attr-defined]
        methods = {"get", "post", "put", "patch", "delete"}
        routes |= {(str(route.name), name.upper()) for name in methods if hasattr(view, name)}
    return routes


def name_of(route: Route) -> str:
    return str(resolve(at(route, NO_ID)).url_name)


def test_every_route_is_in_the_table() -> None:
    assert json_routes() == {(name_of(route), route.method) for route in ROUTES}


@each(ROUTES)
def test_as_it_stands_in_the_table_a_route_is_answered(world: World, route: Route) -> None:
    response = Attempt().to(route, world)

    assert response.status_code == route.status


# --- 401: credentials -----------------------------------------------------------------------------


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
    attempts = {
        name: Attempt(headers={"HTTP_AUTHORIZATION": value}) for name, value in headers.items()
    }

    refuse(world, route, attempts, 401, "not_authenticated")


@each(GUARDED)
@pytest.mark.parametrize(
    "change", [{"is_active": False}, {"password": "!"}], ids=["inactive", "other-password"]
)
def test_the_token_of_who_may_no_longer_sign_in_is_401(
    world: World, route: Route, change: dict[str, Any]
) -> None:
    User.objects.filter(pk=world.user.pk).update(**change)

    refuse(world, route, {"": Attempt()}, 401, "not_authenticated")


@each([route for route in ROUTES if route.public])
def test_a_public_route_looks_at_no_token(world: World, route: Route) -> None:
    for token in ("Bearer x", "Basic x", "", "é"):
        with transaction.atomic():
            response = Attempt(headers={"HTTP_AUTHORIZATION": token}).to(route, world)
            transaction.set_rollback(True)

        assert response.status_code == route.status


# --- 403: a signed-in browser ---------------------------------------------------------------------


@each([route for route in GUARDED if route.method != "GET"])
def test_a_signed_in_browser_needs_its_csrf_token_whatever_it_sends(
    world: World, route: Route
) -> None:
    cookie = "; ".join(f"{name}={m.value}" for name, m in world.browser.cookies.items())
    headers = {"HTTP_AUTHORIZATION": None, "HTTP_COOKIE": cookie}
    attempts = {
        "valid": Attempt(headers=headers),
        "malformed": Attempt(b"{", headers=headers),
        "too large": Attempt(b"x" * (LIMIT + 1), headers=headers),
        "form": Attempt(
            b"a=%ff&a=1", content_type="application/x-www-form-urlencoded", headers=headers
        ),
        "multipart": Attempt(b"x", content_type="multipart/form-data; boundary=é", headers=headers),
        "many fields": Attempt(
            b"&".join(b"a=1" for _ in range(600)),
            content_type="application/x-www-form-urlencoded",
            headers=headers,
        ),
        "wrong token": Attempt(headers={**headers, "HTTP_X_CSRFTOKEN": "x" * 32}),
        "foreign page": Attempt(headers={**headers, "HTTP_ORIGIN": "https://evil.example"}),
    }

    refuse(world, route, attempts, 403, "permission_denied")


# --- 405: methods ---------------------------------------------------------------------------------


def methods_of(route: Route) -> set[str]:
    """What the route's path takes."""
    return {other.method for other in ROUTES if name_of(other) == name_of(route)}


@each(ROUTES)
def test_another_method_is_405_and_told_which_there_are(world: World, route: Route) -> None:
    others = [method for method in METHODS if method not in methods_of(route)]

    refuse(world, route, {m: Attempt(method=m) for m in others}, 405, "method_not_allowed")

    response = Attempt(method=others[0]).to(route, world)
    allowed = {name.strip() for name in response["Allow"].split(",")}
    get = {"HEAD"} if "GET" in methods_of(route) else set()
    assert allowed - {"OPTIONS"} - get == methods_of(route)


@each(ROUTES)
@pytest.mark.parametrize("name", ["HTTP_X_HTTP_METHOD_OVERRIDE", "HTTP_X_METHOD_OVERRIDE"])
def test_a_method_in_a_header_is_ignored(world: World, route: Route, name: str) -> None:
    response = Attempt(method="PUT", headers={name: route.method}).to(route, world)

    assert not wrong_with(response, 405, "method_not_allowed")


@pytest.mark.parametrize("query", ["_method=DELETE", "method=DELETE", "_method=PATCH"])
def test_a_method_in_the_query_or_the_body_is_ignored(world: World, query: str) -> None:
    before = everything()
    route = Route("POST", "/api/tasks/{draft}", body={})

    for attempt in (Attempt(b"", path=f"{route.path}?{query}"), Attempt(b'{"_method": "DELETE"}')):
        assert not wrong_with(attempt.to(route, world), 405, "method_not_allowed")

    assert not changed(before)


@each([route for route in ROUTES if route.method == "GET"])
def test_head_is_get_without_a_body(world: World, route: Route) -> None:
    response = Attempt(method="HEAD").to(route, world)

    assert (response.status_code, b"".join(response)) == (200, b"")


@each(ROUTES)
def test_options_changes_nothing_and_lets_no_foreign_page_in(world: World, route: Route) -> None:
    before = everything()
    headers = {"HTTP_ORIGIN": "https://evil.example", "HTTP_ACCESS_CONTROL_REQUEST_METHOD": "POST"}

    response = Attempt(b"", method="OPTIONS", headers=headers).to(route, world)

    assert response.status_code == 200
    assert response["Content-Type"] == "application/json"
    assert not [name for name in response.headers if name.lower().startswith("access-control")]
    assert not leaks(response)
    assert not changed(before)


# --- 413 and 415: the body from outside -----------------------------------------------------------


@each(ROUTES)
def test_a_body_over_the_limit_is_413(world: World, route: Route) -> None:
    attempts = {
        kind: Attempt(b" " * (LIMIT + 1), content_type=kind) for kind in ("application/json", "x")
    }

    refuse(world, route, attempts, 413, "body_too_large")


@each(WITH_BODY)
def test_another_content_type_is_415(world: World, route: Route) -> None:
    kinds = ["text/plain", "text/json", "application/xml", "application/octet-stream", "x", "/", ""]
    kinds += ["multipart/form-data; boundary=x", "application/merge-patch+json", "é/é"]
    kinds += [] if route.form else ["application/x-www-form-urlencoded"]
    attempts = {kind: Attempt(b'{"a": 1}', content_type=kind) for kind in kinds}

    refuse(world, route, attempts, 415, "unsupported_media_type")


@each(WITH_BODY)
def test_a_packed_body_is_415_and_never_unpacked(world: World, route: Route) -> None:
    encodings = ["gzip", "GZIP", "deflate", "br", "zstd", "identity, gzip", "x"]
    attempts = {
        name: Attempt(BROKEN_BODIES["gzip"], headers={"HTTP_CONTENT_ENCODING": name})
        for name in encodings
    }

    refuse(world, route, attempts, 415, "unsupported_media_type")


# --- 429: too many requests, a full queue ---------------------------------------------------------


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
    bad = Attempt(b"{", headers={"HTTP_IDEMPOTENCY_KEY": "a b", "CONTENT_LENGTH": "abc"})

    refuse(world, route, {"valid": Attempt(), "bad": Attempt(b"{")}, 429, "too_many_requests")
    refuse(world, route, {"bad headers": bad}, 429, "too_many_requests")


@pytest.mark.parametrize(("wait", "words"), [(1, "1 second."), (2, "2 seconds.")])
def test_too_many_requests_say_how_long_to_wait(wait: int, words: str) -> None:
    assert throttling.TooManyRequests(wait).detail.endswith(f"try again in {words}")


@each(SUBMITTING)
def test_a_full_queue_is_429_before_errors_in_the_request(
    world: World, route: Route, settings: LazySettings
) -> None:
    settings.QUEUE_LIMIT_PER_USER = 1
    key = {"HTTP_IDEMPOTENCY_KEY": "k"}
    attempts = {
        "valid": Attempt(),
        "malformed": Attempt(b"{"),
        "unknown field": Attempt(b'{"x": 1}'),
        "unknown model": Attempt(b'{"model_name": "x", "data": {}}'),
        "valid with a key": Attempt(headers=key),
        "malformed with a key": Attempt(b"{", headers=key),
        "with a bad key": Attempt(headers={"HTTP_IDEMPOTENCY_KEY": "a b"}),
    }
    if "{" in route.path:
        attempts["missing"] = Attempt(path=at(route, NO_ID))

    refuse(world, route, attempts, 429, "queue_full")


# --- Which refusal comes first --------------------------------------------------------------------


@each(GUARDED)
def test_401_comes_first(world: World, route: Route, closed: Callable[[str], None]) -> None:
    closed(route.scope)
    nobody = {"HTTP_AUTHORIZATION": None, "HTTP_IDEMPOTENCY_KEY": "a b"}
    attempts = {
        "everything": Attempt(b"x" * (LIMIT + 1), "PUT", content_type="x", headers=nobody),
        "malformed": Attempt(b"{", headers=nobody),
        "length": Attempt(b"{", headers={**nobody, "CONTENT_LENGTH": "abc"}),
    }
    if route in WITH_ID:
        attempts["missing"] = Attempt(path=at(route, NO_ID), headers=nobody)

    refuse(world, route, attempts, 401, "not_authenticated")


@each(ROUTES)
def test_405_comes_before_413_which_comes_before_415(
    world: World, route: Route, closed: Callable[[str], None]
) -> None:
    closed("other")
    closed(route.scope)
    large = b"x" * (LIMIT + 1)
    method = "INITIAL"

    refuse(world, route, {"": Attempt(large, method, content_type="x")}, 405, "method_not_allowed")
    refuse(world, route, {"": Attempt(large, content_type="x")}, 413, "body_too_large")
    refuse(world, route, {"": Attempt(b"x", content_type="x")}, 415, "unsupported_media_type")


@each([route for route in WITH_ID if route.body is not None])
def test_400_comes_before_404_and_409(world: World, route: Route) -> None:
    paths = [at(route, f"{{{name}}}") for name in ("queued", "ended", "theirs")]
    paths.append(at(route, NO_ID))

    body = with_field(route, "x", b"1")
    attempts = {path: Attempt(body, path=path, names=["x"]) for path in paths}

    refuse(world, route, attempts, 400, "invalid_request")


def test_400_comes_before_404_in_a_query(world: World) -> None:
    names = {
        f"/api/tasks/{NO_ID}?wait=x": ["wait"],
        "/api/tasks?model_name=no_such&x=1": ["x"],
        "/api/tasks?model_name=no_such&status=x": ["status"],
    }
    attempts = {path: Attempt(path=path, names=named) for path, named in names.items()}

    refuse(world, Route("GET", "/api/tasks"), attempts, 400, "invalid_request")


def test_400_comes_before_404_in_a_body(world: World) -> None:
    for route in (PREDICT, replace(PREDICT, path="/api/tasks")):
        attempt = Attempt(b'{"model_name": "no_such", "data": {}, "x": 1}', names=["x"])

        refuse(world, route, {"": attempt}, 400, "invalid_request")


def test_400_comes_before_409_when_registering(world: World) -> None:
    body = {**BOB, "email": "ada@example.com", "password": "12345678"}
    attempt = Attempt(json.dumps(body).encode(), names=["password"])

    refuse(world, ROUTES[0], {"": attempt}, 400, "invalid_request")


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

    attempt = Attempt(json.dumps({**ORDER, **change}).encode(), headers=headers)

    refuse(world, PREDICT, {"": attempt}, status, code)


# --- Where nothing is, and who asks ---------------------------------------------------------------


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
    attempts = {method: Attempt(method=method) for method in ("GET", "POST", "DELETE", "OPTIONS")}

    refuse(world, Route("GET", path), attempts, 404, "not_found")
    refuse(world, Route("GET", path, public=True), attempts, 404, "not_found")


@each(ROUTES)
def test_whoever_asks_for_no_page_is_refused_in_json(world: World, route: Route) -> None:
    accepted = [None, "*/*", "application/xml", "text/plain", "x", "é", ""]
    attempts = {
        str(name): Attempt(method="PUT", headers={"HTTP_ACCEPT": name}) for name in accepted
    }

    refuse(world, route, attempts, 405, "method_not_allowed")


@each(ROUTES)
def test_a_browser_is_refused_with_a_page_and_never_a_500(world: World, route: Route) -> None:
    page = {"HTTP_ACCEPT": "text/html"}
    attempts = {
        "method": (Attempt(method="PUT", headers=page), 405),
        "large": (Attempt(b"x" * (LIMIT + 1), headers=page), 413),
        "type": (Attempt(b"x", content_type="x", headers=page), 415),
    }
    if not route.public:
        attempts["nobody"] = (Attempt(headers={**page, "HTTP_AUTHORIZATION": None}), 401)
    if route.body is not None:
        attempts["malformed"] = (Attempt(b"{", headers=page), 400)
        attempts["list"] = (Attempt(b"[]", headers=page), 400)
        attempts["unknown"] = (Attempt(b'{"x": 1}', headers=page), 400)
    if route in WITH_ID:
        attempts["missing"] = (Attempt(path=at(route, NO_ID), headers=page), 404)
    before = everything()

    answers = {
        name: (attempt.to(route, world), status) for name, (attempt, status) in attempts.items()
    }

    for name, (response, status) in answers.items():
        assert (name, response.status_code) == (name, status)
        assert response["Content-Type"].startswith("text/html")
        assert PASSWORD not in response.content.decode()
    assert not changed(before)


@each(ROUTES)
def test_a_foreign_host_is_refused(world: World, route: Route) -> None:
    before = everything()
    hosts = ["evil.example", "a b", "localhost:abc", "[::1", "", "."]

    answers = [Attempt(headers={"HTTP_HOST": host}).to(route, world) for host in hosts]

    for host, answer in zip(hosts, answers, strict=True):
        assert (answer.status_code, answer.json()["code"]) == (400, "invalid_request")
        is_told = f"the host {host};" in answer.json()["detail"]
        assert is_told == (host == "evil.example")  # what is no host is not repeated
        assert not leaks(answer)
    assert not changed(before)
