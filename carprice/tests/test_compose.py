"""compose.yaml, run without a container engine: its commands behind its nginx, on this machine.

The database asks for its password here, and every process is that of a user whom nobody knows.
"""

import gzip
import http.client
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Event
from typing import Any

import psycopg
import pytest
from django.conf import settings

from testing.compose import Stack, directory_of_group_0, read
from testing.processes import Customer, eventually, free_port
from testing.servers import Postgres

pytestmark = [pytest.mark.processes, pytest.mark.own_servers, pytest.mark.nginx]

SECRETS = {
    "secret_key": "s" * 40,
    "jwt_signing_key": "j" * 40,
    "database_password": "p@ss:w/o?r#d %41+é",
    "broker_password": "broker+pass/word",
}
MODEL = "linear_regression"  # the first that setup trains
CAR = {"brand": "bmw", "horsepower": 121}
LIMIT = settings.BODY_LIMIT_BYTES


@pytest.fixture(scope="module")
def postgres() -> Iterator[Postgres]:
    """A server on which the user of compose.yaml needs a password."""
    with directory_of_group_0() as directory:
        server = Postgres(directory)
        rules = directory / "postgres" / "pg_hba.conf"
        rules.write_text(f"host all carprice all scram-sha-256\n{rules.read_text()}")
        server.start()
        password = psycopg.sql.Literal(SECRETS["database_password"])
        with psycopg.connect(server.url, autocommit=True) as connection:
            role = psycopg.sql.SQL("CREATE ROLE carprice LOGIN PASSWORD {}").format(password)
            connection.execute(role)
            connection.execute("CREATE DATABASE carprice OWNER carprice")
        yield server
        server.close()


@pytest.fixture(scope="module")
def stack(postgres: Postgres) -> Iterator[Stack]:
    """All of it, with two web containers."""
    servers = {"postgres": postgres.port, "redis": free_port()}
    document = read("compose.yaml", TRUSTED_PROXIES="", WEB_PROCESSES="1")
    with directory_of_group_0() as directory, Stack(document, directory, servers, SECRETS) as made:
        made.start_redis()
        made.set_up()
        made.webs = [made.start_web(number) for number in range(2)]
        made.start("worker")
        made.start_nginx()
        yield made


@pytest.fixture(scope="module")
def customer(stack: Stack) -> Customer:
    return Customer(f"http://localhost:{stack.port}")


def ask(
    stack: Stack, method: str, path: str, body: bytes | None = None, **headers: str
) -> tuple[http.client.HTTPResponse, bytes]:
    """An answer of nginx, as it came."""
    connection = http.client.HTTPConnection("127.0.0.1", stack.port, timeout=30)
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    try:
        connection.request(method, path, body, {"Host": "localhost", **names})
        answer = connection.getresponse()
        return answer, answer.read()
    finally:
        connection.close()


def test_a_prediction_goes_the_whole_way(customer: Customer) -> None:
    before = customer.balance()

    job_id = customer.predict(MODEL, **CAR)

    job = eventually(lambda: (found := customer.job(job_id))["result"] and found)
    assert job["status"] == "finished"
    assert customer.balance() < before


def test_it_is_ready(stack: Stack) -> None:
    assert eventually(lambda: ask(stack, "GET", "/readyz")[0].status == 200)


def test_pages_name_static_files_that_nginx_has(stack: Stack) -> None:
    page = ask(stack, "GET", "/account/sign-in")[1].decode()
    name = next(part for part in page.split('"') if part.endswith(".css"))

    plain, text = ask(stack, "GET", name)
    packed, data = ask(stack, "GET", name, Accept_Encoding="gzip")

    assert plain.headers["Cache-Control"] == "max-age=315360000, public, immutable"
    assert plain.headers["X-Content-Type-Options"] == "nosniff"
    assert plain.headers["Server"] == "nginx"
    assert packed.headers["Content-Encoding"] == "gzip"
    assert packed.headers["Vary"] == "Accept-Encoding"
    assert gzip.decompress(data) == text


def test_the_list_of_static_files_is_not_served(stack: Stack) -> None:
    answer, _ = ask(stack, "GET", "/static/staticfiles.json")

    assert (stack.directory / "var" / "static" / "staticfiles.json").is_file()
    assert answer.status == 404


