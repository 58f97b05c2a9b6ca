"""`Idempotency-Key`: one piece of work and one answer, however often it is sent."""

from functools import partial
from typing import Any

import pytest
from rest_framework.test import APIClient

from accounts.models import User
from billing.services import set_available
from carprice.idempotency import keys
from carprice.idempotency.models import IdempotencyKey
from mlmodels.models import Predictor
from predictions import services
from predictions.execution import runner
from predictions.models import Prediction
from testing.fixtures import ClientOf, MakeUser
from testing.idempotency import ASK, CAR, age, assert_same_answer, send, state

pytestmark = pytest.mark.django_db


# --- Replays --------------------------------------------------------------------------------------


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
    request = partial(
        getattr(api, method), path.format(draft=draft.pk), body, HTTP_IDEMPOTENCY_KEY="a b"
    )

    response = request() if method == "get" else request(format="json")

    assert response.status_code == status
    assert not IdempotencyKey.objects.exists()


# --- Refusals -------------------------------------------------------------------------------------


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
        ("/api/tasks/predict", {**ASK, "color": "red"}, 400),
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


# --- How long -------------------------------------------------------------------------------------


def test_an_answer_is_kept_for_24_hours(api: APIClient, submission: tuple[str, Any]) -> None:
    first = send(api, *submission)
    age(hours=23, minutes=59)

    keys.purge_expired()

    assert_same_answer(first, send(api, *submission))


@pytest.mark.parametrize("purged", [False, True])
def test_then_the_key_is_free_whether_it_is_purged_or_not(
    api: APIClient, user: User, predictor: Predictor, purged: bool
) -> None:
    first = send(api, "/predict")
    age(hours=24, seconds=1)
    if purged:
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


def test_old_answers_are_purged_some_at_a_time(
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
