"""What a web process is made of: no machine learning in it, no unguarded door, a true document."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.contrib.staticfiles import finders
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver
from drf_spectacular.drainage import GENERATOR_STATS
from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.validation import validate_schema
from rest_framework.authentication import SessionAuthentication
from rest_framework.permissions import IsAuthenticated
from rest_framework.test import APIClient

from accounts.authentication import BearerAuthentication, IsSignedIn
from accounts.keys.authentication import KeyAllowsMethod, KeyAuthentication
from mlmodels.models import Predictor

HEAVY = {"sklearn", "numpy", "pandas", "joblib", "scipy", "threadpoolctl", "shap", "stripe"}

# API views that answer without a credential, each for a reason of its own.
PUBLIC = {
    "root-sign-up": "a stranger becomes a user here",
    "root-sign-in": "a credential is got here",
    "api-register": "a stranger becomes a user here",
    "api-login": "a credential is got here",
    "api-refresh": "the refresh token in its body is the credential",
    "stripe-webhook": "Stripe signs what it sends",
    "healthz": "asked by what runs the process",
    "readyz": "asked by what sends it traffic",
    "metrics": "asked by Prometheus, from inside alone",
    "api-schema": "the contract is no secret",
    "api-docs": "the contract is no secret",
}

ROOT_CONTRACT = {
    ("post", "/sign_up"),
    ("post", "/sign_in"),
    ("get", "/balance"),
    ("post", "/balance"),
    ("get", "/predictors"),
    ("post", "/predict"),
    ("get", "/predict"),
    ("get", "/history"),
    ("get", "/running"),
}

# Serves a person's and a script's whole way to a queued prediction, then lists what was imported.
PROGRAM = """
import io, json, sys
from carprice.wsgi import application
from django.core.management import call_command
from django.utils import timezone
from mlmodels.models import Predictor, PredictorVersion

call_command("migrate", verbosity=0)
call_command("collectstatic", verbosity=0, interactive=False)
predictor = Predictor.objects.create(name="model", domain="car_price", title="Model", price=10)
version = PredictorVersion.objects.create(
    predictor=predictor, number=1, target="price", unit="USD", signature=json.load(sys.stdin),
    metrics={"mae": 1, "mape": 0.1, "r2": 0.9, "rows": 1, "folds": 1, "repeats": 1},
    artefact_sha256="0" * 64, artefact_format=1, sklearn_version="", libraries={},
    data_sha256="", seed=0, trained_at=timezone.now(),
)
predictor.current_version = version
predictor.save()

def request(method, path, body=None, token=""):
    content = json.dumps(body).encode() if body is not None else b""
    statuses = []
    answer = application({
        "REQUEST_METHOD": method, "PATH_INFO": path, "QUERY_STRING": "",
        "SERVER_NAME": "localhost", "SERVER_PORT": "8000", "REMOTE_ADDR": "127.0.0.1",
        "CONTENT_TYPE": "application/json", "CONTENT_LENGTH": str(len(content)),
        "HTTP_AUTHORIZATION": f"Bearer {token}", "wsgi.input": io.BytesIO(content),
        "wsgi.url_scheme": "http", "wsgi.errors": sys.stderr,
    }, lambda status, headers: statuses.append(int(status.split()[0])))
    return statuses[0], b"".join(answer)

account = {"name": "Ada", "email": "ada@example.com", "password": "correct horse battery"}
statuses = [request("POST", "/sign_up", account)[0]]
del account["name"]
status, answer = request("POST", "/sign_in", account)
token = json.loads(answer)["access_token"]
statuses.append(status)
order = {"model_name": "model", "data": {"horsepower": 110}}
statuses.append(request("POST", "/balance", {"new_amount": 10}, token)[0])
status, answer = request("POST", "/predict", order, token)
statuses.append(status)
statuses.append(request("GET", "/predict", json.loads(answer), token)[0])
pages = ["/", "/catalogue", "/catalogue/model"]
for path in ["/predictors", "/history", "/running", *pages, "/healthz"]:
    statuses.append(request("GET", path, token=token)[0])
