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

MAIN_FEATURES = 9  # shown first; the others wait folded, with typical values filled in
LONGEST_TEXT = 100  # characters in one field
LONGEST_WORDS = 80  # characters shown of a value that no field can show

_CHECKS = (MaxLengthValidator(LONGEST_TEXT), ProhibitNullCharactersValidator())


class NumberField(forms.Field):
    """Reads a number; what is none stays text."""

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
    """Reads any text, one of the choices or not."""

    def clean(self, value: Any) -> str:
        return _text(value)


def _text(value: Any) -> str:
    """What a field was sent, as long as it can be kept. Raises ValidationError."""
    text = "" if value is None else str(value)
    for check in _CHECKS:
        check(text)
    return text


class FeaturesForm(StrictForm):
    """Reads numbers and texts; whether they are allowed, the signature says in its own words.

    `kept` are features that were entered before: they are sent again even where they are typical.
    """

    def __init__(
        self, signature: Signature, *args: Any, kept: Container[str] = (), **kwargs: Any
    ) -> None:
        super().__init__(*args, **kwargs)
        self.signature = signature
        self.kept = kept
        for feature in signature.features:
            text = self.data.get(self.add_prefix(feature.name)) if self.is_bound else None
            self.fields[feature.name] = _field(feature, text if self.is_bound else feature.default)
            if feature.other_units:
                self.fields[_unit_of(feature)] = _unit_field(feature)

    def add_prefix(self, field_name: str) -> str:
        """A field's name in HTML, where blanks and brackets of a feature's would be in the way."""
        return _NOT_IN_NAMES.sub("_", field_name).strip("_")

    @classmethod
    def prefilled(cls, signature: Signature, entered: "EnteredData") -> Self:
        """The form as it was filled in."""
        texts = {
            feature.name: "" if feature.name in entered.not_shown else _shown(feature.default)
            for feature in signature.features
        }
        texts.update(
            {
                _unit_of(feature): feature.unit or ""
                for feature in signature.features
                if feature.other_units
            }
        )
        for name, value in entered.shown.items():
            if isinstance(value, dict):
                texts[name], texts[f"{name} unit"] = _shown(value["value"]), value["unit"]
            else:
                texts[name] = _shown(value)
        naming = cls(signature)
        named = {naming.add_prefix(name): text for name, text in texts.items()}
        return cls(signature, named, kept=entered.shown)

    @property
    def main_fields(self) -> list["Entry"]:
        return self._entries[:MAIN_FEATURES]

    @property
    def more_fields(self) -> list["Entry"]:
        return self._entries[MAIN_FEATURES:]

    @property
    def may_stay_empty(self) -> bool:
        """Whether most features may be left out for good, instead of being taken for typical."""
        optional = [feature.optional for feature in self.signature.scored]
        return 2 * sum(optional) > len(optional)

    @property
    def _entries(self) -> list["Entry"]:
        return [
            Entry(self[feature.name], self[_unit_of(feature)] if feature.other_units else None)
            for feature in self.signature.features
        ]

    @property
    def more_is_open(self) -> bool:
        """Whether what is folded away has something to see."""
        typical = {feature.name: _shown(feature.default) for feature in self.signature.features}
        return any(
            entry.field.errors or _shown(entry.field.value()) != typical[entry.field.name]
            for entry in self.more_fields
        )

    @property
    def submitted_data(self) -> dict[str, Any]:
        """What the person changed or entered before; if that is nothing, the typical case."""
        values = self.values
        changed = {
            feature.name: values[feature.name]
            for feature in self.signature.features
            if feature.name in values
            and (feature.name in self.kept or values[feature.name] != feature.default)
        }
        return changed or values

    @property
    def values(self) -> dict[str, Any]:
        """Everything that is filled in."""
        return {
            feature.name: self._value_of(feature)
            for feature in self.signature.features
            if feature.name in self.cleaned_data
        }

    def _value_of(self, feature: Feature) -> Any:
        value = self.cleaned_data[feature.name]
        if value == "" and feature.optional:
            return None
        unit = self.cleaned_data.get(_unit_of(feature)) or feature.unit
        return value if unit == feature.unit else {"value": value, "unit": unit}

    def add_error(self, field: str | None, error: Any) -> None:
        if isinstance(error, str) and isinstance(self.fields.get(field or ""), CategoryField):
            error = "Choose one of the list."  # which is seen there, in better words
        super().add_error(field, error)

    def check(self) -> None:
        """Show at its field what the signature would refuse."""
        self.full_clean()
        try:
            self.signature.check(self.submitted_data)
        except InvalidInput as error:
            add_errors(self, error.errors)


