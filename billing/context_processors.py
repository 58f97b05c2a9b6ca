from typing import Any

from django.conf import settings
from django.http import HttpRequest
from rest_framework.request import Request

from billing.models import CreditAccount
from carprice.pages.views import is_admin, is_htmx


def wallet(request: HttpRequest) -> dict[str, Any]:
    """The signed-in user's account as `wallet`, for the header of a page.

    It is read here, so that no template runs a query. A fragment has no header: the view of one
    that shows the wallet reads it itself.
    """
    if not hasattr(request, "user") or not _has_header(request) or request.user.is_anonymous:
        return {}
    account = CreditAccount.objects.get(pk=request.user.pk)
    return {
        "wallet": account,
        "wallet_is_low": account.available < settings.LOW_BALANCE,
        "top_ups": settings.TOP_UPS,
    }


def _has_header(request: HttpRequest) -> bool:
    """Whether the header of our pages is shown.

    Pages of the admin and of the browsable API, which has a request class of its own, have other
    headers; fragments, which htmx asks for, have none.
    """
    return not (is_admin(request) or isinstance(request, Request) or is_htmx(request))
