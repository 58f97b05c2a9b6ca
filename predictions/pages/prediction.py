"""One prediction: its state, its result, and what a person does to it."""

from contextlib import suppress
from typing import Any
from uuid import UUID, uuid4

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.decorators import method_decorator
from django.utils.functional import cached_property
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from accounts.authentication import signed_in
from billing.models import CreditAccount
from carprice.http import throttling
from carprice.http.errors import NotFound, WrongState
from carprice.idempotency.forms import submit_once
from carprice.pages.forms import StrictForm
from carprice.pages.views import is_htmx, missing_is_404, signed_in_fragment
from mlmodels.catalogue.queries import signature_of
from mlmodels.models import Predictor
from mlmodels.signature import Signature
from predictions import services, sharing
from predictions.models import LONGEST_LABEL, Prediction
from predictions.pages.common import SAVED, OwnPredictionView, SaleView, buy_once, owner_required
from predictions.pages.entered_data import EnteredData
from predictions.pages.forms import FeaturesForm
from predictions.pages.presentation import details_of, title_of

Status = Prediction.Status


@method_decorator(missing_is_404, name="dispatch")
class PredictionPage(OwnPredictionView, SaleView):
    """One prediction: its state and its result, or while it is a draft, its form."""

    template_name = "predictions/draft.html"

    @property
    def seller(self) -> Predictor:
        return self.row.predictor

    @cached_property
    def signature(self) -> Signature:
        return signature_of(self.row.predictor.current_version_id or self.row.version_id)

    @cached_property
    def entered(self) -> EnteredData:
        return EnteredData.of_prediction(self.row, self.signature)

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        try:
            row = self.row
        except NotFound:
            if services.was_erased(signed_in(request), self.kwargs["prediction_id"]):
                return render(request, "predictions/erased.html", status=404)
            raise
        if row.status == Status.DRAFT:
            return super().get(request, *args, **kwargs)
        link = sharing.find_link(row) if row.status == Status.FINISHED else None
        context = {
            "prediction": row,
            "details": details_of(row),
            "is_on_sale": row.predictor.is_on_sale,
            "link": link,
            "link_address": link
            and request.build_absolute_uri(reverse("shared", args=[link.token])),
            "name_form": LabelForm(initial={"label": row.label}),
        }
        return render(request, "predictions/prediction.html", context)

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        if self.row.status != Status.DRAFT:
            return self._no_longer_a_draft()
        return super().post(request, *args, **kwargs)

    def show_again(self, *, status: int, sentence: str = "") -> HttpResponse:
        if self.row.status != Status.DRAFT:
            return self._no_longer_a_draft()
        return super().show_again(status=status, sentence=sentence)

    def get_form(self, form_class: Any = None) -> FeaturesForm:
        if self.request.method == "POST":
            return FeaturesForm(self.domain, self.signature, **self.get_form_kwargs())
        form = FeaturesForm.prefilled(self.domain, self.signature, self.entered)
        form.check()
        return form

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        return super().get_context_data(
            prediction=self.row,
            domain=self.domain,
            entered=self.entered,
            is_on_sale=self.row.predictor.is_on_sale,
            **kwargs,
        )

    def save(self, form: FeaturesForm) -> HttpResponse:
        changes = {"data": form.submitted_data}
        with suppress(WrongState):  # it was run in another tab
            services.edit_draft(
                user=signed_in(self.request), prediction_id=self.row.pk, changes=changes
            )
            messages.success(self.request, SAVED)
            return redirect("prediction", self.row.pk)
        return self._no_longer_a_draft()

    def sell(self, form: FeaturesForm) -> HttpResponse:
        data = form.submitted_data
        with suppress(WrongState):  # it was run in another tab, or by the first of two clicks
            try:
                buy_once(self.request, self.top_up_first(lambda: self._run(data)))
            except services.PriceChanged:
                del self.row  # read before the price changed
                raise
            return redirect("prediction", self.row.pk)
        return self._no_longer_a_draft()

    def _run(self, data: dict[str, Any]) -> str:
        user = signed_in(self.request)
        services.run_draft_with(
            user=user, prediction_id=self.row.pk, data=data, agreed_price=self.agreed_price
        )
        return reverse("prediction", args=[self.row.pk])

    def _no_longer_a_draft(self) -> HttpResponse:
        messages.info(self.request, _("This is no longer a draft; nothing was bought twice."))
        return redirect("prediction", self.row.pk)


