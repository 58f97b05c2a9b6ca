"""Lost answers, refusals for now, ended tokens and deadlines: what the client does about them."""

import socket
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest
from carprice_client import (
    InvalidCredentials,
    NotAuthenticated,
    Throttled,
    UnexpectedAnswer,
    Unreachable,
)

from testing import fakes
from testing.http_proxy import FaultyProxy
from testing.processes import CREDIT, PASSWORD, Customer, Service, free_port

pytestmark = pytest.mark.processes

SUBMIT = ("POST", "/api/tasks/predict")
LOGIN = ("POST", "/api/auth/login")
REFRESH = ("POST", "/api/auth/refresh")
ROW = {"horsepower": 100}


# --- Lost answers --------------------------------------------------------------------------------


def test_a_submission_whose_answers_are_lost_is_bought_once(
    shaken: Any, proxy: FaultyProxy, ada: Customer
) -> None:
    proxy.lose_answers(*SUBMIT, times=3)

    task = shaken.predict(fakes.NAME, ROW)

    keys = {seen.headers["Idempotency-Key"] for seen in proxy.requests(*SUBMIT)}
    assert (len(proxy.requests(*SUBMIT)), len(keys)) == (4, 1)
    assert ada.job_ids("/history") == [task.task_id]
    assert ada.balance() == CREDIT - task.price


def test_a_top_up_whose_answer_is_lost_is_posted_once(
    shaken: Any, proxy: FaultyProxy, ada: Customer
) -> None:
    proxy.lose_answers("POST", "/api/wallet/topup", times=2)

    shaken.top_up(5)

    assert ada.balance() == CREDIT + 5


def test_a_draft_whose_answer_is_lost_is_run_once(
    shaken: Any, proxy: FaultyProxy, ada: Customer
) -> None:
    draft = shaken.draft(fakes.NAME, ROW)
    proxy.lose_answers("POST", f"/api/tasks/{draft.task_id}/run")

    shaken.wait(shaken.run(draft.task_id).task_id)

    assert ada.balance() == CREDIT - draft.price


@pytest.mark.parametrize("status", [502, 503, 504])
def test_a_read_goes_on_after_bad_gateways(shaken: Any, proxy: FaultyProxy, status: int) -> None:
    proxy.refuse("GET", "/api/wallet", status, times=2)
    proxy.lose_answers("GET", "/api/wallet")

    assert shaken.wallet().available == CREDIT
    assert len(proxy.requests("GET", "/api/wallet")) == 4


def test_a_deletion_whose_answer_is_lost_has_succeeded(shaken: Any, proxy: FaultyProxy) -> None:
    draft = shaken.draft(fakes.NAME, ROW)
    proxy.lose_answers("DELETE", f"/api/tasks/{draft.task_id}")

    shaken.delete(draft.task_id)

    assert list(shaken.history()) == []


@pytest.mark.parametrize("status", [None, 502, 503, 504])
def test_what_is_not_safe_is_not_sent_again(
    shaken: Any, proxy: FaultyProxy, status: int | None
) -> None:
    if status is None:
        proxy.lose_answers("POST", "/api/tasks")
    else:
        proxy.refuse("POST", "/api/tasks", status)

    with pytest.raises((Unreachable, UnexpectedAnswer)):
        shaken.draft(fakes.NAME, ROW)

    assert len(proxy.requests("POST", "/api/tasks")) == 1


def test_what_is_not_safe_is_sent_again_when_refused_for_now(
    shaken: Any, proxy: FaultyProxy
) -> None:
    proxy.refuse("POST", "/api/tasks", 429, Retry_After="0")

    draft = shaken.draft(fakes.NAME, ROW)

    assert [row.task_id for row in shaken.history()] == [draft.task_id]


# --- Deadlines -----------------------------------------------------------------------------------


def test_a_deadline_ends_retries_and_names_the_key(connect: Any) -> None:
    client = connect(f"http://127.0.0.1:{free_port()}", token="t", timeout=1)
    started = time.monotonic()

    with pytest.raises(Unreachable) as raised:
        client.submit(fakes.NAME, ROW, idempotency_key="mine")

    assert 0.2 < time.monotonic() - started < 2
    assert raised.value.idempotency_key == "mine"
    assert raised.value.__cause__ is not None


def test_an_address_that_is_none_is_given_up_at_once(connect: Any) -> None:
    started = time.monotonic()

    with pytest.raises(Unreachable, match="UnsupportedProtocol"):
        connect("localhost:8000", token="t").wallet()

    assert time.monotonic() - started < 1


