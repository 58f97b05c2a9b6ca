"""Input that breaks parsers, databases and models: refused in words, and nothing has changed."""

import json
from typing import Any

import pytest
from rest_framework.test import APIClient

from accounts.models import User
from mlmodels.models import Predictor
from testing.bad_input import BROKEN_BODIES, state
from testing.fixtures import PASSWORD

pytestmark = pytest.mark.django_db
ROUTES = ["/predict", "/balance", "/sign_up", "/sign_in"]
ACCOUNT = {"name": "Bob", "email": "bob@example.com", "password": PASSWORD}


def send(api: APIClient, path: str, body: bytes, **headers: Any) -> Any:
    """POST exactly this body."""
    content_type = headers.pop("content_type", "application/json")
    return api.generic("POST", path, body, content_type, **headers)  # type: ignore[arg-type]


def assert_invalid(response: Any) -> dict[str, list[str]]:
    """400 with the contract's error body; returns its messages by field."""
    assert response.status_code == 400
    assert response["Content-Type"] == "application/json"
    body = response.json()
    assert set(body) == {"code", "detail", "errors"}
    assert body["code"] == "invalid_request"
    assert body["errors"]
    for messages in body["errors"].values():
        assert messages
        assert all(isinstance(message, str) and message for message in messages)
    return dict(body["errors"])


def predict(api: APIClient, feature: str, value: bytes) -> Any:
    """POST /predict with one feature, its value written as this JSON."""
    data = b'{"%s": %s}' % (feature.encode(), value)
    return send(api, "/predict", b'{"model_name": "random_forest", "data": %s}' % data)


# --- The body as a whole --------------------------------------------------------------------------


@pytest.mark.parametrize("path", ROUTES)
@pytest.mark.parametrize("body", BROKEN_BODIES.values(), ids=BROKEN_BODIES.keys())
def test_a_broken_body_is_refused(api: APIClient, user: User, path: str, body: bytes) -> None:
    before = state(user)

    response = send(api, path, body)

    assert_invalid(response)
    assert state(user) == before


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b'{"new_amount": 5, "new_amount": 5}', id="given-twice"),
        pytest.param(b'{"new_amount": 5, "new_\\u0061mount": 6}', id="given-twice-escaped"),
        pytest.param(b'\xef\xbb\xbf{"new_amount": 5}', id="utf-8-with-bom"),
        pytest.param('{"new_amount": 5}'.encode("utf-16"), id="utf-16"),
        pytest.param('{"new_amount": 5}'.encode("utf-16-be"), id="utf-16-be"),
        pytest.param('{"new_amount": 5}'.encode("utf-32"), id="utf-32"),
        pytest.param(b'{"new_amount": 5}x', id="trailing-garbage"),
        pytest.param(b'{"new_amount": 5}\x00', id="trailing-nul"),
        pytest.param(b'{"new_amount": 5,}', id="trailing-comma"),
        pytest.param(b'{"new_amount": 5', id="cut"),
        pytest.param(b'[{"new_amount": 5}]', id="in-a-list"),
        pytest.param(b'{"new_amount": +5}', id="plus-sign"),
        pytest.param(b'{"new_amount": 05}', id="leading-zero"),
        pytest.param(b"{'new_amount': 5}", id="single-quotes"),
    ],
)
def test_a_body_that_is_right_but_for_its_writing_is_refused(
    api: APIClient, user: User, body: bytes
) -> None:
    before = state(user)

    response = send(api, "/balance", body)

    assert_invalid(response)
    assert state(user) == before


@pytest.mark.parametrize("name", ["deep-lists", "deep-closed-lists", "deep-objects", "21-levels"])
def test_the_refusal_of_deep_nesting_says_how_deep_is_allowed(api: APIClient, name: str) -> None:
    errors = assert_invalid(send(api, "/predict", BROKEN_BODIES[name]))

    assert any("20" in message for messages in errors.values() for message in messages)


def test_a_field_given_twice_is_named(api: APIClient, user: User, predictor: Predictor) -> None:
    before = state(user)
    body = b'{"model_name": "random_forest", "data": {"stroke": 3, "stroke": 4}}'

    response = send(api, "/predict", body)

    assert list(assert_invalid(response)) == ["stroke"]
    assert state(user) == before


def test_the_refusal_of_a_wrong_body_type_names_the_body(api: APIClient) -> None:
    assert list(assert_invalid(send(api, "/predict", b"[]"))) == ["body"]


@pytest.mark.parametrize("path", ROUTES)
@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "identity, gzip", "x"])
def test_a_packed_body_is_415_and_never_unpacked(
    api: APIClient, user: User, path: str, encoding: str
) -> None:
    before = state(user)

    response = send(api, path, BROKEN_BODIES["gzip"], HTTP_CONTENT_ENCODING=encoding)

    assert (response.status_code, response.json()["code"]) == (415, "unsupported_media_type")
    assert state(user) == before


