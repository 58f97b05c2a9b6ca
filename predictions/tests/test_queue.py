"""In what order a queue is served, what a position says of it, and what happens when it is full."""

import random
from collections.abc import Callable, Iterable
from typing import Any
from uuid import UUID

import pytest
from django.conf import LazySettings
from django.db import transaction
from django.test import Client
from rest_framework.test import APIClient

from accounts.models import User
from billing.models import CreditAccount, LedgerEntry
from mlmodels.catalogue.queries import signature_of
from mlmodels.models import Predictor
from predictions import positions, queue, services
from predictions.execution import claims, recovery, settlement
from predictions.models import Prediction
from predictions.services import create_draft, request_prediction, run_draft
from testing.fixtures import MakeUser

pytestmark = pytest.mark.django_db

PLENTY = 1_000_000
CAR = {"brand": "bmw", "horsepower": 121}
Status = Prediction.Status
Submit = Callable[..., list[UUID]]
Next = Callable[[], list[UUID]]


@pytest.fixture
def people(make_user: MakeUser) -> Callable[[int], list[User]]:
    """New users with plenty of credits."""
    made: list[User] = []

    def people(count: int) -> list[User]:
        for _ in range(count):
            made.append(make_user(f"user{len(made)}@example.com", credit=PLENTY))
        return made[-count:]

    return people


@pytest.fixture
def submit(predictor: Predictor) -> Submit:
    def submit(user: User, count: int = 1, by: Predictor = predictor) -> list[UUID]:
        with transaction.atomic():
            return [request_prediction(user=user, predictor=by, data=CAR).pk for _ in range(count)]

    return submit


@pytest.fixture
def claim(predictor: Predictor) -> Next:
    """Take the next claim; returns the ids of its rows."""

    def claim() -> list[UUID]:
        claimed = claims.claim_first_attempts(Prediction, version_of(predictor))
        return [row.id for row in claimed.rows] if claimed else []

    return claim


@pytest.fixture
def one_by_one(claim: Next, settings: LazySettings) -> Next:
    """Claim single rows until none waits; returns their ids in the order of the claims."""

    def one_by_one() -> list[UUID]:
        settings.CLAIM_ROWS = 1
        order = []
        while claimed := claim():
            order += claimed
        return order

    return one_by_one


def version_of(predictor: Predictor) -> UUID:
    assert predictor.current_version_id
    return predictor.current_version_id


def waiting() -> list[Prediction]:
    return list(Prediction.objects.filter(status=Status.QUEUED))


def positions_of(rows: Iterable[Prediction]) -> dict[UUID, int]:
    """Of the rows that have one."""
    numbered = list(rows)
    positions.set_positions(numbered)
    return {row.pk: row.position for row in numbered if row.position is not None}


def in_order() -> list[UUID]:
    """Waiting rows by their positions, which must be 1, 2, 3 and so on, alone or together."""
    positions = positions_of(waiting())
    assert sorted(positions.values()) == list(range(1, len(positions) + 1))
    for row in waiting():
        assert services.find(row.user, row.pk).position == positions[row.pk]
    return sorted(positions, key=lambda key: positions[key])


def lose_the_worker(keys: list[UUID]) -> None:
    """What is left of claimed rows when their worker died."""
    Prediction.objects.filter(pk__in=keys).update(lease_expires_at="2000-01-01T00:00Z")
    recovery.recover()


# --- Order ---------------------------------------------------------------------------------------


def test_a_single_row_behind_hundreds_is_in_the_very_next_claim(
    people: Callable[[int], list[User]], submit: Submit, claim: Next
) -> None:
    many, single = people(2)
    hundreds = submit(many, 400)
    [row] = submit(single)

    claimed = claim()

    assert set(claimed) == {row, *hundreds[:63]}


@pytest.mark.parametrize("claimed_before", [0, 1, 7])
def test_claims_of_one_row_take_it_one_later_at_most(
    people: Callable[[int], list[User]],
    submit: Submit,
    claim: Next,
    settings: LazySettings,
    claimed_before: int,
) -> None:
    settings.CLAIM_ROWS = 1
    many, single = people(2)
    submit(many, 30)
    for _ in range(claimed_before):
        claim()
    [row] = submit(single)

    assert row in claim() + claim()


def test_everybody_who_waits_has_a_row_in_the_next_claim(
    people: Callable[[int], list[User]], submit: Submit, claim: Next
) -> None:
    many, *others = people(40)
    submit(many, 200)
    rows = {submit(other, 3)[0] for other in others}

    assert rows <= set(claim())


