"""Two at the same instant, on real threads and processes. SQLite has one writer at a time."""

import multiprocessing
from collections.abc import Callable
from functools import partial
from typing import Any
from uuid import uuid4

import pytest
from django.db import IntegrityError, connection, connections

from accounts.models import User
from billing import services
from billing.audit import breaches
from billing.models import CreditAccount, LedgerEntry
from testing.fixtures import AtOnce

pytestmark = pytest.mark.django_db(transaction=True)
THREADS = 8
EXPECTED = (services.InsufficientCredits, IntegrityError)


def refusals(results: list[Any]) -> int:
    return sum(isinstance(result, EXPECTED) for result in results)


def place(user: User, amount: int) -> int:
    return services.place_hold(user_id=user.pk, amount=amount, subject_id=uuid4())


def money(user: User) -> tuple[int, int]:
    account = CreditAccount.objects.get(pk=user.pk)
    return account.balance, account.held


def test_credit_for_three_pays_for_three_of_eight(
    make_user: Callable[..., User], at_once: AtOnce
) -> None:
    user = make_user(credit=35)

    results = at_once([lambda: place(user, 10)] * THREADS, *EXPECTED)

    assert refusals(results) == THREADS - 3
    assert money(user) == (35, 30)
    assert not list(breaches())


def test_one_hold_is_resolved_once_by_eight(user: User, at_once: AtOnce) -> None:
    hold = place(user, 10)

    results = at_once(
        [
            lambda: services.resolve_holds(captured=[hold]),
            lambda: services.resolve_holds(released=[hold]),
        ]
        * (THREADS // 2),
        *EXPECTED,
    )

    assert refusals(results) == THREADS - 1
    assert money(user) in {(990, 0), (1000, 0)}
    assert not list(breaches())


def test_one_task_is_held_once_by_eight(user: User, at_once: AtOnce) -> None:
    subject_id = uuid4()

    results = at_once(
        [lambda: services.place_hold(user_id=user.pk, amount=1, subject_id=subject_id)] * THREADS,
        *EXPECTED,
    )

    assert refusals(results) == THREADS - 1
    assert money(user) == (1000, 1)


def test_top_ups_and_holds_at_once_lose_nothing(user: User, at_once: AtOnce) -> None:
    at_once(
        [lambda: services.top_up(user_id=user.pk, amount=7), lambda: place(user, 3)]
        * (THREADS // 2),
        *EXPECTED,
    )

    assert money(user) == (1000 + 7 * THREADS // 2, 3 * THREADS // 2)
    assert not list(breaches())


def test_batches_over_the_same_accounts_do_not_deadlock(
    make_user: Callable[..., User], at_once: AtOnce
) -> None:
    users = [make_user(f"user{number}@example.com") for number in range(4)]
    batches = [[place(user, 1) for user in order] for order in [users, users[::-1]] * 4]

    results = at_once(
        [partial(services.resolve_holds, captured=batch) for batch in batches], *EXPECTED
    )

    assert refusals(results) == 0
    assert {money(user) for user in users} == {(1000 - 8, 0)}
    assert not list(breaches())


@pytest.mark.postgresql
def test_processes_share_one_account_without_losing_a_credit(user: User) -> None:
    """Real processes with connections of their own, not threads of one."""
    connection.close()
    context = multiprocessing.get_context("fork")
    workers = [context.Process(target=_spend, args=(user.pk, 25)) for _ in range(4)]
    for worker in workers:
        worker.start()

    for worker in workers:
        worker.join(60)

    assert [worker.exitcode for worker in workers] == [0] * 4
    assert money(user) == (1000 - 4 * 25, 0)
    assert LedgerEntry.objects.filter(kind="capture").count() == 100
    assert not list(breaches())


def _spend(user_id: Any, times: int) -> None:
    for _ in range(times):
        hold = services.place_hold(user_id=user_id, amount=1, subject_id=uuid4())
        services.resolve_holds(captured=[hold])
    connections.close_all()
