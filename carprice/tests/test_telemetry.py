"""What leaves the service for a collector of traces or a Sentry, and what never does."""

import importlib
import json
import os
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest
from django.conf import settings

from testing.processes import Customer, Service, Trained, eventually
from testing.reports import ReportServer

OPTIONAL = {"opentelemetry", "sentry_sdk"}
SECRETS = ("s3cret-query", "s3cret-cookie", "s3cret-body", "s3cret-token", "ada@example.com")


@pytest.fixture
def reports() -> Iterator[ReportServer]:
    with ReportServer() as server:
        yield server


@pytest.fixture
def service(trained: Trained) -> Iterator[Service]:
    with Service() as service:
        # Without static files pages fail, as they would by any other mistake.
        service.set_up(trained[:1])
        yield service
        print(service.logs())  # pytest shows it if the test failed


def send_secrets(address: str, path: str, accept: str = "text/html") -> int:
    """The status of a request that has something private in every part."""
    request = Request(
        f"{address}{path}?q=s3cret-query",
        data=b"email=ada@example.com&password=s3cret-body" if "account" in path else None,
        headers={
            "Cookie": "other=s3cret-cookie",
            "Authorization": "Bearer s3cret-token",
            "X-Request-ID": "the-request",
            "Accept": accept,
        },
    )
    try:
        with urlopen(request, timeout=20) as response:
            return int(response.status)
    except HTTPError as error:
        return error.code


# --- Errors ---------------------------------------------------------------------------------------


def events(reports: ReportServer) -> list[dict[str, Any]]:
    found = []
    for path, envelope in reports.received:
        assert path == "/api/1/envelope/"
        _, *items = envelope.split(b"\n")
        for header, payload in zip(items[::2], items[1::2], strict=False):
            if json.loads(header)["type"] == "event":
                found.append(json.loads(payload))
    return found


@pytest.mark.processes
def test_an_error_is_reported_with_its_place_and_nobodys_data(
    service: Service, reports: ReportServer
) -> None:
    address = service.start_web(SENTRY_DSN=f"http://key@{reports.address}/1")

    assert send_secrets(address, "/catalogue") == 500
    event = eventually(lambda: events(reports), within=20)[0]

    assert event["transaction"] == "/catalogue"
    assert event["tags"]["process"] == "web"
    assert event["tags"]["request_id"] == "the-request"
    error = event["exception"]["values"][-1]
    assert error["type"] == "ValueError"
    assert any("staticfiles" in frame["filename"] for frame in error["stacktrace"]["frames"])
    assert "value" not in error
    assert not [frame for frame in error["stacktrace"]["frames"] if frame.get("vars")]
    assert event["request"] == {"method": "GET"}
    assert not [word for word in SECRETS if word in str(reports.received)]
    assert not {"user", "extra", "breadcrumbs", "modules"} & set(event)


@pytest.mark.processes
def test_a_form_that_fails_is_reported_without_what_was_typed(
    service: Service, reports: ReportServer
) -> None:
    address = service.start_web(SENTRY_DSN=f"http://key@{reports.address}/1")

    assert send_secrets(address, "/account/sign-up") == 500
    eventually(lambda: events(reports), within=20)

    assert not [word for word in SECRETS if word in str(reports.received)]


# --- Traces ---------------------------------------------------------------------------------------


def trace_text(reports: ReportServer) -> str:
    """All that was sent, as text; names and values of attributes are in it as they are."""
    assert {path for path, _ in reports.received} <= {"/v1/traces"}
    return b"\n".join(body for _, body in reports.received).decode("latin-1")


@pytest.mark.processes
def test_requests_and_tasks_are_traced_by_route_and_without_what_they_carry(
    service: Service, reports: ReportServer
) -> None:
    fast = {"OTEL_BSP_SCHEDULE_DELAY": "200"}
    endpoint = f"http://{reports.address}"
    address = service.start_web(OTEL_EXPORTER_OTLP_ENDPOINT=endpoint, **fast)
    service.start_worker(OTEL_EXPORTER_OTLP_ENDPOINT=endpoint, **fast)
    send_secrets(address, "/predictors", "application/json")
    send_secrets(address, "/shared/s3cret-token", "application/json")
    ada = Customer(address)
    job = ada.predict("linear_regression", horsepower=121)
    eventually(lambda: ada.job(job)["status"] == "finished")

    eventually(lambda: "score_predictions" in trace_text(reports), within=20)
    eventually(lambda: job in trace_text(reports), within=20)

    text = trace_text(reports)
    for word in ("carprice-web", "carprice-worker", "/predictors", "the-request", "shared/<str:"):
        assert word in text, word
    assert not [word for word in (*SECRETS, "Python-urllib", ada.email) if word in text]
    assert "healthz" not in text


# --- Nothing set ----------------------------------------------------------------------------------


def imported(tmp_path: Path, **environment: str) -> "subprocess.CompletedProcess[str]":
    program = (
        "import carprice.wsgi, carprice.celery, sys;"
        "print({name.partition('.')[0] for name in sys.modules})"
    )
    return subprocess.run(
        [sys.executable, "-c", program],
        cwd=settings.BASE_DIR,
        env={"PATH": os.environ["PATH"], "VAR_DIR": str(tmp_path), **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_with_nothing_set_none_of_it_is_imported(tmp_path: Path) -> None:
    ended = imported(tmp_path)

    assert "'django'" in ended.stdout, ended.stderr
    assert not [name for name in OPTIONAL if f"'{name}'" in ended.stdout]


@pytest.mark.parametrize("setting", ["SENTRY_DSN", "OTEL_EXPORTER_OTLP_ENDPOINT"])
def test_what_is_not_installed_is_named(tmp_path: Path, setting: str) -> None:
    for name in OPTIONAL:  # before the installed ones on the path, and not importable
        (tmp_path / f"{name}.py").write_text(f"raise ModuleNotFoundError('', name='{name}')")

    ended = imported(tmp_path, PYTHONPATH=str(tmp_path), **{setting: "http://key@localhost:1/1"})

    assert ended.returncode != 0
    last = ended.stderr.strip().splitlines()[-1]
    assert f"{setting} needs " in last
    assert "dependency group observability" in last


@pytest.mark.parametrize("setting", ["SENTRY_DSN", "OTEL_EXPORTER_OTLP_ENDPOINT"])
def test_a_malformed_address_is_refused_and_not_repeated(tmp_path: Path, setting: str) -> None:
    ended = imported(tmp_path, **{setting: "s3cret-key"})

    assert ended.returncode != 0
    assert f"{setting} must be an http:// or https:// URL." in ended.stderr
    assert "s3cret-key" not in ended.stderr


def test_the_dependency_group_has_what_is_imported() -> None:
    groups = tomllib.loads((settings.BASE_DIR / "pyproject.toml").read_text())["dependency-groups"]

    names = {requirement.partition(">")[0] for requirement in groups["observability"]}
    assert names == {
        "opentelemetry-exporter-otlp-proto-http",
        "opentelemetry-instrumentation-celery",
        "opentelemetry-instrumentation-django",
        "opentelemetry-sdk",
        "sentry-sdk",
    }
    for module in ("carprice.telemetry.tracing", "carprice.telemetry.errors"):
        assert importlib.import_module(module)
