"""SQL that PostgreSQL and SQLite write differently."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from django.db import connection
from django.db.models import DateTimeField, Value


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


def seconds_between(earlier: str, later: str) -> str:
    """An expression for the seconds from one time to another, as a float."""
    if connection.vendor == "postgresql":
        return f"CAST(EXTRACT(EPOCH FROM {later} - {earlier}) AS float8)"
    return f"(JULIANDAY({later}) - JULIANDAY({earlier})) * 86400.0"


def as_json(expression: str) -> str:
    """A text expression as the value of a JSON column."""
    return f"CAST({expression} AS jsonb)" if connection.vendor == "postgresql" else expression


class Moment(Value):
    """A time to compare with, or to write into, a column that the database's clock fills.

    SQLite stores times as text. Python would write one with six decimals and SQLite's clock writes
    three, so that equal times would differ as text. Here a whole millisecond has three.
    """

    def __init__(self, moment: datetime) -> None:
        super().__init__(moment, output_field=DateTimeField())

    def as_sqlite(self, *_: Any, **__: Any) -> tuple[str, tuple[str]]:
        text = self.value.astimezone(UTC).replace(tzinfo=None).isoformat(" ", "microseconds")
        return "%s", (text.removesuffix("000"),)
