"""What the API answers. Members that a later release adds are left out, not refused."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from datetime import datetime
from functools import cache
from types import NoneType
from typing import Any, TypeVar, cast, get_args, get_origin, get_type_hints

from carprice_client.errors import InvalidInput, PredictionFailed, UnexpectedAnswer

T = TypeVar("T")

ENDED = frozenset({"finished", "failed", "canceled"})


@dataclass(frozen=True, kw_only=True)
class Wallet:
    """Whole credits: all of them, those reserved for tasks that have not ended, those free."""

    balance: int
    held: int
    available: int


@dataclass(frozen=True, kw_only=True)
class Transaction:
    """`amount` is negative if taken; `kind` is top_up, charge, adjustment or refund."""

    id: str
    kind: str
    amount: int
    balance_after: int
    task_id: str | None
    batch_id: str | None = None
    reason: str
    created_at: datetime


@dataclass(frozen=True, kw_only=True)
class TopUp:
    transaction: Transaction
    wallet: Wallet


@dataclass(frozen=True, kw_only=True)
class Feature:
    """What one feature of a predictor may be; what does not apply to its type is None."""

    name: str
    label: str
    type: str
    unit: str | None = None
    default: float | str | None = None
    optional: bool = False
    minimum: float | None = None
    maximum: float | None = None
    training_range: tuple[float, ...] | None = None
    choices: tuple[str, ...] | None = None
    units: tuple[str, ...] | None = None
    help: str | None = None


@dataclass(frozen=True, kw_only=True)
class Predictor:
    """One on sale. In the list of all, `signature`, `example` and `input_schema` are empty."""

    model_name: str
    title: str
    domain: str
    algorithm: str
    price: int
    target: str
    unit: str
    metrics: dict[str, Any]
    trained_at: datetime
    version: str
    signature: tuple[Feature, ...] = ()
    example: dict[str, Any] = field(default_factory=dict)
    input_schema: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Interval:
    low: float
    high: float
    coverage: float


@dataclass(frozen=True, kw_only=True)
class Factor:
    feature: str
    value: Any
    contribution: float
    direction: str


@dataclass(frozen=True, kw_only=True)
class Comparable:
    """A known case that is much like this one; `distance` is from 0, the same, to 1."""

    target: float
    distance: float
    differences: Any = None


@dataclass(frozen=True, kw_only=True)
class Result:
    value: float
    unit: str
    interval: Interval | None = None
    baseline: float | None = None
    factors: tuple[Factor, ...] | None = None
    age_gap: float | None = None
    comparables: tuple[Comparable, ...] | None = None
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class TaskWarning:
    feature: str
    code: str
    detail: str


@dataclass(frozen=True, kw_only=True)
class TaskError:
    code: str
    detail: str


@dataclass(frozen=True, kw_only=True)
class Task:
    """One prediction: a draft, or bought."""

    task_id: str
    status: str
    model_name: str
    model_version: str
    domain: str
    price: int
    charged: int
    explain: bool
    data: Any
    entered: dict[str, Any] = field(default_factory=dict)
    defaulted: tuple[str, ...] = ()
    warnings: tuple[TaskWarning, ...] = ()
    validation_errors: dict[str, list[str]] = field(default_factory=dict)
    position: int | None = None
    created_at: datetime
    queued_at: datetime | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None
    result: Result | None = None
    error: TaskError | None = None

    @property
    def has_ended(self) -> bool:
        return self.status in ENDED

    @property
    def value(self) -> float:
        """The predicted value. Raises PredictionFailed if there is none."""
        if self.result is None:
            raise PredictionFailed(self)
        return self.result.value


@dataclass(frozen=True, kw_only=True)
class WhatIfSide:
    value: float
    interval: Interval | None = None
    changed: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class WhatIf:
    """What the value would be; `before` is the task's own, `left` how many more it may have."""

    value: float
    interval: Interval | None = None
    changed: dict[str, Any] = field(default_factory=dict)
    unit: str
    warnings: tuple[TaskWarning, ...] = ()
    before: WhatIfSide
    left: int


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What became of one row of many: an ended task, or what the API said against the row."""

    index: int
    task: Task | None = None
    refusal: InvalidInput | None = None

    @property
    def value(self) -> float:
        """The predicted value. Raises the refusal, or PredictionFailed."""
        if self.task is None:
            raise self.refusal or LookupError("neither a task nor a refusal")
        return self.task.value


def parse(kind: type[T], body: Any) -> T:
    """An instance of a dataclass from JSON. Raises UnexpectedAnswer if it does not fit."""
    try:
        return cast("T", _build(kind, body))
    except (TypeError, ValueError, KeyError, AttributeError) as error:
        raise UnexpectedAnswer(f"An answer that is no {kind.__name__}: {error!r}") from error


def _convert(hint: Any, value: Any) -> Any:
    if value is None:
        return None
    if hint is datetime:
        return datetime.fromisoformat(value)
    if is_dataclass(hint):
        return _build(cast("type[Any]", hint), value)
    if get_origin(hint) is tuple:
        return tuple(_convert(get_args(hint)[0], item) for item in value)
    if NoneType in get_args(hint) and len(get_args(hint)) == 2:
        return _convert(get_args(hint)[0], value)
    return value


def _build(kind: Any, body: Mapping[str, Any]) -> Any:
    return kind(
        **{name: _convert(hint, body[name]) for name, hint in _members(kind) if name in body}
    )


@cache
def _members(kind: Any) -> list[tuple[str, Any]]:
    hints = get_type_hints(kind)
    return [(member.name, hints[member.name]) for member in fields(kind) if member.init]
