from typing import Any

from django.conf import settings
from django.contrib.auth import login, logout
from django.contrib.auth.views import redirect_to_login
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.views.decorators.http import require_POST

from accounts import services
from accounts.forms import SignInForm, SignUpForm
from accounts.hashers import TooManyHashes
from accounts.models import User
from carprice.http import throttling
from carprice.pages import kept_forms
from carprice.pages.kept_forms import KeptForm
from carprice.pages.views import ServiceFormView, safe_next

BACKEND = "django.contrib.auth.backends.ModelBackend"


class AccountFormView(ServiceFormView):
    """A form that ends signed in; someone who already is goes straight on."""

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        if request.user.is_authenticated:
            return self.go_on(reverse("home"))
        return super().dispatch(request, *args, **kwargs)  # type: ignore[return-value]

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        carried = {
            "next": safe_next(self.request, ""),
            "kept_form": kept_forms.carried(self.request),
        }
        return super().get_context_data(**{**carried, **kwargs})

    def go_on(self, default: str) -> HttpResponse:
        """To the page that asked to sign in, with what was typed there."""
        address, fields = safe_next(self.request, ""), kept_forms.carried(self.request)
        if address and fields:
            address = kept_forms.store(self.request, KeptForm(address, fields))
        return redirect(address or default)


class SignUpPage(AccountFormView):
    template_name = "accounts/sign_up.html"
    form_class = SignUpForm
    throttle_scope = "sign_up"

    def submit(self, form: SignUpForm) -> HttpResponse:
        login(self.request, self._account_of(form), backend=BACKEND)
        return self.go_on(reverse("wallet"))

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
            except TooManyHashes:  # whether the password is right is not known
                raise
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
        return self.go_on(reverse("home"))

    def ask_first(self, form: KeptForm) -> HttpResponse:
        """The page as an answer to a form whose sender is not signed in."""
        context = self.get_context_data(
            form=SignInForm(),
            next=form.address,
            kept_form=form.fields,
            is_asked_first=True,
            is_too_long=form.is_too_long,
            has_cookie=settings.CSRF_COOKIE_NAME in self.request.COOKIES,
        )
        return self.render_to_response(context, status=403)


def sign_in_first(request: HttpRequest, form: KeptForm) -> HttpResponse:
    """Ask whoever sent a form to sign in, and keep what they typed."""
    page = SignInPage()
    page.setup(request)
    return page.ask_first(form)


def admin_sign_in(request: HttpRequest) -> HttpResponse:
    """Operators sign in where everyone does, and where wrong attempts are counted."""
    if request.user.is_authenticated:
        raise PermissionDenied  # signed in already, but no operator
    return redirect_to_login(safe_next(request, reverse("admin:index")))


@require_POST
def sign_out(request: HttpRequest) -> HttpResponse:
    logout(request)
    return redirect("home")
