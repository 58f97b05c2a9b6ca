from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any
from uuid import UUID

from django import forms
from django.contrib import admin, messages
from django.contrib.auth.decorators import permission_required
from django.db import transaction
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.defaultfilters import pluralize
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html

from billing import services
from billing.models import CreditAccount, LedgerEntry
from carprice.http.errors import InvalidInput, ServiceError
from carprice.idempotency.forms import use_up
from carprice.pages import kept_forms
from carprice.pages.admin import ReadOnlyAdmin
from carprice.pages.forms import IntegerField, StrictForm, add_errors


class ReasonForm(StrictForm):
    reason = forms.CharField(max_length=200, widget=forms.TextInput({"class": "vTextField"}))


class CorrectionForm(ReasonForm):
    change = IntegerField(help_text="Credits to add; negative to take away.")
    field_order = ["change"]


def may_see_balances(request: HttpRequest) -> bool:
    """Whoever may not must not learn them from the pages that write entries either."""
    return any(request.user.has_perm(f"billing.{may}_creditaccount") for may in ("view", "change"))


class EntryWritingAdmin(ReadOnlyAdmin):
    """Read-only rows, each with a page at `<id>/<page_name>/` that writes a ledger entry."""

    page_name: str
    form_class: type[forms.Form]

    def page_title(self, row: Any) -> str:
        raise NotImplementedError

    def refusal(self, row: Any) -> str:
        """Why there is no entry to write, which is shown in the place of the form."""
        return ""

    def service(self, row: Any) -> Callable[..., LedgerEntry]:
        """The function that takes the form's fields, and the operator as `actor`."""
        raise NotImplementedError

    def get_urls(self) -> list[URLPattern]:
        may_write = permission_required("billing.add_ledgerentry", raise_exception=True)
        view = self.admin_site.admin_view(may_write(self.entry_page))
        route = f"<path:object_id>/{self.page_name}/"
        return [path(route, view, name=self._url_name()), *super().get_urls()]

    def entry_page(self, request: HttpRequest, object_id: str) -> HttpResponse:
        row = self.get_object(request, object_id)
        if row is None:
            raise Http404
        typed = kept_forms.typed(request)
        form = self.form_class(request.POST or typed or None)
        is_sent = request.method == "POST"
        if is_sent and form.is_valid() and self._write(request, form, row):
            return self._redirect_after(request, row)
        context: dict[str, Any] = {
            **self.admin_site.each_context(request),
            "shows_row": self.has_view_permission(request, row),
            "shows_balance": may_see_balances(request),
            "title": self.page_title(row),
            "opts": self.opts,
            "row": row,
            "refusal": self.refusal(row),
            "account": getattr(row, "account", row),
            "form": form,
        }
        with suppress(ValueError):  # the key that it had, so that it is done once in all
            context["form_key"] = UUID(typed.get("form_key", "") if typed else "")
        return TemplateResponse(request, "admin/write_entry.html", context)

    def entry_link(self, row: Any, text: str) -> str:
        return format_html(
            '<a href="{}">{}</a>', reverse(f"admin:{self._url_name()}", args=[row.pk]), text
        )

    def _write(self, request: HttpRequest, form: forms.Form, row: Any) -> bool:
        @transaction.atomic
        def write() -> str:
            entry = self.service(row)(actor=request.user, **form.cleaned_data)
            credit = f"credit{pluralize(abs(entry.balance_change))}"
            change = f"{entry.get_kind_display()}: {entry.balance_change:+,} {credit}"
            self.log_change(request, row, f"{change}, because: {entry.reason}")
            return f"{change}."

        try:
            messages.success(request, use_up(request, write))
        except InvalidInput as error:
            add_errors(form, error.errors)
            return False
        except ServiceError as error:
            form.add_error(None, error.detail)
            return False
        return True

    def _redirect_after(self, request: HttpRequest, row: Any) -> HttpResponse:
        if self.has_view_permission(request, row):
            return redirect(f"admin:{self.opts.app_label}_{self.opts.model_name}_change", row.pk)
        return redirect("admin:index")

    def _url_name(self) -> str:
        return f"{self.opts.app_label}_{self.opts.model_name}_{self.page_name}"


@admin.register(CreditAccount)
class CreditAccountAdmin(EntryWritingAdmin):
    page_name = "correct"
    form_class = CorrectionForm
    list_display = ["user", "balance", "held", "available"]
    list_select_related = ["user"]
    search_fields = ["user__email"]
    readonly_fields = ["available", "correction"]

    @admin.display(description="Correct the balance")
    def correction(self, account: CreditAccount) -> str:
        return self.entry_link(account, "Write a correcting entry")

    def page_title(self, row: CreditAccount) -> str:
        return f"Correct the balance of {row}"

    def service(self, row: CreditAccount) -> Callable[..., LedgerEntry]:
        return partial(services.correct_balance, user_id=row.pk)

    def _write(self, request: HttpRequest, form: forms.Form, row: Any) -> bool:
        # Whether so many can be taken tells, after some tries, how many there are.
        if form.cleaned_data["change"] < 0 and not may_see_balances(request):
            form.add_error("change", "To take credits away you must be allowed to see accounts.")
            return False
        return super()._write(request, form, row)


@admin.register(LedgerEntry)
class LedgerEntryAdmin(EntryWritingAdmin):
    page_name = "refund"
    form_class = ReasonForm
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
    search_fields = ["account__user__email", "subject_id"]
    ordering = ["-id"]
    readonly_fields = ["refund"]
    balances = ("balance_after", "held_after")

    def get_list_display(self, request: HttpRequest) -> list[Any]:
        hidden = self._hidden(request)
        return [name for name in super().get_list_display(request) if name not in hidden]

    def get_exclude(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        return self._hidden(request)

    def lookup_allowed(self, lookup: str, value: Any, request: HttpRequest) -> bool:
        return not lookup.startswith(self._hidden(request)) and super().lookup_allowed(
            lookup, value, request
        )

    def _hidden(self, request: HttpRequest) -> tuple[str, ...]:
        return () if may_see_balances(request) else self.balances

    @admin.display(description="Give back", empty_value="-")
    def refund(self, entry: LedgerEntry) -> str | None:
        """A link, on a charge that has not been given back."""
        if entry.kind != LedgerEntry.Kind.CAPTURE:
            return None
        refund = LedgerEntry.objects.filter(resolves=entry).first()
        return str(refund) if refund else self.entry_link(entry, "Refund this charge")

    def page_title(self, row: LedgerEntry) -> str:
        if row.kind != LedgerEntry.Kind.CAPTURE:
            return "Nothing to give back"
        credits_back = -row.balance_change
        return f"Give back {credits_back:,} credit{pluralize(credits_back)} to {row.account}"

    def refusal(self, row: LedgerEntry) -> str:
        return services.refund_refusal(row)

    def service(self, row: LedgerEntry) -> Callable[..., LedgerEntry]:
        return partial(services.refund_charge, capture=row)
