"""What a domain's predictors take: one description that checks input and draws forms.

It is computed from the training data, stored with each version, and read by web processes that
never import scikit-learn.
"""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, Self

from carprice.http.errors import InvalidInput

FeatureType = Literal["number", "integer", "category"]
Value = float | int | str | None


@dataclass(frozen=True)
class OtherUnit:
    """A unit that people use beside the feature's own: `own = factor * value`, or `/` it."""

    unit: str
    factor: float
    reciprocal: bool = False  # as of miles per gallon and litres per 100 km

    def to_own(self, value: float) -> float:
        """Raises ZeroDivisionError for 0 of a reciprocal unit."""
        return self.factor / value if self.reciprocal else self.factor * value


@dataclass(frozen=True)
class Feature:
    """One input. Limits are inclusive; `training_range` is what the training data spans.

    An `optional` one may be null, which stands for "not measured": the predictor then fills it in.
    One that is not `scored` is no feature of the predictor; it only adds to what is told.
    """

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
    optional: bool = False
    scored: bool = True
    other_units: tuple[OtherUnit, ...] = ()
    rare: tuple[str, ...] = ()  # choices of which the training data have few

    def word(self, value: Value) -> str:
        """A value as a person reads it."""
        if value is None:
            return "not measured"
        text = f"{value:.6g}" if isinstance(value, float) else str(value)
        return self.words.get(text, text)

    def check(self, value: Any) -> Value:
        """The value as used. Raises ValueError with a sentence that says what is allowed."""
        if value is None and self.optional:
            return None
        if self.type == "category":
            return self._check_category(value)
        return self._check_number(self._in_own_unit(value))

    def _in_own_unit(self, value: Any) -> Any:
        """The number that {"value": ..., "unit": ...} stands for; anything else as it is."""
        if not (self.other_units and isinstance(value, dict)):
            return value
        factors = {other.unit: other for other in self.other_units}
        number: Any = value.get("value")
        unit = value.get("unit")
        if set(value) != {"value", "unit"} or not isinstance(unit, str):
            units = ", ".join(self.units)
            raise ValueError(
                f"Enter a number{self._allowed()}, "
                f'or {{"value": a number, "unit": one of {units}}}.'
            )
        if unit != self.unit and unit not in factors:
            raise ValueError(f"Choose one of the units {', '.join(self.units)}.")
        if not _is_number(number):
            raise ValueError("Enter a number as its value.")
        if unit == self.unit:
            return number
        try:
            own = factors[unit].to_own(number)
        except (ZeroDivisionError, OverflowError):
            own = math.nan  # which is in no range
        return round(own) if self.type == "integer" and math.isfinite(own) else own

    @property
    def units(self) -> list[str]:
        """Those that may be named with a value, its own first."""
        return [self.unit or "", *(other.unit for other in self.other_units)]

    def _check_category(self, value: Any) -> str:
        choices = self.choices or ()
        if isinstance(value, str) and value in choices:
            return value
        raise ValueError(f"Choose one of: {', '.join(choices)}.")

    def _check_number(self, value: Any) -> float | int:
        low = -math.inf if self.minimum is None else self.minimum
        high = math.inf if self.maximum is None else self.maximum
        if not (_is_number(value) and low <= value <= high):  # NaN is in no range
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
            allowed: dict[str, Any] = {"type": "string", "enum": list(self.choices or ())}
        else:
            limits = {"minimum": self.minimum, "maximum": self.maximum}
            given = {key: limit for key, limit in limits.items() if limit is not None}
            allowed = {"type": self.type, **given}
        ways = [allowed]
        if self.other_units:
            ways.append(self._json_schema_with_unit())
        if self.optional:
            ways.append({"type": "null"})
        return {**(allowed if len(ways) == 1 else {"anyOf": ways}), "default": self.default}

    def _json_schema_with_unit(self) -> dict[str, Any]:
        properties = {"value": {"type": "number"}, "unit": {"enum": self.units}}
        return {
            "type": "object",
            "properties": properties,
            "required": list(properties),
            "additionalProperties": False,
            "description": "The limits are those of the feature's own unit.",
        }


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


@dataclass(frozen=True)
class Inputs:
    """Checked input: every feature as it will be used, and those the caller left out.

    `entered` has the values that were given in another unit, as they were given.
    """

    data: dict[str, Value]
    defaulted: list[str]
    entered: dict[str, Any] = field(default_factory=dict)


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
            if name not in data:
                if feature.scored:
                    values[name] = feature.default
                continue
            try:
                values[name] = feature.check(data[name])
            except ValueError as error:
                errors[name] = [str(error)]
        if not errors and not any(feature.name in data for feature in self.scored):
            errors["data"] = ["Give at least one feature."]
        if errors:
            raise InvalidInput(errors)
        return Inputs(
            values,
            [feature.name for feature in self.scored if feature.name not in data],
            {name: value for name, value in data.items() if isinstance(value, dict)},
        )

    @property
    def scored(self) -> list[Feature]:
        """The features that the predictor uses."""
        return [feature for feature in self.features if feature.scored]

    def example(self) -> dict[str, Value]:
        return {feature.name: feature.default for feature in self.scored}

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
    units = tuple(OtherUnit(**other) for other in item.get("other_units", ()))
    rare = tuple(item.get("rare", ()))
    return Feature(**{**item, **spans, "other_units": units, "rare": rare})
