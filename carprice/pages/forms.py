"""The base form of pages, and a number field: each value once, valid text, numbers as written."""

from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.forms.renderers import DjangoTemplates
from django.http import QueryDict
from django.utils.translation import gettext as _

from carprice.pages.number_text import read_whole_number

MAX_VALUE_LENGTH = 10_000  # more than any field takes


class StrictForm(forms.Form):
    """Refuses a repeated field, of which Django would take the last, and what is not UTF-8.

    A value that is far too long is cut, and is still too long: neither checking it nor showing it
    again costs more than it must.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if isinstance(self.data, QueryDict):
            self.data = _cut(self.data)

    def clean(self) -> dict[str, Any] | None:
        for name in self.fields:
            values = self._values_of(name)
            if len(values) > 1:
                self.add_error(name, _("Give this once."))
            elif any("\N{REPLACEMENT CHARACTER}" in value for value in values):
                self.add_error(name, _("The text contains what is no character."))
        return super().clean()

    def _values_of(self, name: str) -> list[str]:
        getlist = getattr(self.data, "getlist", None)  # a plain mapping has one value of each
        return getlist(self.add_prefix(name)) if getlist else []


def _cut(data: QueryDict) -> QueryDict:
    """The same with each value cut to MAX_VALUE_LENGTH."""
    if all(len(value) <= MAX_VALUE_LENGTH for _, values in data.lists() for value in values):
        return data
    cut = data.copy()
    for name, values in data.lists():
        cut.setlist(name, [str(value)[:MAX_VALUE_LENGTH] for value in values])
    return cut


class _ShortBoundField(forms.BoundField):
    """Shows no more of a value than MAX_VALUE_LENGTH, as escaping may make six of a character."""

    def value(self) -> Any:
        value = super().value()
        return value[:MAX_VALUE_LENGTH] if isinstance(value, str) else value


class FormRenderer(DjangoTemplates):
    """For all forms, those of the admin too."""

    bound_field_class = _ShortBoundField


class IntegerField(forms.IntegerField):
    """A whole number as people write it.

    A browser's own number field would send nothing of what it cannot read, and show it no more.
    """

    widget = forms.TextInput

    def widget_attrs(self, widget: forms.Widget) -> dict[str, Any]:
        attributes = super().widget_attrs(widget)
        # The keys that phones show for numbers have no minus.
        has_minus = not isinstance(self.min_value, int) or self.min_value < 0
        return attributes if has_minus else {**attributes, "inputmode": "numeric"}

    def to_python(self, value: Any) -> int | None:
        if value in self.empty_values or not str(value).strip():
            return None
        try:
            return read_whole_number(str(value))
        except ValueError as error:
            raise ValidationError(str(error), code="invalid") from None


def add_errors(form: forms.Form, errors: dict[str, list[str]]) -> None:
    for field, messages in errors.items():
        for message in messages:
            known = field if field in form.fields else None
            form.add_error(known, message if known else f"{field}: {message}")
