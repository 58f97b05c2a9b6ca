from typing import Any

from django import forms
from django.conf import settings
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from billing.payments import codes
from billing.payments.checkout import money, price
from carprice.pages.formatting import credits_text
from carprice.pages.forms import IntegerField, StrictForm


class VoucherCodeForm(StrictForm):
    """What somebody types who has a voucher."""

    code = forms.CharField(
        label=gettext_lazy("Code"),
        max_length=codes.LONGEST_SENT,
        widget=forms.TextInput({"autocomplete": "off", "autocapitalize": "characters"}),
    )


class PurchaseForm(StrictForm):
    """How many credits to buy, each amount with its price."""

    amount = forms.TypedChoiceField(
        label=gettext_lazy("Credits"), coerce=int, widget=forms.RadioSelect
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        field = self.fields["amount"]
        field.initial = settings.CREDIT_AMOUNTS[0]
        field.choices = [(amount, self._offer(amount)) for amount in settings.CREDIT_AMOUNTS]  # type: ignore[attr-defined]  # it is a choice

    def _offer(self, amount: int) -> str:
        parts = {
            "credits": credits_text(amount),
            "price": money(price(amount), settings.CREDIT_CURRENCY),
        }
        return _("%(credits)s for %(price)s") % parts


class VouchersForm(StrictForm):
    """What an operator fills in to make a batch."""

    count = IntegerField(label="How many", initial=1)
    credit = IntegerField(label="Credits of each")
    expires_at = forms.DateTimeField(
        label="Expires at",
        required=False,
        help_text="In UTC, such as 2030-12-31 23:59. Left empty, they never do.",
    )
    note = forms.CharField(
        max_length=200,
        required=False,
        widget=forms.TextInput({"class": "vTextField"}),
        help_text="For operators: whom they are for.",
    )
