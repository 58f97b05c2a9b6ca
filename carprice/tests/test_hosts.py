"""The hosts that the service is asked for: those it refuses, and probes, which may ask for any."""

import logging
import uuid
from typing import Any

import pytest
from django.conf import settings
from django.core.exceptions import DisallowedHost
from django.test import Client, RequestFactory

from carprice.http import hosts

LOGGER = "django.security.DisallowedHost"
GARBAGE = ["a b", "<script>alert(1)</script>", "[::", "a:b:c", "é.example", "a" * 5000, "%00"]
ANY = ["evil.example", "10.1.2.3:8000", "[2001:db8::1]:8000", "", *GARBAGE]
Logged = pytest.LogCaptureFixture


def ask(path: str, host: str, accept: str = "application/json") -> Any:
    return Client().get(path, headers={"Host": host, "Accept": accept})


def a_host() -> str:
    """One that no other test has asked for."""
    return f"{uuid.uuid4().hex}.example"


# --- A host that is refused ----------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/", "/balance", "/api/tasks", "/no/such/path", "/admin/"])
@pytest.mark.parametrize("host", ["evil.example", "EVIL.example:8000", "evil.example."])
def test_a_refused_host_is_told_what_to_set(path: str, host: str) -> None:
    response = ask(path, host)

    sentence = response.json()["detail"]
    assert (response.status_code, response.json()) == (
        400,
        {"code": "invalid_request", "detail": sentence, "errors": {"Host": [sentence]}},
    )
    assert "does not answer to the host evil.example; " in sentence
    assert "ALLOWED_HOSTS" in sentence


def test_a_person_is_told_on_a_page() -> None:
    response = ask("/", "evil.example", accept="text/html")

    assert response.status_code == 400
    assert "does not answer to the host evil.example; " in response.content.decode()
    assert "ALLOWED_HOSTS" in response.content.decode()
    assert "default-src 'self'" in response["Content-Security-Policy"]
    assert response["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize("host", GARBAGE)
@pytest.mark.parametrize("accept", ["application/json", "text/html"])
def test_what_is_no_host_is_not_repeated(host: str, accept: str) -> None:
    response = ask("/", host, accept)

    assert response.status_code == 400
    assert (
        "ALLOWED_HOSTS" in response.content.decode() or "no host name" in response.content.decode()
    )
    assert host not in response.content.decode() or host == "-"
    assert len(response.content) < 2500


def test_a_request_without_a_host_is_told_so() -> None:
    response = Client().get("/", SERVER_NAME="0.0.0.0")

    assert response.status_code == 400
    assert "is no host name" in response.json()["detail"]


# --- What is logged ------------------------------------------------------------------------------


def test_a_refused_host_is_one_line_without_a_traceback(caplog: Logged) -> None:
    host = a_host()

    for path in ("/", "/balance", "/catalogue"):
        ask(path, f"{host}:80")

    (record,) = [record for record in caplog.records if host in record.getMessage()]
    assert (record.levelno, record.name) == (logging.WARNING, LOGGER)
    assert record.getMessage() == (
        f"Refused requests for the host {host}, which ALLOWED_HOSTS does not name."
    )
    assert not record.exc_info
    assert not [record for record in caplog.records if record.exc_info]


def test_garbage_is_one_line_that_does_not_repeat_it(caplog: Logged) -> None:
    hosts_asked_for = [f"{uuid.uuid4().hex}\n{host}" for host in GARBAGE]

    for host in hosts_asked_for:
        ask("/", host)

    lines = [record.getMessage() for record in caplog.records if record.name == LOGGER]
    assert len(lines) <= 1
    assert not [line for line in lines if "\n" in line or len(line) > 200]


def record_of(host: str) -> logging.LogRecord:
    error = DisallowedHost("a long sentence")
    details = (type(error), error, None)
    record = logging.LogRecord(LOGGER, logging.ERROR, "", 0, "%s", ("a",), details)
    record.request = RequestFactory().get("/", headers={"Host": host})
    return record


def logged(refused: hosts.RefusedHosts, host: str) -> str:
    record = record_of(host)
    return record.getMessage() if refused.filter(record) else ""


def test_a_host_is_logged_again_after_a_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    refused = hosts.RefusedHosts()
    times = iter([1000, 1030, 1059.9, 1060, 1061, 1125])
    monkeypatch.setattr("carprice.http.hosts.time.monotonic", lambda: next(times))

    lines = [bool(logged(refused, "a.example")) for _ in range(6)]

    assert lines == [True, False, False, True, False, True]


def test_hosts_without_end_take_no_memory_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    refused, now = hosts.RefusedHosts(), 1000.0
    monkeypatch.setattr("carprice.http.hosts.time.monotonic", lambda: now)

    lines = [logged(refused, f"{number}.example") for number in range(hosts.MAX_REMEMBERED + 500)]

    said = [line for line in lines if line]
    assert len(said) == hosts.MAX_REMEMBERED + 1
    assert "more than 1000 other hosts" in said[-1]
    assert len(refused._logged) <= hosts.MAX_REMEMBERED + 1
    now += 60
    assert logged(refused, "1499.example")


def test_other_lines_of_the_log_are_left_alone() -> None:
    record = logging.LogRecord(LOGGER, logging.ERROR, "", 0, "something else", (), None)

    assert hosts.RefusedHosts().filter(record)
    assert (record.levelno, record.getMessage()) == (logging.ERROR, "something else")


# --- Probes --------------------------------------------------------------------------------------


@pytest.mark.parametrize("host", ANY)
def test_the_health_of_a_process_is_told_whatever_host_is_asked_for(host: str) -> None:
    assert ask("/healthz", host).json() == {"status": "ok"}


@pytest.mark.django_db
@pytest.mark.parametrize("host", ANY)
def test_readiness_is_told_whatever_host_is_asked_for(host: str) -> None:
    assert ask("/readyz", host).json()["database"] == "ok"


@pytest.mark.parametrize("allowed", [["*"], [".example.com"], ["[::1]"], ["shop.example"], []])
@pytest.mark.parametrize("https", [False, True])
def test_a_probe_is_answered_whatever_hosts_are_allowed(
    monkeypatch: pytest.MonkeyPatch, allowed: list[str], https: bool
) -> None:
    monkeypatch.setattr(settings, "ALLOWED_HOSTS", allowed)
    monkeypatch.setattr(settings, "SECURE_SSL_REDIRECT", https)

    assert ask("/healthz", "10.1.2.3").status_code == 200


def test_a_probe_without_a_host_is_answered() -> None:
    response = Client().get("/healthz", SERVER_NAME="0.0.0.0")

    assert response.status_code == 200
