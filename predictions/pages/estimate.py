"""Describe a case, see the price of its prediction, and ask for it or keep a draft."""

from collections.abc import Callable
from typing import Any

from django.contrib import messages
from django.contrib.auth.mixins import LoginRequiredMixin
from django.http import Http404, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.decorators import method_decorator
from django.utils.functional import cached_property

from accounts.authentication import signed_in
from carprice.http.converters import parse_id
from carprice.idempotency.forms import submit_once
from carprice.pages.views import ServiceFormView, missing_is_404
from mlmodels.catalogue.queries import PredictorNotFound, find_on_sale_with_version, signature_of
from mlmodels.domains import DOMAINS
from mlmodels.models import Predictor
from predictions import services
from predictions.models import Prediction
from predictions.pages.common import SAVED, buy_once
from predictions.pages.forms import EnteredData, FeaturesForm


@method_decorator(missing_is_404, name="dispatch")
class EstimatePage(LoginRequiredMixin, ServiceFormView):
    """Fill in the features, see the price of the answer, and ask for it or keep a draft."""

    template_name = "predictions/estimate.html"
    throttle_scope = "submit"

    @cached_property
    def predictor(self) -> Predictor:
        try:
            return find_on_sale_with_version(self.kwargs["model_name"])
        except PredictorNotFound as error:
            raise Http404 from error

    def get_form(self, form_class: Any = None) -> FeaturesForm:
        version_id = self.predictor.current_version_id
        assert version_id is not None  # noqa: S101  # on sale means it has one
        signature = signature_of(version_id)
        like = self.request.GET.get("like")
        if like and self.request.method != "POST":
            row = services.find(signed_in(self.request), parse_id(like))
            return FeaturesForm.prefilled(signature, EnteredData.of_prediction(row, signature))
        return FeaturesForm(signature, **self.get_form_kwargs())

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        predictor = self.predictor
        choices = list(Predictor.objects.on_sale().filter(domain=predictor.domain))
        return super().get_context_data(
            predictor=predictor, domain=DOMAINS[predictor.domain], choices=choices, **kwargs
        )

    def submit(self, form: FeaturesForm) -> HttpResponse:
        is_draft = "save" in self.request.POST
        submit = self._save if is_draft else self._buy
        address, is_first = submit(form.submitted_data)
        if is_draft:
            messages.success(self.request, SAVED)
        elif not is_first:
            messages.info(self.request, "You sent this form twice; it was bought once.")
        return redirect(address)

    def _buy(self, data: dict[str, Any]) -> tuple[str, bool]:
        return buy_once(self.request, lambda: self._create(services.request_prediction, data))

    def _save(self, data: dict[str, Any]) -> tuple[str, bool]:
        return submit_once(self.request, lambda: self._create(services.create_draft, data))

    def _create(self, service: Callable[..., Prediction], data: dict[str, Any]) -> str:
        user = signed_in(self.request)
        row = service(user=user, predictor=self.predictor, data=data, explain=True)
        return reverse("prediction", args=[row.pk])
