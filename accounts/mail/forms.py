from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from accounts.forms import PASSWORD_HELP, AddressField, NewPasswordField
from accounts.normalization import validate_password_length
from carprice.pages.forms import StrictForm


class ForgotForm(StrictForm):
    email = AddressField(widget=forms.EmailInput({"autocomplete": "username", "autofocus": True}))


class NewPasswordForm(StrictForm):
    password = NewPasswordField(
        label=_("New password"),
        widget=forms.PasswordInput({"autocomplete": "new-password", "autofocus": True}),
        help_text=PASSWORD_HELP,
    )


class AddressForm(StrictForm):
    email = AddressField(label=_("New e-mail"), widget=forms.EmailInput({"autocomplete": "email"}))
    current_password = forms.CharField(
        label=_("Current password"),
        validators=[validate_password_length],
        strip=False,
        widget=forms.PasswordInput({"autocomplete": "current-password"}),
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """With ids of its own: another form of the page has a field of the same name."""
        super().__init__(*args, **{"auto_id": "id_address_%s", **kwargs})
