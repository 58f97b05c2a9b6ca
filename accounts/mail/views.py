"""Pages about what goes by mail: those that ask for one, and those that its links lead to."""

from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import redirect, render
from django.utils.translation import gettext
from django.views.decorators.http import require_http_methods, require_POST

from accounts.authentication import signed_in
from accounts.mail import links, services
from accounts.mail.forms import AddressForm, ForgotForm, NewPasswordForm
from accounts.mail.links import DeadLink, Purpose
from accounts.mail.queue import site_of
from accounts.views import OwnFormPage
from carprice.http import throttling
from carprice.pages.views import ServiceFormView


class ForgotPage(ServiceFormView):
    """Ask for a link to choose a new password; the answer is the same for any address."""

    template_name = "accounts/forgot.html"
    form_class = ForgotForm
    throttle_scope = "sign_in"

    def submit(self, form: ForgotForm) -> HttpResponse:
        throttling.count_request(self.request, "mail")
        services.ask_for_reset(form.cleaned_data["email"], site=site_of(self.request))
        messages.success(
            self.request,
            gettext(
                "If this address has an account, a link is on its way. It is good for an hour."
            ),
        )
        return redirect("sign-in")


class ResetPage(ServiceFormView):
    template_name = "accounts/reset.html"
    form_class = NewPasswordForm
    throttle_scope = "sign_in"

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        try:
            links.open_link(Purpose.RESET, kwargs["token"])
        except DeadLink as error:
            return _dead(request, error)
        return super().dispatch(request, *args, **kwargs)

    def submit(self, form: NewPasswordForm) -> HttpResponse:
        try:
            services.reset_password(
                self.kwargs["token"], form.cleaned_data["password"], site=site_of(self.request)
            )
        except DeadLink as error:
            return _dead(self.request, error)
        messages.success(
            self.request, gettext("Your password is changed; sign in with the new one.")
        )
        return redirect("sign-in")


class AddressPage(OwnFormPage):
    form_class = AddressForm
    form_name = "address_form"
    throttle_scope = "sign_in"

    def submit(self, form: AddressForm) -> HttpResponse:
        throttling.count_request(self.request, "mail")
        services.ask_for_address(
            signed_in(self.request),
            **form.cleaned_data,
            address=throttling.address(self.request),
            site=site_of(self.request),
        )
        sentence = gettext("Open the link that was sent to %(email)s; until then nothing changes.")
        messages.success(self.request, sentence % {"email": form.cleaned_data["email"]})
        return redirect("account")


@require_POST
@login_required
def resend_verification(request: HttpRequest) -> HttpResponse:
    throttling.count_request(request, "mail")
    services.ask_for_verification(signed_in(request), site=site_of(request))
    messages.success(request, gettext("The link is on its way. It is good for an hour."))
    return redirect("account")


# --- Where links lead to -------------------------------------------------------------------------
# Programs that check mails open the links in them, so opening one does nothing: a button does.


@require_http_methods(["GET", "HEAD", "POST"])
def verify_address(request: HttpRequest, token: str) -> HttpResponse:
    try:
        if request.method != "POST":
            opened = links.open_link(Purpose.VERIFY, token)
            context = {"purpose": "verify", "address": opened.address}
            return render(request, "accounts/confirm.html", context)
        throttling.count_request(request, "other")
        services.verify_address(token)
    except DeadLink as error:
        return _dead(request, error)
    messages.success(request, gettext("Your e-mail address is verified."))
    return redirect("catalogue")


@require_http_methods(["GET", "HEAD", "POST"])
def confirm_address(request: HttpRequest, token: str) -> HttpResponse:
    try:
        opened = links.open_link(Purpose.CHANGE, token)
        if request.method != "POST":
            context = {"purpose": "change", "address": opened.address}
            return render(request, "accounts/confirm.html", context)
        throttling.count_request(request, "other")
        is_own = request.user.pk == opened.user.pk
        keep = request.session.session_key if is_own else None
        services.change_address(token, site=site_of(request), keep=keep or "")
    except DeadLink as error:
        return _dead(request, error)
    messages.success(request, gettext("Your e-mail address is changed."))
    return redirect("account")


def _dead(request: HttpRequest, error: DeadLink) -> HttpResponse:
    _ = request.user.is_authenticated  # read here, so that the template runs no query
    return render(request, "accounts/dead_link.html", {"sentence": error.detail}, status=410)
