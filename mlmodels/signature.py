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
    """A unit that people use beside the feature's own.

    A value is converted by `factor * value`; in a reciprocal unit, such as liters per 100 km for
    a feature in miles per gallon, by `factor / value`.
    """

    unit: str
    factor: float
    reciprocal: bool = False

    def to_own(self, value: float) -> float:
        """The value in the feature's own unit. Raises ZeroDivisionError for 0 if reciprocal."""
        return self.factor / value if self.reciprocal else self.factor * value


@dataclass(frozen=True)
class Feature:
    """One input of a prediction.

    `minimum` and `maximum` are inclusive; values beyond them are refused. `training_range` has the
    smallest and the largest value in the training data; values beyond it get a warning. `rare` has
    the choices that few training rows have. `choice_labels` has the text to display for a choice.

    An `optional` feature may be null for "not measured", and the predictor then imputes it. A
    feature that is not `scored` is never passed to the predictor; it is only compared with the
    result.
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
    choice_labels: Mapping[str, str] = field(default_factory=dict)
    help: str = ""
    optional: bool = False
    scored: bool = True
    other_units: tuple[OtherUnit, ...] = ()
    rare: tuple[str, ...] = ()

    def display(self, value: Value) -> str:
        """The text that a person reads for a value, without its unit."""
        if value is None:
            return "not measured"
        text = f"{value:.6g}" if isinstance(value, float) else str(value)
        return self.choice_labels.get(text, text)

    def check(self, value: Any) -> Value:
        """The value to score, in the feature's own unit and type.

        Raises ValueError with a sentence that says what is allowed.
        """
        if value is None and self.optional:
            return None
        if self.type == "category":
            return self._check_category(value)
        return self._check_number(self._in_own_unit(value))

    def _in_own_unit(self, value: Any) -> Any:
        """Convert {"value": ..., "unit": ...} to the own unit; return anything else unchanged.

        The result is not checked against the limits yet. Raises ValueError.
        """
        if not (self.other_units and isinstance(value, dict)):
            return value
        other_units = {other.unit: other for other in self.other_units}
        number: Any = value.get("value")
        unit = value.get("unit")
        if set(value) != {"value", "unit"} or not isinstance(unit, str):
            units = ", ".join(self.units)
            raise ValueError(
                f"Enter a number{self._limits_text()}, "
                f'or {{"value": a number, "unit": one of {units}}}.'
            )
        if unit != self.unit and unit not in other_units:
            raise ValueError(f"Choose one of the units {', '.join(self.units)}.")
        if not _is_number(number):
            raise ValueError("Enter a number as its value.")
        if unit == self.unit:
            return number
        try:
            converted = other_units[unit].to_own(number)
        except (ZeroDivisionError, OverflowError):
            return math.nan  # the check of the limits refuses it
        if self.type == "integer" and math.isfinite(converted):
            return round(converted)
        return converted

    @property
    def units(self) -> list[str]:
        """The names of the units that a value may be sent in, the own unit first."""
        return [self.unit or "", *(other.unit for other in self.other_units)]

    def _check_category(self, value: Any) -> str:
        choices = self.choices or ()
        if isinstance(value, str) and value in choices:
            return value
        raise ValueError(f"Choose one of: {', '.join(choices)}.")

    def _check_number(self, value: Any) -> float | int:
        low = -math.inf if self.minimum is None else self.minimum
        high = math.inf if self.maximum is None else self.maximum
        # NaN compares false with everything, so it is refused here too.
        if not (_is_number(value) and low <= value <= high):
            raise ValueError(f"Enter a number{self._limits_text()}.")
        if self.type == "integer":
            if value != int(value):
                raise ValueError(f"Enter a whole number{self._limits_text()}.")
            return int(value)
        number: float | int = value
        return number

    def _limits_text(self) -> str:
        """Such as " from 1 to 2000 hp", to follow a noun; empty without limits and unit."""
        low = f" from {self.minimum:g}" if self.minimum is not None else ""
        high = f" to {self.maximum:g}" if self.maximum is not None else ""
        return f"{low}{high} {self.unit or ''}".rstrip()

    def json_schema(self) -> dict[str, Any]:
        """JSON Schema (2020-12) of what `check` accepts."""
        if self.type == "category":
            plain: dict[str, Any] = {"type": "string", "enum": list(self.choices or ())}
        else:
            limits = {"minimum": self.minimum, "maximum": self.maximum}
            set_limits = {key: limit for key, limit in limits.items() if limit is not None}
            plain = {"type": self.type, **set_limits}
        alternatives = [plain]
        if self.other_units:
            alternatives.append(self._json_schema_with_unit())
        if self.optional:
            alternatives.append({"type": "null"})
        schema = plain if len(alternatives) == 1 else {"anyOf": alternatives}
        return {**schema, "default": self.default}

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
    """One checked row: `data` has every scored feature, and the others that were sent, by name.

    `defaulted` names the scored features that were left out. `entered` has each value that was
    sent in another unit, as it was sent.
    """

    data: dict[str, Value]
    defaulted: list[str]
    entered: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Signature:
    """The features of one version of a predictor, in the order in which they are shown."""

    features: tuple[Feature, ...]

    @classmethod
    def from_json(cls, document: list[dict[str, Any]]) -> Self:
        return cls(tuple(_feature_from_json(item) for item in document))

    def to_json(self) -> list[dict[str, Any]]:
        return [asdict(feature) for feature in self.features]

    def check(self, data: Mapping[str, Any]) -> Inputs:
        """Check one row and fill in defaults. Raises InvalidInput naming every bad feature."""
        features = {feature.name: feature for feature in self.features}
        errors = {name: ["Unknown feature."] for name in data if name not in features}
        values: dict[str, Value] = {}
        for name, feature in features.items():
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
        """The features that are passed to the predictor."""
        return [feature for feature in self.features if feature.scored]

    def example(self) -> dict[str, Value]:
        """The typical row: the default of every scored feature."""
        return {feature.name: feature.default for feature in self.scored}

    def json_schema(self) -> dict[str, Any]:
        """JSON Schema (2020-12) of one row that `check` accepts."""
        return {
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "type": "object",
            "properties": {feature.name: feature.json_schema() for feature in self.features},
            "additionalProperties": False,
            "minProperties": 1,
        }


def _feature_from_json(item: dict[str, Any]) -> Feature:
    """JSON has lists and dictionaries where a feature has tuples and units."""
    tuples = {key: tuple(item[key]) if item[key] else None for key in ("training_range", "choices")}
    units = tuple(OtherUnit(**other) for other in item.get("other_units", ()))
    rare = tuple(item.get("rare", ()))
    return Feature(**{**item, **tuples, "other_units": units, "rare": rare})
