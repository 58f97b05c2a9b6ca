"""The start page: what the service does, a worked example, what it costs and how sure it is."""

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.http import require_safe

from mlmodels.models import Predictor
from mlmodels.presentation import domains_on_sale
from predictions.models import Example, Prediction
from predictions.pages.presentation import details_of


@require_safe
def home(request: HttpRequest) -> HttpResponse:
    groups = domains_on_sale()
    versions = [
        offer.predictor.current_version_id for group in groups for offer in group.offers[-1:]
    ]
    by_version = {row.version_id: row for row in Example.objects.filter(version_id__in=versions)}
    examples = [
        (group, row, details_of(row))
        for group, version in zip(groups, versions, strict=True)
        if version
        and (example := by_version.get(version))
        and (row := _as_prediction(example, group.offers[-1].predictor))
    ]
    return render(request, "predictions/home.html", {"domains": groups, "examples": examples})


def _as_prediction(example: Example, predictor: Predictor) -> Prediction:
    """What pages show of a prediction; it is not stored as one."""
    return Prediction(
        predictor=predictor,
        version_id=example.version_id,
        status=Prediction.Status.FINISHED,
        queued_at=timezone.now(),
        data=example.data,
        defaulted=example.defaulted,
        value=example.value,
        explanation=example.explanation,
    )
