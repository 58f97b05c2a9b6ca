"""The common rules as they apply to the root contract."""

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from django.db import OperationalError, connection
from django.urls import reverse
from rest_framework.test import APIClient

from accounts.models import User
from billing.services import set_available
from carprice.http import throttling
from mlmodels.models import Predictor
from testing.fixtures import PASSWORD
from testing.root_contract import ACCOUNT, assert_refused, job, order, run, send, set_amount, state

pytestmark = pytest.mark.django_db
BODY_LIMIT = 2_621_440
PRIVATE = [
    ("get", "/balance"),
    ("post", "/balance"),
    ("get", "/predictors"),
    ("post", "/predict"),
    ("get", "/predict"),
    ("get", "/history"),
    ("get", "/running"),
]
ALLOWED = {
    "/sign_up": {"POST"},
    "/sign_in": {"POST"},
    "/balance": {"GET", "POST"},
    "/predictors": {"GET"},
    "/predict": {"GET", "POST"},
    "/history": {"GET"},
    "/running": {"GET"},
}


def use_up(scope: str, user: User) -> None:
    """Count requests until the account's limit refuses one."""
    with suppress(throttling.TooManyRequests):
        while True:
            throttling.count(scope, f"account:{user.pk}")


# --- Refusals every route shares ------------------------------------------------------------------


@pytest.mark.parametrize(("method", "path"), PRIVATE)
@pytest.mark.parametrize("header", [None, "Bearer", "Bearer a.b.c", "Basic eDp5"])
def test_without_a_good_token_it_is_401(method: str, path: str, header: str | None) -> None:
    client = APIClient()
    if header:
        client.credentials(HTTP_AUTHORIZATION=header)

    response = getattr(client, method)(path)

    assert_refused(response, 401, "not_authenticated")
    assert response["WWW-Authenticate"] == "Bearer"


@pytest.mark.parametrize("path", ["/sign_up", "/sign_in"])
def test_a_bad_token_is_no_matter_where_none_is_asked_for(path: str) -> None:
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION="Bearer a.b.c")

    response = client.post(path, {}, format="json")

    assert_refused(response, 400, "invalid_request")


@pytest.mark.parametrize(
    ("method", "path"),
    [
        (method, path)
        for path, allowed in ALLOWED.items()
        for method in ("GET", "POST", "PUT", "PATCH", "DELETE", "TRACE")
        if method not in allowed
    ],
)
def test_a_wrong_method_is_405_and_names_the_right_ones(
    api: APIClient, user: User, method: str, path: str
) -> None:
    before = state(user)

    response = send(api, path, b"{}", method=method)

    assert_refused(response, 405, "method_not_allowed")
    assert set(response["Allow"].split(", ")) - {"HEAD", "OPTIONS"} == ALLOWED[path]
    assert state(user) == before


def test_a_method_in_a_header_is_ignored(api: APIClient, user: User) -> None:
    response = api.post(
        "/balance", {"new_amount": 5}, format="json", HTTP_X_HTTP_METHOD_OVERRIDE="GET"
    )

    assert response.json() == {"amount": 5}


@pytest.mark.parametrize(
    "path", ["/balance/", "/predict/", "/sign_in/", "/nope", "/api", "/predict/1"]
)
def test_an_unknown_path_is_404_with_the_error_body(api: APIClient, path: str) -> None:
    assert_refused(api.get(path), 404, "not_found")


@pytest.mark.parametrize("path", ["/sign_up", "/sign_in", "/balance", "/predict"])
def test_a_body_over_the_limit_is_413(api: APIClient, user: User, path: str) -> None:
    before = state(user)

    response = send(api, path, b" " * (BODY_LIMIT + 1))

    assert_refused(response, 413, "body_too_large")
    assert state(user) == before


def test_a_body_of_exactly_the_limit_is_read(api: APIClient) -> None:
    body = b'{"new_amount": 5}'.ljust(BODY_LIMIT)

    response = send(api, "/balance", body)

    assert response.json() == {"amount": 5}


@pytest.mark.parametrize("path", ["/sign_up", "/sign_in", "/balance", "/predict"])
@pytest.mark.parametrize(
    "content_type",
    [
        "text/plain",
        "application/xml",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "application/jsonp",
        "nonsense",
        "",
    ],
)
def test_another_content_type_is_415(
    api: APIClient, user: User, path: str, content_type: str
) -> None:
    before = state(user)

    response = send(api, path, b'{"new_amount": 5}', content_type=content_type)

    assert_refused(response, 415, "unsupported_media_type")
    assert state(user) == before


