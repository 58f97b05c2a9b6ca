from django import forms
from django.utils.translation import gettext_lazy as _

from carprice.pages.forms import StrictForm
from predictions.webhooks.models import LONGEST_URL


class EndpointForm(StrictForm):
    url = forms.CharField(
        label=_("Address"),
        max_length=LONGEST_URL,
        widget=forms.URLInput({"placeholder": "https://example.com/carprice"}),
        help_text=_("https, on port 443, at a public address."),
    )
