"""How many requests are at work at a time, and that each has a database connection to itself."""

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest
from django.db import connection, connections, transaction
from django.test import RequestFactory
from rest_framework.test import APIClient

from accounts.models import User
from carprice.server import slots
from carprice.server.slots import Slots
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
    made: list[Slots] = []
    pool = ThreadPoolExecutor(THREADS)

    def start(count: int) -> Serve:
        def application(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
            environ["work"]()
            return [b"done"]

        served = Slots(application, count)
        made.append(served)

        def serve(work: Work) -> Future[list[bytes]]:
            return pool.submit(lambda: list(served({"work": work}, None)))

        return serve

    yield start
    pool.shutdown()
    for served in made:
        for unused in served._connections:
            unused.close()


def fetch() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
        assert cursor.fetchone() == (1,)


def mine() -> int:
    """Which connection this thread has."""
    return id(connections["default"])


class Crowd:
    """Counts who is at work, and with what."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inside: Counter[int] = Counter()
        self.most = 0
        self.connections: set[int] = set()
        self.shared = False

    def enter(self) -> None:
        with self._lock:
            self._inside[mine()] += 1
            self.most = max(self.most, self._inside.total())
            self.connections.add(mine())
            self.shared |= self._inside[mine()] > 1

    def leave(self) -> None:
        with self._lock:
            self._inside[mine()] -= 1

    def work(self) -> None:
        self.enter()
        fetch()
        time.sleep(0.005)
        fetch()
        self.leave()


def test_no_more_are_at_work_than_there_are_slots(server: Callable[[int], Serve]) -> None:
    serve, crowd = server(3), Crowd()

    answers = [serve(crowd.work) for _ in range(40)]

    assert [answer.result(TIMEOUT) for answer in answers] == [[b"done"]] * 40
    assert crowd.most == 3
    assert len(crowd.connections) == 3
    assert not crowd.shared


def test_a_connection_is_never_used_by_two_at_once_although_they_wait_now_and_then(
    server: Callable[[int], Serve],
) -> None:
    serve, crowd = server(3), Crowd()

    def wait_in_between() -> None:
        for _ in range(3):
            crowd.work()
            with slots.given_up():
                time.sleep(0.002)

    answers = [serve(wait_in_between) for _ in range(20)]

    for answer in answers:
        answer.result(TIMEOUT)
    assert crowd.most == len(crowd.connections) == 3
    assert not crowd.shared


def test_who_waits_lets_another_work(server: Callable[[int], Serve]) -> None:
    serve, waits, go_on = server(1), threading.Event(), threading.Event()

    def wait() -> None:
        with slots.given_up():
            waits.set()
            assert go_on.wait(TIMEOUT)
        fetch()

    waiting = serve(wait)
    assert waits.wait(TIMEOUT)
    others = [serve(fetch).result(TIMEOUT) for _ in range(3)]
    go_on.set()

    assert others == [[b"done"]] * 3
    assert waiting.result(TIMEOUT) == [b"done"]


def test_who_has_waited_takes_a_slot_again_before_going_on(server: Callable[[int], Serve]) -> None:
    serve, waits, go_on = server(1), threading.Event(), threading.Event()
    works, end, order = threading.Event(), threading.Event(), []

    def wait() -> None:
        with slots.given_up():
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


@pytest.mark.parametrize("error", [Crash(), SystemExit(), KeyboardInterrupt()], ids=repr)
def test_an_error_gives_the_slot_back(server: Callable[[int], Serve], error: BaseException) -> None:
    serve = server(1)

    def crash() -> None:
        fetch()
        raise error

    for _ in range(3):
        with pytest.raises(type(error)):
            serve(crash).result(TIMEOUT)

    assert serve(fetch).result(TIMEOUT) == [b"done"]


def test_an_error_while_waiting_gives_the_slot_back_once(server: Callable[[int], Serve]) -> None:
    serve, crowd = server(2), Crowd()

    def crash() -> None:
        with slots.given_up():
            raise Crash

    for _ in range(5):
        with pytest.raises(Crash):
            serve(crash).result(TIMEOUT)

    for answer in [serve(crowd.work) for _ in range(10)]:
        answer.result(TIMEOUT)
    assert crowd.most == 2


def test_an_error_in_a_transaction_leaves_a_connection_that_works(
    server: Callable[[int], Serve],
) -> None:
    serve = server(1)

    def crash() -> None:
        with transaction.atomic():
            fetch()
            raise Crash

    with pytest.raises(Crash):
        serve(crash).result(TIMEOUT)

    def check() -> None:
        assert not connection.in_atomic_block
        fetch()

    serve(check).result(TIMEOUT)


def test_requests_one_after_the_other_share_one_connection_on_whatever_thread(
    server: Callable[[int], Serve],
) -> None:
    serve, seen = server(4), set()

    def note() -> None:
        fetch()
        seen.add((mine(), id(connection.connection)))

    for _ in range(20):
        serve(note).result(TIMEOUT)

    assert len(seen) == 1


def test_the_connection_put_back_last_is_taken_first(server: Callable[[int], Serve]) -> None:
    serve, barrier, used = server(3), threading.Barrier(3), []

    def together() -> None:
        barrier.wait(TIMEOUT)

    for answer in [serve(together) for _ in range(3)]:
        answer.result(TIMEOUT)
    for _ in range(6):
        serve(lambda: used.append(mine())).result(TIMEOUT)

    assert len(set(used)) == 1


def test_no_thread_keeps_a_connection_of_its_own(server: Callable[[int], Serve]) -> None:
    serve, left = server(1), []

    def look() -> None:
        with slots.given_up():
            left.append(connections.all(initialized_only=True))

    serve(look).result(TIMEOUT)

    assert left == [[]]


def test_outside_of_a_request_there_is_no_slot_to_give_up() -> None:
    before = mine()

    with slots.given_up():
        within = mine()

    assert before == within == mine()


@pytest.mark.postgresql
def test_a_connection_lost_while_its_request_waited_is_replaced(
    server: Callable[[int], Serve],
) -> None:
    serve, waits, go_on = server(1), threading.Event(), threading.Event()

    def wait() -> None:
        fetch()
        with slots.given_up():
            waits.set()
            assert go_on.wait(TIMEOUT)
        fetch()

    def end_all_but_mine() -> None:
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )

    waiting = serve(wait)
    assert waits.wait(TIMEOUT)
    end_all_but_mine()
    go_on.set()

    assert waiting.result(TIMEOUT) == [b"done"]


def test_a_request_that_waits_for_a_task_leaves_its_slot_to_others(
    user: User, client_of: Callable[[User], APIClient], predictor: Predictor
) -> None:
    """The real application, with room for one request at a time."""
    application = Slots(django_application, 1)
    row = request_prediction(user=user, predictor=predictor, data={"horsepower": 121})
    credential = client_of(user)._credentials  # type: ignore[attr-defined]

    def get(path: str) -> str:
        environ = RequestFactory().get(path, **credential).environ
        statuses: list[str] = []
        list(application(environ, lambda status, headers: statuses.append(status)))
        return statuses[0]

    with ThreadPoolExecutor(2) as pool:
        waiter = pool.submit(get, f"/api/tasks/{row.pk}?wait=30")
        others = [pool.submit(get, "/api/tasks").result(TIMEOUT) for _ in range(3)]
        waits = not waiter.done()
        cancel(user=user, prediction_id=str(row.pk))
        ended = waiter.result(TIMEOUT)

    for unused in application._connections:
        unused.close()
    assert (others, waits, ended) == (["200 OK"] * 3, True, "200 OK")
