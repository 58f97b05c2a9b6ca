"""Counts what a process exchanges with PostgreSQL and Redis: each time it sends and then waits."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

from psycopg import _cursor_base, generators
from redis.connection import AbstractConnection

POSTGRESQL, REDIS = "postgresql", "redis"


@contextmanager
def round_trips() -> Iterator[Counter[str]]:
    """Counts those of all threads, BEGIN and COMMIT among them, by what they are made with."""
    counted: Counter[str] = Counter()
    execute: Any = generators.execute
    send: Any = AbstractConnection.send_packed_command

    def counted_execute(*arguments: Any) -> Any:
        counted[POSTGRESQL] += 1
        return execute(*arguments)

    def counted_send(*arguments: Any, **options: Any) -> Any:
        counted[REDIS] += 1
        return send(*arguments, **options)

    with (
        patch.object(generators, "execute", counted_execute),  # of transactions
        patch.object(_cursor_base, "execute", counted_execute),
        patch.object(AbstractConnection, "send_packed_command", counted_send),
    ):
        yield counted
