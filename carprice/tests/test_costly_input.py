"""Input that costs more to refuse than to send: it is bounded before anything is done with it.

The limits of time here are far above what was measured, for machines that are busy.
"""

import json
import time
import tracemalloc
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from django.conf import settings
from django.test import Client

from carprice.http.errors import InvalidInput
from carprice.http.parsers import parse_form, parse_json
from testing.api_table import WITH_BODY, Attempt, Route, each
from testing.bad_input import MODEL, World, changed, everything

pytestmark = pytest.mark.django_db

SIZE = settings.BODY_LIMIT_BYTES
LARGEST_ANSWER = 20_000  # bytes
LONGEST_SECONDS = 0.5  # of the processor
MOST_MEMORY = 40_000_000  # bytes

KEYS = b",".join(b'"k%d":1' % number for number in range(150_000))
# Names that are long to fold, each of which might be that of a feature.
LIGATURES = ",".join(f'"{chr(0xFDFA) * 195}{number}":1' for number in range(4_200))
JSON_BODIES = {
    "150,000 keys": b"{%s}" % KEYS,
    "150,000 keys deeper": b'{"model_name":"%s","data":{%s}}' % (MODEL.encode(), KEYS),
    "4,900 keys": b"{%s}" % b",".join(KEYS.split(b",")[:4900]),
    "one key many times": b"{%s}" % b",".join([b'"k":1'] * 400_000),
    "a long key": b'{"%s":1}' % (b"k" * (SIZE - 9)),
    "a long key of control characters": b'{"%s":1}' % (b"\\u0001" * (SIZE // 6 - 9)),
    "open lists": b"[" * SIZE,
    "fewer open lists": b"[" * 19_000,
    "open objects": b'{"a":' * (SIZE // 5),
    "zeros": b"[%s0]" % (b"0," * (SIZE // 2 - 9)),
    "texts": b"[%s0]" % (b'"",' * (SIZE // 3 - 9)),
    "truths": b"[%s0]" % (b"true," * (SIZE // 5 - 9)),
    "a long integer": b'{"a":%s}' % (b"9" * (SIZE - 9)),
    "a long float": b'{"a":%s.5}' % (b"9" * (SIZE - 9)),
    "a long fraction": b'{"a":0.%s}' % (b"1" * (SIZE - 9)),
    "long integers": b"[%s0]" % ((b"9" * 4299 + b",") * (SIZE // 4300 - 1)),
    "long floats": b"[%s0]" % ((b"9" * 4290 + b".5,") * (SIZE // 4300 - 1)),
    "quotes": b'"' * SIZE,
    "an open text of quotes": b'"' + b'\\"' * (SIZE // 2 - 9),
    "an open text of backslashes": b'"' + b"\\" * (SIZE - 9),
    "one backslash more": b'"' + b"\\" * (SIZE - 8),
    "an open text": b'"' + b"x" * (SIZE - 9),
    "escapes": b'"%s"' % (b"\\u0041" * (SIZE // 6 - 9)),
    "colons": b":" * SIZE,
    "letters": b"t" * SIZE,
    "signs": b"-" * SIZE,
}
JSON_BODIES["names of ligatures"] = f'{{"model_name":"{MODEL}","data":{{{LIGATURES}}}}}'.encode()
# These are JSON, and refused by each route.
READ = {"4,900 keys", "long integers", "names of ligatures"}
FORM_SIZE = settings.FORM_LIMIT_BYTES
FORM_BODIES = {
    "fields": b"&".join(b"k%d=1" % number for number in range(80_000)),
    "499 fields": b"&".join(b"k%d=1" % number for number in range(499)),
    "separators": b"&" * FORM_SIZE,
    "escapes": b"a=" + b"%41" * (FORM_SIZE // 3),
    "a long name": b"%22" * (FORM_SIZE // 3) + b"=1",
    "one name many times": b"&".join([b"k=1"] * 400),
}
# Texts that take long to normalize, to escape or to match.
TEXTS = {
    "quotes": '"' * (SIZE // 2 - 500),
    "ligatures": "\ufdfa" * (SIZE // 3 - 500),
    "combining": "a" + "\u0301\u0327" * (SIZE // 4 - 500),
    "an address": "a@" + "b." * (SIZE // 2 - 500),
}


def measured(call: Callable[[], Any]) -> tuple[Any, float]:
    """The answer, and the seconds of the processor that it took; of two times if it took long."""
    for _ in range(2):
        before = time.thread_time()
        answer = call()
        seconds = time.thread_time() - before
        if seconds < LONGEST_SECONDS:
            break
    return answer, seconds


def peak_memory(call: Callable[[], Any]) -> int:
    tracemalloc.start()
    try:
        call()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def refused(parse: Callable[[bytes], Any], body: bytes) -> dict[str, list[str]]:
    with pytest.raises(InvalidInput) as error:
        parse(body)
    return error.value.errors


# --- Parsing --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted({*JSON_BODIES} - READ))
def test_json_that_nobody_takes_costs_little_to_refuse(name: str) -> None:
    body = JSON_BODIES[name]

    errors, seconds = measured(lambda: refused(parse_json, body))

    assert seconds < LONGEST_SECONDS
    assert len(json.dumps(errors)) < 1000
    assert peak_memory(lambda: refused(parse_json, body)) < MOST_MEMORY


@pytest.mark.parametrize("name", ["fields", "separators", "escapes", "a long name"])
def test_a_form_that_nobody_takes_costs_little_to_refuse(name: str) -> None:
    body = FORM_BODIES[name]

    errors, seconds = measured(lambda: refused(parse_form, body))

    assert seconds < LONGEST_SECONDS
    assert len(json.dumps(errors)) < 1000


def test_what_fits_into_a_draft_is_read() -> None:
    data = {"a": [1] * 6000, "b": "x" * 1000}

    assert parse_json(json.dumps(data).encode()) == data


def test_a_text_of_many_commas_is_one_text() -> None:
    text = ',:"{}[]\\' * 2000

    assert parse_json(json.dumps({"a": text}).encode()) == {"a": text}


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (b'{"a": "%s"}' % (b"x" * 20_001), "a"),
        (b'{"a": ["%s"]}' % (b"x" * 20_001), "a"),
        (b'{"a": {"%s": 1}}' % (b"x" * 20_001), "a"),
        (b'{"a": %s}' % (b"1" * 4301), "body"),
        (b'{"%s": 1, "%s": 1}' % (b"x" * 20_001, b"x" * 20_001), "body"),
    ],
)
def test_what_is_too_long_is_named(body: bytes, field: str) -> None:
    assert list(refused(parse_json, body)) == [field]


# --- Routes ---------------------------------------------------------------------------------------


AT_EVERY_ROUTE = [
    "150,000 keys",
    "150,000 keys deeper",
    "4,900 keys",
    "a long key",
    "fewer open lists",
    "escapes",
    "long integers",
    "names of ligatures",
]


def answer_size(response: Any) -> int:
    return len(response.content)


@each(WITH_BODY)
def test_no_route_answers_a_huge_body_at_length(world: World, route: Route) -> None:
    before = everything()
    measurements = {
        name: measured(partial(Attempt(JSON_BODIES[name]).to, route, world))
        for name in AT_EVERY_ROUTE
    }

    answers = {name: answer for name, (answer, _) in measurements.items()}
    assert {name: took for name, (_, took) in measurements.items() if took > LONGEST_SECONDS} == {}
    assert {answer.status_code for answer in answers.values()} == {400}
    assert {n: answer_size(a) for n, a in answers.items() if answer_size(a) > LARGEST_ANSWER} == {}
    assert not changed(before)


@each([route for route in WITH_BODY if route.body])
def test_a_huge_text_costs_little_at_every_field(world: World, route: Route) -> None:
    before, costly = everything(), {}
    assert route.body is not None

    for field in route.body:
        for name, text in TEXTS.items():
            body = json.dumps({**route.body, field: text}, ensure_ascii=False).encode()[:SIZE]
            answer, seconds = measured(lambda body=body: Attempt(body).to(route, world))  # type: ignore[misc]
            facts = (answer.status_code, seconds, answer_size(answer))
            if not (facts[0] == 400 and seconds < LONGEST_SECONDS and facts[2] < LARGEST_ANSWER):
                costly[f"{field} {name}"] = facts

    assert not costly
    assert not changed(before)


# Just short enough to be parsed, as any value of a feature.
FEATURE_TEXTS = {
    "combining": "a" + "\u0301\u0327" * 9_900,
    "ligatures": "\ufdfa" * 19_900,
    "letters": "peugeo" * 3_300,
    "groups": "1," * 9_900,
}


@each([route for route in WITH_BODY if "data" in (route.body or {})])
@pytest.mark.parametrize("feature", ["brand", "CarName", "horsepower"])
def test_a_long_text_costs_little_at_every_kind_of_feature(
    world: World, route: Route, feature: str
) -> None:
    costly = {}

    for name, text in FEATURE_TEXTS.items():
        for value in (text, {"value": 1, "unit": text}):
            body = json.dumps({**(route.body or {}), "data": {feature: value}}).encode()
            answer, seconds = measured(lambda body=body: Attempt(body).to(route, world))  # type: ignore[misc]
            if seconds > LONGEST_SECONDS or answer_size(answer) > 500_000:
                costly[f"{name} {type(value).__name__}"] = (seconds, answer_size(answer))

    assert not costly


def sign_in(body: bytes, content_type: str = "application/json", path: str = "/sign_in") -> Any:
    return Client().generic("POST", path, body, content_type)


def test_150_000_unknown_keys_cost_a_stranger_more_than_us() -> None:
    body = JSON_BODIES["150,000 keys"]

    response, seconds = measured(lambda: sign_in(body))

    assert response.status_code == 400
    assert answer_size(response) < 1000
    assert seconds < LONGEST_SECONDS
    assert peak_memory(lambda: sign_in(body)) < MOST_MEMORY


@pytest.mark.parametrize("path", ["/sign_in", "/sign_up", "/api/auth/login", "/api/auth/register"])
def test_unknown_fields_are_counted_and_the_first_named(path: str) -> None:
    body = json.dumps({f"k{number}": 1 for number in range(3000)}).encode()

    errors = sign_in(body, path=path).json()["errors"]

    named = [name for name in errors if name.startswith("k")]
    assert named == [f"k{number}" for number in range(20)]
    assert errors["body"] == ["3,000 unknown fields; the first 20 are named."]
    assert errors["password"] == ["This field is required."]


def test_unknown_fields_of_a_form_are_counted_too() -> None:
    body, path = FORM_BODIES["499 fields"], "/api/auth/login"

    response = sign_in(body, "application/x-www-form-urlencoded", path)

    assert response.status_code == 400
    assert response.json()["errors"]["body"] == ["499 unknown fields; the first 20 are named."]


def test_up_to_twenty_unknown_fields_are_all_named() -> None:
    body = json.dumps({f"k{number}": 1 for number in range(20)}).encode()

    errors = sign_in(body).json()["errors"]

    assert sum(name.startswith("k") for name in errors) == 20
    assert "body" not in errors


def test_unknown_features_are_counted_and_the_first_named(world: World) -> None:
    data = {f"k{number}": 1 for number in range(1500)}
    body = json.dumps({"model_name": MODEL, "data": data}).encode()
    routes = {str(route): route for route in WITH_BODY}

    refusal = Attempt(body).to(routes["POST /api/tasks/predict"], world)
    draft = Attempt(body).to(routes["POST /api/tasks"], world)

    for errors in (refusal.json()["errors"], draft.json()["validation_errors"]):
        assert [name for name in errors if name.startswith("k")] == list(data)[:20]
        assert errors["data"] == ["1,500 unknown features; the first 20 are named."]


# --- Headers and query strings --------------------------------------------------------------------

# As a server passes on what was sent in many lines.
MANY_TYPES = ",".join(f"a{number}/b" for number in range(60_000))
FULL_HEADERS = {
    "Accept": ",".join(f"a{number}/b" for number in range(1000)),
    "Cookie": "a=b; " * 1600,
    "Authorization": "Bearer " + "." * 8000,
    "X-Forwarded-For": "1," * 4000,
    "Idempotency-Key": "k" * 8000,
    "Accept-Encoding": "gzip;q=0.1," * 740,
    "If-None-Match": '"' * 8000,
    "Content-Encoding": "identity," * 900,
}


@pytest.mark.parametrize("name", FULL_HEADERS)
@pytest.mark.parametrize("path", ["/", "/balance", "/nothing", "/static/carprice.css"])
def test_a_header_of_the_longest_line_costs_little(world: World, name: str, path: str) -> None:
    headers = {name: FULL_HEADERS[name][:8190]}

    response, seconds = measured(lambda: Client().get(path, headers=headers))

    assert response.status_code < 500
    assert seconds < LONGEST_SECONDS


@pytest.mark.parametrize("name", ["Accept", "Cookie", "X-Forwarded-For", "Range"])
@pytest.mark.parametrize("path", ["/", "/balance", "/nothing"])
def test_a_header_of_many_lines_is_refused_and_named(name: str, path: str) -> None:
    response, seconds = measured(lambda: Client().get(path, headers={name: MANY_TYPES}))

    assert response.status_code == 400
    assert response.json()["errors"] == {name: ["At most 8,190 characters."]}
    assert "frame-ancestors 'none'" in response["Content-Security-Policy"]
    assert seconds < LONGEST_SECONDS


@pytest.mark.parametrize("name", ["Accept-Encoding", "Range", "If-None-Match"])
def test_a_static_file_costs_little_whatever_its_headers(name: str) -> None:
    headers = {name: MANY_TYPES}

    _, seconds = measured(lambda: Client().get("/static/carprice.css", headers=headers))

    assert seconds < LONGEST_SECONDS


@pytest.mark.parametrize("token", ["." * 400_000, "a" * 400_000, "a " * 200_000, "a." * 200_000])
def test_a_credential_of_many_lines_is_a_wrong_one(token: str) -> None:
    response, seconds = measured(
        lambda: Client().get("/balance", headers={"Authorization": f"Bearer {token}"})
    )

    assert response.status_code == 401
    assert seconds < LONGEST_SECONDS


@pytest.mark.parametrize("path", ["/", "/balance", "/api/tasks", "/wallet", "/account/sign-in"])
def test_many_query_parameters_are_refused(world: World, path: str) -> None:
    query = "&".join(f"k{number}=1" for number in range(900))

    response, seconds = measured(lambda: world.browser.get(f"{path}?{query}"))

    assert response.status_code == 400
    assert response.json()["errors"] == {"query": ["At most 100 parameters."]}
    assert seconds < LONGEST_SECONDS


@pytest.mark.parametrize("path", ["/api/tasks", "/predict", "/api/wallet/transactions"])
def test_unknown_query_parameters_are_counted_and_the_first_named(world: World, path: str) -> None:
    query = "&".join(f"k{number}=1" for number in range(90))

    response = world.browser.get(f"{path}?{query}")

    assert response.status_code == 400
    errors = response.json()["errors"]
    assert sum(name.startswith("k") for name in errors) == 20
    assert errors["body"] == ["90 unknown fields; the first 20 are named."]


@pytest.mark.parametrize("path", ["accounts/user", "billing/ledgerentry", "predictions/prediction"])
def test_a_search_of_many_words_is_refused_in_the_admin(world: World, path: str) -> None:
    client = Client()
    client.force_login(world.operator)

    response, seconds = measured(lambda: client.get(f"/admin/{path}/?q={'a+' * 1900}"))

    assert response.status_code == 400
    assert seconds < LONGEST_SECONDS
    assert client.get(f"/admin/{path}/?q={'a+' * 90}").status_code == 200
