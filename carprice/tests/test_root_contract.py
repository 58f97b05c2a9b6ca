"""Every row of the root contract, and the common rules as they apply to it."""

import re
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import pytest
from django.db import OperationalError, connection
from django.urls import reverse
from pytest_django import DjangoCaptureOnCommitCallbacks
from rest_framework.test import APIClient

from accounts.models import User
from billing.models import CreditAccount, LedgerEntry
from billing.services import set_available
from carprice.http import throttling
from mlmodels.models import Predictor
from predictions import notifications
from predictions.execution import claims, runner
from predictions.models import Prediction
from predictions.services import request_prediction
from testing.fixtures import PASSWORD

pytestmark = pytest.mark.django_db

CEILING = 1_000_000_000
BODY_LIMIT = 2_621_440
ACCOUNT = {"name": "Bob", "email": "bob@example.com", "password": PASSWORD}
CAR = {"brand": "bmw", "horsepower": 121}
UNKNOWN_JOB = "00000000-0000-4000-8000-000000000000"
PRIVATE = [
    ("get", "/balance"),
    ("post", "/balance"),
    ("get", "/predictors"),
    ("post", "/predict"),
    ("get", "/predict"),
    ("get", "/history"),
    ("get", "/running"),
]
ALLOWED = {
    "/sign_up": {"POST"},
    "/sign_in": {"POST"},
    "/balance": {"GET", "POST"},
    "/predictors": {"GET"},
    "/predict": {"GET", "POST"},
    "/history": {"GET"},
    "/running": {"GET"},
}


# --- Helpers -------------------------------------------------------------------------------------


def state(user: User) -> tuple[int, int, int, int]:
    """Everything a refused request must leave as it was."""
    account = CreditAccount.objects.get(pk=user.pk)
    return (
        Prediction.objects.count(),
        LedgerEntry.objects.count(),
        account.balance,
        account.held,
    )


def send(
    api: APIClient,
    path: str,
    body: bytes,
    *,
    method: str = "POST",
    content_type: str = "application/json",
) -> Any:
    """A request with exactly this body."""
    return api.generic(method, path, body, content_type)  # type: ignore[arg-type]  # takes bytes


def order(api: APIClient, **changes: Any) -> Any:
    """POST /predict."""
    body = {"model_name": "random_forest", "data": CAR, **changes}
    return api.post("/predict", body, format="json")


def job(api: APIClient, job_id: str) -> Any:
    return api.get("/predict", {"job_id": job_id})


def set_amount(api: APIClient, amount: Any) -> Any:
    return api.post("/balance", {"new_amount": amount}, format="json")


def run(job_id: str) -> Prediction:
    """Do what a worker does with a job."""
    runner.run_queued(Prediction, Prediction.objects.get(pk=job_id).version_id)
    return Prediction.objects.get(pk=job_id)


def assert_refused(response: Any, status: int, code: str) -> dict[str, Any]:
    """The error body of the contract; returns its `errors`."""
    assert response.status_code == status
    assert response["Content-Type"] == "application/json"
    body = response.json()
    assert body["code"] == code
    assert isinstance(body["detail"], str)
    assert body["detail"]
    expected = {"code", "detail"} | ({"errors"} if status == 400 else set())
    assert set(body) - {"required", "available"} == expected
    for messages in body.get("errors", {}).values():
        assert messages
        assert all(isinstance(message, str) for message in messages)
    return dict(body.get("errors", {}))


def use_up(scope: str, user: User) -> None:
    """Count requests until the account's limit refuses one."""
    with suppress(throttling.TooManyRequests):
        while True:
            throttling.count(scope, f"account:{user.pk}")


# --- POST /sign_up -------------------------------------------------------------------------------


def test_signing_up_answers_with_name_and_email() -> None:
    response = APIClient().post("/sign_up", ACCOUNT, format="json")

    assert response.status_code == 201
    assert response.json() == {"name": "Bob", "email": "bob@example.com"}


@pytest.mark.parametrize("email", ["ada@example.com", "ADA@Example.COM"])
def test_a_taken_email_is_409_whatever_its_case(user: User, email: str) -> None:
    response = APIClient().post("/sign_up", {**ACCOUNT, "email": email}, format="json")

    assert_refused(response, 409, "email_taken")
    assert User.objects.count() == 1


@pytest.mark.parametrize("field", list(ACCOUNT))
def test_signing_up_needs_every_field(field: str) -> None:
    body = {key: value for key, value in ACCOUNT.items() if key != field}

    response = APIClient().post("/sign_up", body, format="json")

    assert list(assert_refused(response, 400, "invalid_request")) == [field]
    assert not User.objects.exists()


@pytest.mark.parametrize("field", ["role", "is_staff", "is_superuser", "balance", "id"])
def test_signing_up_refuses_any_other_field(field: str) -> None:
    response = APIClient().post("/sign_up", {**ACCOUNT, field: True}, format="json")

    assert list(assert_refused(response, 400, "invalid_request")) == [field]
    assert not User.objects.exists()


