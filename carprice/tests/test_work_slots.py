"""How many requests are at work at a time, and that those that wait keep nobody from working."""

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest
from django.db import connection, connections
from django.http import StreamingHttpResponse
from django.test import RequestFactory
from rest_framework.test import APIClient

from accounts.models import User
from carprice.server import work_slots
from carprice.server.work_slots import WorkSlots
from carprice.wsgi import django_application
from mlmodels.models import Predictor
from predictions.services import cancel, request_prediction

pytestmark = pytest.mark.django_db(transaction=True)

TIMEOUT = 20
THREADS = 12
Work = Callable[[], Any]
Serve = Callable[[Work], "Future[list[bytes]]"]


class Crash(Exception):
    pass


@pytest.fixture
def server() -> Iterator[Callable[[int], Serve]]:
    """A web process with so many slots: it runs each piece of work as a request on some thread."""
    pool = ThreadPoolExecutor(THREADS)

    def start(count: int) -> Serve:
        def application(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
            try:
                environ["work"]()
            finally:
                connections.close_all()
            return [b"done"]

        served = WorkSlots(application, count)
        return lambda work: pool.submit(lambda: list(served({"work": work}, None)))

    yield start
    pool.shutdown()


def fetch() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
        assert cursor.fetchone() == (1,)


class Counter:
    """The most that were at work at the same moment."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inside = self.most = 0

    def work(self) -> None:
        with self._lock:
            self._inside += 1
            self.most = max(self.most, self._inside)
        fetch()
        time.sleep(0.005)
        with self._lock:
            self._inside -= 1


def test_no_more_are_at_work_than_there_are_slots(server: Callable[[int], Serve]) -> None:
    serve, counter = server(3), Counter()

    def wait_in_between() -> None:
        for _ in range(3):
            counter.work()
            with work_slots.released():
                time.sleep(0.002)

    answers = [serve(wait_in_between) for _ in range(20)]

    assert [answer.result(TIMEOUT) for answer in answers] == [[b"done"]] * 20
    assert counter.most == 3


def test_a_request_that_waits_lets_others_work(server: Callable[[int], Serve]) -> None:
    serve, waits, go_on = server(1), threading.Event(), threading.Event()

    def wait() -> None:
        with work_slots.released():
            waits.set()
            assert go_on.wait(TIMEOUT)
        fetch()

    waiting = serve(wait)
    assert waits.wait(TIMEOUT)
    others = [serve(fetch).result(TIMEOUT) for _ in range(3)]
    go_on.set()

    assert others == [[b"done"]] * 3
    assert waiting.result(TIMEOUT) == [b"done"]


def test_a_request_that_has_waited_takes_a_slot_before_it_goes_on(
    server: Callable[[int], Serve],
) -> None:
    serve, waits, go_on = server(1), threading.Event(), threading.Event()
    works, end, order = threading.Event(), threading.Event(), []

    def wait() -> None:
        with work_slots.released():
            waits.set()
            assert go_on.wait(TIMEOUT)
        order.append("waited")

    def work() -> None:
        works.set()
        assert end.wait(TIMEOUT)
        order.append("worked")

    waiting = serve(wait)
    assert waits.wait(TIMEOUT)
    working = serve(work)
    assert works.wait(TIMEOUT)
    go_on.set()
    time.sleep(0.05)
    end.set()

    for answer in (waiting, working):
        answer.result(TIMEOUT)
    assert order == ["worked", "waited"]


def test_a_request_that_waits_has_no_pooled_connection(
    server: Callable[[int], Serve], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(connection.settings_dict, "CONN_MAX_AGE", 0)  # as with a pool
    serve, seen = server(1), []

    def wait() -> None:
        fetch()
        with work_slots.released():
            seen.append(connection.connection)
        fetch()

    serve(wait).result(TIMEOUT)

    assert seen == [None]


@pytest.mark.parametrize("error", [Crash(), SystemExit(), KeyboardInterrupt()], ids=repr)
def test_an_error_gives_the_slot_back(server: Callable[[int], Serve], error: BaseException) -> None:
    serve = server(1)

    def crash() -> None:
        raise error

    def crash_while_waiting() -> None:
        with work_slots.released():
            raise error

    for work in (crash, crash_while_waiting) * 2:
        with pytest.raises(type(error)):
            serve(work).result(TIMEOUT)

    assert serve(fetch).result(TIMEOUT) == [b"done"]


def test_outside_of_a_request_there_is_no_slot_to_release() -> None:
    fetch()
    before = connection.connection

    with work_slots.released():
        assert connection.connection is before


def test_a_request_that_waits_for_a_task_leaves_its_slot_to_others(
    user: User, client_of: Callable[[User], APIClient], predictor: Predictor
) -> None:
    """The real application, with room for one request at a time."""
    application = WorkSlots(django_application, 1)
    row = request_prediction(user=user, predictor=predictor, data={"horsepower": 121})
    credential = client_of(user)._credentials  # type: ignore[attr-defined]

    def get(path: str) -> str:
        environ = RequestFactory().get(path, **credential).environ
        statuses: list[str] = []
        list(application(environ, lambda status, headers: statuses.append(status)))
        connections.close_all()
        return statuses[0]

    with ThreadPoolExecutor(2) as pool:
        waiter = pool.submit(get, f"/api/tasks/{row.pk}?wait=30")
        others = [pool.submit(get, "/api/tasks").result(TIMEOUT) for _ in range(3)]
        waits = not waiter.done()
        cancel(user=user, prediction_id=row.pk)
        ended = waiter.result(TIMEOUT)

    assert (others, waits, ended) == (["200 OK"] * 3, True, "200 OK")


def test_a_pooled_connection_is_given_back_before_the_response_is_sent(
    user: User, client_of: Callable[[User], APIClient], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(connection.settings_dict, "CONN_MAX_AGE", 0)  # as with a pool
    credential = client_of(user)._credentials  # type: ignore[attr-defined]
    environ = RequestFactory().get("/balance", **credential).environ
    connection.close()  # how long one is kept is decided when it is opened

    response = WorkSlots(django_application, 1)(environ, lambda status, headers: None)

    assert connection.connection is None
    assert b"".join(response).startswith(b'{"amount":')


def test_liveness_is_answered_while_all_slots_are_taken(server: Callable[[int], Serve]) -> None:
    application = WorkSlots(django_application, 1)
    statuses: list[str] = []

    with application._slots:
        list(
            application(
                RequestFactory().get("/healthz").environ,
                lambda status, headers: statuses.append(status),
            )
        )

    assert statuses == ["200 OK"]


def streamed(parts: Iterable[Any]) -> Iterable[bytes]:
    """What a client takes, part by part, of an answer that is computed while it is sent."""
    response = StreamingHttpResponse(parts)
    return WorkSlots(lambda *_: response, 1)({}, None)


def test_a_streamed_answer_has_a_slot_only_while_a_part_is_computed() -> None:
    """Its client may take long to take one."""
    parts = streamed(str(number) for number in range(3))
    slots: threading.BoundedSemaphore = parts._slots  # type: ignore[attr-defined]
    taken = []

    for part in parts:
        assert slots.acquire(blocking=False)
        slots.release()
        taken.append(part)

    assert taken == [b"0", b"1", b"2"]


def test_a_part_waits_for_a_slot_and_fails_with_it_given_back() -> None:
    def fail() -> Iterator[str]:
        assert not slots.acquire(blocking=False)
        yield "first"
        raise Crash

    parts = streamed(fail())
    slots: threading.BoundedSemaphore = parts._slots  # type: ignore[attr-defined]

    with pytest.raises(Crash):
        list(parts)

    assert slots.acquire(blocking=False)


def test_a_streamed_answer_is_closed_with_what_it_comes_from() -> None:
    closed = []

    class Parts:
        def __iter__(self) -> Iterator[bytes]:
            return iter([b"part"])

        def close(self) -> None:
            closed.append(True)

    streamed(Parts()).close()  # type: ignore[attr-defined]

    assert closed == [True]
