"""What a domain is: its data, its features and the predictors that are trained on them.

Domain modules are read by web processes too, so they import scikit-learn and pandas only inside
the functions that train.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from carprice.http.errors import InvalidInput
from mlmodels.folding import fold, shorten
from mlmodels.signature import FeatureType, Inputs, OtherUnit, Signature, Value

if TYPE_CHECKING:
    import pandas as pd
    from sklearn.pipeline import Pipeline

DATA_DIR = Path(__file__).resolve().parent.parent / "data"


def paragraphs(text: str) -> tuple[str, ...]:
    """Split a text at its blank lines, and undo the line breaks within each paragraph."""
    return tuple(" ".join(part.split()) for part in text.split("\n\n"))


# Of columns that are no features. A row is not taken without a word, lest something be misread.
IDENTIFIES_A_ROW = "This identifies a row, and is no feature: leave it out."
IS_PREDICTED = "This is what is predicted: leave it out."


@dataclass(frozen=True)
class FeatureSpec:
    """What the data cannot say of a feature: its meaning, unit and hard limits.

    The fields are those of `mlmodels.signature.Feature`; training adds what the data say. An
    `optional` feature may be missing in the data too. One that is not `scored` is not in the data.

    `other_names` are names under which it may be sent too, beside its label and its name without
    the unit. `choice_names` has other names of a choice.
    """

    name: str
    label: str
    type: FeatureType
    unit: str | None = None
    minimum: float | None = None
    maximum: float | None = None
    help: str = ""
    choice_labels: Mapping[str, str] = field(default_factory=dict)
    optional: bool = False
    scored: bool = True
    other_units: tuple[OtherUnit, ...] = ()
    other_names: tuple[str, ...] = ()
    choice_names: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def names(self) -> list[str]:
        """All names under which it may be sent, its own first; no two of them fold to the same."""
        without_unit = self.name.removesuffix(f"({self.unit})").strip()
        names = (self.name, *self.other_names, without_unit, self.label)
        by_folded: dict[str, str] = {}
        for name in names:
            by_folded.setdefault(fold(name), name)
        return list(by_folded.values())


@dataclass(frozen=True)
class Alias:
    """A text that a caller may send instead of the values of `features`, under its `names`.

    `convert` turns the text into the features' values, in their order, or raises ValueError with a
    sentence for the caller. `pattern` takes the features' signature and returns a regular
    expression, for JSON Schema, of texts that `convert` turns into what that accepts.
    """

    features: tuple[str, ...]
    names: tuple[str, ...]
    convert: Callable[[str], tuple[Any, ...]]
    pattern: Callable[[Signature], str]


@dataclass(frozen=True)
class OtherQuantity:
    """Another quantity by which a feature may be sent, in units in which it says as much.

    In others, or as a bare number, it would be misread: then it is refused by the `question`.
    """

    feature: str
    names: tuple[str, ...]
    units: tuple[OtherUnit, ...]
    question: str

    def convert(self, value: Any) -> Any:
        """The value as the feature takes it. Raises ValueError."""
        unit = value.get("unit") if isinstance(value, dict) else None
        names = (name for other in self.units for name in (other.unit, *other.names))
        if value is None or (isinstance(unit, str) and fold(unit) in map(fold, names)):
            return value
        raise ValueError(self.question)


@dataclass(frozen=True)
class PredictorSpec:
    """One entry of the catalogue; `build` returns its pipeline, not fitted yet."""

    name: str
    title: str
    algorithm: str
    summary: str
    build: Callable[[], Pipeline]


@dataclass(frozen=True)
class Derivation:
    """How a feature that was left out is computed, if at least one of its sources was sent.

    `compute` takes the values of the sources in their order, none of them null.
    """

    feature: str
    sources: tuple[str, ...]
    compute: Callable[..., float]


@dataclass(frozen=True)
class PlausibilityCheck:
    """A rule about values that are each allowed, but may contradict each other.

    `check` takes the values of the features in their order, none of them null. It returns a
    sentence for the user, or an empty string if the values are plausible together.
    """

    features: tuple[str, ...]
    check: Callable[..., str]


@dataclass(frozen=True)
class FeatureGroup:
    """Features that stand together in a form, by name; shown at once if `is_open`, else folded."""

    title: str
    features: tuple[str, ...]
    is_open: bool = False


@dataclass(frozen=True)
class ReferenceRange:
    """What is normal of a healthy adult, in the feature's own unit, and who says so.

    A limit that is None does not exist; `high` is exclusive, as sources write "below 100".
    """

    source: str
    low: float | None = None
    high: float | None = None

    def zone(self, value: float) -> str:
        """Where a value lies: low, normal or high."""
        if self.low is not None and value < self.low:
            return "low"
        return "high" if self.high is not None and value >= self.high else "normal"


@dataclass(frozen=True)
class Domain:
    """A subject of predictions: its data and features, its predictors, and texts for their users.

    `load` reads the data file and returns the scored features and, as the last column, the target.

    `refused_names` has names that a row of the data has beside its features, or that are taken for
    one, each with the sentence by which it is refused.

    `repairs` have what is done to a text that is sent for a feature, before it is compared with the
    feature's choices.

    Three fields have paragraphs for users: `source` says where the data come from and under what
    license, `faults` what is wrong with the data and what was done about it, and `out_of_scope`
    what the predictors must not be used for.

    `relative_errors` says that errors grow with the predicted value, so that the width of a range
    is a fraction of it; otherwise the width is in the target's unit. `minimum_given` is how many
    features should be given: with fewer, the estimate is hardly better than the typical case's, so
    who gives fewer is warned, and on pages asked once more. `age_gap_to` is an unscored
    feature that a result is compared with. `comparable_by` are the features by which the distance
    of known cases is measured.`groups` divide a form; features in none of them come
    last. A prediction is called by its values of `named_by`, each in a pattern such as "%s hp".
    `icon` is one of static/icons.svg, `example` a case for the start page, and `reference_ranges`
    says what is normal of a feature. `group` is a feature whose values are left out in turn, to
    measure the predictors on groups they have not seen.
    """

    name: str
    title: str
    target: str
    unit: str
    caveat: str
    data_file: str
    features: tuple[FeatureSpec, ...]
    load: Callable[[Path], pd.DataFrame]
    predictors: tuple[PredictorSpec, ...]
    aliases: tuple[Alias, ...] = ()
    other_quantities: tuple[OtherQuantity, ...] = ()
    refused_names: Mapping[str, str] = field(default_factory=dict)
    repairs: Mapping[str, Callable[[str], str]] = field(default_factory=dict)
    source: tuple[str, ...] = ()
    faults: tuple[str, ...] = ()
    out_of_scope: tuple[str, ...] = ()
    decimals: int = 1  # of a value, wherever a person reads it
    relative_errors: bool = False
    minimum_given: int = 1
    derivations: tuple[Derivation, ...] = ()
    plausibility_checks: tuple[PlausibilityCheck, ...] = ()
    age_gap_to: str | None = None
    comparable_by: tuple[str, ...] = ()
    group: str | None = None
    groups: tuple[FeatureGroup, ...] = ()
    named_by: Mapping[str, str] = field(default_factory=dict)
    icon: str = "sliders"
    example: Mapping[str, Any] = field(default_factory=dict)
    reference_ranges: Mapping[str, ReferenceRange] = field(default_factory=dict)

    @property
    def scored(self) -> list[FeatureSpec]:
        """The features that are passed to the predictors."""
        return [feature for feature in self.features if feature.scored]

    @property
    def data_path(self) -> Path:
        return DATA_DIR / self.data_file

    def resolve_aliases(self, data: Mapping[str, Any]) -> dict[str, Any]:
        """Give features their own names, and replace aliases by their features.

        Names of nothing stay as they are. Raises InvalidInput if a feature is sent twice.
        """
        values, errors = self.resolve_names(data)
        if errors:
            raise InvalidInput(errors)
        return values

    def resolve_names(self, data: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, list[str]]]:
        """The same, with what is wrong by the names that were sent."""
        values, errors = dict(data), dict[str, list[str]]()
        if not data.keys() <= self._own_names:
            values, errors = self._by_own_names(data)
        for name, repair in self.repairs.items():
            if isinstance(value := values.get(name), str):
                values[name] = repair(value)
        return values, errors

    def _by_own_names(self, data: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, list[str]]]:
        if len(data) > len(self.all_names):  # some are unknown, so that it is refused anyway
            return dict(data), {}
        values: dict[str, Any] = {}
        names: dict[str, str] = {}  # as sent
        errors: dict[str, list[str]] = {}
        for name, value in data.items():
            try:
                parts = self._features_of(name, value)
            except ValueError as error:
                errors[name] = [str(error)]
                continue
            for feature, part in parts.items():
                if part is not None and values.get(feature) is not None:
                    other = names[feature] if name == feature else name
                    errors[other] = [_sent_twice(names[feature], name)]
                elif part is not None or feature not in values:
                    values[feature], names[feature] = part, name
        return values, errors

    def _features_of(self, name: str, value: Any) -> dict[str, Any]:
        """What is sent under a name, by features. Raises ValueError."""
        named = name if name in self._own_names else self.by_name.get(fold(name))
        if named is None and (quantity := self._other_quantities.get(fold(name))):
            return {quantity.feature: quantity.convert(value)}
        if named is None and (sentence := self._refused_names.get(fold(name))):
            raise ValueError(sentence)
        if not isinstance(named, Alias):
            return {named or name: value}
        if value is None:
            return dict.fromkeys(named.features)
        if not isinstance(value, str):
            raise ValueError("Enter a text.")  # noqa: TRY004  # which the caller is told
        return dict(zip(named.features, named.convert(value), strict=True))

    @cached_property
    def _own_names(self) -> frozenset[str]:
        return frozenset(feature.name for feature in self.features)

    @cached_property
    def _other_quantities(self) -> dict[str, OtherQuantity]:
        return {fold(name): each for each in self.other_quantities for name in each.names}

    @cached_property
    def _refused_names(self) -> dict[str, str]:
        return {fold(name): sentence for name, sentence in self.refused_names.items()}

    @cached_property
    def by_name(self) -> dict[str, str | Alias]:
        """The features and aliases by all folded names; what a name stands for is tested."""
        aliases = {fold(name): alias for alias in self.aliases for name in alias.names}
        names = {fold(name): each.name for each in self.features for name in each.names}
        return {**aliases, **names}

    @cached_property
    def all_names(self) -> tuple[str, ...]:
        """Every name that a row may have, as it is written."""
        aliases = [name for alias in self.aliases for name in alias.names]
        return (*aliases, *(name for feature in self.features for name in feature.names))

    @cached_property
    def _suggestions(self) -> dict[str, str]:
        """Every name, with that by which what it stands for is best sent."""
        names = {name: self.by_name[fold(name)] for name in self.all_names}
        return {
            name: meant.names[0] if isinstance(meant, Alias) else meant
            for name, meant in names.items()
        }

    def check(
        self, signature: Signature, data: Mapping[str, Any], *, null_counts: bool = False
    ) -> Inputs:
        """Check one row as a version takes it, and fill in what was left out.

        A row needs a feature that is not null, or with `null_counts` one that may be null. Raises
        InvalidInput naming every bad feature.
        """
        values, errors = self.resolve_names(data)
        inputs = signature.check(
            values, name_errors=errors, other_names=self._suggestions, null_counts=null_counts
        )
        return self.with_derived_features(inputs)

    def with_derived_features(self, inputs: Inputs) -> Inputs:
        """Replace the default of a feature that was left out by what follows from its sources.

        Derived features still count as left out.
        """
        values = dict(inputs.data)
        for derivation in self.derivations:
            sources = {name: values.get(name) for name in derivation.sources}
            sent = set(sources) - set(inputs.defaulted)
            if derivation.feature in inputs.defaulted and sent and None not in sources.values():
                values[derivation.feature] = derivation.compute(*sources.values())
        return replace(inputs, data=values)

    def age_gap_of(self, value: float, data: Mapping[str, Value]) -> float | None:
        """By how much a predicted age exceeds the age that was entered; None if none was."""
        age = data.get(self.age_gap_to) if self.age_gap_to else None
        return value - age if isinstance(age, int | float) else None

    def input_schema(self, signature: Signature) -> dict[str, Any]:
        """JSON Schema (2020-12) of rows that a caller may send, under all listed names.

        Other spellings of the names are accepted too, but no schema can say so.
        """
        schema = signature.json_schema()
        properties: dict[str, Any] = schema["properties"]
        names = {each.name: each.names for each in self.features if each.name in properties}
        for feature, (_, *others) in names.items():
            properties.update({name: {"$ref": _pointer_to(feature)} for name in others})
        for alias in self.aliases:
            text = {"type": ["string", "null"], "pattern": alias.pattern(signature)}
            properties.update(dict.fromkeys(alias.names, text))
            for feature in alias.features:
                names[feature] = [*names[feature], *alias.names]
        for quantity in self.other_quantities:
            if quantity.feature in properties:
                allowed = _in_units(properties[quantity.feature], quantity.units)
                properties.update(dict.fromkeys(quantity.names, allowed))
                names[quantity.feature] = [*names[quantity.feature], *quantity.names]
        unscored = schema["not"]["properties"]
        for feature in tuple(unscored):
            unscored.update(dict.fromkeys(names[feature], True))
        schema["allOf"] = [_at_most_one_of(group) for group in names.values() if len(group) > 1]
        schema["description"] = (
            "Case, blanks, dashes and compatible characters make no difference in names. null is "
            "the same as leaving a feature out."
        )
        return schema


def _sent_twice(first: str, second: str) -> str:
    return f"Give either {shorten(first)} or {shorten(second)}, not both."


def _pointer_to(feature: str) -> str:
    """The reference to a feature's schema, in a schema of rows."""
    return f"#/properties/{quote(feature.replace('~', '~0').replace('/', '~1'), safe='~')}"


def _in_units(schema: dict[str, Any], units: tuple[OtherUnit, ...]) -> dict[str, Any]:
    """What a feature's schema allows in some of its units, and null."""
    folded = {fold(other.unit) for other in units}
    with_unit = [
        each
        for each in schema["anyOf"]
        if "properties" in each and fold(each["properties"]["unit"]["enum"][0]) in folded
    ]
    return {"anyOf": [*with_unit, {"type": "null"}]}


def _at_most_one_of(names: list[str]) -> dict[str, Any]:
    none = {"properties": dict.fromkeys(names, False)}
    return {"oneOf": [none, *({"required": [name]} for name in names)]}
