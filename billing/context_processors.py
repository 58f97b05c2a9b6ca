from typing import Any

from django.http import HttpRequest
from django.utils.functional import SimpleLazyObject

from billing.models import CreditAccount


def wallet(request: HttpRequest) -> dict[str, Any]:
    """The signed-in user's account as `wallet`, read only if a template shows it."""
    if not hasattr(request, "user") or not request.user.is_authenticated:
        return {}
    user_id = request.user.pk
    return {"wallet": SimpleLazyObject(lambda: CreditAccount.objects.get(pk=user_id))}
