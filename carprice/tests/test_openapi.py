"""The OpenAPI document: it is whole, the service keeps to it, and a client made from it works."""

import json
import sys
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from django.core.management import call_command
from django.core.signals import request_finished, request_started
from django.db import close_old_connections
from django.db.models.functions import Now
from django.urls import URLPattern
from drf_spectacular.generators import SchemaGenerator
from hypothesis import HealthCheck, settings
from openapi_python_client import generate
from openapi_python_client.config import Config, ConfigFile, MetaType
from schemathesis import Case, CheckContext
from schemathesis.core import NotSet
from schemathesis.core.parameters import ParameterLocation
from schemathesis.core.transport import Response
from schemathesis.specs.openapi.checks import positive_data_acceptance

from accounts.models import User
from accounts.tokens import SessionAccessToken, open_session
from carprice.wsgi import django_application
from mlmodels.models import Predictor
from predictions import services
from predictions.execution import runner
from predictions.models import Heartbeat, Prediction
from testing.fixtures import PASSWORD
from testing.routes import api_routes

Document = dict[str, Any]
Checks = list[Callable[[CheckContext, Response, Case[Any]], bool | None]]

DOCUMENT: Document = SchemaGenerator().get_schema(public=True)  # type: ignore[no-untyped-call]
# The document itself, the page that shows it, and what Stripe alone calls.
NOT_DESCRIBED = {"api-schema", "api-docs", "stripe-webhook"}
ROUTES = [route for route in api_routes() if route.name not in NOT_DESCRIBED]
PUBLIC = {"/sign_up", "/sign_in", "/api/auth/register", "/api/auth/login", "/api/auth/refresh"}
UNWATCHED = {"/healthz", "/readyz", "/metrics"}
IDEMPOTENT = {
    "/predict",
    "/api/tasks/predict",
    "/api/tasks/{task_id}/run",
    "/api/wallet/topup",
    "/api/wallet/vouchers",
}
BODILESS = ("/run", "/cancel", "/logout", "/secret", "/resend")
CAR = {"brand": "bmw", "horsepower": 121}

# --- What the document says ----------------------------------------------------------------------


def path_of(route: URLPattern) -> str:
    return "/" + str(route.pattern).replace("<str:", "{").replace("<id:", "{").replace(">", "}")


def methods_of(route: URLPattern) -> set[str]:
    view = route.callback.view_class  # type: ignore[attr-defined]
    return {name for name in ("get", "post", "put", "patch", "delete") if hasattr(view, name)}


OPERATIONS = [(path_of(route), name) for route in ROUTES for name in sorted(methods_of(route))]
each_operation = pytest.mark.parametrize(("path", "method"), OPERATIONS)


def test_it_is_made_without_a_warning_and_is_valid(tmp_path: Path) -> None:
    file = tmp_path / "document"

    call_command("spectacular", "--validate", "--fail-on-warn", "--file", str(file))

    assert file.read_text().startswith("openapi: 3.")


def test_it_has_every_route_and_no_other() -> None:
    described = {(path, method) for path, item in DOCUMENT["paths"].items() for method in item}

    assert described == set(OPERATIONS)


@each_operation
def test_an_operation_is_named_and_described(path: str, method: str) -> None:
    operation = DOCUMENT["paths"][path][method]

    assert operation["operationId"]
    assert operation["description"].startswith(operation["summary"])
    assert operation["summary"]
    assert all(response["description"] for response in operation["responses"].values())


@each_operation
def test_what_is_refused_everywhere_is_described(path: str, method: str) -> None:
    statuses = set(DOCUMENT["paths"][path][method]["responses"])

    assert {"400", "405", "413", "415", "429"} <= statuses
    assert "503" in statuses or path == "/healthz"
    if path not in PUBLIC | UNWATCHED:
        assert {"401"} | ({"403"} if method != "get" else set()) <= statuses


@each_operation
def test_it_tells_whether_a_token_is_needed(path: str, method: str) -> None:
    security = DOCUMENT["paths"][path][method].get("security")

    assert security == (None if path in PUBLIC | UNWATCHED else [{"bearer": []}, {"password": []}])