@pytest.mark.parametrize("name", ["A", "x" * 150, "Ада Лавлейс", "🚗"])
def test_a_name_of_1_to_150_characters_is_kept_as_sent(name: str) -> None:
    response = APIClient().post("/sign_up", {**ACCOUNT, "name": name}, format="json")

    assert (response.status_code, response.json()["name"]) == (201, name)


# --- POST /sign_in -------------------------------------------------------------------------------


def test_signing_in_answers_with_a_token_and_who_it_is(user: User) -> None:
    body = {"email": user.email, "password": PASSWORD}

    response = APIClient().post("/sign_in", body, format="json")

    answer = response.json()
    assert response.status_code == 200
    assert answer.pop("access_token").count(".") == 2
    assert answer == {"token_type": "bearer", "name": "Ada", "email": "ada@example.com"}


def test_signing_in_ignores_the_case_of_the_email(user: User) -> None:
    body = {"email": "ADA@Example.COM", "password": PASSWORD}

    response = APIClient().post("/sign_in", body, format="json")

    assert (response.status_code, response.json()["email"]) == (200, "ada@example.com")


def test_an_unknown_email_a_wrong_password_and_an_inactive_user_are_answered_alike(
    make_user: Callable[..., User],
) -> None:
    make_user()
    make_user("gone@example.com", is_active=False)
    tries = [
        {"email": "nobody@example.com", "password": PASSWORD},
        {"email": "ada@example.com", "password": "wrong"},
        {"email": "gone@example.com", "password": PASSWORD},
    ]

    answers = [APIClient().post("/sign_in", body, format="json") for body in tries]

    for answer in answers:
        assert_refused(answer, 401, "invalid_credentials")
        assert answer["WWW-Authenticate"] == "Bearer"
    assert len({answer.content for answer in answers}) == 1


@pytest.mark.parametrize("field", ["email", "password"])
def test_signing_in_needs_both_fields(field: str) -> None:
    body = {"email": "ada@example.com", "password": PASSWORD}
    del body[field]

    response = APIClient().post("/sign_in", body, format="json")

    assert list(assert_refused(response, 400, "invalid_request")) == [field]


# --- GET and POST /balance -----------------------------------------------------------------------


def test_a_new_account_has_no_credits(
    make_user: Callable[..., User], client_of: Callable[[User], APIClient]
) -> None:
    response = client_of(make_user(credit=0)).get("/balance")

    assert (response.status_code, response.json()) == (200, {"amount": 0})


@pytest.mark.parametrize("amount", [0, 1, 999, 1001, CEILING])
def test_setting_the_balance_answers_with_it(api: APIClient, amount: int) -> None:
    response = set_amount(api, amount)

    assert (response.status_code, response.json()) == (200, {"amount": amount})
    assert api.get("/balance").json() == {"amount": amount}


@pytest.mark.parametrize(
    ("amount", "kind", "change"), [(1500, "top_up", 500), (400, "adjustment", -600)]
)
def test_setting_the_balance_records_the_difference(
    api: APIClient, amount: int, kind: str, change: int
) -> None:
    set_amount(api, amount)

    entry = LedgerEntry.objects.latest("pk")
    assert (entry.kind, entry.balance_change) == (kind, change)
    assert (entry.balance_after, entry.held_change) == (amount, 0)


def test_setting_the_balance_to_what_it_is_writes_nothing(api: APIClient, user: User) -> None:
    before = state(user)

    response = set_amount(api, 1000)

    assert (response.status_code, response.json()) == (200, {"amount": 1000})
    assert state(user) == before


def test_the_balance_is_what_is_not_held(api: APIClient, predictor: Predictor) -> None:
    order(api)

    assert api.get("/balance").json() == {"amount": 1000 - predictor.price}


def test_setting_the_balance_leaves_what_is_held(
    api: APIClient, user: User, predictor: Predictor
) -> None:
    order(api)

    response = set_amount(api, 70)

    account = CreditAccount.objects.get(pk=user.pk)
    assert response.json() == {"amount": 70}
    assert (account.balance, account.held) == (70 + predictor.price, predictor.price)


def test_the_balance_may_be_set_to_nothing_while_credits_are_held(
    api: APIClient, user: User, predictor: Predictor
) -> None:
    order(api)

    response = set_amount(api, 0)

    account = CreditAccount.objects.get(pk=user.pk)
    assert response.json() == {"amount": 0}
    assert (account.balance, account.held) == (predictor.price, predictor.price)


def test_the_ceiling_is_for_what_is_available_and_held_together(
    api: APIClient, user: User, predictor: Predictor
) -> None:
    order(api)
    before = state(user)

    refused = set_amount(api, CEILING - predictor.price + 1)
    accepted = set_amount(api, CEILING - predictor.price)

    assert list(assert_refused(refused, 400, "invalid_request")) == ["new_amount"]
    assert (accepted.status_code, before[2]) == (200, 1000)
    assert CreditAccount.objects.get(pk=user.pk).balance == CEILING


