"""The admin, where a form that is sent twice does its work once."""

from collections.abc import Callable
from functools import wraps
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
