"""Connections that an exception may have left in a state that Django does not know."""

from __future__ import annotations

from typing import Any

from django.db import DEFAULT_DB_ALIAS, connection, connections


def is_in_transaction() -> bool:
    """Whether this thread's connection is within a transaction, known to Django or not."""
    raw: Any = connection.connection
    if raw is None or connection.in_atomic_block:
        return connection.in_atomic_block
    if connection.vendor == "postgresql":
        return bool(raw.info.transaction_status)  # 0 is idle
    return bool(raw.in_transaction)


def discard_connection() -> None:
    """Close this thread's connection, whatever its state; the next use opens another."""
    try:
        connection.close()
    finally:
        del connections[DEFAULT_DB_ALIAS]