# --- GET /predictors -----------------------------------------------------------------------------


def test_predictors_are_listed_cheapest_first(
    api: APIClient, predictors: dict[str, Predictor]
) -> None:
    response = api.get("/predictors")

    rows = sorted(predictors.values(), key=lambda row: (row.price, row.name))
    assert response.status_code == 200
    assert response.json() == {
        "models": [{"model_name": row.name, "price": row.price} for row in rows]
    }


def test_a_disabled_predictor_is_not_listed(api: APIClient, predictor: Predictor) -> None:
    Predictor.objects.filter(pk=predictor.pk).update(enabled=False)

    names = [row["model_name"] for row in api.get("/predictors").json()["models"]]

    others = Predictor.objects.exclude(pk=predictor.pk).values_list("name", flat=True)
    assert sorted(names) == sorted(others)


def test_an_empty_catalogue_is_an_empty_list(api: APIClient) -> None:
    response = api.get("/predictors")

    assert (response.status_code, response.json()) == (200, {"models": []})


# --- POST /predict -------------------------------------------------------------------------------


def test_a_submission_is_202_with_its_id_and_nothing_else(
    api: APIClient, predictor: Predictor
) -> None:
    response = order(api)

    prediction = Prediction.objects.get()
    assert response.status_code == 202
    assert response.json() == {"job_id": str(prediction.pk)}


def test_a_submission_holds_the_price_and_charges_nothing_yet(
    api: APIClient, user: User, predictor: Predictor
) -> None:
    order(api)

    assert state(user) == (1, 2, 1000, predictor.price)


def test_the_price_is_fixed_at_submission(api: APIClient, user: User, predictor: Predictor) -> None:
    price = predictor.price
    job_id = order(api).json()["job_id"]
    Predictor.objects.filter(pk=predictor.pk).update(price=900)

    run(job_id)

    assert state(user)[2:] == (1000 - price, 0)


@pytest.mark.parametrize(
    "data",
    [
        pytest.param({"brand": "bmw", "horsepower": 121}, id="bare-values"),
        pytest.param({"brand": ["bmw"], "horsepower": [121]}, id="one-item-lists"),
        pytest.param({"brand": "bmw", "horsepower": [121]}, id="mixed"),
        pytest.param({"CarName": "bmw 320i", "horsepower": 121}, id="CarName"),
        pytest.param({"CarName": ["BMW x3"], "horsepower": [121]}, id="CarName-in-a-list"),
    ],
)
def test_one_row_may_be_written_in_several_ways(
    api: APIClient, predictor: Predictor, data: dict[str, Any]
) -> None:
    response = order(api, data=data)

    used = Prediction.objects.get().data
    assert response.status_code == 202
    assert (used["brand"], used["horsepower"]) == ("bmw", 121)


@pytest.mark.parametrize(
    ("car_name", "brand"),
    [
        ("maxda rx3", "mazda"),
        ("porcshce panamera", "porsche"),
        ("toyouta tercel", "toyota"),
        ("vokswagen rabbit", "volkswagen"),
        ("vw dasher", "volkswagen"),
        ("Nissan clipper", "nissan"),
        ("buick century", "mercedes-benz"),
        ("alfa-romero giulia", "alfa-romero"),
        ("  saab   99e ", "saab"),
    ],
)
def test_a_car_name_is_reduced_to_its_make(
    api: APIClient, predictor: Predictor, car_name: str, brand: str
) -> None:
    order(api, data={"CarName": car_name})

    assert Prediction.objects.get().data["brand"] == brand


def test_features_left_out_take_their_default_and_are_named(
    api: APIClient, predictor: Predictor
) -> None:
    order(api, data={"brand": "bmw"})

    prediction = Prediction.objects.get()
    assert len(prediction.data) == 24
    assert sorted(prediction.defaulted) == sorted(set(prediction.data) - {"brand"})


@pytest.mark.parametrize(
    ("data", "named"),
    [
        pytest.param({}, ["data"], id="no-feature"),
        pytest.param({"horsepower": []}, ["horsepower"], id="no-row"),
        pytest.param({"horsepower": [121, 122]}, ["horsepower"], id="two-rows"),
        pytest.param({"brand": ["bmw"] * 2, "stroke": [3] * 2}, ["brand", "stroke"], id="2x2"),
        pytest.param({"brand": ["bmw"], "stroke": [3, 3]}, ["stroke"], id="ragged"),
        pytest.param({"horsepower": [[121]]}, ["horsepower"], id="a-list-in-a-list"),
        pytest.param({"wings": 2}, ["wings"], id="unknown-feature"),
        pytest.param({"horsepower": 0}, ["horsepower"], id="below-the-limit"),
        pytest.param({"horsepower": 2001}, ["horsepower"], id="above-the-limit"),
        pytest.param({"brand": "tesla"}, ["brand"], id="unknown-category"),
        pytest.param({"CarName": 7}, ["CarName"], id="CarName-no-text"),
        pytest.param({"CarName": "bmw", "brand": "bmw"}, ["CarName"], id="CarName-and-brand"),
        pytest.param({"price": 1, "stroke": "x"}, ["price", "stroke"], id="several-at-once"),
    ],
)
def test_bad_data_is_400_and_names_each_feature(
    api: APIClient, user: User, predictor: Predictor, data: Any, named: list[str]
) -> None:
    before = state(user)

    response = order(api, data=data)

    assert sorted(assert_refused(response, 400, "invalid_request")) == named
    assert state(user) == before


