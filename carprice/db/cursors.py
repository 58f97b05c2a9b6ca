"""Hand-written SQL, run on this thread's connection."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC
from typing import Any, TypeVar
from uuid import UUID

from django.db import connection
from django.db.models import BooleanField, DateTimeField, Field, Model, UUIDField
from django.utils.dateparse import parse_datetime

M = TypeVar("M", bound=Model)


def fetch_one(statement: str, *parameters: Any, **named: Any) -> tuple[Any, ...] | None:
    """The first row of a statement with %s or else %(name)s parameters, or None."""
    with connection.cursor() as cursor:
        cursor.execute(statement, _adapted(parameters, named))
        row: tuple[Any, ...] | None = cursor.fetchone()
        return row


def fetch_all(statement: str, *parameters: Any, **named: Any) -> list[tuple[Any, ...]]:
    """Every row of a statement with %s or else %(name)s parameters."""
    with connection.cursor() as cursor:
        cursor.execute(statement, _adapted(parameters, named))
        rows: list[tuple[Any, ...]] = cursor.fetchall()
        return rows


def execute(statement: str, *parameters: Any) -> None:
    """Run a statement with %s parameters that returns nothing."""
    with connection.cursor() as cursor:
        cursor.execute(statement, _adapted(parameters, {}))


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
    """A column's value as Python has it: SQLite has text for UUIDs and times, and no booleans."""
    if isinstance(value, str) and isinstance(getattr(field, "target_field", field), UUIDField):
        return UUID(value)
    if isinstance(value, str) and isinstance(field, DateTimeField):
        moment = parse_datetime(value)
        return moment and moment.replace(tzinfo=UTC)
    return bool(value) if isinstance(field, BooleanField) else value


def _adapted(parameters: Sequence[Any], named: Mapping[str, Any]) -> Any:
    if named:
        return {name: adapt(value) for name, value in named.items()}
    return [adapt(parameter) for parameter in parameters]


def adapt(parameter: Any) -> Any:
    """A parameter as this database takes it: SQLite knows no UUIDs."""
    if isinstance(parameter, UUID) and not connection.features.has_native_uuid_field:
        return parameter.hex
    return parameter
