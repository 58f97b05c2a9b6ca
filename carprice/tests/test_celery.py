"""What a worker process does about its database connection between tasks."""

import uuid
from concurrent.futures import ThreadPoolExecutor

import pytest
from celery.exceptions import SoftTimeLimitExceeded
from django.db import connection, connections, transaction

from accounts.models import User
from carprice.db import connection_state
from predictions.execution import runner
from predictions.models import Heartbeat
from predictions.tasks import beat, score_predictions

pytestmark = pytest.mark.django_db(transaction=True)


def begin_behind_djangos_back() -> None:
    """As a BEGIN leaves a connection that an exception, raised by a signal, cuts short."""
    with connection.cursor() as cursor:
        cursor.execute("BEGIN IMMEDIATE" if connection.vendor == "sqlite" else "BEGIN")
        cursor.execute("UPDATE accounts_user SET name = 'half done'")


def rename(user: User, name: str) -> None:
    User.objects.filter(pk=user.pk).update(name=name)


def another_process_writes(user: User) -> None:
    """Fails while anything keeps a transaction open."""

    def write() -> None:
        try:
            rename(user, "written by another")
        finally:
            connections.close_all()

    with ThreadPoolExecutor(1) as other:
        other.submit(write).result()
    assert User.objects.get(pk=user.pk).name == "written by another"


@pytest.mark.parametrize("known", [False, True], ids=["unknown-to-django", "known"])
def test_a_task_cut_short_leaves_no_transaction_open(
    monkeypatch: pytest.MonkeyPatch, user: User, known: bool
) -> None:
    def cut_short(_: uuid.UUID) -> int:
        if known:  # an atomic block whose end was never reached
            transaction.atomic().__enter__()
            rename(user, "half done")
        else:
            begin_behind_djangos_back()
        raise SoftTimeLimitExceeded

    monkeypatch.setattr(runner, "run_first_attempts", cut_short)

    assert score_predictions.apply((str(uuid.uuid4()),)).state == "FAILURE"

    assert not connection_state.is_in_transaction()
    another_process_writes(user)


def test_what_is_left_between_two_tasks_is_undone_before_the_next(user: User) -> None:
    begin_behind_djangos_back()

    assert beat.apply().state == "SUCCESS"

    assert Heartbeat.objects.count() == 1
    assert User.objects.get(pk=user.pk).name == user.name
    another_process_writes(user)


def test_a_task_that_ends_well_keeps_its_connection(user: User) -> None:
    User.objects.exists()
    before = connection.connection

    assert beat.apply().state == "SUCCESS"

    assert connection.connection is before
