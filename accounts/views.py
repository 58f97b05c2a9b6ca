from typing import Any
from uuid import UUID

from django.conf import settings
from django.contrib import messages
from django.contrib.auth import login, logout, update_session_auth_hash
from django.contrib.auth.decorators import login_required
from django.contrib.auth.mixins import LoginRequiredMixin
from django.contrib.auth.views import redirect_to_login
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.translation import gettext
from django.views.decorators.http import require_POST, require_safe

from accounts import services
from accounts.authentication import signed_in
from accounts.browsers.models import digest
from accounts.browsers.services import open_sessions
from accounts.forms import NameForm, PasswordForm, SignInForm, SignUpForm
from accounts.hashers import TooManyHashes
from accounts.mail.forms import AddressForm
from accounts.mail.queue import site_of
from accounts.models import TokenSession, User
from carprice.http import throttling
from carprice.pages import kept_forms
from carprice.pages.kept_forms import KeptForm
from carprice.pages.views import ServiceFormView, safe_next

BACKEND = "django.contrib.auth.backends.ModelBackend"
SESSIONS_SHOWN = 20
ACCOUNT_TEMPLATE = "accounts/account.html"


class AccountFormView(ServiceFormView):
    """A form that ends signed in; someone who already is goes straight on."""

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        if request.user.is_authenticated:
            return self.go_on(reverse("catalogue"))
        return super().dispatch(request, *args, **kwargs)  # type: ignore[return-value]

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        carried = {
            "next": safe_next(self.request, ""),
            "kept_form": kept_forms.carried(self.request),
        }
        return super().get_context_data(**{**carried, **kwargs})

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        if "instead" in request.POST:  # sent by the other one's button, to carry what it carries
            return self.render_to_response(self.get_context_data(form=self.form_class()))  # type: ignore[misc]
        return super().post(request, *args, **kwargs)

    def carry(self, form: KeptForm, *, status: int = 200, **context: Any) -> HttpResponse:
        """The page as an answer to another page's form, which it carries."""
        context = self.get_context_data(
            form=self.form_class(),  # type: ignore[misc]  # each has one
            next=form.address,
            kept_form=form.fields,
            is_too_long=form.is_too_long,
            **context,
        )
        return self.render_to_response(context, status=status)

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
            return services.sign_up(**form.cleaned_data, site=site_of(self.request))
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
        return self.go_on(reverse("catalogue"))

    def ask_first(self, form: KeptForm) -> HttpResponse:
        """The page as an answer to a form whose sender is not signed in."""
        has_cookie = settings.CSRF_COOKIE_NAME in self.request.COOKIES
        return self.carry(form, status=403, is_asked_first=True, has_cookie=has_cookie)


def sign_in_first(request: HttpRequest, form: KeptForm) -> HttpResponse:
    """Ask whoever sent a form to sign in, and keep what they typed."""
    page = SignInPage()
    page.setup(request)
    return page.ask_first(form)


def sign_up_first(request: HttpRequest, form: KeptForm) -> HttpResponse:
    """Let whoever filled in a form sign up, and keep what they typed."""
    page = SignUpPage()
    page.setup(request)
    return page.carry(form)


def admin_sign_in(request: HttpRequest) -> HttpResponse:
    """Operators sign in where everyone does, and where wrong attempts are counted."""
    if request.user.is_authenticated:
        raise PermissionDenied  # signed in already, but no operator
    return redirect_to_login(safe_next(request, reverse("admin:index")))


@require_POST
def sign_out(request: HttpRequest) -> HttpResponse:
    logout(request)
    return redirect("home")


# --- One's own account ---------------------------------------------------------------------------


@require_safe
@login_required
def account(request: HttpRequest) -> HttpResponse:
    """Name, password, programs that are signed in; each form is sent to a page of its own."""
    return render(request, ACCOUNT_TEMPLATE, _account_context(request))


def _account_context(request: HttpRequest) -> dict[str, Any]:
    user = signed_in(request)
    sessions = list(TokenSession.objects.open_of(user)[: SESSIONS_SHOWN + 1])
    return {
        "name_form": NameForm(initial={"name": user.name}),
        "password_form": PasswordForm(),
        "address_form": AddressForm(),
        "must_verify": settings.VERIFY_EMAIL and not user.is_verified,
        "browser_sessions": open_sessions(user),
        "this_browser": digest(request.session.session_key or ""),
        "sessions": sessions[:SESSIONS_SHOWN],
        "has_more_sessions": len(sessions) > SESSIONS_SHOWN,
    }


class OwnFormPage(LoginRequiredMixin, ServiceFormView):
    """The same page for one of its forms."""

    template_name = ACCOUNT_TEMPLATE
    form_name: str

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        context = super().get_context_data(**kwargs)
        own = {self.form_name: context["form"]}
        return {**context, **_account_context(self.request), **own}


class NamePage(OwnFormPage):
    form_class = NameForm
    form_name = "name_form"

    def get_initial(self) -> dict[str, Any]:
        return {"name": signed_in(self.request).name}

    def submit(self, form: NameForm) -> HttpResponse:
        services.change_name(signed_in(self.request), form.cleaned_data["name"])
        messages.success(self.request, gettext("Your name is changed."))
        return redirect("account")


class PasswordPage(OwnFormPage):
    form_class = PasswordForm
    form_name = "password_form"
    throttle_scope = "sign_in"

    def submit(self, form: PasswordForm) -> HttpResponse:
        user = services.change_password(
            signed_in(self.request),
            **form.cleaned_data,
            address=throttling.address(self.request),
            site=site_of(self.request),
            keep=self.request.session.session_key or "",
        )
        update_session_auth_hash(self.request, user)
        messages.success(
            self.request, gettext("Your password is changed; you are signed out everywhere else.")
        )
        return redirect("account")


@require_POST
def end_session(request: HttpRequest, session_id: UUID) -> HttpResponse:
    """Sign a program of one's own out."""
    if not request.user.is_authenticated:  # this address itself only takes a POST
        return redirect_to_login(reverse("account"))
    services.end_session_of(signed_in(request), session_id)
    messages.success(request, gettext("That program is signed out."))
    return redirect("account")