def test_two_with_many_rows_share_each_claim(
    people: Callable[[int], list[User]], submit: Submit, claim: Next
) -> None:
    first, second = people(2)
    submit(first, 200)
    later = set(submit(second, 100))

    shares = [len(later & set(claim())) for _ in range(3)]

    assert shares == pytest.approx([32, 32, 32], abs=1)


def test_rows_of_one_user_are_served_as_they_came(
    user: User, submit: Submit, one_by_one: Next
) -> None:
    rows = submit(user, 12)

    assert one_by_one() == rows


@pytest.mark.parametrize("at_a_time", [1, 2, 5])
@pytest.mark.parametrize("strangers", [False, True])
def test_single_rows_of_others_never_starve_who_has_many(
    people: Callable[[int], list[User]],
    submit: Submit,
    claim: Next,
    settings: LazySettings,
    at_a_time: int,
    strangers: bool,
) -> None:
    """Others always have rows waiting: each sends the next when one is taken, or somebody new."""
    settings.CLAIM_ROWS = 1
    [many] = people(1)
    backlog = set(submit(many, 6))
    owner = {submit(other)[0]: other for other in people(at_a_time)}
    served = []

    for _ in range(6 * (at_a_time + 1)):
        [row] = claim()
        served.append(row in backlog)
        if row in owner:
            other = people(1)[0] if strangers else owner[row]
            owner[submit(other)[0]] = other

    length = at_a_time + 1
    rounds = [served[start : start + length] for start in range(0, len(served), length)]
    assert list(map(sum, rounds)) == [1] * 6


def test_rows_given_back_keep_their_rank(
    people: Callable[[int], list[User]],
    submit: Submit,
    claim: Next,
    settings: LazySettings,
    predictor: Predictor,
) -> None:
    settings.CLAIM_ROWS = 5
    many, other = people(2)
    rows = submit(many, 20)
    claimed = claims.claim_first_attempts(Prediction, version_of(predictor))
    assert claimed
    submit(other, 20)

    settlement.give_back(claimed)

    assert {row.id for row in claimed.rows} == set(rows[:5])
    assert rows[0] in in_order()[:1]
    assert set(claim()) == set(rows[:5])


def test_a_row_that_waits_to_be_tried_again_does_not_hold_up_its_users_next(
    people: Callable[[int], list[User]], submit: Submit, claim: Next, settings: LazySettings
) -> None:
    careful, other = people(2)
    lost = submit(careful, 50)
    claim()
    lose_the_worker(lost)
    submit(other, 100)
    settings.CLAIM_ROWS = 2

    [row] = submit(careful)

    assert row in claim()


def test_each_version_has_a_queue_of_its_own(
    user: User, submit: Submit, predictors: dict[str, Predictor], predictor: Predictor
) -> None:
    submit(user, 5)

    [elsewhere] = submit(user, by=predictors["linear_regression"])

    assert Prediction.objects.get(pk=elsewhere).queue_rank == 0
    assert positions_of(waiting())[elsewhere] == 1


def test_a_draft_gets_its_rank_when_it_is_run(
    people: Callable[[int], list[User]], submit: Submit, predictor: Predictor, one_by_one: Next
) -> None:
    many, single = people(2)
    draft = create_draft(user=single, predictor=predictor, data=CAR, explain=False)
    first, *others = submit(many, 4)

    run_draft(user=single, prediction_id=draft.pk)

    assert one_by_one() == [first, draft.pk, *others]


# --- Positions -----------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(4))
def test_positions_foretell_the_order_of_claims(
    people: Callable[[int], list[User]], submit: Submit, claim: Next, one_by_one: Next, seed: int
) -> None:
    chance = random.Random(seed)
    users = people(4)
    for _ in range(12):
        submit(chance.choice(users), chance.randint(1, 4))
        if chance.random() < 0.3:
            claim()

    foretold = in_order()

    assert one_by_one() == foretold


def test_each_claim_moves_the_others_up(
    people: Callable[[int], list[User]], submit: Submit, claim: Next, settings: LazySettings
) -> None:
    settings.CLAIM_ROWS = 1
    for user in people(3):
        submit(user, 3)
    order = in_order()

    for served in range(1, len(order) + 1):
        assert claim() == [order[served - 1]]
        assert in_order() == order[served:]


