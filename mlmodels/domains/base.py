"""What a domain is: its data, its features and the predictors that are trained on them.

Domain modules are read by web processes too, so they import scikit-learn and pandas only inside
the functions that train.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from carprice.http.errors import InvalidInput
from mlmodels.signature import FeatureType, Inputs, OtherUnit, Signature, Value

if TYPE_CHECKING:
    import pandas as pd
    from sklearn.pipeline import Pipeline

DATA_DIR = Path(__file__).resolve().parent.parent / "data"


def paragraphs(text: str) -> tuple[str, ...]:
    """Split a text at its blank lines, and undo the line breaks within each paragraph."""
    return tuple(" ".join(part.split()) for part in text.split("\n\n"))


@dataclass(frozen=True)
class FeatureSpec:
    """What the data cannot say of a feature: its meaning, unit and hard limits.

    The fields are those of `mlmodels.signature.Feature`; training adds what the data say. An
    `optional` feature may be missing in the data too. One that is not `scored` is not in the data.
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


@dataclass(frozen=True)
class Alias:
    """Another name under which a caller may send a text instead of the value of `feature`.

    `convert` turns the text into the feature's value. `pattern` takes the feature's choices and
    returns the regular expression, for JSON Schema, of every text that `convert` turns into one
    of them.
    """

    feature: str
    convert: Callable[[str], str]
    pattern: Callable[[Sequence[str]], str]


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
class Domain:
    """A subject of predictions: its data and features, its predictors, and texts for their users.

    `load` reads the data file and returns the scored features and, as the last column, the target.

    Three fields have paragraphs for users: `source` says where the data come from and under what
    license, `faults` what is wrong with the data and what was done about it, and `out_of_scope`
    what the predictors must not be used for.

    `relative_errors` says that errors grow with the predicted value, so that the width of a range
    is a fraction of it; otherwise the width is in the target's unit. `age_gap_to` is an unscored
    feature that a result is compared with. `comparable_by` are the features by which the distance
    of known cases is measured. `group` is a feature whose values are left out in turn, to measure
    the predictors on groups they have not seen.
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
    aliases: Mapping[str, Alias] = field(default_factory=dict)
    source: tuple[str, ...] = ()
    faults: tuple[str, ...] = ()
    out_of_scope: tuple[str, ...] = ()
    decimals: int = 1  # of a value, wherever a person reads it
    relative_errors: bool = False
    derivations: tuple[Derivation, ...] = ()
    plausibility_checks: tuple[PlausibilityCheck, ...] = ()
    age_gap_to: str | None = None
    comparable_by: tuple[str, ...] = ()
    group: str | None = None

    @property
    def scored(self) -> list[FeatureSpec]:
        """The features that are passed to the predictors."""
        return [feature for feature in self.features if feature.scored]

    @property
    def data_path(self) -> Path:
        return DATA_DIR / self.data_file

    def resolve_aliases(self, data: Mapping[str, Any]) -> dict[str, Any]:
        """Replace aliases by their features. Raises InvalidInput if both are given."""
        resolved = dict(data)
        for name, alias in self.aliases.items():
            if name not in resolved:
                continue
            value = resolved.pop(name)
            if alias.feature in resolved:
                raise InvalidInput({name: [f"Give either {alias.feature} or {name}, not both."]})
            if not isinstance(value, str):
                raise InvalidInput({name: ["Enter a text."]})
            resolved[alias.feature] = alias.convert(value)
        return resolved

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
        """JSON Schema (2020-12) of one row as a caller may send it, aliases included."""
        schema = signature.json_schema()
        for name, alias in self.aliases.items():
            choices = schema["properties"][alias.feature]["enum"]
            schema["properties"][name] = {"type": "string", "pattern": alias.pattern(choices)}
        if self.aliases:
            schema["allOf"] = [
                {"not": {"required": [alias.feature, name]}} for name, alias in self.aliases.items()
            ]
        return schema