@pytest.mark.parametrize(
    "content_type",
    [
        "application/json; charset=bogus",
        "application/json; charset=utf-16",
        "application/json; charset=",
        "application/json; charset",
        "application/json;;;",
        "application/json; a=b; c",
        "APPLICATION/JSON",
    ],
)
def test_odd_parameters_of_the_content_type_do_no_harm(api: APIClient, content_type: str) -> None:
    response = send(api, "/balance", b'{"new_amount": 5}', content_type=content_type)

    if response.status_code == 200:
        assert response.json() == {"amount": 5}
    else:
        assert response.status_code in (400, 415)
        assert api.get("/balance").json() == {"amount": 1000}


@pytest.mark.parametrize("length", ["-1", "abc", "1.5", "0x10", "9" * 30])
def test_an_impossible_content_length_is_refused(api: APIClient, user: User, length: str) -> None:
    before = state(user)

    response = send(api, "/balance", b'{"new_amount": 5}', CONTENT_LENGTH=length)

    assert response.status_code in (400, 413)
    assert state(user) == before


# --- Features -------------------------------------------------------------------------------------


@pytest.mark.parametrize("feature", ["horsepower", "stroke"])
@pytest.mark.parametrize(
    "value",
    [
        pytest.param(b"NaN", id="nan"),
        pytest.param(b"Infinity", id="infinity"),
        pytest.param(b"-Infinity", id="minus-infinity"),
        pytest.param(b"1e999", id="1e999"),
        pytest.param(b"-1e999", id="minus-1e999"),
        pytest.param(b"1e308", id="1e308"),
        pytest.param(b"[NaN]", id="nan-in-a-list"),
        pytest.param(b'"NaN"', id="nan-as-text"),
        pytest.param(b'"inf"', id="inf-as-text"),
        pytest.param(b"1" + b"0" * 30, id="10-to-the-30"),
        pytest.param(b"-" + b"9" * 4_000, id="4000-digits"),
        pytest.param(b"9223372036854775808", id="2-to-the-63"),
        pytest.param(b"-1", id="negative"),
        pytest.param(b"0", id="zero"),
        pytest.param(b"true", id="true"),
        pytest.param(b"false", id="false"),
        pytest.param(b'""', id="empty-text"),
        pytest.param(b'"3"', id="digits-as-text"),
        pytest.param(b'" 3 "', id="padded-digits"),
        pytest.param(b'"1_0"', id="underscore"),
        pytest.param('"１２"'.encode(), id="full-width-digits"),
        pytest.param(b'"three"', id="a-word"),
        pytest.param(b"{}", id="an-object"),
        pytest.param(b'{"value": 3}', id="a-wrapped-value"),
        pytest.param(b"[]", id="no-row"),
        pytest.param(b"[3, 3]", id="two-rows"),
        pytest.param(b"[[3]]", id="nested-lists"),
        pytest.param(b"[true]", id="true-in-a-list"),
    ],
)
def test_a_bad_number_is_refused_by_its_name(
    api: APIClient, user: User, predictor: Predictor, feature: str, value: bytes
) -> None:
    before = state(user)

    response = predict(api, feature, value)

    assert list(assert_invalid(response)) == [feature]
    assert state(user) == before


@pytest.mark.parametrize(
    "value",
    [
        b'"tesla"',
        b'"BMVV"',
        b'" bm"',
        b'""',
        b"0",
        b"true",
        b"{}",
        b'["bmw", "audi"]',
        b'[["bmw"]]',
        b'"' + b"x" * 100_000 + b'"',
        b'"\' OR 1=1 --"',
        b'"\\u0000"',
        b'"\\ud800"',
    ],
    ids=str,
)
def test_a_bad_category_is_refused_by_its_name(
    api: APIClient, user: User, predictor: Predictor, value: bytes
) -> None:
    before = state(user)

    response = predict(api, "brand", value)

    assert list(assert_invalid(response)) == ["brand"]
    assert state(user) == before


@pytest.mark.parametrize("value", [b"null", b"[null]"])
@pytest.mark.parametrize("feature", ["horsepower", "stroke", "brand", "CarName", "Make"])
def test_a_row_of_nothing_but_null_is_refused_as_a_whole(
    api: APIClient, user: User, predictor: Predictor, feature: str, value: bytes
) -> None:
    before = state(user)

    response = predict(api, feature, value)

    assert list(assert_invalid(response)) == ["data"]
    assert state(user) == before


