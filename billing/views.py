from collections.abc import Callable, Collection, Iterator
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from django.conf import settings
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.contrib.auth.mixins import LoginRequiredMixin
from django.http import Http404, HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.module_loading import import_string
from django.utils.translation import gettext_lazy, ngettext
from django.views.decorators.http import require_safe

from accounts.authentication import signed_in
from accounts.mail.services import require_verified
from accounts.models import User
from billing import services, statements
from billing.forms import TopUpForm
from billing.models import LedgerEntry
from billing.payments import checkout
from billing.payments import services as vouchers
from billing.payments.forms import PurchaseForm, VoucherCodeForm
from billing.payments.models import Payment
from billing.statements import Month
from carprice.http import throttling
from carprice.http.pagination import CursorPages
from carprice.idempotency.forms import SENT_TWICE, submit_once, use_up
from carprice.pages.csv_files import csv_response
from carprice.pages.formatting import credits_text
from carprice.pages.forms import StrictForm
from carprice.pages.views import ServiceFormView

PAGE_SIZE = 25
PAGES = CursorPages("movements", order=("id",))
Kind = LedgerEntry.Kind
KIND_WORDS = {
    Kind.TOP_UP: gettext_lazy("Top-up"),
    Kind.ADJUSTMENT: gettext_lazy("Adjustment"),
    Kind.REFUND: gettext_lazy("Refund"),
    Kind.CAPTURE: gettext_lazy("Prediction"),
}
STATEMENT_COLUMNS = ("at", "kind", "what_for", "reason", "credits", "balance_after", "id")


FORMS: dict[str, type[StrictForm]] = {
    "open": TopUpForm,
    "voucher": VoucherCodeForm,
    "stripe": PurchaseForm,
    "operator": StrictForm,  # which is not shown
}
PAYMENTS_SHOWN = 5


class WalletPage(LoginRequiredMixin, ServiceFormView):
    """Balance, the way to add credits, and every posted movement, newest first."""

    template_name = "billing/wallet.html"
    form_class = TopUpForm
    throttle_scope = "top_up"

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        user = signed_in(self.request)
        entries = LedgerEntry.objects.posted_of(user)
        page = PAGES.page_or_first(entries, user.pk, self.request.GET.get("cursor"), PAGE_SIZE)
        names = subject_names(user, [entry.subject_id for entry in page.rows])
        movements = [(entry, _what_for(entry, names)) for entry in page.rows]
        return super().get_context_data(
            page=page, movements=movements, payments=_latest_payments(user), **kwargs
        )

    def get_form_class(self) -> type[StrictForm]:
        return FORMS[settings.TOP_UPS]

    def submit(self, form: StrictForm) -> HttpResponse:
        require_verified(signed_in(self.request))
        if settings.TOP_UPS == "voucher":
            return self._redeem(form)
        if settings.TOP_UPS == "stripe":
            return self._buy(form)
        services.check_top_ups_open()
        return self._top_up(form)

    def _redeem(self, form: StrictForm) -> HttpResponse:
        added: list[int] = []

        def work() -> str:
            voucher = vouchers.redeem(
                user=signed_in(self.request),
                code=form.cleaned_data["code"],
                address=throttling.address(self.request),
            )
            added.append(voucher.credits)
            return reverse("wallet")

        address, is_first = submit_once(self.request, work)
        if is_first:
            sentence = ngettext("%(credits)s added.", "%(credits)s added.", added[0])
            messages.success(self.request, sentence % {"credits": credits_text(added[0])})
        else:
            messages.info(self.request, SENT_TWICE)
        return redirect(address)

    def _buy(self, form: StrictForm) -> HttpResponse:
        """Lead to the page of the payment service, for a form sent twice to the same one."""
        user_id, amount = signed_in(self.request).pk, form.cleaned_data["amount"]
        payment_id, _is_first = submit_once(
            self.request, lambda: str(checkout.start(user_id=user_id, amount=amount).pk)
        )
        back = self.request.build_absolute_uri(reverse("wallet"))
        return redirect(checkout.open_page(UUID(payment_id), back=back))

    def _top_up(self, form: StrictForm) -> HttpResponse:
        amount = form.cleaned_data["amount"]
        added = ngettext("%(credits)s added.", "%(credits)s added.", amount)
        added %= {"credits": credits_text(amount)}

        def top_up() -> str:
            services.top_up(user_id=signed_in(self.request).pk, amount=amount)
            return added

        def work() -> str:
            use_up(self.request, top_up)
            return reverse("wallet")

        address, is_first = submit_once(self.request, work)
        if is_first:
            messages.success(self.request, added)
        else:
            sentence = ngettext(
                "This form was sent twice; the %(credits)s was added once.",
                "This form was sent twice; the %(credits)s were added once.",
                amount,
            )
            messages.info(self.request, sentence % {"credits": credits_text(amount)})
        return redirect(address)