@pytest.mark.parametrize("path", ["/", "/account/sign-in", "/balance", "/api/predictors"])
def test_no_security_header_comes_twice(stack: Stack, path: str) -> None:
    answer, _ = ask(stack, "GET", path)

    names = [name.lower() for name, _ in answer.getheaders()]
    assert sorted(names) == sorted(set(names) | {n for n in names if n == "set-cookie"})
    assert {"x-content-type-options", "referrer-policy", "x-frame-options"} <= set(names)
    assert answer.headers["Server"] == "nginx"


@pytest.mark.parametrize(
    "path", ["/metrics", "/metrics/", "//metrics", "/x/../metrics", "/%6detrics"]
)
def test_metrics_are_not_for_those_outside(stack: Stack, path: str) -> None:
    answer, body = ask(stack, "GET", path)

    assert answer.status == 404
    assert json.loads(body)["code"] == "not_found"


@pytest.mark.parametrize("path", ["/predict", "/api/wallet/topup"])
def test_a_body_above_the_limit_is_refused_in_the_services_words(stack: Stack, path: str) -> None:
    answer, body = ask(stack, "POST", path, b" " * (LIMIT + 1), Content_Type="application/json")

    assert answer.status == 413
    assert answer.headers["Content-Type"] == "application/json"
    assert json.loads(body) == {"code": "body_too_large", "detail": "The body is too large."}


def test_a_body_of_the_limit_gets_to_the_service(stack: Stack) -> None:
    answer, _ = ask(stack, "POST", "/sign_up", b" " * LIMIT, Content_Type="application/json")

    assert answer.status == 400


def test_a_forged_address_escapes_no_throttle(stack: Stack, customer: Customer) -> None:
    """Wrong passwords for one account from one address, however that calls itself."""
    body = json.dumps({"email": customer.email, "password": "wrong password"}).encode()

    statuses = [
        ask(
            stack,
            "POST",
            "/sign_in",
            body,
            Content_Type="application/json",
            X_Forwarded_For=f"203.0.113.{number}",
            Forwarded=f"for=203.0.113.{number}",
        )[0].status
        for number in range(11)
    ]

    assert statuses == [401] * 10 + [429]


def test_a_forged_protocol_is_not_believed(stack: Stack) -> None:
    """With HTTPS it would be no redirect; without, no secure link is made of it."""
    answer, body = ask(stack, "GET", "/api/schema", X_Forwarded_Proto="https")

    assert answer.status == 200
    assert b"https://localhost" not in body


def test_secrets_are_in_no_command_line_and_no_log(stack: Stack) -> None:
    output = stack.logs()

    for secret in SECRETS.values():
        assert secret not in output
    assert not (stack.directory / "var" / "secrets").exists()


def load(stack: Stack, customer: Customer, failures: list[Any], stop: Event) -> int:
    """Ask and submit by turns until told to stop; returns how often."""
    done = 0
    while not stop.is_set():
        for method, path, body in [
            ("GET", "/balance", None),
            ("POST", "/predict", {"model_name": MODEL, "data": CAR}),
        ]:
            try:
                status, answer = customer.call(method, path, body)
            except Exception as error:
                failures.append(repr(error))
            else:
                if status not in (200, 202):
                    failures.append((method, status, answer))
            done += 1
    return done


def test_web_restarts_one_by_one_without_a_failed_request(stack: Stack) -> None:
    stop = Event()
    failures: list[Any] = []
    customers = [Customer(f"http://localhost:{stack.port}", 100_000) for _ in range(3)]
    with ThreadPoolExecutor(3) as pool:
        loads = [pool.submit(load, stack, customer, failures, stop) for customer in customers]
        for _ in range(2):
            for number in range(2):
                assert stack.webs[number].stop() == 0
                stack.webs[number] = stack.start_web(number)
        stop.set()

    assert failures == []
    assert sum(future.result() for future in loads) > 50


def test_without_web_processes_the_answer_is_503(stack: Stack) -> None:
    for web in stack.webs:
        assert web.stop() == 0

    answer, body = ask(stack, "GET", "/balance")

    assert answer.status == 503
    assert answer.headers["Retry-After"] == "2"
    assert json.loads(body)["code"] == "unavailable"
