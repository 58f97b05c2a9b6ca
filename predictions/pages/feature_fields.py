"""The form's field of a feature, drawn from its signature: what it reads, its choices, its help."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from django import forms
from django.core.validators import MaxLengthValidator, ProhibitNullCharactersValidator
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from carprice.pages import widgets
from carprice.pages.formatting import short_number, translated
from carprice.pages.number_text import read_number
from mlmodels.presentation import feature_text
from mlmodels.signature import Feature

LONGEST_TEXT = 100  # characters in one field
FEW_CHOICES = 2  # stand side by side; more are a list
MANY_CHOICES = 12  # are searched by typing
UNKNOWN_CHOICE = gettext_lazy("Choose one of the list.")

_CHECKS = (MaxLengthValidator(LONGEST_TEXT), ProhibitNullCharactersValidator())


class NumberField(forms.Field):
    """Reads a number as people write it. Other text stays text, so that a draft can keep it."""

    widget = widgets.TextInput

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


class SearchedField(forms.Field):
    """Reads a choice by any of its names; the browser offers them while it is typed."""

    def __init__(self, feature: Feature, repair: Callable[[str], str], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.feature, self._repair = feature, repair
        self.options = [feature.display(choice) for choice in feature.choices or ()]

    def clean(self, value: Any) -> str:
        return str(self.named(_text(value)))

    def named(self, text: str) -> str:
        """The choice that a text names, or the text."""
        if not text.strip():
            return ""
        own: str = self.feature.with_own_names(self._repair(text))
        return own if own in (self.feature.choices or ()) else text


def _text(value: Any) -> str:
    """The text of a field, empty if blank. Raises ValidationError if it could not be stored."""
    text = "" if value is None else str(value)
    for check in _CHECKS:
        check(text)
    return text if text.strip() else ""


@dataclass(frozen=True)
class FeatureFields:
    """The field of a feature's value, and that of its unit if it has several."""

    value: forms.BoundField
    unit: forms.BoundField | None


def is_filled(field: forms.BoundField) -> bool:
    return bool(str(field.value() or "").strip())


def is_readable(feature: Feature, field: forms.BoundField) -> bool:
    text = str(field.value() or "")
    if feature.type == "category":
        named = field.field.named(text) if isinstance(field.field, SearchedField) else text
        return named in (feature.choices or ())
    return bool(text.strip()) and not why_unreadable(text)


def why_unreadable(text: str) -> str:
    """How to write a number that cannot be read; empty of one that can."""
    try:
        read_number(text)
    except ValueError as refusal:
        return str(refusal)
    return ""


class UnitSelect(widgets.Select):
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


def unit_name(feature: Feature) -> str:
    """The name of the field for a feature's unit."""
    return f"{feature.name} unit"


def unit_field(feature: Feature) -> forms.Field:
    return forms.ChoiceField(
        choices=[(unit, translated(unit)) for unit in feature.units],
        label=_("Unit of %(feature)s") % {"feature": translated(feature.label)},
        initial=feature.unit,
        required=False,
        widget=UnitSelect(feature),
        error_messages={"invalid_choice": UNKNOWN_CHOICE},
    )


def value_field(
    feature: Feature,
    html_name: str,
    text: str,
    *,
    is_derived: bool,
    repair: Callable[[str], str],
) -> forms.Field:
    """The field of a feature; `text` is what it has now, `repair` what is done to it first."""
    about: dict[str, Any] = {
        "required": False,
        "label": _label(feature),
        "help_text": _help(feature),
    }
    counted = {"data-counted": ""} if feature.scored else {}
    empty = _if_empty(feature, is_derived)
    if feature.type != "category":
        return NumberField(
            widget=widgets.TextInput(counted | _number_attributes(feature, empty)), **about
        )
    if len(feature.choices or ()) > MANY_CHOICES:
        attributes = {**counted, "autocomplete": "off", "placeholder": empty}
        attributes["list"] = f"id_{html_name}_options"
        return SearchedField(feature, repair, widget=widgets.TextInput(attributes), **about)
    choices = [(choice, translated(feature.display(choice))) for choice in feature.choices or ()]
    is_few = len(choices) <= FEW_CHOICES
    if text.strip() and text not in dict(choices):
        choices.append((text, text))  # it is kept beside its error
    choices.insert(0, ("", _("typical") if is_few and feature.scored else empty))
    widget = forms.RadioSelect(counted) if is_few else widgets.Select(counted)
    return CategoryField(choices=choices, widget=widget, **about)


def _label(feature: Feature) -> str:
    label = translated(feature.label)
    names_unit = feature.unit and not feature.other_units  # several have a field of their own
    return f"{label} ({translated(feature.unit)})" if names_unit else label


def _number_attributes(feature: Feature, empty: str) -> dict[str, str]:
    # The decimal keyboards of some phones have no minus sign.
    is_positive = feature.minimum is not None and feature.minimum >= 0
    attributes = {
        "inputmode": "decimal" if is_positive else "text",
        "autocomplete": "off",
        "placeholder": empty,
    }
    if feature.training_range:  # features.js makes a slider of it where one varies
        attributes |= dict(
            zip(("data-low", "data-high"), map(repr, feature.training_range), strict=True)
        )
        attributes["data-whole"] = "1" if feature.type == "integer" else ""
        attributes["data-start"] = "" if feature.default is None else str(feature.default)
    if feature.type == "integer" and not feature.other_units and feature.default is not None:
        attributes["data-typical"] = str(feature.default)  # features.js adds buttons that step
    return attributes


def _if_empty(feature: Feature, is_derived: bool) -> str:
    """What a field that is left empty says."""
    if not feature.scored:
        return ""
    if is_derived:
        return _("worked out, or typical")
    if feature.default is None:
        return _("typical if empty")
    unit = f" {translated(feature.unit)}" if feature.other_units else ""
    typical = f"{feature_text(feature, feature.default, digits=3)}{unit}"
    return _("typical: %(value)s") % {"value": typical}


def _help(feature: Feature) -> str:
    sentences = [translated(feature.help)] if feature.help else []
    if feature.training_range:
        low, high = (short_number(end, 3) for end in feature.training_range)
        unit = f" {translated(feature.unit)}" if feature.other_units else ""
        known = _("Known cases: %(low)s to %(high)s%(unit)s.")
        sentences.append(known % {"low": low, "high": high, "unit": unit})
    elif len(feature.choices or ()) <= FEW_CHOICES and feature.default is not None:
        typical = _("Typical: %(value)s.")
        sentences.append(typical % {"value": translated(feature.display(feature.default))})
    return " ".join(sentences)