@pytest.mark.parametrize(
    ("scope", "method", "path"),
    [
        ("submit", "POST", "/predict"),
        ("top_up", "POST", "/balance"),
        ("other", "GET", "/balance"),
        ("other", "GET", "/predict"),
        ("other", "GET", "/predictors"),
        ("other", "GET", "/history"),
        ("other", "GET", "/running"),
    ],
)
def test_too_many_requests_are_429_with_retry_after(
    api: APIClient, user: User, scope: str, method: str, path: str
) -> None:
    use_up(scope, user)
    before = state(user)

    response = send(api, path, b"", method=method)

    assert_refused(response, 429, "too_many_requests")
    assert 1 <= int(response["Retry-After"]) <= 60
    assert state(user) == before


def test_one_users_limit_is_not_anothers(
    api: APIClient,
    user: User,
    make_user: Callable[..., User],
    client_of: Callable[[User], APIClient],
) -> None:
    use_up("other", user)
    neighbor = client_of(make_user("bob@example.com"))

    assert neighbor.get("/balance").status_code == 200


# --- Which refusal comes first --------------------------------------------------------------------


def test_401_comes_before_405() -> None:
    assert_refused(APIClient().put("/balance"), 401, "not_authenticated")


@pytest.mark.parametrize("path", ["/balance", "/predict"])
def test_401_comes_before_413_415_and_400(path: str) -> None:
    client = APIClient()

    too_large = send(client, path, b"x" * (BODY_LIMIT + 1), content_type="text/plain")
    not_json = send(client, path, b"x")

    assert_refused(too_large, 401, "not_authenticated")
    assert_refused(not_json, 401, "not_authenticated")


@pytest.mark.parametrize("path", ["/balance", "/sign_up"])
def test_405_comes_before_413(api: APIClient, path: str) -> None:
    response = send(api, path, b"x" * (BODY_LIMIT + 1), method="PUT", content_type="text/plain")

    assert_refused(response, 405, "method_not_allowed")


@pytest.mark.parametrize("path", ["/balance", "/sign_up"])
def test_413_comes_before_415(api: APIClient, path: str) -> None:
    response = send(api, path, b"x" * (BODY_LIMIT + 1), content_type="text/plain")

    assert_refused(response, 413, "body_too_large")


def test_415_comes_before_429(api: APIClient, user: User) -> None:
    use_up("top_up", user)

    response = send(api, "/balance", b"x", content_type="text/plain")

    assert_refused(response, 415, "unsupported_media_type")


def test_429_comes_before_400(api: APIClient, user: User) -> None:
    use_up("submit", user)

    response = send(api, "/predict", b"{")

    assert_refused(response, 429, "too_many_requests")


def test_400_comes_before_404(api: APIClient, predictor: Predictor) -> None:
    response = order(api, model_name="no_such", extra=1)

    assert list(assert_refused(response, 400, "invalid_request")) == ["extra"]


@pytest.mark.parametrize(
    "data", [{}, {"wings": 2}, {"horsepower": [1, 2]}, {"horsepower": "x"}, [], "s", 7, True, None]
)
def test_an_unknown_model_comes_before_errors_in_its_data(
    api: APIClient, predictor: Predictor, data: Any
) -> None:
    response = order(api, model_name="no_such", data=data)

    assert_refused(response, 404, "predictor_not_found")


def test_400_comes_before_409(user: User) -> None:
    body = {**ACCOUNT, "email": user.email, "password": "password123"}

    response = APIClient().post("/sign_up", body, format="json")

    assert list(assert_refused(response, 400, "invalid_request")) == ["password"]


@pytest.mark.parametrize(
    ("changes", "status", "code"),
    [
        pytest.param({"data": {"horsepower": "x"}}, 400, "invalid_request", id="400"),
        pytest.param({"model_name": "no_such"}, 404, "predictor_not_found", id="404"),
    ],
)
def test_400_and_404_come_before_402(
    api: APIClient,
    user: User,
    predictor: Predictor,
    changes: dict[str, Any],
    status: int,
    code: str,
) -> None:
    set_available(user_id=user.pk, new_amount=0)

    response = order(api, **changes)

    assert_refused(response, status, code)


# --- When the database is away --------------------------------------------------------------------


