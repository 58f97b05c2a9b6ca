"""What a domain's predictors take: one description that checks input and draws forms.

It is computed from the training data, stored with each version, and read by web processes that
never import scikit-learn.
"""

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any, Literal, Self

from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop

from carprice.http.errors import InvalidInput, unknown
from mlmodels.folding import fold, nearest, shorten

FeatureType = Literal["number", "integer", "category"]
Value = float | int | str | None

# A refusal says what a name may have been meant for; to find that out takes about a millisecond.
MAX_SUGGESTIONS = 10


@dataclass(frozen=True)
class OtherUnit:
    """A unit that people use beside the feature's own; `names` are other spellings of it.

    A value is converted by `factor * value + offset`; in a reciprocal unit, such as liters per
    100 km for a feature in miles per gallon, by `factor / value + offset`.
    """

    unit: str
    factor: float
    reciprocal: bool = False
    offset: float = 0.0
    names: tuple[str, ...] = ()

    def to_own(self, value: float) -> float:
        """The value in the feature's own unit. Raises ZeroDivisionError for 0 if reciprocal."""
        if self.offset and value < 0:
            return math.nan  # the offset must not make a possible amount of it
        return (self.factor / value if self.reciprocal else self.factor * value) + self.offset

    def from_own(self, value: float) -> float:
        """The reverse of `to_own`."""
        rest = value - self.offset
        return self.factor / rest if self.reciprocal else rest / self.factor


