"""Reading whole tables in one state of the database."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from django.conf import settings
from django.db import connection

from carprice.db.cursors import execute


def lift_statement_timeout() -> None:
    """Let this session's statements take long: an operator's command may read whole tables.

    Behind a pooler the session is not ours, and the next to use it would have no limit either.
    """
    if connection.vendor == "postgresql" and not settings.TRANSACTION_POOLING:
        execute("SET statement_timeout = 0")


# An audit compares tables with each other, so all of its queries must see the database as of one
# moment while others write. On PostgreSQL that is a transaction at REPEATABLE READ; READ ONLY makes
# sure that an audit changes nothing. It may take minutes, so the limits on statements and idle
# transactions, meant for requests, are lifted for this transaction (SET LOCAL).
#
# The audit's queries read whole tables and stop at a LIMIT of breaches, of which there are normally
# none. The planner would expect to find that many soon and look rows up one by one, which takes
# far longer for whole tables. With those plans switched off it joins by hashing, in more memory.
#
# On SQLite a deferred transaction that only reads sees one state, and in WAL mode keeps nobody from
# writing. Django's own transactions are immediate and would.
_BEGIN_SNAPSHOT = {
    "postgresql": [
        "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
        "SET LOCAL statement_timeout = 0",
        "SET LOCAL idle_in_transaction_session_timeout = 0",
        "SET LOCAL enable_indexscan = off",
        "SET LOCAL enable_nestloop = off",
        "SET LOCAL enable_mergejoin = off",
        "SET LOCAL work_mem = '64MB'",
        "SET LOCAL jit = off",
    ],
    "sqlite": ["BEGIN DEFERRED"],
}


@contextmanager
def snapshot() -> Iterator[None]:
    """Within this, all queries see one state of the database, and may take long.

    On PostgreSQL nothing can be written. Within a transaction this does nothing: the transaction
    decides what its queries see.
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
