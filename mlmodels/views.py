from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from mlmodels.catalogue.queries import PredictorNotFound, find_version
from mlmodels.presentation import domains_on_sale, training_at_work
from mlmodels.reporting.reports import Report


@require_safe
def catalogue(request: HttpRequest) -> HttpResponse:
    """Everything on sale, with its price and its measured accuracy, and what is being trained."""
    context = {"training": training_at_work(), "domains": domains_on_sale()}
    return render(request, "mlmodels/catalogue.html", context)


@require_safe
def report(request: HttpRequest, model_name: str) -> HttpResponse:
    """What is known of a predictor, on sale or not; `version` asks for an older one."""
    try:
        version = find_version(model_name, request.GET.get("version"))
    except PredictorNotFound as error:
        raise Http404 from error
    context = {"report": Report(version), "is_on_sale": version.predictor.is_on_sale}
    return render(request, "mlmodels/report.html", context)
