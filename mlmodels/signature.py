"""What a domain's predictors take: one description that checks input and draws forms.

It is computed from the training data, stored with each version, and read by web processes that
never import scikit-learn.
"""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, Self

from carprice.errors import InvalidInput

FeatureType = Literal["number", "integer", "category"]
Value = float | int | str


@dataclass(frozen=True)
class Feature:
    """One input. Limits are inclusive; `training_range` is what the training data spans."""

    name: str
    label: str
    type: FeatureType
    default: Value
    unit: str | None = None
    minimum: float | None = None
    maximum: float | None = None
    training_range: tuple[float, float] | None = None
    choices: tuple[str, ...] | None = None
    words: Mapping[str, str] = field(default_factory=dict)  # what a person reads for a choice
    help: str = ""

    def word(self, value: Value) -> str:
        """A value as a person reads it."""
        return self.words.get(str(value), str(value))

    def check(self, value: Any) -> Value:
        """The value as used. Raises ValueError with a sentence that says what is allowed."""
        if self.type == "category":
            return self._check_category(value)
        return self._check_number(value)

    def _check_category(self, value: Any) -> str:
        choices = self.choices or ()
        if isinstance(value, str) and value in choices:
            return value
        raise ValueError(f"Choose one of: {', '.join(choices)}.")

    def _check_number(self, value: Any) -> float | int:
        low = -math.inf if self.minimum is None else self.minimum
        high = math.inf if self.maximum is None else self.maximum
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if not (is_number and low <= value <= high):  # NaN is in no range
            raise ValueError(f"Enter a number{self._allowed()}.")
        if self.type == "integer":
            if value != int(value):
                raise ValueError(f"Enter a whole number{self._allowed()}.")
            return int(value)
        number: float | int = value
        return number

    def _allowed(self) -> str:
        low = f" from {self.minimum:g}" if self.minimum is not None else ""
        high = f" to {self.maximum:g}" if self.maximum is not None else ""
        return f"{low}{high} {self.unit or ''}".rstrip()

    def json_schema(self) -> dict[str, Any]:
        if self.type == "category":
            return {"type": "string", "enum": list(self.choices or ()), "default": self.default}
        limits = {"minimum": self.minimum, "maximum": self.maximum}
        return {
            "type": self.type,
            **{key: limit for key, limit in limits.items() if limit is not None},
            "default": self.default,
        }


@dataclass(frozen=True)
class Inputs:
    """Checked input: every feature as it will be used, and those the caller left out."""

    data: dict[str, Value]
    defaulted: list[str]


@dataclass(frozen=True)
class Signature:
    features: tuple[Feature, ...]

    @classmethod
    def from_json(cls, document: list[dict[str, Any]]) -> Self:
        return cls(tuple(_feature_from_json(item) for item in document))

    def to_json(self) -> list[dict[str, Any]]:
        return [asdict(feature) for feature in self.features]

    def check(self, data: Mapping[str, Any]) -> Inputs:
        """Check one row and fill in defaults. Raises InvalidInput naming every bad feature."""
        known = {feature.name: feature for feature in self.features}
        errors = {name: ["Unknown feature."] for name in data if name not in known}
        values: dict[str, Value] = {}
        for name, feature in known.items():
            try:
                values[name] = feature.check(data[name]) if name in data else feature.default
            except ValueError as error:
                errors[name] = [str(error)]
        if not data:
            errors["data"] = ["Give at least one feature."]
        if errors:
            raise InvalidInput(errors)
        return Inputs(values, [name for name in known if name not in data])

    def example(self) -> dict[str, Value]:
        return {feature.name: feature.default for feature in self.features}

    def json_schema(self) -> dict[str, Any]:
        return {
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "type": "object",
            "properties": {feature.name: feature.json_schema() for feature in self.features},
            "additionalProperties": False,
            "minProperties": 1,
        }


def _feature_from_json(item: dict[str, Any]) -> Feature:
    spans = {key: tuple(item[key]) if item[key] else None for key in ("training_range", "choices")}
    return Feature(**{**item, **spans})