@each_operation
def test_headers_of_answers_are_described(path: str, method: str) -> None:
    responses = DOCUMENT["paths"][path][method]["responses"]

    described = {status: set(response.get("headers", ())) for status, response in responses.items()}

    expected: dict[str, set[str]] = {status: set() for status in responses}
    known = {"401": "WWW-Authenticate", "405": "Allow", "429": "Retry-After", "503": "Retry-After"}
    for status, header in known.items():
        if status in expected:
            expected[status] = {header}
    for status in {"200", "201", "202"} & set(responses):
        if method == "post" and path in IDEMPOTENT:
            expected[status].add("Idempotent-Replayed")
        if status != "200" and path.startswith("/api/tasks"):
            expected[status].add("Location")
    assert described == expected


@each_operation
def test_what_is_sent_is_described(path: str, method: str) -> None:
    operation = DOCUMENT["paths"][path][method]
    parameters = {(item["in"], item["name"]) for item in operation.get("parameters", ())}

    in_path = {name for name in ("task_id", "model_name", "key_id") if f"{{{name}}}" in path}
    assert {("path", name) for name in in_path} <= parameters
    takes_key = ("header", "Idempotency-Key") in parameters
    assert takes_key == (method == "post" and path in IDEMPOTENT)
    without_body = path.endswith(BODILESS) or method in ("get", "delete")
    assert ("requestBody" in operation) == (not without_body)


def test_a_job_may_be_asked_for_by_query() -> None:
    [parameter] = DOCUMENT["paths"]["/predict"]["get"]["parameters"]

    assert (parameter["name"], parameter["in"], parameter["required"]) == ("job_id", "query", True)


def test_what_is_sent_has_no_unknown_field() -> None:
    names = [name for name in DOCUMENT["components"]["schemas"] if name.endswith("Request")]

    assert names
    for name in names:
        assert DOCUMENT["components"]["schemas"][name]["additionalProperties"] is False, name


# --- What the service answers --------------------------------------------------------------------

