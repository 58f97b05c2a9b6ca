"""Forms drawn from a signature: fields, defaults, limits and help are the predictor's own."""

import json
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from itertools import groupby
from operator import attrgetter
from typing import Any, Self

from django import forms
from django.core.validators import MaxLengthValidator, ProhibitNullCharactersValidator
from django.http import QueryDict

from carprice.http.errors import InvalidInput
from carprice.pages.forms import StrictForm, add_errors
from carprice.pages.number_text import read_number
from mlmodels.domains import DOMAINS
from mlmodels.domains.base import Domain
from mlmodels.models import Predictor
from mlmodels.signature import Feature, Signature
from predictions.models import Prediction
from predictions.pages.typed_texts import take_apart

MAIN_FEATURES = 9  # shown first; the others are folded away
LONGEST_TEXT = 100  # characters in one field
LONGEST_NOT_SHOWN = 80  # characters listed of a value that no field can show
UNKNOWN_CHOICE = "Choose one of the list."
NOTHING_GIVEN = "Fill in at least one value: with none, this would be the typical case."

_CHECKS = (MaxLengthValidator(LONGEST_TEXT), ProhibitNullCharactersValidator())


class NumberField(forms.Field):
    """Reads a number as people write it. Other text stays text, so that a draft can keep it."""

    widget = forms.TextInput

    def clean(self, value: Any) -> float | int | str:
        text = _text(value)
        try:
            return read_number(text)
        except ValueError:
            return text


class CategoryField(forms.ChoiceField):
    """Reads any text, one of the choices or not, so that a draft can keep it."""

    def clean(self, value: Any) -> str:
        return _text(value)


def _text(value: Any) -> str:
    """The text of a field, empty if blank. Raises ValidationError if it could not be stored."""
    text = "" if value is None else str(value)
    for check in _CHECKS:
        check(text)
    return text if text.strip() else ""


