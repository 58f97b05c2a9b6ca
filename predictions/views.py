from typing import Any

from django.contrib.auth.decorators import login_required
from django.contrib.auth.mixins import LoginRequiredMixin
from django.core.paginator import Paginator
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.cache import patch_vary_headers

from accounts.authentication import signed_in
from carprice.errors import NotFound
from carprice.pages import ServiceFormView, is_htmx, signed_in_fragment
from mlmodels.catalogue import PredictorNotFound, find_on_sale, signature_of
from mlmodels.domains import DOMAINS
from mlmodels.models import Predictor
from predictions import queue, services
from predictions.forms import FeaturesForm
from predictions.models import Prediction

PAGE_SIZE = 25


class EstimatePage(LoginRequiredMixin, ServiceFormView):
    """Fill in the features, see the price of the answer, and ask for it."""

    template_name = "predictions/estimate.html"
    throttle_scope = "submit"

    @property
    def predictor(self) -> Predictor:
        try:
            return find_on_sale(self.kwargs["model_name"])
        except PredictorNotFound as error:
            raise Http404 from error

    def get_form(self, form_class: Any = None) -> FeaturesForm:
        version_id = self.predictor.current_version_id
        assert version_id is not None  # noqa: S101  # on sale means it has one
        return FeaturesForm(signature_of(version_id), **self.get_form_kwargs())

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        predictor = self.predictor
        others = Predictor.objects.on_sale().filter(domain=predictor.domain)
        return super().get_context_data(
            predictor=predictor, domain=DOMAINS[predictor.domain], others=others, **kwargs
        )

    def submit(self, form: FeaturesForm) -> HttpResponse:
        queue.refuse_if_full(signed_in(self.request))
        prediction = services.request_prediction(
            user=signed_in(self.request), predictor=self.predictor, data=form.given
        )
        return redirect("prediction", prediction.pk)


@login_required
def prediction(request: HttpRequest, prediction_id: str) -> HttpResponse:
    """One prediction: its state, and its result as soon as there is one."""
    return render(request, "predictions/prediction.html", _context(request, prediction_id))


@signed_in_fragment
def status(request: HttpRequest, prediction_id: str) -> HttpResponse:
    """The part of a prediction's page that changes while it runs."""
    return render(request, "predictions/_status.html", _context(request, prediction_id))


@signed_in_fragment
def history(request: HttpRequest) -> HttpResponse:
    """What runs now on top, then everything that ended, newest first."""
    rows = (
        Prediction.objects.of(signed_in(request)).submitted().select_related("predictor", "version")
    )
    rows = rows.defer("data", "version__signature", "version__metrics")
    ended = rows.filter(status__in=Prediction.ENDED)
    page = Paginator(ended, PAGE_SIZE).get_page(request.GET.get("page"))
    active = rows.active()
    context = {"active": active[:PAGE_SIZE], "active_count": active.count(), "page": page}
    template = "predictions/_history.html" if is_htmx(request) else "predictions/history.html"
    response = render(request, template, context)
    patch_vary_headers(response, ["HX-Request"])
    return response


def _context(request: HttpRequest, prediction_id: str) -> dict[str, Any]:
    try:
        row = services.find(signed_in(request), prediction_id)
    except NotFound as error:
        raise Http404 from error
    signature = signature_of(row.version_id)
    inputs = [
        {
            "feature": feature,
            "value": feature.word(row.data[feature.name]),
            "defaulted": feature.name in row.defaulted,
        }
        for feature in signature.features
    ]
    return {"prediction": row, "domain": DOMAINS[row.predictor.domain], "inputs": inputs}
