"""Forms drawn from a signature: fields, defaults, limits and help are the predictor's own."""

import re
from dataclasses import dataclass
from itertools import groupby
from operator import attrgetter
from typing import Any, Self

from django import forms
from django.http import QueryDict
from django.utils.translation import gettext_lazy as _

from carprice.http.errors import InvalidInput
from carprice.pages.formatting import translated
from carprice.pages.forms import StrictForm, add_errors
from mlmodels.domains import DOMAINS
from mlmodels.domains.base import Domain, FeatureGroup
from mlmodels.models import Predictor
from mlmodels.signature import Feature, Signature
from predictions.models import Prediction
from predictions.pages.entered_data import EnteredData
from predictions.pages.feature_fields import (
    MANY_CHOICES,
    UNKNOWN_CHOICE,
    CategoryField,
    FeatureFields,
    NumberField,
    SearchedField,
    is_filled,
    is_readable,
    unit_field,
    unit_name,
    value_field,
    why_unreadable,
)
from predictions.pages.typed_texts import take_apart

NOTHING_GIVEN = _("Fill in at least one value: with none, this would be the typical case.")

_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9-]+")


class FeaturesForm(StrictForm):
    """A field for each feature, and one for its unit if it has several.

    What is in a field is the person's; an empty one leaves its feature out, and says what is then
    taken instead. The form reads numbers and texts; the signature decides whether they are allowed.
    """

    def __init__(self, domain: Domain, signature: Signature, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.domain, self.signature = domain, signature
        self.minimum_given = min(domain.minimum_given, self.total)
        self._sentences: dict[str, str] = {}
        if self.is_bound:
            self._take_apart(domain)
        derived = {derivation.feature for derivation in domain.derivations}
        for feature in signature.features:
            html_name = self.add_prefix(feature.name)
            self.fields[feature.name] = value_field(
                feature,
                html_name,
                str(self.data.get(html_name, "")) if self.is_bound else "",
                is_derived=feature.name in derived,
                repair=domain.repairs.get(feature.name, str),
            )
            if feature.other_units:
                self.fields[unit_name(feature)] = unit_field(feature)

    def _take_apart(self, domain: Domain) -> None:
        """Have each number and each unit in its own field, for a text that has several of them."""
        parts = take_apart(
            domain,
            self.signature,
            {each.name: self._only_text(each.name) for each in self.signature.features},
            {each.name: self._only_text(unit_name(each)) for each in self.signature.features},
        )
        self._sentences = parts.sentences
        changed = {self.add_prefix(name): text for name, text in parts.texts.items()}
        for feature in self.signature.features:
            if feature.other_units and feature.name in parts.units:
                changed[self.add_prefix(unit_name(feature))] = parts.units[feature.name]
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
    def prefilled(cls, domain: Domain, signature: Signature, entered: EnteredData) -> Self:
        """The form as it was filled in. The field of a value that cannot be shown is empty."""
        texts: dict[str, str] = {}
        for feature in signature.features:
            value, unit = entered.shown.get(feature.name), feature.unit
            if isinstance(value, dict):
                value, unit = value["value"], value["unit"]
            texts[feature.name] = "" if value is None else _shown(feature, value)
            if feature.other_units:
                texts[unit_name(feature)] = unit or ""
        unbound = cls(domain, signature)
        data = {unbound.add_prefix(name): text for name, text in texts.items()}
        return cls(domain, signature, data)

    @property
    def groups(self) -> list["FieldGroup"]:
        """The domain's groups; what is in none of them comes first if there are none, else last."""
        features = {feature.name: feature for feature in self.signature.features}
        grouped = {name for group in self.domain.groups for name in group.features}
        rest = tuple(name for name in features if name not in grouped)
        groups = [*self.domain.groups, FeatureGroup("", rest, is_open=not grouped)]
        return [
            FieldGroup(translated(group.title), group.is_open, fields)
            for group in groups
            if (fields := [self._fields_of(features[n]) for n in group.features if n in features])
        ]

    def _fields_of(self, feature: Feature) -> FeatureFields:
        unit = self[unit_name(feature)] if feature.other_units else None
        return FeatureFields(self[feature.name], unit)

    @property
    def typed(self) -> dict[str, str]:
        """Every field that is filled in, as it is in the form."""
        return {field.html_name: str(field.value()) for field in self if is_filled(field)}

    @property
    def total(self) -> int:
        """How many features are passed to the predictor."""
        return len(self.signature.scored)

    @property
    def given(self) -> int:
        """How many of them are filled in with what can be read."""
        return sum(is_readable(feature, self[feature.name]) for feature in self.signature.scored)

    @property
    def is_blank(self) -> bool:
        """Whether none of them is filled in, not even with what cannot be read."""
        return not any(is_filled(self[feature.name]) for feature in self.signature.scored)

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
        unit = self.cleaned_data.get(unit_name(feature)) or feature.unit
        return value if unit == feature.unit else {"value": value, "unit": unit}

    def add_error(self, field: str | None, error: Any) -> None:
        if field and isinstance(error, str):
            error = self._own_sentence(field) or error
        super().add_error(field, error)

    def _own_sentence(self, field: str) -> str:
        """What the form says better than the signature, which knows neither texts nor lists."""
        if len(self._values_of(field)) > 1:
            return ""  # which is what is said of it
        if isinstance(self.fields[field], CategoryField | SearchedField):
            return str(UNKNOWN_CHOICE)
        if field in self._sentences:
            return self._sentences[field]
        value = self.cleaned_data.get(field)
        if isinstance(self.fields[field], NumberField) and isinstance(value, str):
            return why_unreadable(value)
        return ""

    def check(self) -> None:
        """Add what keeps it from being sold: the signature's errors, or that nothing is given."""
        if self.is_blank:
            self.add_error(None, str(NOTHING_GIVEN))
            return
        self.errors  # noqa: B018  # cleans it, if that has not been done yet
        try:
            self.signature.check(self.submitted_data)
        except InvalidInput as error:
            add_errors(self, error.errors)


@dataclass(frozen=True)
class FieldGroup:
    """Fields under one title; if it is not open, they are folded away unless they must show."""

    title: str
    is_open: bool
    fields: list[FeatureFields]

    @property
    def must_show(self) -> bool:
        """Whether a field has an error or a value."""
        return any(field.value.errors or is_filled(field.value) for field in self.fields)

    @property
    def assumed(self) -> int:
        """How many of its features are taken for typical."""
        return sum(
            "data-counted" in field.value.field.widget.attrs and not is_filled(field.value)
            for field in self.fields
        )


def _shown(feature: Feature, value: Any) -> str:
    """The text of a value in its field; what is searched by its name stands by its name there."""
    if feature.type == "category" and len(feature.choices or ()) > MANY_CHOICES:
        return feature.display(value)
    return str(value)


# --- The history ---------------------------------------------------------------------------------


class HistoryFilter(forms.Form):
    """Which predictions to list."""

    _messages = {"invalid_choice": UNKNOWN_CHOICE}

    status = forms.ChoiceField(
        required=False,
        label=_("Status"),
        choices=[("", _("Any"))],
        error_messages=_messages,
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        status: Any = self.fields["status"]
        statuses = [(value, translated(str(label))) for value, label in Prediction.Status.choices]
        status.choices = [*status.choices, *statuses]
        rows = Predictor.objects.order_by("domain", "price", "name")
        groups = [
            (
                translated(DOMAINS[domain].title),
                [(row.name, translated(row.title)) for row in group],
            )
            for domain, group in groupby(rows, key=attrgetter("domain"))
        ]
        self.fields["predictor"] = forms.ChoiceField(
            required=False,
            label=_("Predictor"),
            choices=[("", _("Any")), *groups],
            error_messages=self._messages,
        )

    def chosen(self, field: str) -> str:
        """What a field is set to; empty for any, and for what is not one of its choices."""
        return str(self.cleaned_data.get(field, ""))
