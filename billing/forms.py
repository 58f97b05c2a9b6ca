from django.conf import settings
from django.utils.translation import gettext_lazy

from carprice.pages.forms import IntegerField, StrictForm


class TopUpForm(StrictForm):
    amount = IntegerField(
        label=gettext_lazy("Credits"), min_value=1, max_value=settings.TOP_UP_LIMIT, initial=100
    )
