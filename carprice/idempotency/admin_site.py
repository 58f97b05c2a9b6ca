"""The admin, where a form that is sent twice does its work once."""

from collections.abc import Callable
from functools import wraps
from http import HTTPStatus
from typing import Any, TypeVar, cast

from django.contrib.admin import AdminSite
from django.http import HttpRequest
from django.http.response import HttpResponseBase

from carprice.idempotency.forms import respond_once

V = TypeVar("V", bound=Callable[..., HttpResponseBase])


class OnceAdminSite(AdminSite):
    """Every view of the admin comes through `admin_view`, so none can leave it out."""

    def admin_view(self, view: V, cacheable: bool = False) -> V:
        @wraps(view)
        def once(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
            return respond_once(request, lambda: view(request, *args, **kwargs))

        return cast("V", super().admin_view(once, cacheable))

    def password_change(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> Any:
        """As Django's, which is the only page that changes something and leaves no log entry."""
        from django.contrib.admin.models import CHANGE, LogEntry  # models are not there before

        response = super().password_change(request, extra_context)
        if response.status_code == HTTPStatus.FOUND:  # to the page that says that it is done
            operator: Any = request.user
            LogEntry.objects.log_actions(
                operator.pk, [operator], CHANGE, "Changed their own password.", single_object=True
            )
        return response