class FeaturesForm(StrictForm):
    """A field for each feature, and one for its unit if it has several.

    What is in a field is the person's; an empty one leaves its feature out, and says what is then
    taken instead. The form reads numbers and texts; the signature decides whether they are allowed.
    """

    def __init__(self, domain: Domain, signature: Signature, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.signature = signature
        self.minimum_given = min(domain.minimum_given, self.total)
        self._sentences: dict[str, str] = {}
        if self.is_bound:
            self._take_apart(domain)
        derived = {derivation.feature for derivation in domain.derivations}
        for feature in signature.features:
            text = str(self.data.get(self.add_prefix(feature.name), "")) if self.is_bound else ""
            self.fields[feature.name] = _field(feature, text, feature.name in derived)
            if feature.other_units:
                self.fields[_unit_name(feature)] = _unit_field(feature)

    def _take_apart(self, domain: Domain) -> None:
        """Have each number and each unit in its own field, for a text that has several of them."""
        parts = take_apart(
            domain,
            self.signature,
            {each.name: self._only_text(each.name) for each in self.signature.features},
            {each.name: self._only_text(_unit_name(each)) for each in self.signature.features},
        )
        self._sentences = parts.sentences
        changed = {self.add_prefix(name): text for name, text in parts.texts.items()}
        for feature in self.signature.features:
            if feature.other_units and feature.name in parts.units:
                changed[self.add_prefix(_unit_name(feature))] = parts.units[feature.name]
        if changed:
            data = self.data.copy() if isinstance(self.data, QueryDict) else dict(self.data)
            for name, text in changed.items():
                data[name] = text
            self.data = data

    def _only_text(self, name: str) -> str:
        """What is in a field; nothing if it was sent twice, which is refused."""
        sent_twice = len(self._values_of(name)) > 1
        return "" if sent_twice else str(self.data.get(self.add_prefix(name), ""))

    def add_prefix(self, field_name: str) -> str:
        """A field's name in HTML: the feature's, without blanks and brackets."""
        return _NOT_IN_NAMES.sub("_", field_name).strip("_")

    @classmethod
    def prefilled(cls, domain: Domain, signature: Signature, entered: "EnteredData") -> Self:
        """The form as it was filled in. The field of a value that cannot be shown is empty."""
        texts: dict[str, str] = {}
        for feature in signature.features:
            value, unit = entered.shown.get(feature.name), feature.unit
            if isinstance(value, dict):
                value, unit = value["value"], value["unit"]
            texts[feature.name] = "" if value is None else str(value)
            if feature.other_units:
                texts[_unit_name(feature)] = unit or ""
        unbound = cls(domain, signature)
        data = {unbound.add_prefix(name): text for name, text in texts.items()}
        return cls(domain, signature, data)

    @property
    def main_features(self) -> list["FeatureFields"]:
        return self._feature_fields[:MAIN_FEATURES]

    @property
    def more_features(self) -> list["FeatureFields"]:
        return self._feature_fields[MAIN_FEATURES:]

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
        """Whether a field that is folded away has an error or a value."""
        return any(field.value.errors or _is_filled(field.value) for field in self.more_features)

    @property
    def total(self) -> int:
        """How many features are passed to the predictor."""
        return len(self.signature.scored)

    @property
    def given(self) -> int:
        """How many of them are filled in with what can be read."""
        return sum(_is_readable(feature, self[feature.name]) for feature in self.signature.scored)

    @property
    def is_blank(self) -> bool:
        """Whether none of them is filled in, not even with what cannot be read."""
        return not any(_is_filled(self[feature.name]) for feature in self.signature.scored)

    @property
    def assumed(self) -> int:
        """How many of them are taken for typical."""
        return self.total - self.given

    @property
    def submitted_data(self) -> dict[str, Any]:
        """The value of every field that is filled in and could be stored."""
        return {
            feature.name: self._value_of(feature)
            for feature in self.signature.features
            if self.cleaned_data.get(feature.name, "") != ""
        }

    def _value_of(self, feature: Feature) -> Any:
        value = self.cleaned_data[feature.name]
        unit = self.cleaned_data.get(_unit_name(feature)) or feature.unit
        return value if unit == feature.unit else {"value": value, "unit": unit}

    def add_error(self, field: str | None, error: Any) -> None:
        if field and isinstance(error, str):
            error = self._own_sentence(field) or error
        super().add_error(field, error)

    def _own_sentence(self, field: str) -> str:
        """What the form says better than the signature, which knows neither texts nor lists."""
        if len(self._values_of(field)) > 1:
            return ""  # which is what is said of it
        if isinstance(self.fields[field], CategoryField):
            return UNKNOWN_CHOICE
        if field in self._sentences:
            return self._sentences[field]
        value = self.cleaned_data.get(field)
        if isinstance(self.fields[field], NumberField) and isinstance(value, str):
            return _why_unreadable(value)
        return ""

    def check(self) -> None:
        """Add what keeps it from being sold: the signature's errors, or that nothing is given."""
        if self.is_blank:
            self.add_error(None, NOTHING_GIVEN)
            return
        self.errors  # noqa: B018  # cleans it, if that has not been done yet
        try:
            self.signature.check(self.submitted_data)
        except InvalidInput as error:
            add_errors(self, error.errors)


@dataclass(frozen=True)
class FeatureFields:
    """The field of a feature's value, and that of its unit if it has several."""

    value: forms.BoundField
    unit: forms.BoundField | None


def _is_filled(field: forms.BoundField) -> bool:
    return bool(str(field.value() or "").strip())


def _is_readable(feature: Feature, field: forms.BoundField) -> bool:
    text = str(field.value() or "")
    if feature.type == "category":
        return text in (feature.choices or ())
    return bool(text.strip()) and not _why_unreadable(text)


def _why_unreadable(text: str) -> str:
    try:
        read_number(text)
    except ValueError as refusal:
        return str(refusal)
    return ""


class UnitSelect(forms.Select):
    """A list of units that carries how to convert from each, for `static/features.js`."""

    def __init__(self, feature: Feature) -> None:
        attributes = {"autocomplete": "off"}
        if feature.type == "integer":
            attributes["data-whole"] = ""
        super().__init__(attributes)
        self._others = {other.unit: other for other in feature.other_units}

    def create_option(self, name: str, value: Any, *args: Any, **kwargs: Any) -> dict[str, Any]:
        option = super().create_option(name, value, *args, **kwargs)
        if other := self._others.get(str(value)):
            option["attrs"] |= {
                "data-factor": repr(other.factor),
                "data-offset": repr(other.offset),
            }
            if other.reciprocal:
                option["attrs"]["data-reciprocal"] = ""
        return option


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
        widget=UnitSelect(feature),
        error_messages={"invalid_choice": UNKNOWN_CHOICE},
    )


def _field(feature: Feature, text: str, is_derived: bool) -> forms.Field:
    names_unit = feature.unit and not feature.other_units  # several have a field of their own
    label = f"{feature.label} ({feature.unit})" if names_unit else feature.label
    counted = {"data-counted": ""} if feature.scored else {}
    if feature.type == "category":
        choices = [(choice, feature.display(choice)) for choice in feature.choices or ()]
        if text.strip() and text not in dict(choices):
            choices.append((text, text))  # it is kept beside its error
        choices.insert(0, ("", _if_empty(feature, is_derived)))
        widget = forms.Select(counted)
        return CategoryField(
            choices=choices, required=False, label=label, help_text=feature.help, widget=widget
        )
    # The decimal keyboards of some phones have no minus sign.
    is_positive = feature.minimum is not None and feature.minimum >= 0
    attributes = {
        **counted,
        "inputmode": "decimal" if is_positive else "text",
        "autocomplete": "off",
        "placeholder": _if_empty(feature, is_derived),
    }
    return NumberField(
        required=False,
        label=label,
        help_text=_help(feature),
        widget=forms.TextInput(attributes),
    )


def _if_empty(feature: Feature, is_derived: bool) -> str:
    """What a field that is left empty says."""
    if not feature.scored:
        return ""
    if is_derived:
        return "worked out, or typical"
    if feature.default is None:
        return "typical if empty"
    unit = f" {feature.unit}" if feature.other_units else ""
    return f"typical: {feature.display(feature.default)}{unit}"


def _help(feature: Feature) -> str:
    sentences = [feature.help] if feature.help else []
    if feature.training_range:
        low, high = feature.training_range
        unit = f" {feature.unit}" if feature.other_units else ""
        sentences.append(f"Known cases: {low:g} to {high:g}{unit}.")
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
