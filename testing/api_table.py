"""The table of the routes of /api/, for tests that try each of them, and how they ask and check."""

import json
import re
from dataclasses import dataclass, field
from typing import Any

import pytest
from django.conf import settings
from rest_framework.test import APIClient

from testing.bad_input import (
    CAR,
    MODEL,
    VARIED,
    VOUCHER_CODE,
    World,
    changed,
    everything,
    leaks,
)
from testing.fixtures import PASSWORD
from testing.webhooks import PUBLIC

LIMIT = settings.BODY_LIMIT_BYTES


@dataclass(frozen=True)
class Route:
    """A method and a path; `{draft}` and the like stand for ids of the world."""

    method: str
    path: str
    status: int = 200
    body: dict[str, Any] | None = None  # valid; None where none is looked at
    public: bool = False
    keyed: bool = False  # honors Idempotency-Key
    form: bool = False  # takes an URL-encoded form too
    scope: str = "other"
    optional: frozenset[str] = frozenset()

    def __str__(self) -> str:
        return f"{self.method} {self.path}"


BOB = {"name": "Bob", "email": "bob@example.com", "password": "an unusual sentence"}
SIGN_IN = {"email": "ada@example.com", "password": PASSWORD}
ORDER = {"model_name": MODEL, "data": CAR, "explain": True}
SAVED = frozenset({"data", "explain"})
MOVED = {"url": f"https://{PUBLIC}/moved", "enabled": True}
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
    Route("GET", "/api/keys"),
    Route(
        "POST",
        "/api/keys",
        201,
        {"name": "A program", "access": "read", "expires_in_days": 30},
        optional=frozenset({"expires_in_days"}),
    ),
    Route("DELETE", "/api/keys/{key}", 204),
    Route("DELETE", "/api/account", 204, {"password": PASSWORD}, scope="sign_in"),
    Route("GET", "/api/account/export", scope="export"),
    Route("GET", "/api/wallet"),
    Route("POST", "/api/wallet/topup", 201, {"amount": 5}, keyed=True, scope="top_up"),
    Route("POST", "/api/wallet/vouchers", 201, {"code": VOUCHER_CODE}, keyed=True, scope="top_up"),
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
    Route("POST", "/api/webhooks", 201, {"url": MOVED["url"]}, scope="webhook"),
    Route("GET", "/api/webhooks"),
    Route(
        "PATCH", "/api/webhooks/{webhook}", 200, MOVED, scope="webhook", optional=frozenset(MOVED)
    ),
    Route("DELETE", "/api/webhooks/{webhook}", 204),
    Route("POST", "/api/webhooks/{webhook}/secret", 200, {}, scope="webhook"),
    Route("GET", "/api/webhooks/{webhook}/deliveries"),
    Route("POST", "/api/webhooks/{webhook}/deliveries/{delivery}/resend", 202, {}, scope="webhook"),
]
WITH_BODY = [route for route in ROUTES if route.body is not None]
WITH_ID = [route for route in ROUTES if "{" in route.path]
KEYED = [route for route in ROUTES if route.keyed]
SUBMITTING = [route for route in KEYED if route.scope == "submit"]


def at(route: Route, place: str) -> str:
    """The route's path with another id."""
    return re.sub(r"\{\w+\}", lambda _: place, route.path)


def each(routes: list[Route]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("route", routes, ids=str)


@dataclass(frozen=True)
class Attempt:
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
    needs_token, may_retry = status == 401, status in (429, 503)
    facts: dict[str, tuple[Any, Any]] = {
        "status": (response.status_code, status),
        "code": (body.get("code"), code),
        "keys": (set(body), keys),
        "fields": (sorted(body.get("errors", {})), sorted(fields))
        if fields is not None
        else (True, True),
        "sentences": (all(isinstance(t, str) and t for t in [body.get("detail"), *messages]), True),
        "asks for a token": (response.get("WWW-Authenticate"), "Bearer" if needs_token else None),
        "says when": (response.get("Retry-After", "").isdecimal(), may_retry),
        "leaks": (leaks(response), []),
    }
    return {name: actual for name, (actual, wanted) in facts.items() if actual != wanted}


def refuse(
    world: World, route: Route, attempts: dict[str, Attempt], status: int, code: str
) -> None:
    """Send each of them: all are refused like this, and nothing has changed."""
    before = everything()

    answers = {
        name: wrong_with(attempt.to(route, world), status, code, attempt.names)
        for name, attempt in attempts.items()
    }

    assert not {name[:60]: wrong for name, wrong in answers.items() if wrong}
    assert not changed(before)


PREDICT = next(route for route in ROUTES if route.path == "/api/tasks/predict")
