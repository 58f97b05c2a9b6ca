"""`Idempotency-Key` when a process crashes, and when many send it at once."""

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from django.db import OperationalError, connection
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.test import APIRequestFactory, force_authenticate

from accounts.models import User
from billing.services import set_available
from carprice.http.parsers import StrictJSONParser
from carprice.idempotency.headers import respond_once
from carprice.idempotency.models import IdempotencyKey
from mlmodels.models import Predictor
from predictions import services
from predictions.audit import breaches
from predictions.models import Prediction
from testing.fixtures import AtOnce, ClientOf, MakeUser
from testing.idempotency import ASK, CAR, age, assert_same_answer, send, state
from testing.lifecycle import overlap

pytestmark = pytest.mark.django_db
THREADS = 8


# --- Crashes --------------------------------------------------------------------------------------


def call(handler: Callable[..., Response], user: User, key: str = "k") -> Response:
    """Do with a handler what a route of the API does."""
    request = APIRequestFactory().post("/", ASK, format="json", HTTP_IDEMPOTENCY_KEY=key)
    force_authenticate(request, user)
    return respond_once(Request(request, parsers=[StrictJSONParser()]), handler)


def submit(user: User, predictor: Predictor) -> str:
    return str(services.request_prediction(user=user, predictor=predictor, data=CAR).pk)


def end_own_session() -> None:
    """Have the server close this connection, as if the process had died."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_terminate_backend(pg_backend_pid())")


def test_an_error_after_the_work_undoes_it(user: User, predictor: Predictor) -> None:
    before = state(user)

    def crash() -> Response:
        submit(user, predictor)
        raise RuntimeError

    with pytest.raises(RuntimeError):
        call(crash, user)

    assert state(user) == before
    assert not IdempotencyKey.objects.exists()


def test_an_error_between_the_work_and_keeping_its_answer_undoes_it(
    user: User, predictor: Predictor
) -> None:
    before = state(user)

    def answer_what_cannot_be_kept() -> Response:
        submit(user, predictor)
        return Response({"job_id": object()})

    with pytest.raises(TypeError):
        call(answer_what_cannot_be_kept, user)

    assert state(user) == before
    assert not IdempotencyKey.objects.exists()


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
def test_a_connection_lost_after_the_work_leaves_neither_and_a_free_key(
    user: User, predictor: Predictor
) -> None:
    before = state(user)

    def lose_the_connection() -> Response:
        submit(user, predictor)
        end_own_session()
        return Response({})

    with pytest.raises(OperationalError):
        call(lose_the_connection, user)

    connection.close()
    assert state(user) == before
    assert not IdempotencyKey.objects.exists()
    work = call(lambda: Response({"job_id": submit(user, predictor)}), user)
    again = call(lambda: Response({"job_id": submit(user, predictor)}), user)
    assert work.data == again.data
    assert state(user)[1] == 1
    assert not list(breaches())


# --- At the same moment ---------------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
def test_eight_at_once_do_the_work_once_and_all_get_its_answer(
    user: User,
    predictor: Predictor,
    client_of: ClientOf,
    submission: tuple[str, Any],
    at_once: AtOnce,
) -> None:
    set_available(user_id=user.pk, new_amount=predictor.price)
    clients = [client_of(user) for _ in range(THREADS)]

    answers = at_once([partial(send, client, *submission) for client in clients])

    replayed = [answer.headers.get("Idempotent-Replayed") for answer in answers]
    for answer in answers:
        assert_same_answer(answers[0], answer)
    assert answers[0].status_code == 202
    assert sorted(map(str, replayed)) == ["None"] + ["true"] * (THREADS - 1)
    assert state(user)[1:] == (1, 3, predictor.price, predictor.price)
    assert not list(breaches())


@pytest.mark.django_db(transaction=True)
def test_eight_keys_at_once_buy_what_the_credits_allow(
    user: User, predictor: Predictor, client_of: ClientOf, at_once: AtOnce
) -> None:
    set_available(user_id=user.pk, new_amount=3 * predictor.price)
    clients = [client_of(user) for _ in range(THREADS)]

    answers = at_once(
        [
            partial(send, client, "/predict", key=f"k{number}")
            for number, client in enumerate(clients)
        ]
    )

    statuses = sorted(answer.status_code for answer in answers)
    assert statuses == [202] * 3 + [402] * 5
    assert IdempotencyKey.objects.filter(status=202).count() == 3
    assert IdempotencyKey.objects.count() == 3
    assert not list(breaches())


@pytest.mark.django_db(transaction=True)
def test_of_two_bodies_with_one_key_at_once_one_is_422(
    user: User, predictor: Predictor, client_of: ClientOf, at_once: AtOnce
) -> None:
    bodies = [{**ASK, "data": {"horsepower": power}} for power in range(100, 100 + THREADS)]

    answers = at_once([partial(send, client_of(user), "/predict", body) for body in bodies])

    statuses = sorted(answer.status_code for answer in answers)
    assert statuses == [202] + [422] * (THREADS - 1)
    assert Prediction.objects.count() == 1


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
def test_a_request_waits_for_the_answer_of_one_with_its_key(
    user: User, client_of: ClientOf, submission: tuple[str, Any]
) -> None:
    early, late = client_of(user), client_of(user)

    first, again = overlap(lambda: send(early, *submission), lambda: send(late, *submission))

    assert_same_answer(first, again)
    assert again["Idempotent-Replayed"] == "true"
    assert Prediction.objects.filter(status="queued").count() == 1


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
def test_a_request_does_the_work_if_the_one_with_its_key_came_to_nothing(
    user: User, client_of: ClientOf, submission: tuple[str, Any]
) -> None:
    early, late = client_of(user), client_of(user)

    _, answer = overlap(
        lambda: send(early, *submission), lambda: send(late, *submission), undo=True
    )

    assert answer.status_code == 202
    assert "Idempotent-Replayed" not in answer.headers
    assert Prediction.objects.filter(status="queued").count() == 1
    assert not list(breaches())


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
def test_a_request_that_waits_too_long_for_its_key_is_told_to_come_again(
    user: User, client_of: ClientOf, predictor: Predictor
) -> None:
    early, late = client_of(user), client_of(user)

    def send_with_short_timeout() -> Any:
        with connection.cursor() as cursor:
            cursor.execute("SET lock_timeout = '50ms'")
        return send(late, "/predict")

    _, answer = overlap(lambda: send(early, "/predict"), send_with_short_timeout, waits=False)

    assert answer.status_code == 503
    assert int(answer["Retry-After"]) >= 1
    assert Prediction.objects.count() == 1
    assert send(late, "/predict")["Idempotent-Replayed"] == "true"


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
def test_another_users_request_with_the_same_key_does_not_wait(
    user: User, make_user: MakeUser, client_of: ClientOf, predictor: Predictor
) -> None:
    one, other = client_of(user), client_of(make_user("bob@example.com"))

    answers = overlap(lambda: send(one, "/predict"), lambda: send(other, "/predict"), waits=False)

    assert [answer.status_code for answer in answers] == [202, 202]


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
def test_erasing_a_task_spares_the_answer_that_took_its_key_over(
    user: User, client_of: ClientOf, predictor: Predictor
) -> None:
    api = client_of(user)
    old = send(api, "/api/tasks/predict").json()["task_id"]
    services.cancel(user=user, prediction_id=old)
    age(hours=25)

    first, _ = overlap(
        lambda: send(client_of(user), "/api/tasks/predict"),
        lambda: services.erase(user=user, prediction_id=old),
    )

    assert_same_answer(first, send(api, "/api/tasks/predict"))