@dataclass(frozen=True)
class Entry:
    """A feature's field, and the one that says in which unit, if there are several."""

    field: forms.BoundField
    unit: forms.BoundField | None


_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9-]+")


def _unit_of(feature: Feature) -> str:
    """The name of the field for a feature's unit."""
    return f"{feature.name} unit"


def _unit_field(feature: Feature) -> forms.Field:
    choices = [(unit, unit) for unit in feature.units]
    unknown = {"invalid_choice": "Choose one of the list."}
    return forms.ChoiceField(
        choices=choices,
        label=f"Unit of {feature.label}",
        initial=feature.unit,
        required=False,
        error_messages=unknown,
    )


def _shown(value: Any) -> str:
    """A value as a field shows it; of what was not measured, nothing."""
    return "" if value is None else str(value)


def _field(feature: Feature, value: Any) -> forms.Field:
    has_unit = feature.unit and not feature.other_units  # otherwise a field of its own tells it
    label = f"{feature.label} ({feature.unit})" if has_unit else feature.label
    if feature.type == "category":
        choices = [(choice, feature.display(choice)) for choice in feature.choices or ()]
        if value not in dict(choices):  # a browser would show the first as if it were chosen
            choices.insert(0, ("", "Choose one"))
        return CategoryField(
            choices=choices, label=label, initial=feature.default, help_text=feature.help
        )
    limits = {"min": feature.minimum, "max": feature.maximum}
    if feature.other_units:
        limits = {}  # they are those of the feature's own unit
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


# --- Data as a person entered them --------------------------------------------------------------


@dataclass(frozen=True)
class EnteredData:
    """Data that may be wrong: what a form can show of it, by feature, and the rest, by name."""

    shown: Mapping[str, Any]
    not_shown: Mapping[str, Any]

    @classmethod
    def of_prediction(cls, row: Prediction, signature: Signature) -> Self:
        """What a prediction was asked with; what it took for typical is left out."""
        data = row.data
        if row.defaulted:
            data = {name: value for name, value in data.items() if name not in row.defaulted}
        data = {**data, **row.entered} if row.entered else data
        return cls.of(DOMAINS[row.predictor.domain], signature, data)

    @classmethod
    def of(cls, domain: Domain, signature: Signature, data: Any) -> Self:
        if not isinstance(data, dict):
            return cls({}, {"data": data})
        with suppress(InvalidInput):  # then the alias is among what cannot be shown
            data = domain.resolve_aliases(data)
        features = {feature.name: feature for feature in signature.features}
        shown = {
            name: value
            for name, value in data.items()
            if name in features and _fits(features[name], value)
        }
        return cls(shown, {name: value for name, value in data.items() if name not in shown})

    @property
    def not_shown_texts(self) -> list[tuple[str, str]]:
        return [
            (_shorten(name), _shorten(json.dumps(value, ensure_ascii=False)))
            for name, value in self.not_shown.items()
        ]


def _fits(feature: Feature, value: Any) -> bool:
    """Whether the feature's field can show a value, allowed or not."""
    if value == "" or (value is None and feature.optional):
        return True
    if isinstance(value, dict) and feature.other_units:
        return (
            set(value) == {"value", "unit"}
            and value["unit"] in feature.units
            and _fits(feature, value["value"])
        )
    if feature.type == "category":
        return isinstance(value, str) and value in (feature.choices or ())
    return isinstance(value, int | float) and not isinstance(value, bool)


def _shorten(text: str) -> str:
    return text if len(text) <= LONGEST_WORDS else f"{text[:LONGEST_WORDS]}…"


# --- The history ---------------------------------------------------------------------------------


class HistoryFilter(forms.Form):
    """Which predictions to list."""

    _unknown = {"invalid_choice": "Choose one of the list."}

    status = forms.ChoiceField(
        required=False,
        choices=[("", "Any"), *Prediction.Status.choices],
        error_messages=_unknown,
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        rows = Predictor.objects.order_by("domain", "price", "name")
        groups = [
            (DOMAINS[domain].title, [(row.name, row.title) for row in group])
            for domain, group in groupby(rows, key=attrgetter("domain"))
        ]
        self.fields["predictor"] = forms.ChoiceField(
            required=False, choices=[("", "Any"), *groups], error_messages=self._unknown
        )

    @property
    def status_chosen(self) -> str:
        return str(self.cleaned_data.get("status", ""))

    @property
    def predictor_chosen(self) -> str:
        return str(self.cleaned_data.get("predictor", ""))