@pytest.mark.parametrize("car_name", ["tesla model s", "", "   "])
def test_an_unknown_make_in_a_car_name_is_400(
    api: APIClient, user: User, predictor: Predictor, car_name: str
) -> None:
    before = state(user)

    response = order(api, data={"CarName": car_name})

    assert assert_refused(response, 400, "invalid_request").keys() <= {"brand", "CarName"}
    assert state(user) == before


@pytest.mark.parametrize("field", ["model_name", "data"])
def test_a_submission_needs_both_fields(
    api: APIClient, user: User, predictor: Predictor, field: str
) -> None:
    before = state(user)
    body: dict[str, Any] = {"model_name": "random_forest", "data": CAR}
    del body[field]

    response = api.post("/predict", body, format="json")

    assert list(assert_refused(response, 400, "invalid_request")) == [field]
    assert state(user) == before


@pytest.mark.parametrize("name", ["no_such", "Random_Forest", "car_price", "1", "../x", "🚗"])
def test_an_unknown_model_is_404(
    api: APIClient, user: User, predictor: Predictor, name: str
) -> None:
    before = state(user)

    response = order(api, model_name=name)

    assert_refused(response, 404, "predictor_not_found")
    assert state(user) == before


def test_a_disabled_predictor_cannot_be_bought(
    api: APIClient, user: User, predictor: Predictor
) -> None:
    Predictor.objects.filter(pk=predictor.pk).update(enabled=False)
    before = state(user)

    response = order(api)

    assert_refused(response, 404, "predictor_not_found")
    assert state(user) == before


@pytest.mark.parametrize("missing", [1, 40])
def test_too_few_credits_is_402_with_what_is_needed_and_there(
    api: APIClient, user: User, predictor: Predictor, missing: int
) -> None:
    available = max(0, predictor.price - missing)
    set_available(user_id=user.pk, new_amount=available)
    before = state(user)

    response = order(api)

    assert_refused(response, 402, "insufficient_credits")
    assert response.json()["required"] == predictor.price
    assert response.json()["available"] == available
    assert state(user) == before


def test_the_last_credits_can_be_spent(api: APIClient, user: User, predictor: Predictor) -> None:
    set_available(user_id=user.pk, new_amount=predictor.price)

    assert order(api).status_code == 202
    assert_refused(order(api), 402, "insufficient_credits")


def test_credits_that_are_held_cannot_be_spent_again(
    api: APIClient, user: User, predictor: Predictor
) -> None:
    set_available(user_id=user.pk, new_amount=2 * predictor.price - 1)
    order(api)

    response = order(api)

    assert_refused(response, 402, "insufficient_credits")
    assert response.json()["available"] == predictor.price - 1


@pytest.mark.parametrize("broker", ["redis://127.0.0.1:1/0", "amqp://guest:guest@127.0.0.1:1//"])
def test_a_submission_is_202_although_the_broker_is_unreachable(
    api: APIClient,
    user: User,
    predictor: Predictor,
    settings: Any,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks,
    broker: str,
) -> None:
    settings.CELERY_BROKER_URL = broker
    settings.BROKER_KIND = broker.partition(":")[0]
    ringer = notifications.Publisher()
    ringer.start()
    monkeypatch.setattr(notifications, "_current", ringer)

    with django_capture_on_commit_callbacks(execute=True):
        response = order(api)

    deadline = time.monotonic() + 20
    while "The broker took no message" not in caplog.text and time.monotonic() < deadline:
        time.sleep(0.01)
    ringer.flush(timeout=0)
    assert response.status_code == 202
    assert state(user) == (1, 2, 1000, predictor.price)
    assert "The broker took no message" in caplog.text


# --- GET /predict --------------------------------------------------------------------------------


def test_a_waiting_job_has_no_end_and_no_result(api: APIClient, predictor: Predictor) -> None:
    job_id = order(api).json()["job_id"]

    response = job(api, job_id)

    answer = response.json()
    assert response.status_code == 200
    assert re.fullmatch(r"\d\d/\d\d/\d{4}, \d\d:\d\d:\d\d", answer.pop("created_at"))
    assert answer == {
        "job_id": job_id,
        "status": "queued",
        "model_name": "random_forest",
        "finished_at": None,
        "result": None,
    }


