from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from accounts.keys.models import ApiKey
from accounts.normalization import NAME_LENGTH, validate_name
from carprice.pages.forms import StrictForm

NEVER = "never"


def _days(choice: Any) -> int | None:
    return None if choice == NEVER else int(choice)


class KeyForm(StrictForm):
    name = forms.CharField(
        label=_("Name"),
        max_length=NAME_LENGTH,
        validators=[validate_name],
        widget=forms.TextInput({"autocomplete": "off"}),
        help_text=_("What you will know it by, such as the program that uses it."),
    )
    access = forms.ChoiceField(
        label=_("May"),
        choices=[
            (ApiKey.Access.READ, _("Only read")),
            (ApiKey.Access.WRITE, _("Read and write")),
        ],
        initial=ApiKey.Access.READ,
        widget=forms.RadioSelect,
        help_text=_("Whoever has a key that may write can spend your credits."),
    )
    expires_in_days = forms.TypedChoiceField(
        label=_("Expires"),
        choices=[
            ("30", _("In 30 days")),
            ("90", _("In 90 days")),
            ("365", _("In a year")),
            (NEVER, _("Never")),
        ],
        coerce=_days,
        empty_value="",
        initial="90",
    )
