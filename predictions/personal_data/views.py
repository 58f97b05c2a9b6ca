"""The pages that give a person their data, and that delete their account."""

from typing import Any

from django import forms
from django.contrib import messages
from django.contrib.auth import logout
from django.contrib.auth.decorators import login_required
from django.contrib.auth.mixins import LoginRequiredMixin
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import redirect
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_safe

from accounts.authentication import signed_in
from accounts.normalization import validate_password_length
from billing.models import CreditAccount
from carprice.http import throttling
from carprice.pages.forms import StrictForm
from carprice.pages.views import ServiceFormView
from predictions.personal_data.deletion import delete_account
from predictions.personal_data.export import export_response


class DeletionForm(StrictForm):
    password = forms.CharField(
        label=_("Password"),
        validators=[validate_password_length],
        strip=False,
        widget=forms.PasswordInput({"autocomplete": "current-password"}),
    )


@require_safe
@login_required
def export(request: HttpRequest) -> HttpResponseBase:
    throttling.count_request(request, "export")
    return export_response(signed_in(request))


class DeletionPage(LoginRequiredMixin, ServiceFormView):
    template_name = "accounts/delete.html"
    form_class = DeletionForm
    throttle_scope = "sign_in"

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        account = CreditAccount.objects.get(pk=signed_in(self.request).pk)
        return {**super().get_context_data(**kwargs), "account": account}

    def submit(self, form: DeletionForm) -> HttpResponse:
        delete_account(
            user=signed_in(self.request),
            **form.cleaned_data,
            address=throttling.address(self.request),
        )
        logout(self.request)
        messages.success(self.request, gettext("Your account is deleted. Goodbye!"))
        return redirect("home")
