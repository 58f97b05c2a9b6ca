from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html

from billing import services
from billing.models import CreditAccount, LedgerEntry
from carprice.admin import ReadOnlyAdmin
from carprice.errors import InvalidInput
from carprice.pages import add_errors


class CorrectionForm(forms.Form):
    change = forms.IntegerField(help_text="Credits to add; negative to take away.")
    reason = forms.CharField(max_length=200, widget=forms.TextInput({"class": "vTextField"}))


@admin.register(CreditAccount)
class CreditAccountAdmin(ReadOnlyAdmin):
    list_display = ["user", "balance", "held", "available"]
    list_select_related = ["user"]
    search_fields = ["user__email"]
    readonly_fields = ["available", "correction"]

    @admin.display(description="Correct the balance")
    def correction(self, account: CreditAccount) -> str:
        url = reverse("admin:billing_creditaccount_correct", args=[account.pk])
        return format_html('<a href="{}">Write a correcting entry</a>', url)

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(self.correct)
        name = "billing_creditaccount_correct"
        return [path("<path:object_id>/correct/", view, name=name), *super().get_urls()]

    def correct(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Add or take credits by an entry that names the operator and the reason."""
        if not request.user.has_perm("billing.add_ledgerentry"):
            raise PermissionDenied
        account = get_object_or_404(CreditAccount.objects.select_related("user"), pk=object_id)
        form = CorrectionForm(request.POST or None)
        if form.is_valid() and self._correct(request, account, form):
            return redirect("admin:billing_creditaccount_change", account.pk)
        context: dict[str, Any] = {
            **self.admin_site.each_context(request),
            "title": f"Correct the balance of {account.user}",
            "opts": self.opts,
            "account": account,
            "form": form,
        }
        return TemplateResponse(request, "admin/correct_balance.html", context)

    def _correct(self, request: HttpRequest, account: CreditAccount, form: CorrectionForm) -> bool:
        try:
            entry = services.correct_balance(
                user_id=account.pk,
                actor=request.user,  # type: ignore[arg-type]  # an operator is signed in
                **form.cleaned_data,
            )
        except InvalidInput as error:
            add_errors(form, error.errors)
            return False
        messages.success(request, f"Corrected by {entry.balance_change:+,} credits.")
        return True


@admin.register(LedgerEntry)
class LedgerEntryAdmin(ReadOnlyAdmin):
    list_display = [
        "id",
        "created_at",
        "account",
        "kind",
        "balance_change",
        "held_change",
        "balance_after",
        "held_after",
        "actor",
        "reason",
    ]
    list_filter = ["kind", "created_at"]
    list_select_related = ["account__user", "actor"]
    search_fields = ["account__user__email", "task_id"]
    ordering = ["-id"]
