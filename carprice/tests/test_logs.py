"""Request ids, and the log as JSON: of a line, and of the real processes."""

import json
import logging
import re
import threading
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import pytest
from django.test import Client

from carprice.logs.context import Context, about_prediction, about_request, note_prediction
from carprice.logs.formats import JsonFormatter
from testing.fakes import NAME, RAISE
from testing.processes import Customer, Service, Trained, eventually


def written(logger: str = "carprice.test", **extra: Any) -> dict[str, Any]:
    """What a line of the log says, as JSON."""
    record = logging.getLogger(logger).makeRecord(
        logger, logging.WARNING, "", 0, "Two\n%s", ("lines",), None, extra=extra
    )
    assert Context().filter(record)
    line = JsonFormatter().format(record)
    assert "\n" not in line
    return dict(json.loads(line))


# --- What a line says -----------------------------------------------------------------------------


def test_a_line_says_when_who_and_what() -> None:
    line = written()

    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+00:00", line["time"])
    assert (line["level"], line["logger"], line["message"]) == (
        "WARNING",
        "carprice.test",
        "Two\nlines",
    )
    assert {"request_id", "prediction_id", "traceback"} & set(line) == set()


def test_a_line_names_the_request_and_the_prediction_it_is_about() -> None:
    key = uuid.uuid4()
    with about_request("one"):
        note_prediction(key)
        inside = written()
        with about_request("two"):
            nested = written()
    with about_prediction(key):
        alone = written()

    assert (inside["request_id"], inside["prediction_id"]) == ("one", str(key))
    assert nested["request_id"] == "two"
    assert "prediction_id" not in nested
    assert alone["prediction_id"] == str(key)
    assert "request_id" not in written()


def test_threads_do_not_see_each_others_requests() -> None:
    lines = []
    with about_request("one"):
        thread = threading.Thread(target=lambda: lines.append(written()))
        thread.start()
        thread.join()

    assert "request_id" not in lines[0]


# --- The header -----------------------------------------------------------------------------------


@pytest.mark.parametrize("sent", ["abc", "A-1_2.3", "4d432754e94043b29266ab1f29038975", "x" * 64])
def test_a_sane_request_id_is_kept(sent: str) -> None:
    assert Client().get("/healthz", headers={"X-Request-ID": sent})["X-Request-ID"] == sent


@pytest.mark.parametrize(
    "sent", ["", "x" * 65, "a b", "a,b", "é", "-a", '{"a":1}', "a\tb", "a\r\nSet-Cookie: x=1"]
)
def test_any_other_is_replaced(sent: str) -> None:
    answers = [Client().get("/healthz", HTTP_X_REQUEST_ID=sent) for _ in range(2)]

    ids = {answer["X-Request-ID"] for answer in answers}
    assert len(ids) == 2
    assert all(re.fullmatch("[0-9a-f]{32}", each) for each in ids)


@pytest.mark.parametrize("path", ["/no/such/path", "/history", "/static/nothing.css"])
def test_refusals_have_one_too(path: str) -> None:
    assert Client().get(path)["X-Request-ID"]


# --- Real processes -------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def service(trained: Trained) -> Iterator[Service]:
    with Service() as service:
        service.environment["LOG_FORMAT"] = "json"
        service.set_up(trained[:1], with_fake=True)
        yield service


def lines(service: Service) -> list[dict[str, Any]]:
    text = "\n".join(path.read_text() for path in Path(service.var).glob("*.log"))
    written = [line for line in text.splitlines() if line]
    assert not [line for line in written if not line.startswith("{")]
    return [json.loads(line) for line in written]


@pytest.mark.processes
def test_all_that_web_and_worker_write_is_json(service: Service) -> None:
    address = service.start_web()
    service.start_worker()
    refused = Request(address + "/", headers={"Host": "evil.example", "X-Request-ID": "bad-host"})
    with pytest.raises(OSError, match="400"):
        urlopen(refused, timeout=10)
    ada = Customer(address)
    job = ada.predict(NAME, horsepower=RAISE)
    eventually(lambda: ada.job(job)["status"] == "failed")

    written = lines(service)

    assert any(line["logger"] == "gunicorn.error" for line in written)
    hosts = [line for line in written if line["logger"] == "django.security.DisallowedHost"]
    assert [line["request_id"] for line in hosts] == ["bad-host"]
    scored = [line for line in written if line.get("prediction_id") == job]
    assert {line["logger"] for line in scored} >= {"predictions.execution.scoring"}
    assert any("Traceback" in line.get("traceback", "") for line in scored)
