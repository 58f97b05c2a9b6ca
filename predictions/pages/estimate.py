"""Describe a case, see the price of its prediction, and ask for it or keep a draft."""

from collections.abc import Callable
from functools import partial
from typing import Any

from django.contrib import messages
from django.http import Http404, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.decorators import method_decorator
from django.utils.functional import cached_property

from accounts.authentication import signed_in
from carprice.http.converters import parse_id
from carprice.idempotency.forms import submit_once
from carprice.pages.views import missing_is_404
from mlmodels.catalogue.queries import PredictorNotFound, find_on_sale_with_version, signature_of
from mlmodels.domains import DOMAINS
from mlmodels.domains.base import Domain
from mlmodels.models import Predictor
from predictions import services
from predictions.models import Prediction
from predictions.pages.common import SAVED, SaleView, buy_once
from predictions.pages.forms import EnteredData, FeaturesForm


@method_decorator(missing_is_404, name="dispatch")
class EstimatePage(SaleView):
    """Fill in the features, see the price of the answer, and ask for it or keep a draft."""

    template_name = "predictions/estimate.html"
    entered: EnteredData | None = None  # of a prediction that the form begins like

    @cached_property
    def predictor(self) -> Predictor:
        try:
            return find_on_sale_with_version(self.kwargs["model_name"])
        except PredictorNotFound as error:
            raise Http404 from error

    @property
    def seller(self) -> Predictor:
        return self.predictor

    @cached_property
    def domain(self) -> Domain:
        return DOMAINS[self.predictor.domain]

    def get_form(self, form_class: Any = None) -> FeaturesForm:
        version_id = self.predictor.current_version_id
        assert version_id is not None  # noqa: S101  # on sale means it has one
        signature = signature_of(version_id)
        like = self.request.GET.get("like")
        if like and self.request.method != "POST":
            row = services.find(signed_in(self.request), parse_id(like))
            self.entered = EnteredData.of_prediction(row, signature)
            return FeaturesForm.prefilled(self.domain, signature, self.entered)
        return FeaturesForm(self.domain, signature, **self.get_form_kwargs())

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        if "form" not in kwargs:  # what it cannot show is known once it is made
            kwargs["form"] = self.get_form()
        choices = list(Predictor.objects.on_sale().filter(domain=self.domain.name))
        return super().get_context_data(
            predictor=self.predictor,
            domain=self.domain,
            choices=choices,
            entered=self.entered,
            **kwargs,
        )

    def sell(self, form: FeaturesForm) -> HttpResponse:
        data = form.submitted_data
        buy = partial(services.request_prediction, agreed_price=self.agreed_price)
        address, is_first = buy_once(self.request, lambda: self._create(buy, data))
        if not is_first:
            messages.info(self.request, "You sent this form twice; it was bought once.")
        return redirect(address)

    def save(self, form: FeaturesForm) -> HttpResponse:
        data = form.submitted_data
        address, _ = submit_once(self.request, lambda: self._create(services.create_draft, data))
        messages.success(self.request, SAVED)
        return redirect(address)

    def _create(self, service: Callable[..., Prediction], data: dict[str, Any]) -> str:
        user = signed_in(self.request)
        row = service(user=user, predictor=self.predictor, data=data, explain=True)
        return reverse("prediction", args=[row.pk])
