"""Hand-written SQL, run on this thread's connection."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar
from uuid import UUID

from django.db import connection
from django.db.models import BooleanField, Field, Model, UUIDField

M = TypeVar("M", bound=Model)


def fetch_one(statement: str, *parameters: Any) -> tuple[Any, ...] | None:
    """The first row of a statement with %s parameters, or None."""
    with connection.cursor() as cursor:
        cursor.execute(statement, [adapt(parameter) for parameter in parameters])
        row: tuple[Any, ...] | None = cursor.fetchone()
        return row


def fetch_all(statement: str, *parameters: Any) -> list[tuple[Any, ...]]:
    """Every row of a statement with %s parameters."""
    with connection.cursor() as cursor:
        cursor.execute(statement, [adapt(parameter) for parameter in parameters])
        rows: list[tuple[Any, ...]] = cursor.fetchall()
        return rows


def execute(statement: str, *parameters: Any) -> None:
    """Run a statement with %s parameters that returns nothing."""
    with connection.cursor() as cursor:
        cursor.execute(statement, [adapt(parameter) for parameter in parameters])


def instance(model: type[M], names: Sequence[str], values: Sequence[Any]) -> M:
    """A model instance from the values of some of its columns; the others are deferred."""
    value_of = dict(zip(names, values, strict=True))
    columns = model._meta.concrete_fields  # noqa: SLF001  # a public API in spite of its name
    fields = [field for field in columns if field.attname in value_of]
    return model.from_db(
        connection.alias,
        [field.attname for field in fields],
        [_to_python(field, value_of[field.attname]) for field in fields],
    )


def _to_python(field: Field[Any, Any], value: Any) -> Any:
    """A column's value as Python has it: SQLite stores a UUID as text and a boolean as a number."""
    if isinstance(value, str) and isinstance(getattr(field, "target_field", field), UUIDField):
        return UUID(value)
    return bool(value) if isinstance(field, BooleanField) else value


def adapt(parameter: Any) -> Any:
    """A parameter as this database takes it: SQLite knows no UUIDs."""
    if isinstance(parameter, UUID) and not connection.features.has_native_uuid_field:
        return parameter.hex
    return parameter