def refuse(statement: str = "") -> Callable[..., Any]:
    """A database that cannot be reached for statements that contain a text."""

    def execute(call: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        if statement in sql:
            raise OperationalError('connection to server at "10.0.0.7" failed: FATAL password')
        return call(sql, params, many, context)

    return execute


def assert_unavailable(response: Any) -> None:
    assert_refused(response, 503, "unavailable")
    assert int(response["Retry-After"]) >= 1
    assert b"10.0.0.7" not in response.content


@pytest.mark.parametrize(("method", "path"), PRIVATE)
def test_without_the_database_every_route_is_503(api: APIClient, method: str, path: str) -> None:
    with connection.execute_wrapper(refuse()):
        response = getattr(api, method)(path)

    assert_unavailable(response)


def test_without_the_database_nobody_can_sign_in(user: User) -> None:
    body = {"email": user.email, "password": PASSWORD}

    with connection.execute_wrapper(refuse()):
        response = APIClient().post("/sign_in", body, format="json")

    assert_unavailable(response)


def test_without_the_database_nobody_can_sign_up() -> None:
    with connection.execute_wrapper(refuse("INSERT INTO")):
        response = APIClient().post("/sign_up", ACCOUNT, format="json")

    assert_unavailable(response)
    assert not User.objects.exists()


@pytest.mark.parametrize("statement", ["billing_ledgerentry", "INSERT INTO predictions"])
def test_a_database_lost_in_mid_submission_leaves_nothing(
    api: APIClient, user: User, predictor: Predictor, statement: str
) -> None:
    before = state(user)

    with connection.execute_wrapper(refuse(statement)):
        response = order(api)

    assert_unavailable(response)
    assert state(user) == before


def test_a_database_lost_while_setting_the_balance_leaves_it(api: APIClient, user: User) -> None:
    before = state(user)

    with connection.execute_wrapper(refuse("billing_ledgerentry")):
        response = set_amount(api, 5)

    assert_unavailable(response)
    assert state(user) == before


@pytest.mark.parametrize("path", ["/", "/catalogue", "/wallet", "/predictions"])
def test_without_the_database_a_page_is_503_too(user: User, path: str) -> None:
    client = APIClient(raise_request_exception=False)
    client.force_login(user)

    with connection.execute_wrapper(refuse()):
        response = client.get(path, HTTP_ACCEPT="text/html")

    assert response.status_code == 503
    assert int(response["Retry-After"]) >= 1
    assert response["Content-Type"].startswith("text/html")
    assert b"10.0.0.7" not in response.content


def test_an_unforeseen_error_tells_nothing_of_itself(api: APIClient) -> None:
    def explode(*_: Any) -> Any:
        raise RuntimeError("SELECT secret FROM /etc/passwd")

    api.raise_request_exception = False
    with connection.execute_wrapper(explode):
        response = api.get("/balance")

    assert_refused(response, 500, "internal_error")
    assert b"secret" not in response.content
    assert b"Traceback" not in response.content


# --- The same views for a browser -----------------------------------------------------------------


@pytest.mark.parametrize("path", ["/balance", "/predictors", "/history", "/running"])
def test_a_browser_gets_the_browsable_api(user: User, predictor: Predictor, path: str) -> None:
    client = APIClient()
    client.force_login(user)

    response = client.get(path, HTTP_ACCEPT="text/html")

    assert response.status_code == 200
    assert "Carprice API" in response.content.decode()


def test_a_browser_sees_an_error_in_the_browsable_api(user: User) -> None:
    client = APIClient()
    client.force_login(user)

    response = client.post("/balance", {"new_amount": -1}, format="json", HTTP_ACCEPT="text/html")

    assert response.status_code == 400
    assert "invalid_request" in response.content.decode()


@pytest.mark.parametrize("accept", ["*/*", "application/xml", "text/csv", "nonsense", ""])
def test_whoever_asks_for_no_page_gets_json(api: APIClient, accept: str) -> None:
    response = api.get("/balance", HTTP_ACCEPT=accept)

    assert (response.status_code, response.json()) == (200, {"amount": 1000})


def test_the_root_contract_has_its_routes_at_the_root() -> None:
    names = ["sign-up", "sign-in", "balance", "predictors", "predict", "history", "running"]

    paths = [reverse(f"root-{name}") for name in names]

    assert paths == [f"/{name.replace('-', '_')}" for name in names]


def test_the_whole_path_works_as_a_script_walks_it(predictor: Predictor) -> None:
    script = APIClient()
    script.post("/sign_up", ACCOUNT, format="json")
    granted = script.post(
        "/sign_in", {"email": ACCOUNT["email"], "password": PASSWORD}, format="json"
    ).json()
    script.credentials(HTTP_AUTHORIZATION=f"Bearer {granted['access_token']}")
    set_amount(script, 100)
    job_id = order(script).json()["job_id"]
    run(job_id)

    answer = job(script, job_id).json()

    assert answer["status"] == "finished"
    assert script.get("/balance").json() == {"amount": 100 - predictor.price}
    assert script.get("/running").json() == {"job_ids": []}
    assert script.get("/history").json() == {"job_ids": [job_id]}