def _latest_payments(user: User) -> list[tuple[Payment, str]]:
    """With what each costs, as people write it; none where credits are not sold."""
    if settings.TOP_UPS != "stripe":
        return []
    rows = Payment.objects.filter(account_id=user.pk).order_by("-created_at")[:PAYMENTS_SHOWN]
    return [(row, checkout.money(row.amount, row.currency)) for row in rows]


@require_safe
@login_required
def statement_list(request: HttpRequest) -> HttpResponse:
    """The months of which there are statements."""
    months = statements.months_of(signed_in(request))
    return render(request, "billing/statements.html", {"months": months})


@require_safe
@login_required
def statement(request: HttpRequest, month: str) -> HttpResponse:
    """One month, to be read or printed."""
    user = signed_in(request)
    shown = statements.statement_of(user, _month_of(user, month))
    names = subject_names(user, [line.subject_id for line in shown.lines])
    lines = [(line, _what_for(line, names)) for line in shown.lines]
    return render(request, "billing/statement.html", {"statement": shown, "lines": lines})


@require_safe
@login_required
def statement_csv(request: HttpRequest, month: str) -> HttpResponseBase:
    """The same as a table, with every movement."""
    throttling.count_request(request, "other")
    user = signed_in(request)
    shown = _month_of(user, month)
    return csv_response(f"carprice-{shown}.csv", STATEMENT_COLUMNS, _rows_of(user, shown))


def _rows_of(user: User, month: Month) -> Iterator[tuple[Any, ...]]:
    balance = statements.balance_before(user, month)
    yield (month.start.isoformat(), "opening", "", "", "", balance, "")
    for entry in statements.entries_of(user, month):
        balance += entry.balance_change
        yield (
            entry.created_at.isoformat(),
            entry.get_kind_display(),
            entry.subject_id,
            entry.reason,
            entry.balance_change,
            balance,
            entry.transaction_id,
        )
    end = min(month.next.start, datetime.now(UTC))
    yield (end.isoformat(), "closing", "", "", "", balance, "")


def _month_of(user: User, text: str) -> Month:
    """Of a month before the user came, or to come, there is no statement."""
    by_text = {str(month): month for month in statements.months_of(user)}
    if text not in by_text:
        raise Http404
    return by_text[text]


def subject_names(user: User, ids: Collection[UUID | None]) -> dict[UUID, str]:
    """What the subjects of entries are called, by whoever knows."""
    known = {key for key in ids if key}
    name_all: Callable[[User, set[UUID]], dict[UUID, str]] = import_string(
        settings.LEDGER_SUBJECT_NAMES
    )
    return name_all(user, known) if known else {}


def _what_for(entry: LedgerEntry | statements.Line, names: dict[UUID, str]) -> str:
    if entry.subject_id in names:
        return names[entry.subject_id]
    return str(KIND_WORDS[Kind(entry.kind)])
