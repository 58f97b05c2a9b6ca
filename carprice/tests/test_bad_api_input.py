"""Input that no route of /api/ accepts: bodies, headers, queries and ids."""

import json
from typing import Any

import pytest

from billing.models import CreditAccount
from testing.api_table import (
    BOB,
    KEYED,
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
)
from testing.bad_input import (
    BROKEN_BODIES,
    NO_ID,
    World,
    changed,
    everything,
)

pytestmark = pytest.mark.django_db
WITH_FIELDS = [route for route in WITH_BODY if route.body]


# --- 400: bodies ----------------------------------------------------------------------------------


BLANK = {"nothing", "blank"}  # as good as an empty object


@each(WITH_BODY)
def test_a_broken_body_is_refused(world: World, route: Route) -> None:
    bodies = {name: body for name, body in BROKEN_BODIES.items() if route.body or name not in BLANK}

    refuse(world, route, {n: Attempt(b) for n, b in bodies.items()}, 400, "invalid_request")


EXTRA = ["role", "is_staff", "is_active", "user", "user_id", "id", "status", "price", "charged"]


EXTRA += ["result", "hold", "balance", "created_at", "Amount", "é", "__proto__", "x" * 10_000]


@each(WITH_BODY)
def test_an_unknown_field_is_refused_by_its_name(world: World, route: Route) -> None:
    attempts = {name: Attempt(with_field(route, name, b"1"), names=[name]) for name in EXTRA}

    refuse(world, route, attempts, 400, "invalid_request")


@each(WITH_BODY)
def test_a_field_given_twice_is_refused_by_its_name(world: World, route: Route) -> None:
    attempts = {
        name: Attempt(b'{"%s": 1, "%s": 2}' % (name.encode(), name.encode()), names=[name])
        for name in route.body or ["x"]
    }

    refuse(world, route, attempts, 400, "invalid_request")


@each(WITH_FIELDS)
def test_a_missing_field_is_refused_by_its_name(world: World, route: Route) -> None:
    body = route.body or {}
    rests = {name: {**body} for name in set(body) - route.optional}
    for name, rest in rests.items():
        del rest[name]

    attempts = {
        name: Attempt(json.dumps(rest).encode(), names=[name]) for name, rest in rests.items()
    }

    refuse(world, route, attempts, 400, "invalid_request")


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
    "access": [*TEXT, b'"Read"', b'"admin"', b'"read "'],
    "expires_in_days": [*NO_INTEGER, b"0", b"-1", b"3651", b"1" + b"0" * 20, b"9" * 4_000, LONG],
    "code": [*TEXT, b'"%s"' % (b"x" * 101), b'"0000"', b'"0000-0000-0000-0000-000U"'],
    "model_name": [*TEXT, b'"%s"' % (b"x" * 61)],
    "explain": [*NO_TRUTH, LONG],
    "enabled": [*NO_TRUTH, LONG],
    "url": [*TEXT, b'"x"', b'"http://93.184.215.14/"', b'"https://10.0.0.1/"'],
    "data": [*HUGE, *ODD_TEXT[1:], b'{"a": "\\u0000"}', b'{"\\ud800": 1}', b'{"a": NaN}', LONG],
}


def named(value: bytes, name: str) -> list[str] | None:
    """Which field a refusal of this value names; None if it may be an inner one."""
    if b"\xed" in value or len(value) == 5_000:
        return ["body"]  # the body itself is no JSON of ours
    return None if name == "data" else [name]


@each(WITH_FIELDS)
def test_a_bad_value_is_refused_by_its_field(world: World, route: Route) -> None:
    attempts = {
        f"{name} {value[:30]!r} {len(value)}": Attempt(
            with_field(route, name, value), names=named(value, name)
        )
        for name in route.body or {}
        for value in BAD[name]
    }

    refuse(world, route, attempts, 400, "invalid_request")


BAD_NUMBERS = [*NO_INTEGER, b"-1", b"0", b"1" + b"0" * 20, b'"NaN"', b'"inf"', b"[[3]]", LONG]
BAD_FEATURES = {
    "horsepower": [value for value in BAD_NUMBERS if value not in (b"1e2", b"5.0", b"null")],
    "brand": [*NO_TEXT[1:], *ODD_TEXT[:4], b'"tesla"', b'"BMVV"', b"0", LONG],
    "wings": [b"1", b"null", b'"x"'],
    "": [b"1"],
    "__proto__": [b"1"],
    "x" * 10_000: [b"1"],
}


