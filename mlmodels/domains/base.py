"""What a domain is: its data, its features and the predictors that are built on them.

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
    """The paragraphs of a text, whose lines may end anywhere."""
    return tuple(" ".join(part.split()) for part in text.split("\n\n"))


@dataclass(frozen=True)
class FeatureSpec:
    """What the data cannot tell of a feature: its meaning, unit and hard limits (inclusive)."""

    name: str
    label: str
    type: FeatureType
    unit: str | None = None
    minimum: float | None = None
    maximum: float | None = None
    help: str = ""
    choice_labels: Mapping[str, str] = field(default_factory=dict)
    optional: bool = False  # may be missing: the predictors fill it in
    scored: bool = True  # False: no feature, and not in the data
    other_units: tuple[OtherUnit, ...] = ()


@dataclass(frozen=True)
class Alias:
    """A field that may be sent instead of `feature`; `convert` makes the feature's value of it.

    `pattern` tells JSON Schema the same: of the feature's choices it makes the regular expression
    of every text that `convert` turns into one of them.
    """

    feature: str
    convert: Callable[[str], str]
    pattern: Callable[[Sequence[str]], str]


@dataclass(frozen=True)
class PredictorSpec:
    """One entry of the catalogue: a name, words about it, and how to build it unfitted."""

    name: str
    title: str
    algorithm: str
    summary: str
    build: Callable[[], Pipeline]


@dataclass(frozen=True)
class Derivation:
    """How a feature that was left out follows from others, if at least one of those was given."""

    feature: str
    sources: tuple[str, ...]
    of: Callable[..., float]  # of the sources' values, none of them null


@dataclass(frozen=True)
class Doubt:
    """What is odd about values that are each allowed: a sentence to tell, or none."""

    features: tuple[str, ...]  # whose values `judge` takes, none of them null
    judge: Callable[..., str]


@dataclass(frozen=True)
class Domain:
    """A subject: what is predicted, from what, and how its predictors are built and judged.

    `load` gives the scored features and, as the last column, the target. `source` tells where the
    data come from and under what licence, `faults` what is wrong with them and what was done about
    each, `purpose` what the predictors must not be used for: each a tuple of paragraphs.
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
    purpose: tuple[str, ...] = ()
    errors_grow: bool = False  # with the predicted value, so that ranges are a fraction of it
    derivations: tuple[Derivation, ...] = ()
    doubts: tuple[Doubt, ...] = ()
    age_gap_to: str | None = None  # an unscored feature, the age that a result is compared with
    comparable_by: tuple[str, ...] = ()  # features that say how near known cases are
    group: str | None = None  # a feature whose values, each left out in turn, test the predictors

    @property
    def scored(self) -> list[FeatureSpec]:
        """The features that predictors use."""
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

    def complete(self, inputs: Inputs) -> Inputs:
        """Derive what was left out from what was given: more than a typical value is known of it.

        Derived features still count as left out.
        """
        values = dict(inputs.data)
        for derivation in self.derivations:
            sources = {name: values.get(name) for name in derivation.sources}
            given = set(sources) - set(inputs.defaulted)
            if derivation.feature in inputs.defaulted and given and None not in sources.values():
                values[derivation.feature] = derivation.of(*sources.values())
        return replace(inputs, data=values)

    def age_gap_of(self, value: float, data: Mapping[str, Value]) -> float | None:
        """By how much a prediction exceeds the age that was entered, if one was."""
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
