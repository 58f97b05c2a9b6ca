"""The base form of pages, and number fields: each value once, valid text, plain digits."""

from typing import Any

from django import forms
from django.core.exceptions import ValidationError


class StrictForm(forms.Form):
    """Refuses a repeated field, of which Django would take the last, and what is not UTF-8."""

    def clean(self) -> dict[str, Any] | None:
        for name in self.fields:
            values = self._values_of(name)
            if len(values) > 1:
                self.add_error(name, "Give this once.")
            elif any("\N{REPLACEMENT CHARACTER}" in value for value in values):
                self.add_error(name, "The text contains what is no character.")
        return super().clean()

    def _values_of(self, name: str) -> list[str]:
        getlist = getattr(self.data, "getlist", None)  # a plain mapping has one value of each
        return getlist(self.add_prefix(name)) if getlist else []


class _PlainDigits:
    """Makes a number field refuse 1_0 and the digits of other scripts, which Python accepts."""

    def to_python(self, value: Any) -> Any:
        text = str(value)
        if not text.isascii() or "_" in text:
            raise ValidationError("Enter a number in the digits 0 to 9.", code="invalid")
        return super().to_python(value)  # type: ignore[misc]  # the field's


class IntegerField(_PlainDigits, forms.IntegerField):
    pass


class FloatField(_PlainDigits, forms.FloatField):
    pass


def add_errors(form: forms.Form, errors: dict[str, list[str]]) -> None:
    for field, messages in errors.items():
        for message in messages:
            known = field if field in form.fields else None
            form.add_error(known, message if known else f"{field}: {message}")
