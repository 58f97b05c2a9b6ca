from typing import Any

from django.contrib.auth.mixins import UserPassesTestMixin
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import redirect, render
from django.urls import reverse

from accounts.authentication import signed_in
from accounts.totp import services
from accounts.totp.forms import CodeForm
from accounts.totp.session import note_code
from carprice.http.errors import WrongState
from carprice.pages.views import ServiceFormView, safe_next


class OperatorPage(UserPassesTestMixin, ServiceFormView):
    form_class = CodeForm
    throttle_scope = "sign_in"

    def test_func(self) -> bool:
        return self.request.user.is_staff

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        return super().get_context_data(next=safe_next(self.request, ""), **kwargs)


class CodePage(OperatorPage):
    """Asks an operator for a code; who has no authenticator enrolls one first."""

    template_name = "accounts/code.html"

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        if not services.is_enrolled(signed_in(request)):
            return redirect(reverse("staff-enroll"))
        return super().get(request, *args, **kwargs)

    def submit(self, form: CodeForm) -> HttpResponse:
        services.check(signed_in(self.request), form.cleaned_data["code"])
        note_code(self.request)
        return redirect(safe_next(self.request, reverse("admin:index")))


class EnrollPage(OperatorPage):
    """Shows the secret as a picture and as a text, until a code shows that a program has it."""

    template_name = "accounts/enroll.html"

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:  # type: ignore[override]  # Django's has no return type
        try:
            return super().get(request, *args, **kwargs)
        except WrongState:
            return redirect("staff-code")

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        import segno

        row = services.begin(signed_in(self.request))
        picture = segno.make(services.address_of(row), micro=False).svg_data_uri(
            scale=5, light="#fff"
        )
        return super().get_context_data(picture=picture, secret=services.secret_of(row), **kwargs)

    def submit(self, form: CodeForm) -> HttpResponse:
        codes = services.confirm(signed_in(self.request), form.cleaned_data["code"])
        note_code(self.request)
        return render(self.request, "accounts/recovery_codes.html", {"codes": codes})