def test_a_service_that_says_nothing_is_given_up_at_the_deadline(connect: Any) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        client = connect(f"http://127.0.0.1:{silent.getsockname()[1]}", token="t", timeout=1.2)
        started = time.monotonic()
        with pytest.raises(Unreachable):
            client.wallet()

    assert 1 < time.monotonic() - started < 4


def test_the_servers_wait_does_not_count_as_the_clients(
    connect: Any, address: str, service: Service, ada: Customer
) -> None:
    client = connect(address, token=ada.token, timeout=1)
    with service.closed_gate():
        task = client.submit(fakes.NAME, {"horsepower": fakes.GATED})
        started = time.monotonic()
        unended = client.get(task.task_id, wait=2)
        waited = time.monotonic() - started

    assert not unended.has_ended
    assert 2 <= waited < 3


def test_a_wait_beyond_the_deadline_is_not_begun(connect: Any, proxy: FaultyProxy) -> None:
    client = connect(proxy.address, token="t", timeout=5)
    proxy.refuse("GET", "/api/wallet", 429, Retry_After="60")
    started = time.monotonic()

    with pytest.raises(UnexpectedAnswer):
        client.wallet()

    assert time.monotonic() - started < 2


# --- Credentials ---------------------------------------------------------------------------------


def test_a_session_that_was_ended_is_opened_again(
    connect: Any, proxy: FaultyProxy, ada: Customer
) -> None:
    client = connect(proxy.address, email=ada.email, password=PASSWORD)
    client.wallet()
    bearer = proxy.requests("GET", "/api/wallet")[0].headers["Authorization"]
    logout = httpx.post(f"{proxy.address}/api/auth/logout", headers={"Authorization": bearer})

    task = client.predict(fakes.NAME, ROW)

    assert (logout.status_code, task.status) == (204, "finished")
    assert (len(proxy.requests(*REFRESH)), len(proxy.requests(*LOGIN))) == (1, 2)


def test_threads_sign_in_once(connect: Any, proxy: FaultyProxy, ada: Customer) -> None:
    client = connect(proxy.address, email=ada.email, password=PASSWORD)

    with ThreadPoolExecutor(8) as pool:
        wallets = list(pool.map(lambda _: client.wallet(), range(8)))

    assert len(set(wallets)) == 1
    assert len(proxy.requests(*LOGIN)) == 1


def test_wrong_credentials_are_refused_at_once(
    connect: Any, proxy: FaultyProxy, ada: Customer
) -> None:
    with pytest.raises(InvalidCredentials):
        connect(proxy.address, email=ada.email, password="wrong password").wallet()
    with pytest.raises(NotAuthenticated):
        connect(proxy.address, token="no token").wallet()

    assert len(proxy.requests(*LOGIN)) == 1


@pytest.mark.parametrize(
    "credentials",
    [
        {},
        {"token": ""},
        {"email": "a@b.c"},
        {"password": "p"},
        {"token": "t", "email": "a@b.c", "password": "p"},
    ],
)
def test_half_a_credential_is_refused_before_anything_is_sent(
    connect: Any, credentials: dict[str, str]
) -> None:
    with pytest.raises(ValueError, match="token, or an email and a password"):
        connect("http://localhost", **credentials)


# --- Storms of 429 -------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def strict_address(service: Service) -> str:
    return service.start_web(THROTTLE_SUBMIT="5/second")


def test_throttled_rows_all_come_in_order(connect: Any, strict_address: str) -> None:
    ada = Customer(strict_address)
    proxy = FaultyProxy(strict_address)
    client = connect(proxy.address, token=ada.token)
    try:
        outcomes = list(
            client.predict_many(
                fakes.NAME, ({"horsepower": n} for n in range(100, 130)), concurrency=16
            )
        )
    finally:
        proxy.close()

    assert [outcome.value for outcome in outcomes] == [100.0 * n for n in range(100, 130)]
    assert len(proxy.requests(*SUBMIT)) > 30  # some were refused
    assert ada.balance() == CREDIT - 30 * outcomes[0].task.price


def test_who_will_not_wait_is_told_when_to_come_back(connect: Any, strict_address: str) -> None:
    ada = Customer(strict_address)
    client = connect(strict_address, token=ada.token, timeout=0.2)
    submissions = (client.submit(fakes.NAME, ROW) for _ in range(50))

    with pytest.raises(Throttled) as raised:
        list(submissions)

    assert raised.value.retry_after == 1
    assert raised.value.code == "too_many_requests"