def test_a_finished_job_has_a_plain_number_and_is_charged(
    api: APIClient, user: User, predictor: Predictor
) -> None:
    job_id = order(api).json()["job_id"]
    prediction = run(job_id)

    answer = job(api, job_id).json()

    assert answer["status"] == "finished"
    assert isinstance(answer["result"], float)
    assert answer["result"] == prediction.value
    assert 5_000 < answer["result"] < 50_000
    assert re.fullmatch(r"\d\d/\d\d/\d{4}, \d\d:\d\d:\d\d", answer["finished_at"])
    assert state(user)[2:] == (1000 - predictor.price, 0)


def test_a_failed_job_has_an_end_no_result_and_costs_nothing(
    api: APIClient, user: User, predictor: Predictor, settings: Any, tmp_path: Any
) -> None:
    settings.MODELS_DIR = tmp_path
    job_id = order(api).json()["job_id"]
    run(job_id)

    answer = job(api, job_id).json()

    assert (answer["status"], answer["result"]) == ("failed", None)
    assert answer["finished_at"] is not None
    assert state(user)[2:] == (1000, 0)


@pytest.mark.parametrize("field", ["created_at", "finished_at"])
def test_times_are_written_day_first_in_utc(
    api: APIClient, predictor: Predictor, field: str
) -> None:
    job_id = order(api).json()["job_id"]
    run(job_id)
    moment = datetime(2025, 5, 10, 15, 0, 0, 999_999, tzinfo=UTC)
    Prediction.objects.filter(pk=job_id).update(**{field: moment})

    assert job(api, job_id).json()[field] == "10/05/2025, 15:00:00"


def test_a_job_may_be_asked_for_in_a_json_body(api: APIClient, predictor: Predictor) -> None:
    job_id = order(api).json()["job_id"]

    in_body = send(api, "/predict", f'{{"job_id": "{job_id}"}}'.encode(), method="GET")

    assert in_body.status_code == 200
    assert in_body.content == job(api, job_id).content


@pytest.mark.parametrize("form", [str.upper, "{{{}}}".format, "urn:uuid:{}".format])
def test_another_spelling_of_an_id_is_the_same_job_or_none(
    api: APIClient, predictor: Predictor, form: Callable[[str], str]
) -> None:
    job_id = order(api).json()["job_id"]

    response = job(api, form(job_id))

    if response.status_code == 200:
        assert response.json()["job_id"] == job_id
    else:
        assert_refused(response, 404, "not_found")


def test_the_job_of_another_user_is_answered_like_one_that_does_not_exist(
    api: APIClient,
    predictor: Predictor,
    make_user: Callable[..., User],
    client_of: Callable[[User], APIClient],
) -> None:
    job_id = order(api).json()["job_id"]
    stranger = client_of(make_user("eve@example.com"))

    theirs = job(stranger, job_id)

    assert_refused(theirs, 404, "not_found")
    assert theirs.content == job(stranger, UNKNOWN_JOB).content


@pytest.mark.parametrize("where", ["query", "body"])
@pytest.mark.parametrize(
    "job_id",
    [
        pytest.param(UNKNOWN_JOB, id="unknown"),
        pytest.param("", id="empty"),
        pytest.param(" ", id="blank"),
        pytest.param("1", id="a-digit"),
        pytest.param("../x", id="a-path"),
        pytest.param("' OR 1=1 --", id="sql"),
        pytest.param("é" * 36, id="not-ascii"),
        pytest.param("１" * 32, id="full-width-digits"),
        pytest.param("x" * 1000, id="1000-characters"),
    ],
)
def test_any_unknown_string_is_404(
    api: APIClient, predictor: Predictor, where: str, job_id: str
) -> None:
    if where == "query":
        response = job(api, job_id)
    else:
        response = send(api, "/predict", f'{{"job_id": "{job_id}"}}'.encode(), method="GET")

    assert_refused(response, 404, "not_found")


@pytest.mark.parametrize("job_id", ["%00", "x" * 10_000])
def test_an_odd_string_in_the_query_is_404(api: APIClient, job_id: str) -> None:
    response = api.get(f"/predict?job_id={job_id}")

    assert_refused(response, 404, "not_found")


@pytest.mark.parametrize("job_id", ["1", "1.5", "true", "null", "[]", '["x"]', "{}", '{"a":1}'])
def test_a_job_id_of_another_type_is_400(api: APIClient, job_id: str) -> None:
    body = f'{{"job_id": {job_id}}}'

    response = send(api, "/predict", body.encode(), method="GET")

    assert list(assert_refused(response, 400, "invalid_request")) == ["job_id"]


def test_asking_for_no_job_is_400(api: APIClient) -> None:
    response = api.get("/predict")

    assert list(assert_refused(response, 400, "invalid_request")) == ["job_id"]


def test_an_unknown_query_parameter_is_400(api: APIClient) -> None:
    response = api.get("/predict", {"job_id": UNKNOWN_JOB, "verbose": "1"})

    assert list(assert_refused(response, 400, "invalid_request")) == ["verbose"]


# --- GET /history and GET /running ---------------------------------------------------------------


