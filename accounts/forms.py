from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from accounts.normalization import (
    ADDRESS_LENGTH,
    NAME_LENGTH,
    PASSWORD_LENGTH,
    normalize_address,
    normalize_password,
    validate_address,
    validate_name,
    validate_password_length,
)
from carprice.pages.forms import StrictForm

PASSWORD_HELP = _("At least 8 characters; not a common password, not only digits.")


class AddressField(forms.EmailField):
    """An e-mail address as somebody types it."""

    default_validators = [*forms.EmailField.default_validators, validate_address]

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**{"label": _("E-mail"), "max_length": ADDRESS_LENGTH, **kwargs})

    def to_python(self, value: Any) -> str:
        return normalize_address(super().to_python(value) or "")


class NewPasswordField(forms.CharField):
    """Its length counts after normalization, so the browser must not cut what is typed."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(min_length=8, max_length=PASSWORD_LENGTH, strip=False, **kwargs)

    def to_python(self, value: Any) -> str:
        return normalize_password(super().to_python(value) or "")

    def widget_attrs(self, widget: forms.Widget) -> dict[str, Any]:
        attributes = super().widget_attrs(widget)
        return {name: value for name, value in attributes.items() if name != "maxlength"}


class SignUpForm(StrictForm):
    name = forms.CharField(
        label=_("Name"),
        max_length=NAME_LENGTH,
        validators=[validate_name],
        widget=forms.TextInput({"autocomplete": "name"}),
    )
    email = AddressField(widget=forms.EmailInput({"autocomplete": "email"}))
    password = NewPasswordField(
        label=_("Password"),
        widget=forms.PasswordInput({"autocomplete": "new-password"}),
        help_text=PASSWORD_HELP,
    )


class SignInForm(StrictForm):
    email = AddressField(
        widget=forms.EmailInput({"autocomplete": "username", "autofocus": True}),
    )
    password = forms.CharField(
        label=_("Password"),
        validators=[validate_password_length],
        strip=False,
        widget=forms.PasswordInput({"autocomplete": "current-password"}),
    )


class NameForm(StrictForm):
    name = forms.CharField(
        label=_("Name"),
        max_length=NAME_LENGTH,
        validators=[validate_name],
        widget=forms.TextInput({"autocomplete": "name"}),
    )


class PasswordForm(StrictForm):
    current_password = forms.CharField(
        label=_("Current password"),
        validators=[validate_password_length],
        strip=False,
        widget=forms.PasswordInput({"autocomplete": "current-password"}),
    )
    password = NewPasswordField(
        label=_("New password"),
        widget=forms.PasswordInput({"autocomplete": "new-password"}),
        help_text=PASSWORD_HELP,
    )
