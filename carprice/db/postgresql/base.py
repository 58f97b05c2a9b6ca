"""Django's backend for PostgreSQL, which asks the server nothing to see that it is still there.

Before each request Django sends a query on the connection it is about to use. A server that has
ended a connection, as when it restarts, has closed its socket, and that can be seen at once. Of a
server that is gone without a word, such a query would tell no sooner than the first real one.
"""

import select
from typing import Any

import psycopg
from django.db.backends.postgresql import base


class DatabaseWrapper(base.DatabaseWrapper):
    def is_usable(self) -> bool:
        return self.connection is not None and is_open(self.connection)

    @property
    def pool(self) -> Any:
        pool = super().pool
        if pool is not None:  # Django gives it a check of its own, and takes no other
            pool._check = check_open  # noqa: SLF001
        return pool


def check_open(connection: psycopg.Connection[Any]) -> None:
    """Raise OperationalError unless a connection that waits for no answer is still open."""
    if not is_open(connection):
        connection.close()  # the pool asks whether to keep it, and it would not know yet
        raise psycopg.OperationalError("The server has closed the connection.")


def is_open(connection: psycopg.Connection[Any]) -> bool:
    """Whether the server has kept it open: all that it sends unasked is that it ends it."""
    if connection.closed:
        return False
    poller = select.poll()
    poller.register(connection.pgconn.socket, select.POLLIN)
    return not poller.poll(0)
