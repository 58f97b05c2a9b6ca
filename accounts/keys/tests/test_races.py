"""Requests about one key at the same moment, on PostgreSQL."""

from collections import Counter
from collections.abc import Callable
from threading import Barrier
from typing import Any

import pytest
from django.db import close_old_connections, connection, transaction
from rest_framework.test import APIClient

from accounts.keys import lookup, services
from accounts.keys.models import ApiKey
from accounts.models import User
from carprice.http.errors import NotFound, WrongState
from testing.fixtures import AtOnce
from testing.round_trips import POSTGRESQL, round_trips

pytestmark = [pytest.mark.postgresql, pytest.mark.django_db(transaction=True)]

TIMES = 8
WARM_UPS = 6  # psycopg prepares a statement that was sent five times


@pytest.fixture
def key(user: User) -> ApiKey:
    return services.make_key(user=user, name="A program", access="write")


def by(key: ApiKey) -> APIClient:
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {key.text}")
    return client


def before_updates(wait: Callable[[], None]) -> Callable[..., Any]:
    """For `execute_wrapper`: hold back each UPDATE."""

    def execute(call: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        if sql.startswith("UPDATE"):
            wait()
        return call(sql, params, many, context)

    return execute


def test_of_many_revocations_at_once_one_revokes(key: ApiKey, user: User, at_once: AtOnce) -> None:
    def revoke() -> str:
        services.revoke_key(user=user, key_id=key.pk)
        return "revoked"

    outcomes = at_once([revoke] * TIMES, NotFound)

    assert outcomes.count("revoked") == 1
    assert ApiKey.objects.get().revoked_at


def test_keys_made_at_once_are_no_more_than_the_limit(user: User, at_once: AtOnce) -> None:
    for _ in range(services.MOST_LIVE - 2):
        services.make_key(user=user, name="A program", access="read")

    def make() -> ApiKey:
        return services.make_key(user=user, name="Another", access="read")

    outcomes = at_once([make] * TIMES, WrongState)

    assert Counter(map(type, outcomes)) == {ApiKey: 2, WrongState: TIMES - 2}
    assert ApiKey.objects.count() == services.MOST_LIVE


def test_making_a_key_does_not_hold_up_what_its_user_does(
    key: ApiKey, user: User, at_once: AtOnce
) -> None:
    """A top-up inserts rows that refer to the user, whom the making of a key has locked."""
    locked, done = Barrier(2), Barrier(2)

    def make() -> None:
        with transaction.atomic():
            services.make_key(user=user, name="Another", access="read")
            locked.wait(5)
            done.wait(5)

    def top_up() -> int:
        locked.wait(5)
        answer = by(key).post("/balance", {"new_amount": 5}, format="json")
        done.wait(5)
        return answer.status_code

    assert at_once([make, top_up]) == [None, 200]


def test_uses_at_once_note_one_of_them(key: ApiKey, at_once: AtOnce) -> None:
    everybody_has_read = Barrier(TIMES)
    changed: list[int] = []

    def execute(call: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        if not sql.startswith("UPDATE"):
            return call(sql, params, many, context)
        everybody_has_read.wait(5)
        result = call(sql, params, many, context)
        changed.append(context["cursor"].rowcount)
        return result

    def use() -> int:
        with connection.execute_wrapper(execute):
            return by(key).get("/balance").status_code

    assert at_once([use] * TIMES) == [200] * TIMES
    assert sorted(changed) == [0] * (TIMES - 1) + [1]


def test_a_use_while_a_key_is_revoked_is_the_last(key: ApiKey, user: User, at_once: AtOnce) -> None:
    """The request has found the key; its note comes after the revocation, and revives nothing."""
    both = Barrier(2)

    def wait() -> None:
        both.wait(5)  # the key is found
        both.wait(5)  # it is revoked

    def use() -> int:
        with connection.execute_wrapper(before_updates(wait)):
            return by(key).get("/balance").status_code

    def revoke() -> None:
        both.wait(5)
        services.revoke_key(user=user, key_id=key.pk)
        both.wait(5)

    assert at_once([use, revoke]) == [200, None]
    assert by(key).get("/balance").status_code == 401
    assert ApiKey.objects.get().revoked_at


def test_uses_and_a_revocation_at_once_leave_a_key_that_is_worthless(
    key: ApiKey, user: User, at_once: AtOnce
) -> None:
    def use() -> int:
        return by(key).get("/balance").status_code

    def revoke() -> int:
        services.revoke_key(user=user, key_id=key.pk)
        return use()

    *used, after = at_once([*[use] * (TIMES - 1), revoke])

    assert set(used) <= {200, 401}
    assert after == 401


def exchanges(client: APIClient) -> int:
    with round_trips() as counted:
        close_old_connections()  # as at the beginning of each request
        assert client.get("/balance").status_code == 200
    return counted[POSTGRESQL]


def test_a_key_costs_one_round_trip_in_the_place_of_the_tokens(key: ApiKey, api: APIClient) -> None:
    for _ in range(WARM_UPS):
        exchanges(by(key)), exchanges(api)
    by_key, by_token = exchanges(by(key)), exchanges(api)
    ApiKey.objects.update(last_used_at=None)

    assert by_key == by_token == 2  # the credential, the balance
    assert exchanges(by(key)) == 3  # once in NOTED_EVERY
    assert lookup.NOTED_EVERY.total_seconds() == 60