class LabelForm(StrictForm):
    label = forms.CharField(label=gettext_lazy("Name"), max_length=LONGEST_LABEL, required=False)


@require_POST
@owner_required
def name(request: HttpRequest, prediction_id: UUID) -> HttpResponse:
    """Give a prediction the user's own label."""
    form = LabelForm(request.POST)
    if form.is_valid():
        label = form.cleaned_data["label"]
        services.name_prediction(user=signed_in(request), prediction_id=prediction_id, label=label)
    else:
        messages.error(request, " ".join(map(str, form.errors["label"])))
    return redirect("prediction", prediction_id)


@require_POST
@owner_required
def share(request: HttpRequest, prediction_id: UUID) -> HttpResponse:
    """Make a link by which others see a finished prediction."""
    try:
        sharing.share(user=signed_in(request), prediction_id=prediction_id)
    except WrongState as refusal:
        messages.info(request, refusal.detail)
        return redirect("prediction", prediction_id)
    return redirect(f"{reverse('prediction', args=[prediction_id])}#share")


@require_POST
@owner_required
def revoke(request: HttpRequest, prediction_id: UUID) -> HttpResponse:
    """Make that link lead nowhere."""
    sharing.revoke(user=signed_in(request), prediction_id=prediction_id)
    messages.success(request, _("The link is revoked: it leads nowhere now."))
    return redirect("prediction", prediction_id)


@require_safe
@missing_is_404
def shared(request: HttpRequest, token: str) -> HttpResponse:
    """A finished prediction as anybody sees it who has its link."""
    throttling.count_request(request, "other")
    row = sharing.find_shared(token)
    row.label = ""  # its user's own words are nobody else's
    response = render(
        request, "predictions/shared.html", {"prediction": row, "details": details_of(row)}
    )
    response["X-Robots-Tag"] = "noindex"
    return response


@require_POST
@owner_required
def cancel(request: HttpRequest, prediction_id: UUID) -> HttpResponse:
    """Cancel a draft or a queued prediction; if it is too late, its page says so."""
    user = signed_in(request)
    with suppress(WrongState):
        services.cancel(user=user, prediction_id=prediction_id)
    row = services.find(user, prediction_id)
    if row.status == Status.CANCELED:  # now, or by the first of two clicks
        messages.success(request, _("Canceled. What was held for it is available again."))
    elif row.has_ended:
        messages.info(request, _("It had ended already, so there was nothing to cancel."))
    else:
        messages.info(request, _("It had started already, so it could not be canceled."))
    return redirect("prediction", prediction_id)


@require_http_methods(["GET", "HEAD", "POST"])
@owner_required
def delete(request: HttpRequest, prediction_id: UUID) -> HttpResponse:
    """Ask whether to delete a draft or an ended prediction, and do it."""
    user = signed_in(request)

    def erase() -> str:
        services.erase(user=user, prediction_id=prediction_id)
        return reverse("predictions")

    if request.method != "POST":
        row = services.find(user, prediction_id)
        if row.is_active:
            return _not_yet(request, prediction_id)
        context = {"prediction": row, "name": title_of(row), "form_key": uuid4()}
        return render(request, "predictions/delete.html", context)
    try:
        address, _is_first = submit_once(request, erase)
    except WrongState:
        return _not_yet(request, prediction_id)
    messages.success(request, _("Deleted."))
    return redirect(address)


def _not_yet(request: HttpRequest, prediction_id: UUID) -> HttpResponse:
    messages.info(request, _("It can be deleted once it has ended."))
    return redirect("prediction", prediction_id)


@require_safe
@signed_in_fragment
@missing_is_404
def status(request: HttpRequest, prediction_id: UUID) -> HttpResponse:
    """The part of a prediction's page that changes while it runs.

    A page asks for it each second, so it reads no more than it shows.
    """
    user = signed_in(request)
    row = services.find(user, prediction_id)
    context = {"prediction": row, "details": details_of(row)}
    if row.status != Status.QUEUED:
        context["is_on_sale"] = row.predictor.is_on_sale
    if is_htmx(request) and not row.is_active:
        context["wallet"] = CreditAccount.objects.get(pk=user.pk)
    return render(request, "predictions/_status.html", context)