def test_history_and_running_are_empty_at_first(api: APIClient) -> None:
    assert api.get("/history").json() == {"job_ids": []}
    assert api.get("/running").json() == {"job_ids": []}


def test_history_lists_the_newest_submission_first(
    api: APIClient, predictors: dict[str, Predictor]
) -> None:
    names = [name for name, row in predictors.items() if row.domain == "car_price"]
    ids = [order(api, model_name=name).json()["job_id"] for name in [*names, *names]]

    response = api.get("/history")

    assert (response.status_code, response.json()) == (200, {"job_ids": ids[::-1]})


def test_history_keeps_what_has_ended_and_running_drops_it(
    api: APIClient, predictors: dict[str, Predictor]
) -> None:
    done = order(api, model_name="linear_regression").json()["job_id"]
    waiting = order(api, model_name="random_forest").json()["job_id"]
    run(done)

    assert api.get("/history").json() == {"job_ids": [waiting, done]}
    assert api.get("/running").json() == {"job_ids": [waiting]}


def test_a_job_that_a_worker_has_claimed_is_running(api: APIClient, predictor: Predictor) -> None:
    job_id = order(api).json()["job_id"]
    assert predictor.current_version_id
    claims.claim_first_attempts(Prediction, predictor.current_version_id)

    assert job(api, job_id).json()["status"] == "running"
    assert api.get("/running").json() == {"job_ids": [job_id]}


def test_drafts_are_in_neither_list(api: APIClient, user: User, predictor: Predictor) -> None:
    assert predictor.current_version_id
    Prediction.objects.create(
        user=user,
        predictor=predictor,
        version_id=predictor.current_version_id,
        status=Prediction.Status.DRAFT,
        price=predictor.price,
        data={},
    )

    assert api.get("/history").json() == {"job_ids": []}
    assert api.get("/running").json() == {"job_ids": []}


@pytest.mark.parametrize("path", ["/history", "/running"])
def test_the_jobs_of_others_are_not_listed(
    api: APIClient, predictor: Predictor, make_user: Callable[..., User], path: str
) -> None:
    other = make_user("bob@example.com")
    request_prediction(user=other, predictor=predictor, data=CAR)

    assert api.get(path).json() == {"job_ids": []}


# --- Refusals every route shares -----------------------------------------------------------------


@pytest.mark.parametrize(("method", "path"), PRIVATE)
@pytest.mark.parametrize("header", [None, "Bearer", "Bearer a.b.c", "Basic eDp5"])
def test_without_a_good_token_it_is_401(method: str, path: str, header: str | None) -> None:
    client = APIClient()
    if header:
        client.credentials(HTTP_AUTHORIZATION=header)

    response = getattr(client, method)(path)

    assert_refused(response, 401, "not_authenticated")
    assert response["WWW-Authenticate"] == "Bearer"


@pytest.mark.parametrize("path", ["/sign_up", "/sign_in"])
def test_a_bad_token_is_no_matter_where_none_is_asked_for(path: str) -> None:
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION="Bearer a.b.c")

    response = client.post(path, {}, format="json")

    assert_refused(response, 400, "invalid_request")


@pytest.mark.parametrize(
    ("method", "path"),
    [
        (method, path)
        for path, allowed in ALLOWED.items()
        for method in ("GET", "POST", "PUT", "PATCH", "DELETE", "TRACE")
        if method not in allowed
    ],
)
def test_a_wrong_method_is_405_and_names_the_right_ones(
    api: APIClient, user: User, method: str, path: str
) -> None:
    before = state(user)

    response = send(api, path, b"{}", method=method)

    assert_refused(response, 405, "method_not_allowed")
    assert set(response["Allow"].split(", ")) - {"HEAD", "OPTIONS"} == ALLOWED[path]
    assert state(user) == before


def test_a_method_in_a_header_is_ignored(api: APIClient, user: User) -> None:
    response = api.post(
        "/balance", {"new_amount": 5}, format="json", HTTP_X_HTTP_METHOD_OVERRIDE="GET"
    )

    assert response.json() == {"amount": 5}


@pytest.mark.parametrize(
    "path", ["/balance/", "/predict/", "/sign_in/", "/nope", "/api", "/predict/1"]
)
def test_an_unknown_path_is_404_with_the_error_body(api: APIClient, path: str) -> None:
    assert_refused(api.get(path), 404, "not_found")


@pytest.mark.parametrize("path", ["/sign_up", "/sign_in", "/balance", "/predict"])
def test_a_body_over_the_limit_is_413(api: APIClient, user: User, path: str) -> None:
    before = state(user)

    response = send(api, path, b" " * (BODY_LIMIT + 1))

    assert_refused(response, 413, "body_too_large")
    assert state(user) == before


def test_a_body_of_exactly_the_limit_is_read(api: APIClient) -> None:
    body = b'{"new_amount": 5}'.ljust(BODY_LIMIT)

    response = send(api, "/balance", body)

    assert response.json() == {"amount": 5}