def test_a_canceled_row_moves_the_others_up(user: User, submit: Submit) -> None:
    first, second, third = submit(user, 3)

    services.cancel(user=user, prediction_id=second)

    assert in_order() == [first, third]


def test_a_row_that_waits_to_be_tried_again_is_behind_those_never_tried(
    user: User, submit: Submit, claim: Next, one_by_one: Next
) -> None:
    retries = submit(user, 2)
    claim()
    lose_the_worker(retries)
    first_attempts = submit(user, 3)

    order = in_order()

    assert order[:3] == first_attempts
    # Retries have the same rank, and may be of the same millisecond.
    assert set(order[3:]) == set(retries)
    assert one_by_one() == first_attempts


def test_only_queued_rows_have_a_position(
    user: User, submit: Submit, predictor: Predictor, claim: Next, settings: LazySettings
) -> None:
    settings.CLAIM_ROWS = 1
    create_draft(user=user, predictor=predictor, data=CAR, explain=False)
    running, canceled, queued = submit(user, 3)
    claim()
    services.cancel(user=user, prediction_id=canceled)

    positions = positions_of(Prediction.objects.all())

    assert positions == {queued: 1}
    assert Prediction.objects.get(pk=running).status == Status.RUNNING


def test_nothing_is_queried_where_nothing_waits(
    user: User, predictor: Predictor, django_assert_num_queries: Any
) -> None:
    draft = create_draft(user=user, predictor=predictor, data=CAR, explain=False)

    with django_assert_num_queries(0):
        assert positions_of([draft]) == {}


def test_a_page_of_tasks_tells_each_ones_position(
    api: APIClient,
    user: User,
    people: Callable[[int], list[User]],
    submit: Submit,
    predictors: dict[str, Predictor],
) -> None:
    [stranger] = people(1)
    submit(stranger, 2)
    mine = submit(user, 2)
    [elsewhere] = submit(user, by=predictors["linear_regression"])
    draft = create_draft(user=user, predictor=predictors["random_forest"], data={}, explain=False)

    page = api.get("/api/tasks").json()["results"]

    expected = {elsewhere: 1, mine[0]: 2, mine[1]: 4, draft.pk: None}
    assert {UUID(item["task_id"]): item["position"] for item in page} == expected


# --- When it is full -----------------------------------------------------------------------------


def everything(user: User) -> tuple[Any, ...]:
    """What a refused submission must leave as it was."""
    account = CreditAccount.objects.get(pk=user.pk)
    rows = sorted(Prediction.objects.values_list("pk", "status"))
    return rows, LedgerEntry.objects.count(), account.balance, account.held


def fill_in(api: APIClient, user: User, draft: Prediction) -> Any:
    """Ask by the page, as somebody who is signed in there."""
    browser = Client()
    browser.force_login(user)
    example = signature_of(draft.version_id).example()
    return browser.post(f"/estimate/{draft.predictor.name}", example)


def post(path: str, body: Any = None) -> Callable[..., Any]:
    def submit(api: APIClient, user: User, draft: Prediction, **headers: Any) -> Any:
        return api.post(path.format(draft=draft.pk), body, format="json", **headers)

    return submit


ASK = {"model_name": "random_forest", "data": CAR}
ROUTES: dict[str, Callable[..., Any]] = {
    "predict": post("/predict", ASK),
    "tasks-predict": post("/api/tasks/predict", ASK),
    "run": post("/api/tasks/{draft}/run"),
    "page": fill_in,
}
ON_EVERY_ROUTE = pytest.mark.parametrize("route", ROUTES)


@ON_EVERY_ROUTE
@pytest.mark.parametrize("limit", ["QUEUE_LIMIT", "QUEUE_LIMIT_PER_USER"])
def test_a_full_queue_refuses_before_anything_is_held(
    api: APIClient,
    user: User,
    predictor: Predictor,
    submit: Submit,
    settings: LazySettings,
    route: str,
    limit: str,
) -> None:
    draft = create_draft(user=user, predictor=predictor, data=CAR, explain=False)
    submit(user, 3)
    before = everything(user)
    setattr(settings, limit, 3)

    refused = ROUTES[route](api, user, draft)

    setattr(settings, limit, 4)
    accepted = ROUTES[route](api, user, draft)
    assert refused.status_code == 429
    assert int(refused["Retry-After"]) >= 1
    if route != "page":
        assert set(refused.json()) == {"code", "detail"}
        assert refused.json()["code"] == "queue_full"
    assert (accepted.status_code, len(before[0])) == (302 if route == "page" else 202, 4)
    assert len(waiting()) == 4


