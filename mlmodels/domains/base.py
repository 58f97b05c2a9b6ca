"""What a domain is: its data, its features and the predictors that are built on them.

Domain modules are read by web processes too, so they import scikit-learn and pandas only inside
the functions that train.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from carprice.errors import InvalidInput
from mlmodels.signature import FeatureType, Signature

if TYPE_CHECKING:
    import pandas as pd
    from sklearn.pipeline import Pipeline

DATA_DIR = Path(__file__).resolve().parent.parent / "data"


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
    words: Mapping[str, str] = field(default_factory=dict)  # what a person reads for a choice


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
class Domain:
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