@pytest.mark.parametrize("feature", ["Brand", "brand ", "make", "MAKE", "CarName"])
def test_a_bad_category_is_refused_by_its_own_name(
    api: APIClient, user: User, predictor: Predictor, feature: str
) -> None:
    before = state(user)

    response = predict(api, feature, b'"tesla"')

    assert list(assert_invalid(response)) == ["brand"]
    assert state(user) == before


def test_half_an_engine_is_no_whole_number(
    api: APIClient, user: User, predictor: Predictor
) -> None:
    before = state(user)

    response = predict(api, "horsepower", b"110.5")

    assert list(assert_invalid(response)) == ["horsepower"]
    assert state(user) == before


@pytest.mark.parametrize(
    "feature", ["wings", "price", "car_ID", "", "Brands", "-", "é", "__proto__", "x" * 10_000]
)
def test_an_unknown_feature_is_refused_by_its_name(
    api: APIClient, user: User, predictor: Predictor, feature: str
) -> None:
    before = state(user)

    response = predict(api, feature, b"1")

    assert list(assert_invalid(response)) == [feature]
    assert state(user) == before


@pytest.mark.parametrize("data", [b"null", b"[]", b'[{"brand": "bmw"}]', b'"s"', b"7", b"true"])
def test_data_that_is_no_object_is_refused_by_its_name(
    api: APIClient, user: User, predictor: Predictor, data: bytes
) -> None:
    before = state(user)

    response = send(api, "/predict", b'{"model_name": "random_forest", "data": %s}' % data)

    assert list(assert_invalid(response)) == ["data"]
    assert state(user) == before


@pytest.mark.parametrize(
    "name", [b"null", b"7", b"true", b"[]", b"{}", b'""', b'"%s"' % (b"x" * 61), b'["x"]']
)
def test_a_model_name_that_is_no_short_text_is_refused_by_its_name(
    api: APIClient, user: User, predictor: Predictor, name: bytes
) -> None:
    before = state(user)

    response = send(api, "/predict", b'{"model_name": %s, "data": {"brand": "bmw"}}' % name)

    assert list(assert_invalid(response)) == ["model_name"]
    assert state(user) == before


@pytest.mark.parametrize(
    "field",
    ["price", "cost", "status", "user", "user_id", "result", "created_at", "hold_id", "explain"],
)
def test_what_the_server_decides_cannot_be_sent(
    api: APIClient, user: User, predictor: Predictor, field: str
) -> None:
    before = state(user)
    body = {"model_name": "random_forest", "data": {"brand": "bmw"}, field: 1}

    response = api.post("/predict", body, format="json")

    assert list(assert_invalid(response)) == [field]
    assert state(user) == before


def test_every_bad_feature_is_named_at_once(
    api: APIClient, user: User, predictor: Predictor
) -> None:
    before = state(user)
    data = {"brand": "tesla", "horsepower": True, "stroke": "x", "wings": 2, "carwidth": 66}

    response = api.post("/predict", {"model_name": "random_forest", "data": data}, format="json")

    assert sorted(assert_invalid(response)) == ["brand", "horsepower", "stroke", "wings"]
    assert state(user) == before


def test_ten_thousand_unknown_features_are_refused(
    api: APIClient, user: User, predictor: Predictor
) -> None:
    before = state(user)
    data = {f"feature_{number}": number for number in range(10_000)}

    response = api.post("/predict", {"model_name": "random_forest", "data": data}, format="json")

    assert_invalid(response)
    assert state(user) == before


# --- The balance ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "amount",
    [
        b"-1",
        b"1000000001",
        b"9223372036854775808",
        b"1" + b"0" * 30,
        b"9" * 4_000,
        b"0.1",
        b"100.0",
        b"1e3",
        b"NaN",
        b"Infinity",
        b"1e999",
        b'"5"',
        b'"1e3"',
        b'""',
        b"true",
        b"false",
        b"null",
        b"[5]",
        b"{}",
    ],
    ids=lambda value: value[:20].decode(),
)
def test_a_bad_amount_is_refused_by_its_name(api: APIClient, user: User, amount: bytes) -> None:
    before = state(user)

    response = send(api, "/balance", b'{"new_amount": %s}' % amount)

    assert list(assert_invalid(response)) == ["new_amount"]
    assert state(user) == before


@pytest.mark.parametrize("field", ["amount", "balance", "held", "user", "is_staff", "reason"])
def test_another_field_beside_the_amount_is_refused(api: APIClient, user: User, field: str) -> None:
    before = state(user)

    response = api.post("/balance", {"new_amount": 5, field: 5}, format="json")

    assert list(assert_invalid(response)) == [field]
    assert state(user) == before


# --- Signing up and in ----------------------------------------------------------------------------