@pytest.mark.parametrize("path", ["/sign_up", "/sign_in", "/balance", "/predict"])
@pytest.mark.parametrize(
    "content_type",
    [
        "text/plain",
        "application/xml",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "application/jsonp",
        "nonsense",
        "",
    ],
)
def test_another_content_type_is_415(
    api: APIClient, user: User, path: str, content_type: str
) -> None:
    before = state(user)

    response = send(api, path, b'{"new_amount": 5}', content_type=content_type)

    assert_refused(response, 415, "unsupported_media_type")
    assert state(user) == before


@pytest.mark.parametrize(
    ("scope", "method", "path"),
    [
        ("submit", "POST", "/predict"),
        ("top_up", "POST", "/balance"),
        ("other", "GET", "/balance"),
        ("other", "GET", "/predict"),
        ("other", "GET", "/predictors"),
        ("other", "GET", "/history"),
        ("other", "GET", "/running"),
    ],
)
def test_too_many_requests_are_429_with_retry_after(
    api: APIClient, user: User, scope: str, method: str, path: str
) -> None:
    use_up(scope, user)
    before = state(user)

    response = send(api, path, b"", method=method)

    assert_refused(response, 429, "too_many_requests")
    assert 1 <= int(response["Retry-After"]) <= 60
    assert state(user) == before


def test_one_users_limit_is_not_anothers(
    api: APIClient,
    user: User,
    make_user: Callable[..., User],
    client_of: Callable[[User], APIClient],
) -> None:
    use_up("other", user)
    neighbour = client_of(make_user("bob@example.com"))

    assert neighbour.get("/balance").status_code == 200


# --- Which refusal comes first -------------------------------------------------------------------


def test_401_comes_before_405() -> None:
    assert_refused(APIClient().put("/balance"), 401, "not_authenticated")


@pytest.mark.parametrize("path", ["/balance", "/predict"])
def test_401_comes_before_413_415_and_400(path: str) -> None:
    client = APIClient()

    too_large = send(client, path, b"x" * (BODY_LIMIT + 1), content_type="text/plain")
    not_json = send(client, path, b"x")

    assert_refused(too_large, 401, "not_authenticated")
    assert_refused(not_json, 401, "not_authenticated")


@pytest.mark.parametrize("path", ["/balance", "/sign_up"])
def test_405_comes_before_413(api: APIClient, path: str) -> None:
    response = send(api, path, b"x" * (BODY_LIMIT + 1), method="PUT", content_type="text/plain")

    assert_refused(response, 405, "method_not_allowed")


@pytest.mark.parametrize("path", ["/balance", "/sign_up"])
def test_413_comes_before_415(api: APIClient, path: str) -> None:
    response = send(api, path, b"x" * (BODY_LIMIT + 1), content_type="text/plain")

    assert_refused(response, 413, "body_too_large")


def test_415_comes_before_429(api: APIClient, user: User) -> None:
    use_up("top_up", user)

    response = send(api, "/balance", b"x", content_type="text/plain")

    assert_refused(response, 415, "unsupported_media_type")


def test_429_comes_before_400(api: APIClient, user: User) -> None:
    use_up("submit", user)

    response = send(api, "/predict", b"{")

    assert_refused(response, 429, "too_many_requests")


def test_400_comes_before_404(api: APIClient, predictor: Predictor) -> None:
    response = order(api, model_name="no_such", extra=1)

    assert list(assert_refused(response, 400, "invalid_request")) == ["extra"]


@pytest.mark.parametrize(
    "data", [{}, {"wings": 2}, {"horsepower": [1, 2]}, {"horsepower": "x"}, [], "s", 7, True, None]
)
def test_an_unknown_model_comes_before_errors_in_its_data(
    api: APIClient, predictor: Predictor, data: Any
) -> None:
    response = order(api, model_name="no_such", data=data)

    assert_refused(response, 404, "predictor_not_found")


def test_400_comes_before_409(user: User) -> None:
    body = {**ACCOUNT, "email": user.email, "password": "password123"}

    response = APIClient().post("/sign_up", body, format="json")

    assert list(assert_refused(response, 400, "invalid_request")) == ["password"]


@pytest.mark.parametrize(
    ("changes", "status", "code"),
    [
        pytest.param({"data": {"horsepower": "x"}}, 400, "invalid_request", id="400"),
        pytest.param({"model_name": "no_such"}, 404, "predictor_not_found", id="404"),
    ],
)
def test_400_and_404_come_before_402(
    api: APIClient,
    user: User,
    predictor: Predictor,
    changes: dict[str, Any],
    status: int,
    code: str,
) -> None:
    set_available(user_id=user.pk, new_amount=0)

    response = order(api, **changes)

    assert_refused(response, status, code)


# --- When the database is away -------------------------------------------------------------------


