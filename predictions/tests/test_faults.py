"""What `make chaos` does at length, in short: a service under load is hurt, and nothing is lost.

Faults, load and verdict are those of `bench/chaos`, with servers of its own, which it may hurt.
"""

import os
import random
from collections.abc import Iterator, Mapping
from typing import Any

import psycopg
import pytest

from testing.chaos.clients import COMMANDS, Load
from testing.chaos.faults import FAULTS, LINEAR
from testing.chaos.injection import FENCE_OFF, SWEEP_OFF
from testing.chaos.stack import Stack
from testing.chaos.verdict import Verdict, check
from testing.processes import Trained

# Those that share a stack run in this order; each leaves it as it was, or restarts what it hurt.
pytestmark = [pytest.mark.processes, pytest.mark.timeout(300)]

SEED = 1
LOAD: dict[str, Any] = {"rate": 10.0, "rich": 3, "poor": 1}
SERVERS = pytest.param("redis", marks=[pytest.mark.postgresql, pytest.mark.own_servers])
SERVERS_ONLY = pytest.mark.parametrize("stack", [SERVERS], indirect=True)
CLOCKS = ["clock_of_a_worker_off", "clock_of_a_web_process_off"]
EMBEDDED_ONLY = pytest.mark.parametrize("stack", ["embedded"], indirect=True)
EVERY_POINT = [name for name in FAULTS if name.startswith("dies_")]
EACH_PROCESS = ["pool_process_killed", "worker_killed", "web_process_killed", "web_killed"]


@pytest.fixture(scope="module")
def stack(request: pytest.FixtureRequest, trained: Trained) -> Iterator[Stack]:
    with started(request.param, trained) as stack:
        yield stack


def started(kind: str, trained: Trained, broker_url: str = "") -> Stack:
    """With the linear model alone, which loads fastest."""
    linear = [(domain, spec, card) for domain, spec, card in trained if spec.name == LINEAR]
    return Stack(kind, linear, lease_seconds=1.5, broker_url=broker_url, is_small=True)


def verdict_after(
    stack: Stack, *names: str, within: float = 30, commands: Mapping[int, int] = COMMANDS
) -> Verdict:
    """Hurt a stack under load by one fault after the other, and look at everything."""
    try:
        with Load(stack.addresses, stack.models, SEED, commands=commands, **LOAD) as load:
            for number, name in enumerate(names):
                FAULTS[name].inject(stack, random.Random(number))
        return check(stack, load, within=within)
    finally:
        print(stack.service.logs())  # pytest shows it if the test failed


@EMBEDDED_ONLY
def test_each_process_killed_in_turn(stack: Stack) -> None:
    verdict = verdict_after(stack, *EACH_PROCESS)

    assert verdict.problems == []


@EMBEDDED_ONLY
def test_a_power_cut(stack: Stack) -> None:
    verdict = verdict_after(stack, "power_cut")

    assert verdict.problems == []


@EMBEDDED_ONLY
def test_files_that_are_no_messages(stack: Stack) -> None:
    verdict = verdict_after(stack, "junk_among_messages", "broker_directory_removed")

    assert verdict.problems == []


@EMBEDDED_ONLY
def test_without_the_sweep_it_is_seen_that_predictions_are_stuck(stack: Stack) -> None:
    with stack.ordered(SWEEP_OFF, *stack.workers):
        verdict = verdict_after(stack, "pool_process_killed", within=5, commands={})

    assert verdict.stuck != []


@EMBEDDED_ONLY
def test_each_idle_pool_process_killed(stack: Stack) -> None:
    verdict = verdict_after(stack, "idle_pool_process_killed")

    assert verdict.problems == []


@SERVERS_ONLY
def test_every_point_where_a_process_can_die(stack: Stack) -> None:
    verdict = verdict_after(stack, *EVERY_POINT)

    assert verdict.problems == []


@SERVERS_ONLY
def test_each_idle_pool_process_killed_with_servers(stack: Stack) -> None:
    verdict = verdict_after(stack, "idle_pool_process_killed")

    assert verdict.problems == []


@SERVERS_ONLY
@pytest.mark.faketime
def test_clocks_that_are_five_minutes_off(stack: Stack) -> None:
    verdict = verdict_after(stack, *CLOCKS)

    assert verdict.problems == []


@SERVERS_ONLY
def test_servers_that_stall_and_start_again(stack: Stack) -> None:
    verdict = verdict_after(
        stack,
        "broker_connections_stalled",
        "broker_restarted_empty",
        "postgres_restarted_immediate",
    )

    assert verdict.problems == []


@SERVERS_ONLY
def test_a_broker_that_stalls_when_tasks_end(stack: Stack) -> None:
    verdict = verdict_after(stack, *["broker_stalled_when_a_task_ends"] * 2, within=10)

    assert verdict.problems == []


@pytest.mark.postgresql
@pytest.mark.own_servers
def test_without_the_fence_it_is_seen_that_predictions_are_charged_twice(trained: Trained) -> None:
    with started("redis", trained) as stack:
        drop_what_else_keeps_a_hold_from_being_resolved_twice(stack)
        with stack.ordered(FENCE_OFF, *stack.workers):
            doubled = any(  # a process may be frozen while it has nothing to settle
                verdict_after(stack, "pool_process_frozen", commands={}).doubled for _ in range(3)
            )
        stack.service.may_be_unsound = True

    assert doubled


def drop_what_else_keeps_a_hold_from_being_resolved_twice(stack: Stack) -> None:
    assert stack.postgres is not None
    with psycopg.connect(stack.postgres.url) as connection:
        for table in ("billing_ledgerentry", "billing_creditaccount"):
            names = connection.execute(
                "SELECT conname FROM pg_constraint WHERE conrelid = %s::regclass"
                " AND (contype = 'c' OR conname LIKE '%%resolves%%' AND contype = 'u')",
                [table],
            ).fetchall()
            for (name,) in names:
                connection.execute(f'ALTER TABLE {table} DROP CONSTRAINT "{name}"'.encode())


@pytest.mark.postgresql
@pytest.mark.own_servers
@pytest.mark.rabbitmq
def test_each_process_killed_in_turn_with_rabbitmq(trained: Trained) -> None:
    with started("rabbitmq", trained, os.environ["RABBITMQ_URL"]) as stack:
        verdict = verdict_after(stack, *EACH_PROCESS)

    assert verdict.problems == []
