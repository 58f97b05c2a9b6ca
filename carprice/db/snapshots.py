"""Reading everything in one state of the database."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from django.db import connection

from carprice.db.cursors import execute


def lift_statement_timeout() -> None:
    """Let this session's statements take their time: an operator's command may scan everything."""
    if connection.vendor == "postgresql":
        execute("SET statement_timeout = 0")


_BEGIN_SNAPSHOT = {
    "postgresql": [
        "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
        "SET LOCAL statement_timeout = 0",
        "SET LOCAL idle_in_transaction_session_timeout = 0",
        # Whole tables are read, by hash joins. Told of a LIMIT, the planner would rather look rows
        # up one by one, hoping to find as many soon.
        "SET LOCAL enable_indexscan = off",
        "SET LOCAL enable_nestloop = off",
        "SET LOCAL enable_mergejoin = off",
        "SET LOCAL work_mem = '64MB'",
        "SET LOCAL jit = off",
    ],
    "sqlite": ["BEGIN DEFERRED"],  # one that only reads keeps nobody from writing
}


@contextmanager
def snapshot() -> Iterator[None]:
    """For queries over everything: all see the database as of one moment, and may take their time.

    On PostgreSQL nothing can be written inside. Within a transaction, that decides what is seen.
    """
    if connection.in_atomic_block:
        yield
        return
    connection.ensure_connection()
    for statement in _BEGIN_SNAPSHOT[connection.vendor]:
        execute(statement)
    try:
        yield
    finally:
        execute("ROLLBACK")
