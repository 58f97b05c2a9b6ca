from typing import Any

from django.contrib.auth import login, logout
from django.contrib.auth.views import redirect_to_login
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.views.decorators.http import require_POST

from accounts import services
from accounts.forms import SignInForm, SignUpForm
from accounts.models import User
from carprice.http import throttling
from carprice.pages.views import ServiceFormView, safe_next

BACKEND = "django.contrib.auth.backends.ModelBackend"


class AccountFormView(ServiceFormView):
    """A form that ends signed in; someone who already is goes straight on."""

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        if request.user.is_authenticated:
            return redirect(safe_next(request, reverse("home")))
        return super().dispatch(request, *args, **kwargs)  # type: ignore[return-value]

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        return super().get_context_data(next=safe_next(self.request, ""), **kwargs)


class SignUpPage(AccountFormView):
    template_name = "accounts/sign_up.html"
    form_class = SignUpForm
    throttle_scope = "sign_up"

    def submit(self, form: SignUpForm) -> HttpResponse:
        login(self.request, self._account_of(form), backend=BACKEND)
        return redirect(safe_next(self.request, reverse("wallet")))

    def _account_of(self, form: SignUpForm) -> User:
        """A new account, or the one of whoever presses the button twice.

        To take a password for an address that has an account is to sign in, and is counted so.
        Whoever has not the right one learns what they always did: that there is an account.
        """
        try:
            return services.sign_up(**form.cleaned_data)
        except services.EmailTaken as taken:
            email, password = form.cleaned_data["email"], form.cleaned_data["password"]
            address = throttling.address(self.request)
            try:
                throttling.count_request(self.request, "sign_in")
                return services.check_credentials(email=email, password=password, address=address)
            except (services.InvalidCredentials, throttling.TooManyRequests):
                raise taken from None


class SignInPage(AccountFormView):
    template_name = "accounts/sign_in.html"
    form_class = SignInForm
    throttle_scope = "sign_in"

    def submit(self, form: SignInForm) -> HttpResponse:
        user = services.check_credentials(
            **form.cleaned_data, address=throttling.address(self.request)
        )
        login(self.request, user, backend=BACKEND)
        return redirect(safe_next(self.request, reverse("home")))


def admin_sign_in(request: HttpRequest) -> HttpResponse:
    """Operators sign in where everyone does, and where wrong attempts are counted."""
    if request.user.is_authenticated:
        raise PermissionDenied  # signed in already, but no operator
    return redirect_to_login(safe_next(request, reverse("admin:index")))


@require_POST
def sign_out(request: HttpRequest) -> HttpResponse:
    logout(request)
    return redirect("home")