@pytest.mark.parametrize("feature", BAD_FEATURES, ids=lambda name: name[:20])
def test_a_bad_feature_is_refused_by_its_bare_name(world: World, feature: str) -> None:
    rows = {value: b'{"%s": %s}' % (feature.encode(), value) for value in BAD_FEATURES[feature]}
    attempts = {
        f"{value[:30]!r} {len(value)}": Attempt(with_field(PREDICT, "data", row), names=[feature])
        for value, row in rows.items()
    }

    refuse(world, PREDICT, attempts, 400, "invalid_request")


@pytest.mark.parametrize("row", [b'{"brand": null}', b'{"CarName": null, "Power": null}'])
def test_a_row_of_nothing_but_nulls_is_refused_as_a_whole(world: World, row: bytes) -> None:
    attempt = Attempt(with_field(PREDICT, "data", row), names=["data"])

    refuse(world, PREDICT, {"nulls": attempt}, 400, "invalid_request")


@pytest.mark.parametrize("data", [b"null", b"7", b"true", b'"x"', b"[]", b'[{"brand": "bmw"}]'])
def test_data_that_is_no_object_is_refused_by_its_name(world: World, data: bytes) -> None:
    attempt = Attempt(with_field(PREDICT, "data", data), names=["data"])

    refuse(world, PREDICT, {"": attempt}, 400, "invalid_request")


def test_no_feature_at_all_is_refused(world: World) -> None:
    refuse(
        world, PREDICT, {"": Attempt(with_field(PREDICT, "data", b"{}"))}, 400, "invalid_request"
    )


@each([route for route in ROUTES if route.method == "PATCH"])
def test_a_patch_of_nothing_is_refused(world: World, route: Route) -> None:
    refuse(world, route, {"": Attempt(b"{}")}, 400, "invalid_request")


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
    attempt = Attempt(form, content_type="application/x-www-form-urlencoded", names=fields)

    refuse(world, LOGIN, {"": attempt}, 400, "invalid_request")


# --- 400: headers and queries ---------------------------------------------------------------------


BAD_KEYS = ["", " ", "a b", "a\tb", "k" * 256, "é", "\u2028", "\x7f", "\x00", "１", "k" * 100_000]


@each(KEYED)
def test_a_bad_idempotency_key_is_refused_by_its_name(world: World, route: Route) -> None:
    names = ["Idempotency-Key"]
    headers = {repr(key): {"HTTP_IDEMPOTENCY_KEY": key} for key in BAD_KEYS}
    attempts = {key: Attempt(headers=header, names=names) for key, header in headers.items()}

    refuse(world, route, attempts, 400, "invalid_request")


@each(KEYED)
def test_a_refusal_leaves_its_idempotency_key_free(world: World, route: Route) -> None:
    key = {"HTTP_IDEMPOTENCY_KEY": "k"}

    refuse(world, route, {"": Attempt(b'{"x": 1}', headers=key)}, 400, "invalid_request")

    assert Attempt(headers=key).to(route, world).status_code == route.status


@each([route for route in ROUTES if not route.keyed])
def test_elsewhere_an_idempotency_key_means_nothing(world: World, route: Route) -> None:
    response = Attempt(headers={"HTTP_IDEMPOTENCY_KEY": "a b"}).to(route, world)

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
    attempts = {value: Attempt(path=f"{path}?{name}={value}", names=[name]) for value in values}

    refuse(world, Route("GET", path), attempts, 400, "invalid_request")


@pytest.mark.parametrize("path", WITH_QUERY)
def test_an_unknown_parameter_is_refused_by_its_name(world: World, path: str) -> None:
    names = ["x", "ordering", "user", "Status", "page", "offset", "é", "cursor[]"]
    attempts = {name: Attempt(path=f"{path}?{name}=1", names=[name]) for name in names}

    refuse(world, Route("GET", path), attempts, 400, "invalid_request")


@pytest.mark.parametrize(("path", "name"), [(path, name) for path, name, _ in QUERIES])
def test_a_parameter_given_twice_is_refused_by_its_name(world: World, path: str, name: str) -> None:
    attempt = Attempt(path=f"{path}?{name}=1&{name}=1", names=[name])

    refuse(world, Route("GET", path), {"": attempt}, 400, "invalid_request")


@pytest.mark.parametrize("path", LISTS)
def test_the_cursor_of_somebody_else_or_of_another_list_is_refused(world: World, path: str) -> None:
    route = Route("GET", path)
    other = next(each for each in LISTS if ("wallet" in each) != ("wallet" in path))
    theirs = {"HTTP_AUTHORIZATION": f"Bearer {world.token_of(world.stranger)}"}
    for _ in range(2):
        for mine in (world.user, world.stranger):
            world._draft(mine), world._queued(mine), world._canceled(mine)
    foreign = cursor_in(Attempt(path=f"{path}?page_size=1", headers=theirs).to(route, world))
    misplaced = cursor_in(Attempt(path=f"{other}?page_size=1").to(route, world))

    attempts = {
        name: Attempt(path=f"{path}?cursor={cursor}", names=["cursor"])
        for name, cursor in {"foreign": foreign, "misplaced": misplaced}.items()
    }

    refuse(world, route, attempts, 400, "invalid_request")