request("GET", "/readyz")
modules = sorted({name.partition(".")[0] for name in sys.modules})
print(json.dumps({"statuses": statuses, "modules": modules}))
"""


@pytest.fixture
def imported(tmp_path: Path, predictor: Predictor) -> dict[str, Any]:
    """What a new web process had imported once it had answered."""
    assert predictor.current_version
    ended = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        cwd=settings.BASE_DIR,
        env={"PATH": os.environ["PATH"], "VAR_DIR": str(tmp_path)},
        input=json.dumps(predictor.current_version.signature),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    return dict(json.loads(ended.stdout.splitlines()[-1]))


def test_a_web_process_imports_no_machine_learning(imported: dict[str, Any]) -> None:
    assert imported["statuses"] == [201, 200, 200, 202, *[200] * 8]
    assert set(imported["modules"]) & HEAVY == set()


# --- Every door has a lock -----------------------------------------------------------------------


def patterns(resolver: URLResolver) -> Iterator[URLPattern]:
    for entry in resolver.url_patterns:
        if isinstance(entry, URLResolver):
            yield from patterns(entry)
        else:
            yield entry


def api_views() -> dict[str, Any]:
    """Every class-based API view of the URL conf, by the name or pattern of its route."""
    views = {}
    for pattern in patterns(get_resolver()):
        view = getattr(pattern.callback, "cls", None)
        if view is not None:
            views[pattern.name or str(pattern.pattern)] = view
    return views


def test_the_walk_over_the_urls_finds_the_api() -> None:
    assert len(api_views()) >= 11


@pytest.mark.parametrize("name", sorted(set(api_views()) - set(PUBLIC)))
def test_an_api_view_asks_for_a_credential_unless_it_is_listed_as_public(name: str) -> None:
    view = api_views()[name]

    # Either what a read-only key must not do is refused, or every key is.
    assert view.permission_classes in ([IsAuthenticated, KeyAllowsMethod], [IsSignedIn])
    assert list(view.authentication_classes[:2]) == [KeyAuthentication, BearerAuthentication]


@pytest.mark.parametrize("name", sorted(PUBLIC))
def test_a_public_view_exists_and_looks_at_no_token(name: str) -> None:
    classes = api_views()[name].authentication_classes

    # The session decides what the header of the documentation shows.
    assert list(classes) == ([SessionAuthentication] if name == "api-docs" else [])


@pytest.mark.django_db
@pytest.mark.parametrize(
    "path",
    [
        "wallet",
        "wallet/statements",
        "account",
        "account/keys",
        "predictions",
        "predictions.csv",
        "predictions/1",
        "predictions/1/status",
    ],
)
def test_a_page_about_a_person_asks_who_it_is(path: str) -> None:
    response = Client().get(f"/{path}")

    assert (response.status_code, response["Location"]) == (
        302,
        f"/account/sign-in?next=/{path}",
    )


@pytest.mark.django_db
def test_the_admin_is_closed_to_customers(user: Any) -> None:
    client = Client()
    client.force_login(user)

    response = client.get("/admin/")

    assert response.status_code == 302
    assert response["Location"].startswith("/admin/login/")


# --- The OpenAPI document ------------------------------------------------------------------------


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    return make_document()


def make_document() -> dict[str, Any]:
    generator: Any = SchemaGenerator  # it is not typed
    return dict(generator().get_schema(request=None, public=True))


def operations(document: dict[str, Any]) -> set[tuple[str, str]]:
    return {(method, path) for path, item in document["paths"].items() for method in item}


def test_the_document_is_valid_openapi(document: dict[str, Any]) -> None:
    validate: Any = validate_schema  # it is not typed

    validate(document)


def test_the_document_lists_every_route_of_the_root_contract(document: dict[str, Any]) -> None:
    assert operations(document) >= ROOT_CONTRACT


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/metrics"])
def test_the_document_lists_the_routes_for_operators(document: dict[str, Any], path: str) -> None:
    assert ("get", path) in operations(document)


def test_the_document_is_made_without_warnings(capsys: pytest.CaptureFixture[str]) -> None:
    GENERATOR_STATS.reset()

    make_document()

    assert not GENERATOR_STATS, capsys.readouterr().err


def test_the_document_describes_get_predict_with_its_query(document: dict[str, Any]) -> None:
    operation = document["paths"]["/predict"]["get"]

    assert [(item["in"], item["name"]) for item in operation["parameters"]] == [("query", "job_id")]


@pytest.mark.parametrize(("method", "path"), sorted(ROOT_CONTRACT))
def test_the_document_describes_success_and_refusals(
    document: dict[str, Any], method: str, path: str
) -> None:
    responses = set(document["paths"][path][method]["responses"])

    assert {"200", "201", "202"} & responses
    assert {"413", "415", "429", "503"} <= responses
    assert ("401" in responses) == (path != "/sign_up")


@pytest.mark.parametrize(("method", "path"), sorted(ROOT_CONTRACT))
def test_the_document_says_which_routes_need_a_token(
    document: dict[str, Any], method: str, path: str
) -> None:
    security = document["paths"][path][method].get("security", [])

    assert ({"bearer": []} in security) == (path not in {"/sign_up", "/sign_in"})


# --- The documentation pages ---------------------------------------------------------------------


def foreign_hosts(text: str) -> set[str]:
    """Hosts that a browser would ask because of this page or script."""
    fetched = r"""(?:src|href|action|url|data)\s*[=:(]\s*["'(]?\s*(?:https?:)?//([\w.:-]+)"""
    return set(re.findall(fetched, text))


def test_foreign_hosts_are_found_where_there_are_some() -> None:
    page = '<script src="//cdn.example/x.js"></script><a href="https://evil.example">'

    assert foreign_hosts(page) == {"cdn.example", "evil.example"}


@pytest.mark.django_db
@pytest.mark.parametrize("path", ["/api/schema", "/api/docs", "/healthz"])
def test_the_contract_is_open_to_everybody(path: str) -> None:
    assert APIClient().get(path).status_code == 200


@pytest.mark.parametrize("path", ["/api/schema", "/api/docs"])
def test_a_bad_token_does_not_close_the_contract(path: str) -> None:
    response = APIClient().get(path, HTTP_AUTHORIZATION="Bearer a.b.c")

    assert response.status_code == 200


@pytest.mark.parametrize("query", ["", "?script="])
def test_the_documentation_page_asks_no_foreign_host(query: str) -> None:
    response = Client().get(f"/api/docs{query}")

    assert response.status_code == 200
    assert foreign_hosts(response.content.decode()) == set()


def test_the_assets_of_the_documentation_page_are_served_from_here() -> None:
    page = Client().get("/api/docs").content.decode()

    assets = re.findall(r'(?:src|href|data-style|data-scripts)="(/static/[^"?# ]+)', page)
    assert {asset.rpartition("/")[2] for asset in assets} > {
        "swagger-ui.css",
        "swagger-ui-bundle.js",
    }
    assert all(finders.find(asset.removeprefix("/static/")) for asset in assets)


@pytest.mark.parametrize("path", ["/api/docs", "/", "/catalogue", "/account/sign-in"])
@pytest.mark.django_db
def test_a_browser_is_told_to_load_nothing_from_elsewhere(path: str) -> None:
    response = Client().get(path)

    policy = response["Content-Security-Policy"]
    assert "default-src 'self'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "http" not in policy
    assert response["X-Frame-Options"] == "DENY"
    assert response["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize("path", ["/healthz", "/balance", "/api/tasks"])
@pytest.mark.django_db
def test_a_browser_that_shows_data_may_load_nothing_at_all(path: str) -> None:
    response = Client().get(path, headers={"Accept": "application/json"})

    policy = response["Content-Security-Policy"]
    assert policy == "default-src 'none'; frame-ancestors 'none'"


@pytest.mark.django_db
@pytest.mark.parametrize("path", ["/", "/catalogue", "/account/sign-in", "/account/sign-up"])
def test_no_page_asks_a_foreign_host(path: str, predictor: Predictor) -> None:
    assert foreign_hosts(Client().get(path).content.decode()) == set()
