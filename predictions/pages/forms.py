"""Forms drawn from a signature: fields, defaults, limits and help are the predictor's own."""

import json
import math
import re
from collections.abc import Container, Mapping
from contextlib import suppress
from dataclasses import dataclass
from itertools import groupby
from operator import attrgetter
from typing import Any, Self

from django import forms
from django.core.validators import MaxLengthValidator, ProhibitNullCharactersValidator

from carprice.http.errors import InvalidInput
from carprice.pages.forms import StrictForm, add_errors
from mlmodels.domains import DOMAINS
from mlmodels.domains.base import Domain
from mlmodels.models import Predictor
from mlmodels.signature import Feature, Signature
from predictions.models import Prediction

MAIN_FEATURES = 9  # shown first; the others are folded away, with typical values filled in
LONGEST_TEXT = 100  # characters in one field
LONGEST_NOT_SHOWN = 80  # characters listed of a value that no field can show
UNKNOWN_CHOICE = "Choose one of the list."

_CHECKS = (MaxLengthValidator(LONGEST_TEXT), ProhibitNullCharactersValidator())


class NumberField(forms.Field):
    """Reads a number. Text that is not one stays text, so that a draft can keep it."""

    widget = forms.NumberInput

    def clean(self, value: Any) -> float | int | str:
        text = _text(value)
        try:
            number = float(text) if text.isascii() and "_" not in text else math.nan
        except ValueError:
            return text
        if not math.isfinite(number):
            return text
        return int(number) if number.is_integer() else number


class CategoryField(forms.ChoiceField):
    """Reads any text, one of the choices or not, so that a draft can keep it."""

    def clean(self, value: Any) -> str:
        return _text(value)


def _text(value: Any) -> str:
    """The text of a field. Raises ValidationError if it could not be stored."""
    text = "" if value is None else str(value)
    for check in _CHECKS:
        check(text)
    return text


class FeaturesForm(StrictForm):
    """A field for each feature, and one for its unit if it has several.

    It reads numbers and texts; the signature decides whether they are allowed. A field that still
    has its typical value was not filled in, unless its feature is one of `entered_before`.
    """

    def __init__(
        self, signature: Signature, *args: Any, entered_before: Container[str] = (), **kwargs: Any
    ) -> None:
        super().__init__(*args, **kwargs)
        self.signature = signature
        self.entered_before = entered_before
        for feature in signature.features:
            text = self.data.get(self.add_prefix(feature.name)) if self.is_bound else None
            self.fields[feature.name] = _field(feature, text if self.is_bound else feature.default)
            if feature.other_units:
                self.fields[_unit_name(feature)] = _unit_field(feature)

    def add_prefix(self, field_name: str) -> str:
        """A field's name in HTML: the feature's, without blanks and brackets."""
        return _NOT_IN_NAMES.sub("_", field_name).strip("_")

    @classmethod
    def prefilled(cls, signature: Signature, entered: "EnteredData") -> Self:
        """The form as it was filled in, with typical values where it was not.

        The field of a value that cannot be shown is empty.
        """
        texts: dict[str, str] = {}
        for feature in signature.features:
            value, unit = entered.shown.get(feature.name, feature.default), feature.unit
            if feature.name in entered.not_shown:
                value = None
            elif isinstance(value, dict):
                value, unit = value["value"], value["unit"]
            texts[feature.name] = _field_text(value)
            if feature.other_units:
                texts[_unit_name(feature)] = unit or ""
        unbound = cls(signature)
        data = {unbound.add_prefix(name): text for name, text in texts.items()}
        return cls(signature, data, entered_before=entered.shown)

    @property
    def main_features(self) -> list["FeatureFields"]:
        return self._feature_fields[:MAIN_FEATURES]

    @property
    def more_features(self) -> list["FeatureFields"]:
        return self._feature_fields[MAIN_FEATURES:]

    @property
    def may_stay_empty(self) -> bool:
        """Whether most features may be left empty, so that no typical value stands for them."""
        optional = [feature.optional for feature in self.signature.scored]
        return 2 * sum(optional) > len(optional)

    @property
    def _feature_fields(self) -> list["FeatureFields"]:
        return [
            FeatureFields(
                self[feature.name], self[_unit_name(feature)] if feature.other_units else None
            )
            for feature in self.signature.features
        ]

    @property
    def more_is_open(self) -> bool:
        """Whether a field that is folded away has an error, or a value that is not typical."""
        typical = {
            feature.name: _field_text(feature.default) for feature in self.signature.features
        }
        return any(
            field.errors or _field_text(field.value()) != typical[field.name]
            for field in (feature.value for feature in self.more_features)
        )

    @property
    def submitted_data(self) -> dict[str, Any]:
        """What the person filled in, now or before; if that is nothing, the typical case."""
        values = self.values
        changed = {
            feature.name: values[feature.name]
            for feature in self.signature.features
            if feature.name in values
            and (feature.name in self.entered_before or values[feature.name] != feature.default)
        }
        return changed or values

    @property
    def values(self) -> dict[str, Any]:
        """The value of every field that could be read, typical or not."""
        return {
            feature.name: self._value_of(feature)
            for feature in self.signature.features
            if feature.name in self.cleaned_data
        }

    def _value_of(self, feature: Feature) -> Any:
        value = self.cleaned_data[feature.name]
        if value == "" and feature.optional:
            return None
        unit = self.cleaned_data.get(_unit_name(feature)) or feature.unit
        return value if unit == feature.unit else {"value": value, "unit": unit}

    def add_error(self, field: str | None, error: Any) -> None:
        # The signature's message lists all choices by their codes; the select shows them.
        if isinstance(error, str) and isinstance(self.fields.get(field or ""), CategoryField):
            error = UNKNOWN_CHOICE
        super().add_error(field, error)

    def check(self) -> None:
        """Add the signature's errors to their fields."""
        self.full_clean()
        try:
            self.signature.check(self.submitted_data)
        except InvalidInput as error:
            add_errors(self, error.errors)