def cursor_in(page: Any) -> str:
    return str(page.json()["next"].split("cursor=")[1].split("&")[0])


def test_a_changed_cursor_is_refused(world: World) -> None:
    route = Route("GET", "/api/tasks")
    cursor = cursor_in(Attempt(path="/api/tasks?page_size=1").to(route, world))
    bad = [cursor[:-1], cursor + "A", "A" + cursor, cursor.upper(), cursor.replace(".", "%00.")]

    attempts = {
        value: Attempt(path=f"/api/tasks?cursor={value}", names=["cursor"]) for value in bad
    }

    refuse(world, route, attempts, 400, "invalid_request")


# --- 404, 409, 402 --------------------------------------------------------------------------------


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
    ids = {name: world.ids[name] for name in ("theirs", "their_queued", "their_key", "erased")}
    ids |= {name[:30]: name for name in [NO_ID, *ODD_IDS]}
    paths = {name: at(route, value) for name, value in ids.items()}
    missing = Attempt(path=at(route, NO_ID)).to(route, world)

    refuse(
        world,
        route,
        {name: Attempt(path=path.replace("{'", "{{'")) for name, path in escaped(paths).items()},
        404,
        "not_found",
    )
    for path in escaped(paths).values():
        assert Attempt(path=path).to(route, world).content == missing.content


def escaped(paths: dict[str, str]) -> dict[str, str]:
    return {name: path.replace("{", "{{").replace("}", "}}") for name, path in paths.items()}


@pytest.mark.parametrize("name", ["no_such", "x" * 10_000, "%00", "%ED%A0%80", "é", "1"])
def test_an_unknown_predictor_is_404(world: World, name: str) -> None:
    route = Route("GET", f"/api/predictors/{name}")

    refuse(world, route, {"": Attempt()}, 404, "predictor_not_found")


@pytest.mark.parametrize("path", ["/api/tasks/predict", "/api/tasks"])
@pytest.mark.parametrize(
    "data", [b"{}", b'{"wings": 2}', b'{"horsepower": "x"}', b"[]", b'"s"', b"7", b"true", b"null"]
)
def test_an_unknown_model_comes_before_errors_in_its_data(
    world: World, path: str, data: bytes
) -> None:
    attempt = Attempt(b'{"model_name": "no_such", "data": %s}' % data)

    refuse(world, Route("POST", path, body={}), {"": attempt}, 404, "predictor_not_found")


@pytest.mark.parametrize("path", ["/api/tasks", "/api/tasks/history"])
def test_a_list_of_an_unknown_model_is_404(world: World, path: str) -> None:
    attempts = {name: Attempt(path=f"{path}?model_name={name}") for name in ("no_such", "'", "é")}

    refuse(world, Route("GET", path), attempts, 404, "predictor_not_found")


@each(
    [route for route in ROUTES if route.path.startswith("/api/tasks/{") and route.method != "GET"]
)
def test_a_task_in_another_state_is_409(world: World, route: Route) -> None:
    name = "ended" if route.path.endswith("cancel") else "queued"
    attempt = Attempt(path=at(route, f"{{{name}}}"))

    refuse(world, route, {name: attempt}, 409, "wrong_state")


def test_a_taken_email_is_409(world: World) -> None:
    bodies = [{**BOB, "email": email} for email in ("ada@example.com", "ADA@example.com")]

    attempts = {body["email"]: Attempt(json.dumps(body).encode()) for body in bodies}

    refuse(world, ROUTES[0], attempts, 409, "email_taken")


@each(SUBMITTING)
def test_too_few_credits_are_402_with_what_is_needed_and_there(world: World, route: Route) -> None:
    headers = {"HTTP_AUTHORIZATION": f"Bearer {world.token_of(world.operator)}"}
    path = at(route, world._draft(world.operator))
    before = everything()

    response = Attempt(path=path, headers=headers).to(route, world)

    assert response.status_code == 402
    body = response.json()
    assert set(body) == {"code", "detail", "required", "available"}
    assert body["code"] == "insufficient_credits"
    assert body["required"] == world.predictor.price
    assert body["available"] == CreditAccount.objects.get(pk=world.operator.pk).available
    assert not changed(before)
