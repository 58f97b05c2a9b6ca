from typing import Any

from django.contrib import messages
from django.contrib.auth.mixins import LoginRequiredMixin
from django.http import HttpResponse
from django.shortcuts import redirect
from django.template.defaultfilters import pluralize
from django.urls import reverse

from accounts.authentication import signed_in
from billing import services
from billing.forms import TopUpForm
from billing.models import LedgerEntry
from carprice.http.pagination import CursorPages
from carprice.idempotency.forms import submit_once, use_up
from carprice.pages.views import ServiceFormView

PAGE_SIZE = 25
PAGES = CursorPages("movements", order=("id",))


class WalletPage(LoginRequiredMixin, ServiceFormView):
    """Balance, top-up and every posted movement, newest first."""

    template_name = "billing/wallet.html"
    form_class = TopUpForm
    throttle_scope = "top_up"

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        user = signed_in(self.request)
        entries = LedgerEntry.objects.posted_of(user)
        page = PAGES.page_or_first(entries, user.pk, self.request.GET.get("cursor"), PAGE_SIZE)
        return super().get_context_data(page=page, **kwargs)

    def submit(self, form: TopUpForm) -> HttpResponse:
        amount = form.cleaned_data["amount"]
        credit = f"{amount:,} credit{pluralize(amount)}"
        added = f"{credit} added."

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
            were = pluralize(amount, "was,were")
            sentence = f"This form was sent twice; the {credit} {were} added once."
            messages.info(self.request, sentence)
        return redirect(address)