@dataclass(frozen=True)
class Feature:
    """One input of a prediction.

    `minimum` and `maximum` are inclusive; values beyond them are refused. `training_range` has the
    smallest and the largest value in the training data; values beyond it get a warning. `rare` has
    the choices that few training rows have. `choice_labels` has the text to display for a choice.
    `choice_names` and `unit_names` have other names of choices and of the own unit; all names are
    compared by `mlmodels.folding.fold`, and labels are names as well.

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
    choice_names: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    unit_names: tuple[str, ...] = ()

    def display(self, value: Value) -> str:
        """The text that a person reads for a value, without its unit."""
        if value is None:
            return gettext_noop("not measured")
        text = f"{value:.6g}" if isinstance(value, float) else str(value)
        return self.choice_labels.get(text, text)

    def check(self, value: Any) -> Value:
        """The value to score, in the feature's own unit and type.

        Raises ValueError with a sentence that says what is allowed.
        """
        if self.type == "category":
            return self._check_category(value)
        if isinstance(value, dict) and self.unit is not None:
            return self._check_in_unit(value)
        try:
            return self._check_number(value, lambda: f"{self._limits_text()}{_or_null(value)}")
        except ValueError as error:
            raise ValueError(f"{error}{self._unit_meant(value)}") from None

    def entered(self, value: Any) -> Any:
        """A checked value as it was sent, if in another unit, which is given its own name."""
        other = self._find_unit(value["unit"]) if isinstance(value, dict) else None
        return {"value": value["value"], "unit": other.unit} if other else None

    def with_own_names(self, value: Any) -> Any:
        """A value, right or wrong, with its choice or unit called by its own name if it is known.

        One in the own unit is without it.
        """
        if self.type == "category":
            return self._find_choice(_category_text(value)) or value
        if not (self.unit and isinstance(value, dict) and set(value) == {"value", "unit"}):
            return value
        folded = fold(value["unit"]) if isinstance(value["unit"], str) else ""
        if folded not in self._units_by_name:
            return value
        other = self._units_by_name[folded]
        return {**value, "unit": other.unit} if other else value["value"]

    @property
    def units(self) -> list[str]:
        """The names of the units that a value may be sent in, the own unit first."""
        return [self.unit or "", *(other.unit for other in self.other_units)]

    def _check_in_unit(self, value: dict[str, Any]) -> float | int:
        """Check {"value": ..., "unit": ...}, and convert it to the own unit. Raises ValueError."""
        number: Any = value.get("value")
        unit = value.get("unit")
        if set(value) != {"value", "unit"} or not isinstance(unit, str):
            units = ", ".join(self.units)
            raise ValueError(
                f"Enter a number{self._limits_text()}, "
                f'or {{"value": a number, "unit": one of {units}}}.'
            )
        other = self._find_unit(unit)
        if not _is_number(number):
            raise ValueError(_("Enter a number as its value."))
        own = self._in_own_unit(number, other) if other else number
        return self._check_number(own, lambda: self._limits_text(other))

    def _in_own_unit(self, number: float, other: OtherUnit) -> float | int:
        """Not checked against the limits yet; not a number if it can be none."""
        try:
            # Twelve digits, so that 12.7 mm are half an inch, and not a little less.
            converted = float(f"{other.to_own(number):.12g}")
        except (ZeroDivisionError, OverflowError):
            return math.nan
        if self.type == "integer" and math.isfinite(converted):
            return round(converted)
        return converted

    def _unit_meant(self, number: Any) -> str:
        """What a number beyond the limits would be in another unit, to follow a sentence."""
        if not _is_number(number) or self._is_allowed(number) or self.training_range is None:
            return ""
        low, high = self.training_range
        for other in self.other_units:
            own = self._in_own_unit(number, other)
            if low <= own <= high:
                sentence = _(" %(sent)s would be %(meant)s: give the unit.")
                return sentence % {
                    "sent": f"{number:.10g}{after_number(other.unit)}",
                    "meant": f"{own:.4g}{after_number(self.unit)}",
                }
        return ""

    def _find_unit(self, name: str) -> OtherUnit | None:
        """The unit of that name; None for the own one. Raises ValueError."""
        folded = fold(name)
        if folded not in self._units_by_name:
            near = nearest(name, self._units_by_name)
            other = self._units_by_name[near] if near else None
            meant = (other.unit if other else self.unit) if near else None
            allowed = _("Choose one of the units %(units)s.") % {"units": ", ".join(self.units)}
            raise ValueError(f"{_suggestion(name, meant)}{allowed}")
        return self._units_by_name[folded]

    @cached_property
    def _units_by_name(self) -> dict[str, OtherUnit | None]:
        """The units that a value may be sent in, by all folded names; None for the own one."""
        by_name: dict[str, OtherUnit | None] = {
            fold(name): other for other in self.other_units for name in (*other.names, other.unit)
        }
        return by_name | {fold(name): None for name in (self.unit or "", *self.unit_names)}

    def _check_category(self, value: Any) -> str:
        choices = self.choices or ()
        if isinstance(value, str) and value in choices:
            return value
        text = _category_text(value)
        choice = self._find_choice(text)
        if choice is None:
            near = nearest(text, self._choices_by_name)
            meant = self._choices_by_name[near] if near else None
            named = (
                f"{each} ({self.display(each)})" if each.isdecimal() else each for each in choices
            )
            listed = f"{', '.join(named)}{_or_null(value)}"
            allowed = _("Choose one of: %(choices)s.") % {"choices": listed}
            raise ValueError(f"{_suggestion(text, meant)}{allowed}")
        return choice

    def _find_choice(self, text: str) -> str | None:
        folded = fold(text)
        if folded.isdecimal() and _MINUS.search(text):
            return None  # -4 is not 4, though dashes make no difference otherwise
        return self._choices_by_name.get(folded)

    @cached_property
    def _choices_by_name(self) -> dict[str, str]:
        """The choices by all folded names; where two have one in common, the first has it."""
        by_name: dict[str, str] = {}
        for name, choice in self._choice_spellings():
            by_name.setdefault(fold(name), choice)
        return by_name

    def _choice_spellings(self) -> list[tuple[str, str]]:
        """The names of all choices, each with its choice; the canonical names first."""
        choices = self.choices or ()
        return [
            *((choice, choice) for choice in choices),
            *((name, choice) for choice in choices for name in self.choice_names.get(choice, ())),
            *((self.display(choice), choice) for choice in choices),
        ]

    def _check_number(self, value: Any, limits: Callable[[], str]) -> float | int:
        """Of a number in the own unit; `limits` tells them in the unit that it was sent in.

        It is asked only for a refusal, since looking up its words takes longer than all else here.
        """
        if not self._is_allowed(value):
            raise ValueError(_("Enter a number%(limits)s.") % {"limits": limits()})
        if self.type == "integer":
            if value != int(value):
                raise ValueError(_("Enter a whole number%(limits)s.") % {"limits": limits()})
            return int(value)
        number: float | int = value
        return number

    def _is_allowed(self, value: Any) -> bool:
        low = -math.inf if self.minimum is None else self.minimum
        high = math.inf if self.maximum is None else self.maximum
        # NaN compares false with everything, so it is not allowed either.
        return _is_number(value) and low <= value <= high

    def _limits_text(self, other: OtherUnit | None = None) -> str:
        """Such as " from 1 to 2000 hp", to follow a noun; empty without limits and unit."""
        minimum, maximum = self._limits_in(other, 3) if other else (self.minimum, self.maximum)
        low = _(" from %(low)s") % {"low": f"{minimum:g}"} if minimum is not None else ""
        high = _(" to %(high)s") % {"high": f"{maximum:g}"} if maximum is not None else ""
        return f"{low}{high}{after_number(other.unit if other else self.unit)}"

    def json_schema(self) -> dict[str, Any]:
        """JSON Schema (2020-12) of what is accepted, null included.

        Other spellings of the listed names are accepted as well, but no schema can say so.
        """
        if self.type == "category":
            return {
                "enum": [*self._accepted_choices(), None],
                "default": self.default,
                "description": _NAMES_ARE_FOLDED,
            }
        numbers = {"type": self.type, **_limits(self.minimum, self.maximum)}
        if self.unit is None:
            return {**numbers, "type": [self.type, "null"], "default": self.default}
        return {
            "anyOf": [
                numbers,
                _with_unit(numbers, [self.unit, *self.unit_names]),
                *(
                    _with_unit(self._numbers_in(other), [other.unit, *other.names])
                    for other in self.other_units
                ),
                {"type": "null"},
            ],
            "default": self.default,
            "description": _NAMES_ARE_FOLDED,
        }

    def _accepted_choices(self) -> list[Any]:
        """All names of choices, as numbers and Booleans too where they are such words."""
        names = list(dict.fromkeys(name for name, _ in self._choice_spellings()))
        numbers = [int(name) for name in names if name.isdecimal()]
        return [*names, *numbers, *(name == "true" for name in names if name in _BOOLEANS)]

    def _numbers_in(self, other: OtherUnit) -> dict[str, Any]:
        """The schema of numbers in another unit that the limits allow, short of a rounding."""
        return {"type": "number", **_limits(*self._limits_in(other, 6))}

    def _limits_in(self, other: OtherUnit, digits: int) -> tuple[float | None, float | None]:
        """The limits in another unit, rounded inwards; None where there is none."""
        limits = [limit for limit in (self.minimum, self.maximum) if limit is not None]
        if len(limits) < 2:
            return None, None
        ends = [math.inf if other.reciprocal and not end else other.from_own(end) for end in limits]
        low = _rounded(max(min(ends), 0.0), math.ceil, digits)
        high = _rounded(max(ends), math.floor, digits)
        return low, None if math.isinf(high) else high


_NAMES_ARE_FOLDED = (
    "Case, blanks, dashes and compatible characters make no difference in names, and names are "
    "answered as the first of each."
)
_BOOLEANS = ("true", "false")
_MINUS = re.compile("[-\u2010-\u2015\u2212\ufe63\uff0d]")


def _limits(minimum: float | None, maximum: float | None) -> dict[str, Any]:
    limits = {"minimum": minimum, "maximum": maximum}
    return {key: limit for key, limit in limits.items() if limit is not None}


def _with_unit(numbers: dict[str, Any], names: list[str]) -> dict[str, Any]:
    properties = {"value": numbers, "unit": {"enum": list(dict.fromkeys(names))}}
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def _rounded(value: float, towards: Callable[[float], int], digits: int) -> float:
    """A number that is not negative, to so many digits."""
    if not value or math.isinf(value):
        return value
    step = 10.0 ** (math.floor(math.log10(value)) - digits + 1)
    # What is whole but for the last bits is not rounded again.
    return float(f"{towards(float(f'{value / step:.12g}')) * step:.{digits}g}")


def _category_text(value: Any) -> str:
    """The word for a value that JSON writes without quotes, such as 4 or true; else empty."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return str(value).lower()
    if _is_number(value) and 0 <= value < 1000 and value == int(value):
        return str(int(value))
    return ""


