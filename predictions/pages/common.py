"""What pages about one prediction share."""

from collections.abc import Callable
from contextlib import suppress
from functools import wraps
from typing import Any
from uuid import UUID

from django.contrib.auth.mixins import LoginRequiredMixin
from django.contrib.auth.views import redirect_to_login
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils.functional import cached_property
from django.utils.translation import gettext_lazy

from accounts.authentication import signed_in
from accounts.mail.services import require_verified
from billing import services as billing
from carprice.idempotency.forms import submit_once
from carprice.pages.views import ServiceFormView, is_htmx, missing_is_404
from mlmodels.domains import DOMAINS
from mlmodels.domains.base import Domain
from mlmodels.models import Predictor
from predictions import queue, services
from predictions.models import Prediction
from predictions.pages.forms import FeaturesForm

SAVED = gettext_lazy("Saved as a draft. Nothing is held or charged for it.")

SHOWN_PRICE = "shown_price"  # and the predictor's name: of templates/predictions/_price.html
TOP_UP = "top_up"  # the button that adds what is missing, and buys
LIVE = "live"  # sent when a field is left, for what is to be said beside it
NO_PRICE = -1  # agreed to by what nobody can read

View = Callable[[HttpRequest, UUID], HttpResponse]


class SaleView(LoginRequiredMixin, ServiceFormView):
    """A form of features that is checked, saved as it is, or sold.

    Its first button, which Enter presses, only checks. If fewer features are filled in than the
    domain wants, it asks once more before it sells. It sells at no other price than it has shown.
    If there are too few credits, a button adds what is missing and buys, both or neither.
    """

    throttle_scope = "submit"

    @property
    def seller(self) -> Predictor:
        raise NotImplementedError

    def save(self, form: FeaturesForm) -> HttpResponse:
        raise NotImplementedError

    def sell(self, form: FeaturesForm) -> HttpResponse:
        raise NotImplementedError

    def submit(self, form: FeaturesForm) -> HttpResponse:
        if LIVE in self.request.POST:
            return self.show_checked(form)
        if "save" in self.request.POST:
            return self.save(form)
        is_check = "check" in self.request.POST
        if not (is_check and form.is_blank):
            form.check()
        if is_check:
            is_fine = not form.errors
            return self._show_again(form, is_checked=True) if is_fine else self.form_invalid(form)
        asks = form.given < form.minimum_given and self._confirmed() < form.assumed
        if form.errors or asks:
            services.check_price(self.seller, self.agreed_price)
        if form.errors:
            return self.form_invalid(form)
        # A price that has changed is no reason to refuse what this very form bought before, so
        # whatever sells checks it.
        return self._show_again(form, asks=True) if asks else self.sell(form)

    def show_checked(self, form: FeaturesForm) -> HttpResponse:
        """What is to be said beside each field, as fragments."""
        if not form.is_blank:
            form.check()
        return self._fragments(form)

    def render_to_response(self, context: dict[str, Any], **options: Any) -> HttpResponse:
        """The page; as fragments for htmx, which shows none of a form that is answered with 422."""
        if not is_htmx(self.request):
            return super().render_to_response(context, **options)
        status = options.get("status", 200)
        return self._fragments(context["form"], status=200 if status == 422 else status)

    def _fragments(self, form: FeaturesForm, status: int = 200) -> HttpResponse:
        return render(self.request, "predictions/_checked.html", {"form": form}, status=status)

    def top_up_first(self, work: Callable[[], str]) -> Callable[[], str]:
        """The work after the credits that it lacks were added, if the form's button says so."""
        amount = self.request.POST.get(TOP_UP, "")
        if not amount:
            return work
        billing.check_top_ups_open()

        def add_and_work() -> str:
            missing = int(amount) if amount.isdecimal() and len(amount) < 10 else 0
            with transaction.atomic():
                billing.top_up(user_id=signed_in(self.request).pk, amount=missing)
                return work()

        return add_and_work

    @property
    def agreed_price(self) -> int | None:
        """The price that the form showed; None if it has no such field."""
        shown = self.request.POST.getlist(f"{SHOWN_PRICE}-{self.seller.name}")
        if not shown:
            return None
        with suppress(ValueError):
            return int(shown[0]) if len(shown) == 1 and len(shown[0]) < 20 else NO_PRICE
        return NO_PRICE

    def _confirmed(self) -> int:
        """How many typical values the person has agreed to."""
        with suppress(ValueError):
            return int(self.request.POST.get("confirm", "0")[:9])
        return 0

    def _show_again(self, form: FeaturesForm, **context: Any) -> HttpResponse:
        return self.render_to_response(self.get_context_data(form=form, **context))


class OwnPredictionView(LoginRequiredMixin, ServiceFormView):
    """A page with a form about one of the user's own predictions."""

    throttle_scope = "submit"

    @cached_property
    def row(self) -> Prediction:
        return services.find(signed_in(self.request), self.kwargs["prediction_id"])

    @cached_property
    def domain(self) -> Domain:
        return DOMAINS[self.row.predictor.domain]


def owner_required(view: View) -> View:
    """Like login_required, but signing in leads to the prediction's page.

    The address itself may only take a POST.
    """

    @wraps(view)
    def wrapped(request: HttpRequest, prediction_id: UUID) -> HttpResponse:
        if not request.user.is_authenticated:
            return redirect_to_login(reverse("prediction", args=[prediction_id]))
        return missing_is_404(view)(request, prediction_id)

    return wrapped


def buy_once(request: HttpRequest, work: Callable[[], str]) -> tuple[str, bool]:
    """Like submit_once, for what queues a prediction. Raises QueueFull or EmailNotVerified."""

    def admit() -> None:
        queue.check_capacity(signed_in(request))
        require_verified(signed_in(request))

    return submit_once(request, work, admit=admit)
