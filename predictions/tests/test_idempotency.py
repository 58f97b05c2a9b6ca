"""`Idempotency-Key`: one piece of work and one answer, however often and however many at once."""

import json
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from django.db import OperationalError, connection
from django.db.models.functions import Now
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.test import APIClient, APIRequestFactory, force_authenticate

from accounts.models import User
from billing.models import CreditAccount, LedgerEntry
from billing.services import set_available
from carprice.http.parsers import StrictJSONParser
from carprice.idempotency import keys
from carprice.idempotency.headers import respond_once
from carprice.idempotency.models import IdempotencyKey
from mlmodels.models import Predictor
from predictions import services
from predictions.audit import breaches
from predictions.execution import runner
from predictions.models import Prediction
from testing.lifecycle import overlap

pytestmark = pytest.mark.django_db

CAR = {"brand": "bmw", "horsepower": 121}
ASK = {"model_name": "random_forest", "data": CAR}
THREADS = 8
AtOnce = Callable[..., list[Any]]
ClientOf = Callable[[User], APIClient]
MakeUser = Callable[..., User]


def send(api: APIClient, path: str, body: Any = ASK, key: str | None = "k") -> Any:
    """POST a JSON value, or bytes as they are, with a key."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    headers = {} if key is None else {"HTTP_IDEMPOTENCY_KEY": key}
    return api.generic("POST", path, content, "application/json", **headers)  # type: ignore[arg-type]


@pytest.fixture
def draft(user: User, predictor: Predictor) -> Prediction:
    return services.create_draft(user=user, predictor=predictor, data=CAR, explain=False)


@pytest.fixture(params=["predict", "tasks-predict", "run"])
def submission(request: pytest.FixtureRequest, draft: Prediction) -> tuple[str, Any]:
    """The path and the body of a good request to each route that submits."""
    chosen: dict[str, tuple[str, Any]] = {
        "predict": ("/predict", ASK),
        "tasks-predict": ("/api/tasks/predict", ASK),
        "run": (f"/api/tasks/{draft.pk}/run", {}),
    }
    return chosen[request.param]


def state(user: User) -> tuple[int, ...]:
    """Drafts, other predictions, ledger entries, balance and held credits."""
    account = CreditAccount.objects.get(pk=user.pk)
    return (
        Prediction.objects.filter(status="draft").count(),
        Prediction.objects.exclude(status="draft").count(),
        LedgerEntry.objects.filter(account=account).count(),
        account.balance,
        account.held,
    )


def assert_same_answer(first: Any, again: Any) -> None:
    assert again.status_code == first.status_code
    assert again.json() == first.json()
    assert again.headers.get("Location") == first.headers.get("Location")
    assert again["Content-Type"] == first["Content-Type"]


def age(**by: float) -> None:
    """Let every kept answer have been given that long before."""
    IdempotencyKey.objects.update(created_at=Now() - timedelta(**by))


# --- Replays -------------------------------------------------------------------------------------


def test_the_same_request_gets_the_same_answer_and_does_nothing_more(
    api: APIClient, user: User, submission: tuple[str, Any]
) -> None:
    first = send(api, *submission)
    before = state(user)

    again = send(api, *submission)

    assert first.status_code == 202
    assert_same_answer(first, again)
    assert "Idempotent-Replayed" not in first.headers
    assert again["Idempotent-Replayed"] == "true"
    assert state(user) == before
    assert before[1:3] == (1, 2)  # one prediction; the credits and one hold


def test_without_a_key_the_work_is_done_each_time(api: APIClient, draft: Prediction) -> None:
    statuses = [send(api, "/predict", key=None).status_code for _ in range(2)]

    assert statuses == [202, 202]
    assert Prediction.objects.exclude(pk=draft.pk).count() == 2
    assert not IdempotencyKey.objects.exists()


def test_the_first_answer_is_given_again_whatever_became_of_the_task(
    api: APIClient, user: User, predictor: Predictor, submission: tuple[str, Any]
) -> None:
    first = send(api, *submission)
    assert predictor.current_version_id
    runner.run_queued(Prediction, predictor.current_version_id)

    again = send(api, *submission)

    assert Prediction.objects.filter(status="finished").count() == 1
    assert_same_answer(first, again)


def test_it_is_given_again_although_nothing_could_be_bought_any_more(
    api: APIClient, user: User, submission: tuple[str, Any]
) -> None:
    first = send(api, *submission)
    Predictor.objects.update(enabled=False)
    set_available(user_id=user.pk, new_amount=0)

    again = send(api, *submission)

    assert_same_answer(first, again)


@pytest.mark.parametrize(
    "equal",
    [
        pytest.param(
            b'{"data": {"horsepower": 121, "brand": "bmw"}, "model_name": "random_forest"}',
            id="order-of-keys",
        ),
        pytest.param(
            b'\n{"model_name":"random_forest","data":{"brand":"bmw","horsepower":121}}\r\n',
            id="white-space",
        ),
        pytest.param(
            b'{"model_name": "random_forest", "data": {"brand": "bmw", "horsepower": 121.0}}',
            id="121.0",
        ),
        pytest.param(
            b'{"model_name": "random_forest", "data": {"brand": "bmw", "horsepower": 1.21e2}}',
            id="1.21e2",
        ),
        pytest.param(
            rb'{"model_name": "random\u005fforest", "data": {"brand": "bmw", "horsepower": 121}}',
            id="escaped-character",
        ),
    ],
)
def test_bodies_are_equal_as_json_values(
    api: APIClient, predictor: Predictor, equal: bytes
) -> None:
    first = send(api, "/api/tasks/predict")

    again = send(api, "/api/tasks/predict", equal)

    assert_same_answer(first, again)


@pytest.mark.parametrize(
    ("sent", "other"),
    [
        pytest.param(ASK, {**ASK, "explain": False}, id="a-default-spelt-out"),
        pytest.param(ASK, {**ASK, "data": {**CAR, "horsepower": 122}}, id="a-value"),
        pytest.param(ASK, {**ASK, "data": {**CAR, "horsepower": "121"}}, id="text-for-a-number"),
        pytest.param(ASK, {**ASK, "data": {**CAR, "brand": ["bmw"]}}, id="a-list-around-it"),
        pytest.param(ASK, {**ASK, "data": {**CAR, "stroke": 3}}, id="a-feature-more"),
        pytest.param(
            {**ASK, "data": {**CAR, "symboling": 1}},
            {**ASK, "data": {**CAR, "symboling": True}},
            id="true-for-1",
        ),
        pytest.param(ASK, {**ASK, "model_name": "no_such"}, id="a-body-that-would-be-refused"),
        pytest.param(ASK, [], id="another-type"),
        pytest.param(ASK, {}, id="empty"),
    ],
)
def test_another_body_is_422(
    api: APIClient, user: User, predictor: Predictor, sent: Any, other: Any
) -> None:
    send(api, "/api/tasks/predict", sent)
    before = state(user)

    refused = send(api, "/api/tasks/predict", other)

    assert refused.status_code == 422
    assert refused.json()["code"] == "idempotency_key_reused"
    assert set(refused.json()) == {"code", "detail"}
    assert "Idempotent-Replayed" not in refused.headers
    assert state(user) == before


def test_another_route_is_422(api: APIClient, user: User, draft: Prediction) -> None:
    send(api, "/predict")
    before = state(user)

    statuses = [
        send(api, "/api/tasks/predict").status_code,
        send(api, f"/api/tasks/{draft.pk}/run", {}).status_code,
    ]

    assert statuses == [422, 422]
    assert state(user) == before


def test_another_id_is_422(api: APIClient, user: User, draft: Prediction) -> None:
    other = services.create_draft(user=user, predictor=draft.predictor, data=CAR, explain=False)
    send(api, f"/api/tasks/{draft.pk}/run", {})

    refused = send(api, f"/api/tasks/{other.pk}/run", {})

    assert refused.status_code == 422
    assert state(user)[:2] == (1, 1)


def test_a_422_leaves_the_first_answer(api: APIClient, predictor: Predictor) -> None:
    first = send(api, "/predict")
    send(api, "/predict", {})

    assert_same_answer(first, send(api, "/predict"))


def test_two_users_may_use_the_same_key(
    user: User, make_user: MakeUser, client_of: ClientOf, predictor: Predictor
) -> None:
    clients = [client_of(user), client_of(make_user("bob@example.com"))]

    answers = [send(client, "/predict") for client in clients for _ in range(2)]

    ids = [answer.json()["job_id"] for answer in answers]
    assert [answer.status_code for answer in answers] == [202] * 4
    assert ids[0] == ids[1] != ids[2] == ids[3]
    owners = Prediction.objects.values_list("user", flat=True)
    assert len(owners) == len(set(owners)) == 2


def test_two_keys_are_two_pieces_of_work(api: APIClient, predictor: Predictor) -> None:
    ids = {
        send(api, "/predict", key=key).json()["job_id"] for key in ("k", "K", "k ".strip() + "2")
    }

    assert len(ids) == Prediction.objects.count() == 3


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("post", "/api/tasks", ASK, 201),
        ("patch", "/api/tasks/{draft}", {"explain": True}, 200),
        ("post", "/api/tasks/{draft}/cancel", None, 200),
        ("delete", "/api/tasks/{draft}", None, 204),
        ("get", "/api/tasks", None, 200),
    ],
)
def test_other_routes_take_no_notice_of_a_key(
    api: APIClient, draft: Prediction, method: str, path: str, body: Any, status: int
) -> None:
    ask = partial(
        getattr(api, method), path.format(draft=draft.pk), body, HTTP_IDEMPOTENCY_KEY="a b"
    )

    response = ask() if method == "get" else ask(format="json")

    assert response.status_code == status
    assert not IdempotencyKey.objects.exists()


# --- Refusals ------------------------------------------------------------------------------------


def test_a_402_frees_the_key(api: APIClient, user: User, submission: tuple[str, Any]) -> None:
    set_available(user_id=user.pk, new_amount=1)
    refused = send(api, *submission)
    set_available(user_id=user.pk, new_amount=1000)

    accepted = send(api, *submission)

    assert [refused.status_code, accepted.status_code] == [402, 202]
    assert "Idempotent-Replayed" not in accepted.headers
    assert_same_answer(accepted, send(api, *submission))
    assert state(user)[1] == 1


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("/predict", {**ASK, "data": {"horsepower": -1}}, 400),
        ("/predict", b"{", 400),
        ("/api/tasks/predict", {**ASK, "colour": "red"}, 400),
        ("/api/tasks/predict", {**ASK, "model_name": "no_such"}, 404),
        ("/api/tasks/00000000-0000-4000-8000-000000000000/run", {}, 404),
        ("/api/tasks/{queued}/run", {}, 409),
    ],
)
def test_any_refusal_frees_the_key(
    api: APIClient, user: User, predictor: Predictor, path: str, body: Any, status: int
) -> None:
    queued = services.request_prediction(user=user, predictor=predictor, data=CAR)

    refused = send(api, path.format(queued=queued.pk), body)

    assert refused.status_code == status
    assert not IdempotencyKey.objects.exists()
    assert send(api, "/predict").status_code == 202


@pytest.mark.parametrize(
    "key",
    [
        pytest.param("", id="empty"),
        pytest.param("x" * 256, id="256"),
        pytest.param(" ", id="blank"),
        pytest.param("a b", id="space"),
        pytest.param("a\tb", id="tab"),
        pytest.param("a\x7f", id="delete"),
        pytest.param("clé", id="not-ascii"),
        pytest.param("１", id="full-width"),
    ],
)
def test_a_malformed_key_is_400(
    api: APIClient, user: User, submission: tuple[str, Any], key: str
) -> None:
    before = state(user)

    refused = send(api, *submission, key=key)

    assert refused.status_code == 400
    assert refused.json()["code"] == "invalid_request"
    assert list(refused.json()["errors"]) == ["Idempotency-Key"]
    assert state(user) == before


@pytest.mark.parametrize(
    "key", ["x", "x" * 255, "".join(map(chr, range(33, 127))), "%00", "';--", "0"]
)
def test_a_key_is_any_255_visible_characters(
    api: APIClient, predictor: Predictor, key: str
) -> None:
    first = send(api, "/predict", key=key)

    assert first.status_code == 202
    assert_same_answer(first, send(api, "/predict", key=key))


# --- How long ------------------------------------------------------------------------------------


def test_an_answer_is_kept_for_24_hours(api: APIClient, submission: tuple[str, Any]) -> None:
    first = send(api, *submission)
    age(hours=23, minutes=59)

    keys.purge_expired()

    assert_same_answer(first, send(api, *submission))


@pytest.mark.parametrize("forgotten", [False, True])
def test_then_the_key_is_free_whether_it_is_forgotten_or_not(
    api: APIClient, user: User, predictor: Predictor, forgotten: bool
) -> None:
    first = send(api, "/predict")
    age(hours=24, seconds=1)
    if forgotten:
        keys.purge_expired()

    other = {**ASK, "data": {"horsepower": 60}}
    second, again = (send(api, "/api/tasks/predict", other) for _ in range(2))

    assert second.json()["task_id"] != first.json()["job_id"]
    assert "Idempotent-Replayed" not in second.headers
    assert_same_answer(second, again)
    assert state(user)[1] == 2


def test_a_refusal_leaves_an_old_answer_old(
    api: APIClient, user: User, predictor: Predictor
) -> None:
    send(api, "/predict")
    age(hours=25)
    set_available(user_id=user.pk, new_amount=0)

    refused = [send(api, "/predict").status_code for _ in range(2)]

    assert refused == [402, 402]


def test_old_answers_are_forgotten_some_at_a_time(
    user: User, make_user: MakeUser, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keys, "PURGED_AT_ONCE", 3)
    for number in range(8):
        IdempotencyKey.objects.create(user=user, key=str(number))
    age(hours=25)
    IdempotencyKey.objects.create(user=user, key="new")

    counts = []
    for _ in range(4):
        keys.purge_expired()
        counts.append(IdempotencyKey.objects.count())

    assert counts == [6, 3, 1, 1]
    assert IdempotencyKey.objects.get().key == "new"


# --- Crashes -------------------------------------------------------------------------------------


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


# --- At the same moment --------------------------------------------------------------------------


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

    def impatient() -> Any:
        with connection.cursor() as cursor:
            cursor.execute("SET lock_timeout = '50ms'")
        return send(late, "/predict")

    _, answer = overlap(lambda: send(early, "/predict"), impatient, waits=False)

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
