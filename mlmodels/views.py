from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from mlmodels.domains import DOMAINS
from mlmodels.models import Predictor


@require_safe
def home(request: HttpRequest) -> HttpResponse:
    """What the service does and what it costs."""
    return render(request, "mlmodels/home.html", {"domains": _domains_on_sale()})


@require_safe
def catalogue(request: HttpRequest) -> HttpResponse:
    """Everything on sale, with its price and its measured accuracy."""
    return render(request, "mlmodels/catalogue.html", {"domains": _domains_on_sale()})


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
