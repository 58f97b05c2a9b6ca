"""Data as it was entered, which may be wrong or have any shape."""

import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Self

from carprice.http.errors import InvalidInput
from mlmodels.domains import DOMAINS
from mlmodels.domains.base import Domain
from mlmodels.signature import Feature, Signature
from predictions.models import Prediction
from predictions.pages.feature_fields import LONGEST_TEXT

LONGEST_NOT_SHOWN = 80  # characters listed of a value that no field can show


@dataclass(frozen=True)
class EnteredData:
    """What a form can show of data, and what it cannot.

    `shown` is what a form can show of it, by feature; `not_shown` is the rest, by name.
    """

    shown: Mapping[str, Any]
    not_shown: Mapping[str, Any]

    @classmethod
    def of_prediction(cls, row: Prediction, signature: Signature) -> Self:
        """What its user entered, without the typical values that were filled in for the rest."""
        data = row.data
        if row.defaulted:
            data = {name: value for name, value in data.items() if name not in row.defaulted}
        data = {**data, **row.entered} if row.entered else data
        return cls.of(DOMAINS[row.predictor.domain], signature, data)

    @classmethod
    def of(cls, domain: Domain, signature: Signature, data: Any) -> Self:
        if not isinstance(data, dict):
            return cls({}, {"data": data})
        # An alias that cannot be resolved stays in the data, as something that is not shown.
        with suppress(InvalidInput):
            data = signature.with_own_names(domain.resolve_aliases(data))
        features = {feature.name: feature for feature in signature.features}
        shown = {
            name: value
            for name, value in data.items()
            if name in features and _can_show(features[name], value)
        }
        return cls(shown, {name: value for name, value in data.items() if name not in shown})

    @property
    def not_shown_texts(self) -> list[tuple[str, str]]:
        return [
            (_shorten(name), _shorten(json.dumps(value, ensure_ascii=False)))
            for name, value in self.not_shown.items()
        ]


def _can_show(feature: Feature, value: Any) -> bool:
    """Whether the feature's field can show a value, allowed or not."""
    if value is None:
        return True
    if isinstance(value, str):  # whatever was typed
        return len(value) <= LONGEST_TEXT
    if isinstance(value, dict) and feature.other_units:
        return (
            set(value) == {"value", "unit"}
            and value["unit"] in feature.units
            and _can_show(feature, value["value"])
        )
    if feature.type == "category":
        return False
    return isinstance(value, int | float) and not isinstance(value, bool)


def _shorten(text: str) -> str:
    return text if len(text) <= LONGEST_NOT_SHOWN else f"{text[:LONGEST_NOT_SHOWN]}…"
