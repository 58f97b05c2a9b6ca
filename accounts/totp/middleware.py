from collections.abc import Callable
from typing import Any

from django.conf import settings
from django.contrib.auth.views import redirect_to_login
from django.core.exceptions import MiddlewareNotUsed
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.urls import reverse

from accounts.totp.session import has_given_code
from carprice.pages.views import is_admin


class StaffCodes:
    """Middleware: the admin asks operators for a code, once a session."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        if not settings.STAFF_TOTP:
            raise MiddlewareNotUsed
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        return self._get_response(request)

    def process_view(
        self, request: HttpRequest, view: Any, args: Any, kwargs: Any
    ) -> HttpResponse | None:
        match = request.resolver_match
        if not is_admin(request) or (match and match.url_name == "logout"):
            return None
        if not request.user.is_staff or has_given_code(request):
            return None
        target = request.get_full_path() if request.method == "GET" else reverse("admin:index")
        return redirect_to_login(target, login_url="staff-code")