NO_TEXTS = [None, 7, 1.5, True, [], ["x"], {}, {"a": 1}]


@pytest.mark.parametrize("field", list(ACCOUNT))
@pytest.mark.parametrize("value", NO_TEXTS, ids=repr)
def test_what_is_no_text_is_refused_when_signing_up(field: str, value: Any) -> None:
    response = APIClient().post("/sign_up", {**ACCOUNT, field: value}, format="json")

    assert list(assert_invalid(response)) == [field]
    assert not User.objects.exists()


@pytest.mark.parametrize("field", ["email", "password"])
@pytest.mark.parametrize("value", NO_TEXTS, ids=repr)
def test_what_is_no_text_is_refused_when_signing_in(user: User, field: str, value: Any) -> None:
    body = {"email": user.email, "password": PASSWORD, field: value}

    response = APIClient().post("/sign_in", body, format="json")

    assert list(assert_invalid(response)) == [field]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", ""),
        ("name", "   "),
        ("name", "x" * 151),
        ("name", "e" + "\u0301" * 10_000),
        ("name", "Ada\x00"),
        ("name", "Ada\ud800"),
        ("name", "\u202eadA"),
        ("name", "x" * 1_000_000),
        ("email", ""),
        ("email", "ada"),
        ("email", "ada@"),
        ("email", "@example.com"),
        ("email", "ada@example"),
        ("email", "ada@example..com"),
        ("email", "ada example@example.com"),
        ("email", "ada@example.com\r\nBcc: eve@example.com"),
        ("email", "ada@example.com,eve@example.com"),
        ("email", "a" * 243 + "@example.com"),
        ("email", "ada\x00@example.com"),
        ("email", "x" * 1_000_000),
        ("password", ""),
        ("password", "seven-7"),
        ("password", "x9!" * 43),
        ("password", "correct horse\x00 battery"),
        ("password", "correct horse \udc00 battery"),
        ("password", "x" * 1_000_000),
    ],
    ids=lambda value: ascii(value)[:30],
)
def test_a_bad_text_is_refused_when_signing_up(field: str, value: str) -> None:
    body = json.dumps({**ACCOUNT, field: value}).encode()

    response = send(APIClient(), "/sign_up", body)

    assert list(assert_invalid(response)) == [field]
    assert not User.objects.exists()


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("email", ""),
        ("email", "x" * 255),
        ("email", "x" * 1_000_000),
        ("email", "ada\x00@example.com"),
        ("email", "\ud800@example.com"),
        ("password", ""),
        ("password", "x" * 129),
        ("password", "x" * 1_000_000),
        ("password", "wrong\x00"),
        ("password", "wrong\ud800"),
    ],
    ids=lambda value: ascii(value)[:30],
)
def test_a_bad_text_is_refused_when_signing_in(user: User, field: str, value: str) -> None:
    body = json.dumps({"email": user.email, "password": PASSWORD, field: value}).encode()

    response = send(APIClient(), "/sign_in", body)

    assert list(assert_invalid(response)) == [field]


@pytest.mark.parametrize("email", ["ada", "' OR 1=1 --", "é@exämple.com", "%"])
def test_a_text_that_is_no_address_signs_nobody_in(user: User, email: str) -> None:
    response = APIClient().post("/sign_in", {"email": email, "password": PASSWORD}, format="json")

    assert (response.status_code, response.json()["code"]) == (401, "invalid_credentials")


@pytest.mark.parametrize("name", ["<script>", "{{7*7}}", "👩‍🔬", "' OR 1=1 --"])
def test_an_odd_name_is_kept_as_it_is(name: str) -> None:
    response = APIClient().post("/sign_up", {**ACCOUNT, "name": name}, format="json")

    assert (response.status_code, response.json()["name"]) == (201, name)
    assert User.objects.get().name == name


# --- Headers --------------------------------------------------------------------------------------


@pytest.mark.parametrize("host", ["evil.example", "a b", "localhost:abc", "[::1", "", "."])
def test_a_foreign_host_is_refused(api: APIClient, host: str) -> None:
    response = api.get("/balance", HTTP_HOST=host)

    assert response.status_code == 400
    assert response.json()["code"] == "invalid_request"
    # What is no host is not repeated.
    assert (f"the host {host};" in response.json()["detail"]) == (host == "evil.example")


@pytest.mark.parametrize("path", ROUTES)
def test_no_foreign_page_may_call_the_api(api: APIClient, path: str) -> None:
    response = api.options(
        path, HTTP_ORIGIN="https://evil.example", HTTP_ACCESS_CONTROL_REQUEST_METHOD="POST"
    )

    assert not [name for name in response.headers if name.lower().startswith("access-control")]
