from collections.abc import Callable
from functools import partial
from typing import Any
from uuid import UUID

from django.conf import settings
from django.contrib import admin, messages
from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.auth.decorators import permission_required
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.db.models import Q, QuerySet
from django.db.models.functions import Now
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import redirect
from django.template.defaultfilters import pluralize
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse

from billing.admin import EntryWritingAdmin, ReasonForm
from billing.models import LedgerEntry
from billing.payments import codes, events, services
from billing.payments.checkout import money
from billing.payments.forms import VouchersForm
from billing.payments.models import Payment, StripeEvent, Voucher
from carprice.http.errors import InvalidInput
from carprice.pages import kept_forms
from carprice.pages.admin import ReadOnlyAdmin
from carprice.pages.csv_files import csv_response
from carprice.pages.forms import add_errors

SEED_COOKIE = "voucher_seed"
SHOWN_FOR_SECONDS = 600


class StateFilter(admin.SimpleListFilter):
    title = "state"
    parameter_name = "state"
    states = {
        "open": Q(redeemed_at=None, revoked_at=None)
        & (Q(expires_at=None) | Q(expires_at__gt=Now())),
        "redeemed": Q(redeemed_at__isnull=False),
        "revoked": Q(revoked_at__isnull=False),
        "expired": Q(redeemed_at=None, revoked_at=None, expires_at__lte=Now()),
    }

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(name, name) for name in self.states]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset.filter(self.states.get(self.value() or "", Q()))


@admin.register(Voucher)
class VoucherAdmin(ReadOnlyAdmin):
    """Vouchers are made in batches, and revoked; otherwise they stay as they are."""

    list_display = ["__str__", "state", "credits", "note", "expires_at", "created_by", "created_at"]
    list_filter = [StateFilter, "created_at"]
    list_select_related = ["created_by"]
    search_fields = ["beginning", "note", "batch_id"]
    ordering = ["-id"]
    readonly_fields = ["state"]
    actions = ["revoke"]

    def has_add_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("payments.add_voucher")

    def has_revoke_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("payments.change_voucher")

    def get_urls(self) -> list[URLPattern]:
        may_add = permission_required("payments.add_voucher", raise_exception=True)
        view = self.admin_site.admin_view(may_add(self.codes_page))
        route = path("codes/<uuid:batch_id>/", view, name="payments_voucher_codes")
        return [route, *super().get_urls()]

    @admin.action(description="Revoke the chosen vouchers", permissions=["revoke"])
    def revoke(self, request: HttpRequest, queryset: QuerySet[Voucher]) -> None:
        chosen = list(queryset)
        with transaction.atomic():
            count = services.revoke(
                voucher_ids=[voucher.pk for voucher in chosen],
                actor=request.user,  # type: ignore[arg-type]  # the admin asks for a user
            )
            user_id: Any = request.user.pk
            LogEntry.objects.log_actions(user_id, chosen, CHANGE, "Revoked, if it was open")
        sentence = f"{count:,} voucher{pluralize(count)} revoked."
        if count < len(chosen):
            sentence += " The others had been redeemed or revoked, or have expired."
        messages.success(request, sentence)

    def add_view(
        self, request: HttpRequest, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        if not self.has_add_permission(request):
            raise PermissionDenied
        is_sent = request.method == "POST"
        form = VouchersForm(request.POST if is_sent else kept_forms.typed(request))
        if is_sent and form.is_valid():
            seed = codes.new_seed()
            try:
                return self._lead_to_codes(seed, self._make(request, seed, form.cleaned_data))
            except InvalidInput as error:
                add_errors(form, error.errors)
        return self._page(request, "make", title="Make vouchers", form=form)

    @transaction.atomic
    def _make(self, request: HttpRequest, seed: str, fields: dict[str, Any]) -> UUID:
        batch_id = services.make_vouchers(seed=seed, actor=request.user, **fields)  # type: ignore[arg-type]  # the admin asks for a user
        first = Voucher.objects.filter(batch_id=batch_id).earliest("pk")
        count = fields["count"]
        self.log_addition(request, first, f"Made {count:,} voucher{pluralize(count)} at once")
        return batch_id

    def _lead_to_codes(self, seed: str, batch_id: UUID) -> HttpResponse:
        """The codes are nowhere but in what this browser keeps for a few minutes.

        So they need not be stored, not even in the session, and the form, like all of the admin, is
        done once if it is sent twice.
        """
        page = reverse("admin:payments_voucher_codes", args=[batch_id])
        response = redirect(page)
        response.set_signed_cookie(
            SEED_COOKIE,
            seed,
            salt=str(batch_id),
            path=page,
            max_age=SHOWN_FOR_SECONDS,
            secure=settings.SESSION_COOKIE_SECURE,
            httponly=True,
            samesite="Strict",
        )
        return response

    def codes_page(self, request: HttpRequest, batch_id: UUID) -> HttpResponseBase:
        """The codes of a batch that this browser has just made, to read or as a table."""
        seed = request.get_signed_cookie(
            SEED_COOKIE, None, salt=str(batch_id), max_age=SHOWN_FOR_SECONDS
        )
        batch = Voucher.objects.filter(batch_id=batch_id).order_by("pk")
        rows = list(zip(codes.derive(seed, len(batch)), batch, strict=True)) if seed else []
        if rows and request.GET.get("as") == "csv":
            table = [(code, row.credits, row.expires_at, row.note) for code, row in rows]
            header = ("code", "credits", "expires_at", "note")
            return csv_response(f"vouchers-{batch_id}.csv", header, table)
        return self._page(request, "codes", title="Codes of new vouchers", rows=rows)

    def _page(self, request: HttpRequest, name: str, **context: Any) -> HttpResponse:
        shown = {**self.admin_site.each_context(request), "opts": self.opts, **context}
        return TemplateResponse(request, f"admin/payments/voucher/{name}.html", shown)


class OwedFilter(admin.SimpleListFilter):
    title = "credits owed"
    parameter_name = "owed"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("yes", "yes")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset.filter(owed__gt=0) if self.value() == "yes" else queryset


@admin.register(Payment)
class PaymentAdmin(EntryWritingAdmin):
    page_name = "collect"
    form_class = ReasonForm
    list_display = ["created_at", "account", "status", "credits", "money", "refunded", "owed"]
    list_filter = ["status", OwedFilter, "created_at"]
    list_select_related = ["account__user"]
    search_fields = ["account__user__email", "id", "session_id", "payment_intent"]
    ordering = ["-created_at"]
    readonly_fields = ["money", "collect"]

    @admin.display(description="amount")
    def money(self, payment: Payment) -> str:
        return money(payment.amount, payment.currency)

    @admin.display(description="Take back", empty_value="-")
    def collect(self, payment: Payment) -> str | None:
        """A link, on a payment that is owed credits."""
        if not payment.owed:
            return None
        return self.entry_link(payment, f"Take back what is available of {payment.owed:,}")

    def page_title(self, row: Payment) -> str:
        return f"Take back {row.owed:,} credit{pluralize(row.owed)} of {row.account}"

    def refusal(self, row: Payment) -> str:
        return "" if row.owed else "Nothing is owed."

    def service(self, row: Payment) -> Callable[..., LedgerEntry]:
        return partial(events.collect_owed, payment_id=row.pk)


@admin.register(StripeEvent)
class StripeEventAdmin(ReadOnlyAdmin):
    list_display = ["id", "type", "payment", "received_at"]
    list_filter = ["type", "received_at"]
    search_fields = ["id", "payment__id"]
    ordering = ["-received_at"]
