"""Hand-written SQL for what every request runs: the ORM builds such a query slower than it runs.

Only for statements that PostgreSQL and SQLite both take as they are; `make bench` shows the gain.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar
from uuid import UUID

from django.db import DEFAULT_DB_ALIAS, connection, connections
from django.db.models import BooleanField, DateTimeField, Field, Model, UUIDField, Value

M = TypeVar("M", bound=Model)


def fetch_one(statement: str, *parameters: Any) -> tuple[Any, ...] | None:
    """The first row of a statement with %s parameters, or None."""
    with connection.cursor() as cursor:
        cursor.execute(statement, [_adapt(parameter) for parameter in parameters])
        row: tuple[Any, ...] | None = cursor.fetchone()
        return row


def fetch_all(statement: str, *parameters: Any) -> list[tuple[Any, ...]]:
    """Every row of a statement with %s parameters."""
    with connection.cursor() as cursor:
        cursor.execute(statement, [_adapt(parameter) for parameter in parameters])
        rows: list[tuple[Any, ...]] = cursor.fetchall()
        return rows


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


def execute(statement: str, *parameters: Any) -> None:
    """Run a statement with %s parameters that returns nothing."""
    with connection.cursor() as cursor:
        cursor.execute(statement, [_adapt(parameter) for parameter in parameters])


def is_amid_transaction() -> bool:
    """Whether this thread's connection is within a transaction, known to Django or not."""
    raw: Any = connection.connection
    if raw is None or connection.in_atomic_block:
        return connection.in_atomic_block
    if connection.vendor == "postgresql":
        return bool(raw.info.transaction_status)  # 0 is idle
    return bool(raw.in_transaction)


def start_over() -> None:
    """Forget this thread's connection, whatever state it is in; the next use makes another."""
    try:
        connection.close()
    finally:
        del connections[DEFAULT_DB_ALIAS]


def values(rows: int, columns: int) -> str:
    """Placeholders for `rows` rows of a VALUES list."""
    row = f"({', '.join(['%s'] * columns)})"
    return ", ".join([row] * rows)


def now(offset: timedelta = timedelta()) -> str:
    """An expression for the database's clock, plus an offset, in whole milliseconds."""
    milliseconds = round(offset / timedelta(milliseconds=1))
    if connection.vendor == "postgresql":
        return f"(STATEMENT_TIMESTAMP() + INTERVAL '{milliseconds} milliseconds')"
    return f"STRFTIME('%%Y-%%m-%%d %%H:%%M:%%f', 'NOW', '{milliseconds / 1000:+} seconds')"


def as_json(expression: str) -> str:
    """A text as the value of a JSON column."""
    return f"CAST({expression} AS jsonb)" if connection.vendor == "postgresql" else expression


def greatest(*expressions: str) -> str:
    """The largest of several expressions, none of which is NULL."""
    function = "GREATEST" if connection.vendor == "postgresql" else "MAX"
    return f"{function}({', '.join(expressions)})"


class Moment(Value):
    """A time to compare with, or to put into, a column that the database's clock fills.

    SQLite keeps times as text, and where Python writes six decimals its clock writes three: the
    same time in the other writing would be another time.
    """

    def __init__(self, moment: datetime) -> None:
        super().__init__(moment, output_field=DateTimeField())

    def as_sqlite(self, *_: Any, **__: Any) -> tuple[str, tuple[str]]:
        text = self.value.astimezone(UTC).replace(tzinfo=None).isoformat(" ", "microseconds")
        return "%s", (text.removesuffix("000"),)


def instance(model: type[M], names: Sequence[str], values: Sequence[Any]) -> M:
    """A model instance from the values of some of its columns; the others are deferred."""
    found = dict(zip(names, values, strict=True))
    columns = model._meta.concrete_fields  # noqa: SLF001  # a public API in spite of its name
    fields = [field for field in columns if field.attname in found]
    return model.from_db(
        connection.alias,
        [field.attname for field in fields],
        [_restore(field, found[field.attname]) for field in fields],
    )


def _restore(field: Field[Any, Any], value: Any) -> Any:
    """A column's value as Python has it: SQLite keeps a UUID as text and a truth as a number."""
    if isinstance(value, str) and isinstance(getattr(field, "target_field", field), UUIDField):
        return UUID(value)
    return bool(value) if isinstance(field, BooleanField) else value


def _adapt(parameter: Any) -> Any:
    if isinstance(parameter, UUID) and not connection.features.has_native_uuid_field:
        return parameter.hex
    return parameter