@ON_EVERY_ROUTE
def test_what_a_full_queue_refused_has_changed_nothing(
    api: APIClient,
    user: User,
    predictor: Predictor,
    submit: Submit,
    settings: LazySettings,
    route: str,
) -> None:
    draft = create_draft(user=user, predictor=predictor, data=CAR, explain=False)
    submit(user, 2)
    settings.QUEUE_LIMIT = 2
    before = everything(user)

    ROUTES[route](api, user, draft)

    assert everything(user) == before


def test_it_is_refused_before_its_body_is_looked_at(
    api: APIClient, user: User, submit: Submit, settings: LazySettings
) -> None:
    submit(user)
    settings.QUEUE_LIMIT = 1

    refused = [
        api.post("/predict", {"model_name": "nothing", "data": 7}, format="json"),
        api.post("/api/tasks/predict", {"color": "red"}, format="json"),
        api.post("/api/tasks/no-such-task/run"),
    ]

    assert [response.json()["code"] for response in refused] == ["queue_full"] * 3


def test_one_users_limit_is_not_the_others(
    api: APIClient,
    user: User,
    people: Callable[[int], list[User]],
    submit: Submit,
    settings: LazySettings,
) -> None:
    settings.QUEUE_LIMIT_PER_USER = 2
    [stranger] = people(1)
    submit(stranger, 2)

    response = api.post("/predict", ASK, format="json")

    assert response.status_code == 202


def test_the_limit_of_all_counts_everybodys(
    api: APIClient,
    people: Callable[[int], list[User]],
    submit: Submit,
    settings: LazySettings,
) -> None:
    settings.QUEUE_LIMIT = 2
    for stranger in people(2):
        submit(stranger)

    assert api.post("/predict", ASK, format="json").status_code == 429


def test_what_runs_takes_no_place(
    api: APIClient, user: User, submit: Submit, claim: Next, settings: LazySettings
) -> None:
    settings.QUEUE_LIMIT = 1
    submit(user)
    claim()

    assert api.post("/predict", ASK, format="json").status_code == 202


def test_drafts_are_kept_when_it_is_full(
    api: APIClient, user: User, submit: Submit, settings: LazySettings
) -> None:
    submit(user)
    settings.QUEUE_LIMIT = settings.QUEUE_LIMIT_PER_USER = 1

    assert api.post("/api/tasks", ASK, format="json").status_code == 201


@pytest.mark.parametrize("route", ["predict", "tasks-predict", "run"])
def test_an_old_key_is_answered_when_it_is_full(
    api: APIClient, user: User, predictor: Predictor, settings: LazySettings, route: str
) -> None:
    draft = create_draft(user=user, predictor=predictor, data=CAR, explain=False)
    first = ROUTES[route](api, user, draft, HTTP_IDEMPOTENCY_KEY="k")
    settings.QUEUE_LIMIT = settings.QUEUE_LIMIT_PER_USER = 1

    again = ROUTES[route](api, user, draft, HTTP_IDEMPOTENCY_KEY="k")

    assert (first.status_code, again.status_code) == (202, 202)
    assert again.json() == first.json()


@pytest.mark.parametrize("limit", [1, 1000, 1001, 2500])
def test_a_gauge_lets_exactly_its_limit_in(limit: int) -> None:
    gauge, rows = queue._LengthGauge(), [0]

    for _ in range(limit + 50):
        rows[0] += not gauge.reaches(limit, lambda: rows[0])

    assert rows == [limit]


def test_far_from_its_limit_a_gauge_counts_seldom() -> None:
    gauge, counts = queue._LengthGauge(), iter(range(100))

    for _ in range(100):
        gauge.reaches(queue.NEAR_LIMIT * 10, lambda: next(counts))

    assert next(counts) == 1


def test_near_its_limit_a_gauge_sees_what_others_added() -> None:
    gauge = queue._LengthGauge()
    gauge.reaches(queue.NEAR_LIMIT, lambda: queue.NEAR_LIMIT - 1)

    assert gauge.reaches(queue.NEAR_LIMIT, lambda: queue.NEAR_LIMIT)
    assert not gauge.reaches(queue.NEAR_LIMIT, lambda: 0)