schema = schemathesis.openapi.from_dict(DOCUMENT)
schema.app = django_application
# A NUL is refused everywhere; to say so, each string would need a pattern.
schema.config.generation.update(allow_x00=False)
a_few_examples = settings(
    max_examples=5,
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
UNSAYABLE = {  # fields with rules that JSON Schema has no words for
    "name": "nothing visible",
    "password": "common, or like the name or the address",
    "cursor": "signed",
    "url": "of a public host",
    "code": "of a voucher",
    "created_after": "not later than created_before",
}


@pytest.fixture
def service(db: None, predictors: dict[str, Predictor]) -> Iterator[None]:
    """Everything that `/readyz` asks for. Requests leave the test's connection open."""
    Heartbeat.objects.create(worker="a worker", beat_at=Now())
    request_started.disconnect(close_old_connections)
    request_finished.disconnect(close_old_connections)
    yield
    request_started.connect(close_old_connections)
    request_finished.connect(close_old_connections)


@pytest.fixture
def authorization(user: User) -> dict[str, str]:
    return {"Authorization": f"Bearer {SessionAccessToken.for_session(open_session(user))}"}


def check(case: Case[Any], headers: dict[str, str] | None = None) -> None:
    """Send it, and apply every check of schemathesis to the answer."""
    # Within one process it asks for compression, and does not undo it.
    headers = {**(headers or {}), "Accept-Encoding": "identity"}
    response = case.call(headers=headers)
    excluded: Checks = []
    if breaks_an_unsayable_rule(case, response):
        excluded = [positive_data_acceptance]
    case.validate_response(
        response, headers=headers, excluded_checks=excluded, transport_kwargs={"headers": headers}
    )


def breaks_an_unsayable_rule(case: Case[Any], response: Response) -> bool:
    """Whether what the document allows is refused by a rule that it can only tell in words."""
    if response.status_code == 422:  # an Idempotency-Key that another example had
        return True
    if response.status_code != 400:
        return False
    if case.path == "/api/auth/login" and isinstance(case.body, NotSet):
        return True  # `ApiSchema` tells why
    fields = set(response.json()["errors"])
    # The names and ranges of features are those of a predictor: see its `input_schema`.
    data = case.body.get("data") if isinstance(case.body, dict) else None
    features = set(data) if isinstance(data, dict) else set()
    return fields <= {*UNSAYABLE, *features}


@schema.parametrize()
@a_few_examples
def test_a_stranger_is_answered_as_described(case: Case[Any], service: None) -> None:
    check(case)


@schema.parametrize()
@a_few_examples
def test_a_user_is_answered_as_described(
    case: Case[Any], service: None, authorization: dict[str, str]
) -> None:
    check(case, authorization)


@pytest.fixture(params=["draft", "queued", "finished"])
def task(request: pytest.FixtureRequest, service: None, user: User, predictor: Predictor) -> str:
    """The id of a task in each kind of state."""
    wanted: Any = {"user": user, "predictor": predictor, "data": CAR, "explain": False}
    if request.param == "draft":
        return str(services.create_draft(**wanted).pk)
    row = services.request_prediction(**wanted)
    if request.param == "finished":
        runner.run_queued(Prediction, row.version_id)
    return str(row.pk)


@schema.include(path_regex="task_id").parametrize()
@a_few_examples
def test_a_task_in_any_state_is_answered_as_described(
    case: Case[Any], task: str, authorization: dict[str, str]
) -> None:
    assert case.meta is not None
    if case.meta.is_negative_at(ParameterLocation.PATH):
        return  # ids that are no task's are tried above
    case.path_parameters["task_id"] = task
    if not case.meta.is_negative_at(ParameterLocation.QUERY):
        case.query.pop("wait", None)  # it would take that long
    check(case, authorization)


# --- What a client made from it does -------------------------------------------------------------


@pytest.fixture
def client_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The name of a package that openapi-python-client writes from the document."""
    (tmp_path / "document.json").write_text(json.dumps(DOCUMENT))
    config = Config.from_sources(
        ConfigFile(
            post_hooks=[], content_type_overrides={"application/zip": "application/octet-stream"}
        ),
        MetaType.NONE,
        document_source=tmp_path / "document.json",
        file_encoding="utf-8",
        overwrite=False,
        output_path=tmp_path / "generated_client",
    )
    assert list(generate(config=config)) == []
    monkeypatch.syspath_prepend(str(tmp_path))
    yield "generated_client"
    for name in [name for name in sys.modules if name.partition(".")[0] == "generated_client"]:
        del sys.modules[name]


@pytest.mark.django_db(transaction=True)
def test_a_generated_client_buys_a_prediction(
    client_package: str, predictors: dict[str, Predictor], live_server: Any
) -> None:
    models = import_module(f"{client_package}.models")
    clients = import_module(f"{client_package}.client")

    def call(route: str, **arguments: Any) -> Any:
        return import_module(f"{client_package}.api.{route}").sync(**arguments)

    email = "bob@example.com"
    anyone = clients.Client(base_url=live_server.url)
    call(
        "auth.api_auth_register_create",
        client=anyone,
        body=models.RegisterRequest(name="Bob", email=email, password=PASSWORD),
    )
    tokens = call(
        "auth.api_auth_login_create",
        client=anyone,
        body=models.SignInRequest(email=email, password=PASSWORD),
    )
    bob = clients.AuthenticatedClient(base_url=live_server.url, token=tokens.access_token)
    call(
        "wallet.api_wallet_topup_create",
        client=bob,
        body=models.TopUpRequest(amount=100),
        idempotency_key="first",
    )
    task = call(
        "tasks.api_tasks_predict_create",
        client=bob,
        body=models.TaskRequest(
            model_name="random_forest", data=models.TaskRequestData.from_dict(CAR)
        ),
    )
    runner.run_queued(Prediction, Prediction.objects.get(pk=task.task_id).version_id)
    ended = call("tasks.api_tasks_retrieve", client=bob, task_id=str(task.task_id), wait=10.0)
    wallet = call("wallet.api_wallet_retrieve", client=bob)
    for client in (anyone, bob):
        client.get_httpx_client().close()  # so that the server's threads end

    price = predictors["random_forest"].price
    assert (task.status.value, ended.status.value) == ("queued", "finished")
    assert ended.result.value == Prediction.objects.get(pk=task.task_id).value
    assert (ended.charged, wallet.available) == (price, 100 - price)