def after_number(unit: str | None) -> str:
    """The unit as it follows a number: " hp", or " × 1000/µL"; empty if there is none."""
    shown = _(unit) if unit else ""
    return f" {'× ' if shown[0].isdigit() else ''}{shown}" if shown else ""


def _or_null(value: Any) -> str:
    """What a table's mark of a missing value should have been."""
    is_mark = value != value if isinstance(value, float) else value in ("NaN", "nan", "NaT", "<NA>")
    return _("; or null, if it is not known") if is_mark else ""


def _suggestion(sent: str, meant: str | None) -> str:
    """Such as "Peugoot? Did you mean peugeot? ", to go before a sentence."""
    if not meant:
        return ""
    return _("%(sent)s? Did you mean %(meant)s? ") % {"sent": shorten(sent), "meant": meant}


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


@dataclass(frozen=True)
class Inputs:
    """One checked row: `data` has every scored feature, and the others that were sent, by name.

    `defaulted` names the scored features that were left out or null. `entered` has each value that
    was sent in another unit, as it was sent, but for the spelling of the unit.
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

    def check(
        self,
        data: Mapping[str, Any],
        *,
        name_errors: Mapping[str, list[str]] | None = None,
        other_names: Mapping[str, str] | None = None,
        null_counts: bool = False,
    ) -> Inputs:
        """Check one row and fill in defaults. Raises InvalidInput naming every bad feature.

        `name_errors` are what is known to be wrong with it already; `other_names` have the names
        that may be meant by an unknown one, each with the name to suggest. A row needs a scored
        feature that is not null, or with `null_counts` one that may be null.
        """
        values: dict[str, Value] = {}
        defaulted: list[str] = []
        entered: dict[str, Any] = {}
        errors: dict[str, list[str]] = {}
        for name, feature in self._by_name.items():
            value = data.get(name)
            if value is None:
                if feature.scored:
                    values[name] = feature.default
                    defaulted.append(name)
                continue
            try:
                values[name] = feature.check(value)
                if isinstance(value, dict) and (sent := feature.entered(value)):
                    entered[name] = sent
            except ValueError as error:
                errors[name] = [str(error)]
        if not data.keys() <= self._by_name.keys():
            errors = self._unknown(data, other_names or {}) | errors
        errors = {**name_errors, **errors} if name_errors else errors
        if not errors and len(defaulted) == len(self.scored):
            is_empty = not (null_counts and any(name in data for name in defaulted))
            errors = {"data": ["Give at least one feature."]} if is_empty else {}
        if errors:
            raise InvalidInput(errors)
        return Inputs(values, defaulted, entered)

    def with_own_names(self, data: Mapping[str, Any]) -> dict[str, Any]:
        """A row, right or wrong, without nulls and with own names of choices and units."""
        features = self._by_name
        return {
            name: features[name].with_own_names(value) if name in features else value
            for name, value in data.items()
            if value is not None or name not in features
        }

    def _unknown(
        self, data: Mapping[str, Any], other_names: Mapping[str, str]
    ) -> dict[str, list[str]]:
        """The errors of names that no feature has."""
        suggestions = {**other_names, **{name: name for name in self._by_name}}
        names = {fold(name): meant for name, meant in suggestions.items()}
        unknown_names = [name for name in data if name not in self._by_name]
        errors = unknown(unknown_names, "feature", of="data")
        for name in unknown_names[:MAX_SUGGESTIONS]:
            if near := nearest(name, names):
                errors[name] = [f"Unknown feature. Did you mean {names[near]}?"]
        return errors

    @cached_property
    def _by_name(self) -> dict[str, Feature]:
        return {feature.name: feature for feature in self.features}

    @cached_property
    def scored(self) -> list[Feature]:
        """The features that are passed to the predictor."""
        return [feature for feature in self.features if feature.scored]

    def example(self) -> dict[str, Value]:
        """The typical row: the default of every scored feature."""
        return {feature.name: feature.default for feature in self.scored}

    def json_schema(self) -> dict[str, Any]:
        """JSON Schema (2020-12) of rows that `check` accepts."""
        unscored = [feature.name for feature in self.features if not feature.scored]
        return {
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "type": "object",
            "properties": {feature.name: feature.json_schema() for feature in self.features},
            "additionalProperties": False,
            # At least one feature that is scored must not be null.
            "not": {
                "properties": dict.fromkeys(unscored, True),
                "additionalProperties": {"type": "null"},
            },
        }


def _feature_from_json(item: dict[str, Any]) -> Feature:
    """JSON has lists and dictionaries where a feature has tuples and units.

    Versions that were stored before a field was added do not have it.
    """
    tuples = {key: tuple(item[key]) if item[key] else None for key in ("training_range", "choices")}
    lists = {key: tuple(item.get(key, ())) for key in ("rare", "unit_names")}
    units = tuple(
        OtherUnit(**{**other, "names": tuple(other.get("names", ()))})
        for other in item.get("other_units", ())
    )
    names = {choice: tuple(names) for choice, names in item.get("choice_names", {}).items()}
    return Feature(**{**item, **tuples, **lists, "other_units": units, "choice_names": names})
