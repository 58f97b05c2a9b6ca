from django.conf import settings

from carprice.pages.forms import IntegerField, StrictForm


class TopUpForm(StrictForm):
    amount = IntegerField(
        label="Credits", min_value=1, max_value=settings.TOP_UP_LIMIT, initial=100
    )