@dataclass(frozen=True)
class FeatureFields:
    """The field of a feature's value, and that of its unit if it has several."""

    value: forms.BoundField
    unit: forms.BoundField | None


_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9-]+")


def _unit_name(feature: Feature) -> str:
    """The name of the field for a feature's unit."""
    return f"{feature.name} unit"


def _unit_field(feature: Feature) -> forms.Field:
    return forms.ChoiceField(
        choices=[(unit, unit) for unit in feature.units],
        label=f"Unit of {feature.label}",
        initial=feature.unit,
        required=False,
        error_messages={"invalid_choice": UNKNOWN_CHOICE},
    )


def _field_text(value: Any) -> str:
    """A value as a field shows it: nothing for a feature that was not measured."""
    return "" if value is None else str(value)


def _field(feature: Feature, value: Any) -> forms.Field:
    names_unit = feature.unit and not feature.other_units  # several have a field of their own
    label = f"{feature.label} ({feature.unit})" if names_unit else feature.label
    if feature.type == "category":
        choices = [(choice, feature.display(choice)) for choice in feature.choices or ()]
        # Where no option is selected, browsers show the first one as if it were chosen.
        if value not in dict(choices):
            choices.insert(0, ("", "Choose one"))
        return CategoryField(
            choices=choices, label=label, initial=feature.default, help_text=feature.help
        )
    # Limits are in the feature's own unit, so they would be wrong for a value in another.
    limits = {} if feature.other_units else {"min": feature.minimum, "max": feature.maximum}
    step = "1" if feature.type == "integer" and not feature.other_units else "any"
    return NumberField(
        required=not feature.optional,
        label=label,
        initial=feature.default,
        help_text=_help(feature),
        widget=forms.NumberInput({**limits, "step": step}),
    )


def _help(feature: Feature) -> str:
    sentences = [feature.help] if feature.help else []
    if feature.training_range:
        low, high = feature.training_range
        unit = f" {feature.unit}" if feature.other_units else ""
        sentences.append(f"Known cases: {low:g} to {high:g}{unit}.")
    if feature.optional:
        sentences.append("May stay empty.")
    return " ".join(sentences)


# --- Data as it was entered ---------------------------------------------------------------------


@dataclass(frozen=True)
class EnteredData:
    """Data as it was entered, which may be wrong or have any shape.

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
    if value == "" or (value is None and feature.optional):
        return True
    if isinstance(value, dict) and feature.other_units:
        return (
            set(value) == {"value", "unit"}
            and value["unit"] in feature.units
            and _can_show(feature, value["value"])
        )
    if feature.type == "category":
        return isinstance(value, str) and value in (feature.choices or ())
    return isinstance(value, int | float) and not isinstance(value, bool)


def _shorten(text: str) -> str:
    return text if len(text) <= LONGEST_NOT_SHOWN else f"{text[:LONGEST_NOT_SHOWN]}…"


# --- The history ---------------------------------------------------------------------------------


class HistoryFilter(forms.Form):
    """Which predictions to list."""

    _messages = {"invalid_choice": UNKNOWN_CHOICE}

    status = forms.ChoiceField(
        required=False,
        choices=[("", "Any"), *Prediction.Status.choices],
        error_messages=_messages,
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        rows = Predictor.objects.order_by("domain", "price", "name")
        groups = [
            (DOMAINS[domain].title, [(row.name, row.title) for row in group])
            for domain, group in groupby(rows, key=attrgetter("domain"))
        ]
        self.fields["predictor"] = forms.ChoiceField(
            required=False, choices=[("", "Any"), *groups], error_messages=self._messages
        )

    def chosen(self, field: str) -> str:
        """What a field is set to; empty for any, and for what is not one of its choices."""
        return str(self.cleaned_data.get(field, ""))
