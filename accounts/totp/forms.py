from django import forms
from django.utils.translation import gettext_lazy as _

from carprice.pages.forms import StrictForm


class CodeForm(StrictForm):
    code = forms.CharField(
        label=_("Code"),
        max_length=40,
        widget=forms.TextInput(
            {"autocomplete": "one-time-code", "autofocus": True, "spellcheck": "false"}
        ),
    )