def refuse(statement: str = "") -> Callable[..., Any]:
    """A database that cannot be reached for statements that contain a text."""

    def execute(call: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        if statement in sql:
            raise OperationalError('connection to server at "10.0.0.7" failed: FATAL password')
        return call(sql, params, many, context)

    return execute


def assert_unavailable(response: Any) -> None:
    assert_refused(response, 503, "unavailable")
    assert int(response["Retry-After"]) >= 1
    assert b"10.0.0.7" not in response.content


@pytest.mark.parametrize(("method", "path"), PRIVATE)
def test_without_the_database_every_route_is_503(api: APIClient, method: str, path: str) -> None:
    with connection.execute_wrapper(refuse()):
        response = getattr(api, method)(path)

    assert_unavailable(response)


def test_without_the_database_nobody_can_sign_in(user: User) -> None:
    body = {"email": user.email, "password": PASSWORD}

    with connection.execute_wrapper(refuse()):
        response = APIClient().post("/sign_in", body, format="json")

    assert_unavailable(response)


def test_without_the_database_nobody_can_sign_up() -> None:
    with connection.execute_wrapper(refuse("INSERT INTO")):
        response = APIClient().post("/sign_up", ACCOUNT, format="json")

    assert_unavailable(response)
    assert not User.objects.exists()


@pytest.mark.parametrize("statement", ["billing_ledgerentry", "INSERT INTO predictions"])
def test_a_database_lost_in_mid_submission_leaves_nothing(
    api: APIClient, user: User, predictor: Predictor, statement: str
) -> None:
    before = state(user)

    with connection.execute_wrapper(refuse(statement)):
        response = order(api)

    assert_unavailable(response)
    assert state(user) == before


def test_a_database_lost_while_setting_the_balance_leaves_it(api: APIClient, user: User) -> None:
    before = state(user)

    with connection.execute_wrapper(refuse("billing_ledgerentry")):
        response = set_amount(api, 5)

    assert_unavailable(response)
    assert state(user) == before


@pytest.mark.parametrize("path", ["/", "/catalogue", "/wallet", "/predictions"])
def test_without_the_database_a_page_is_503_too(user: User, path: str) -> None:
    client = APIClient(raise_request_exception=False)
    client.force_login(user)

    with connection.execute_wrapper(refuse()):
        response = client.get(path, HTTP_ACCEPT="text/html")

    assert response.status_code == 503
    assert int(response["Retry-After"]) >= 1
    assert response["Content-Type"].startswith("text/html")
    assert b"10.0.0.7" not in response.content


def test_an_unforeseen_error_tells_nothing_of_itself(api: APIClient) -> None:
    def explode(*_: Any) -> Any:
        raise RuntimeError("SELECT secret FROM /etc/passwd")

    api.raise_request_exception = False
    with connection.execute_wrapper(explode):
        response = api.get("/balance")

    assert_refused(response, 500, "internal_error")
    assert b"secret" not in response.content
    assert b"Traceback" not in response.content


# --- The same views for a browser ----------------------------------------------------------------


@pytest.mark.parametrize("path", ["/balance", "/predictors", "/history", "/running"])
def test_a_browser_gets_the_browsable_api(user: User, predictor: Predictor, path: str) -> None:
    client = APIClient()
    client.force_login(user)

    response = client.get(path, HTTP_ACCEPT="text/html")

    assert response.status_code == 200
    assert "Carprice API" in response.content.decode()


def test_a_browser_sees_an_error_in_the_browsable_api(user: User) -> None:
    client = APIClient()
    client.force_login(user)

    response = client.post("/balance", {"new_amount": -1}, format="json", HTTP_ACCEPT="text/html")

    assert response.status_code == 400
    assert "invalid_request" in response.content.decode()


@pytest.mark.parametrize("accept", ["*/*", "application/xml", "text/csv", "nonsense", ""])
def test_whoever_asks_for_no_page_gets_json(api: APIClient, accept: str) -> None:
    response = api.get("/balance", HTTP_ACCEPT=accept)

    assert (response.status_code, response.json()) == (200, {"amount": 1000})


def test_the_root_contract_has_its_routes_at_the_root() -> None:
    names = ["sign-up", "sign-in", "balance", "predictors", "predict", "history", "running"]

    paths = [reverse(f"root-{name}") for name in names]

    assert paths == [f"/{name.replace('-', '_')}" for name in names]


def test_the_whole_path_works_as_a_script_walks_it(predictor: Predictor) -> None:
    script = APIClient()
    script.post("/sign_up", ACCOUNT, format="json")
    granted = script.post(
        "/sign_in", {"email": ACCOUNT["email"], "password": PASSWORD}, format="json"
    ).json()
    script.credentials(HTTP_AUTHORIZATION=f"Bearer {granted['access_token']}")
    set_amount(script, 100)
    job_id = order(script).json()["job_id"]
    run(job_id)

    answer = job(script, job_id).json()

    assert answer["status"] == "finished"
    assert script.get("/balance").json() == {"amount": 100 - predictor.price}
    assert script.get("/running").json() == {"job_ids": []}
    assert script.get("/history").json() == {"job_ids": [job_id]}
