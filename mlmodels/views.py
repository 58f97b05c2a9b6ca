from typing import Any

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from mlmodels.catalogue.queries import PredictorNotFound, find_version
from mlmodels.domains import DOMAINS
from mlmodels.models import Predictor
from mlmodels.reporting.reports import Report


@require_safe
def home(request: HttpRequest) -> HttpResponse:
    """What the service does and what it costs."""
    return render(request, "mlmodels/home.html", {"domains": _domains_on_sale()})


@require_safe
def catalogue(request: HttpRequest) -> HttpResponse:
    """Everything on sale, with its price and its measured accuracy."""
    return render(request, "mlmodels/catalogue.html", {"domains": _domains_on_sale()})


@require_safe
def report(request: HttpRequest, model_name: str) -> HttpResponse:
    """What is known of a predictor, on sale or not; `version` asks for an older one."""
    try:
        version = find_version(model_name, request.GET.get("version"))
    except PredictorNotFound as error:
        raise Http404 from error
    return render(request, "mlmodels/report.html", {"report": Report(version)})


def _domains_on_sale() -> list[dict[str, Any]]:
    """Each domain that has something on sale, with its predictors, cheapest first."""
    predictors = list(Predictor.objects.on_sale().with_version())
    groups = [
        {
            "domain": domain,
            "predictors": [row for row in predictors if row.domain == domain.name],
        }
        for domain in DOMAINS.values()
    ]
    return [group for group in groups if group["predictors"]]
