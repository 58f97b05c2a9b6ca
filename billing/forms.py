from django import forms
from django.conf import settings


class TopUpForm(forms.Form):
    amount = forms.IntegerField(
        label="Credits", min_value=1, max_value=settings.TOP_UP_LIMIT, initial=100
    )
