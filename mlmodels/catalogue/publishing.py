"""Putting a trained model on sale."""

import json
from typing import Any

from django.db import transaction

from mlmodels.catalogue.card import Card
from mlmodels.catalogue.pricing import PRICE_BY_RANK
from mlmodels.domains.base import Domain, PredictorSpec
from mlmodels.models import Predictor, PredictorVersion


@transaction.atomic
def publish(domain: Domain, spec: PredictorSpec, card: Card) -> PredictorVersion:
    """Make a trained model the current version; publishing the very same again repairs it."""
    # A first price is needed at once; `price_by_rank` sets it right when all are trained.
    words = {
        "domain": domain.name,
        "title": spec.title,
        "algorithm": spec.algorithm,
        "summary": spec.summary,
    }
    Predictor.objects.get_or_create(
        name=spec.name, defaults={**words, "price": PRICE_BY_RANK[0], "enabled": True}
    )
    predictor = Predictor.objects.select_for_update().get(name=spec.name)
    latest = predictor.versions.order_by("-number").first()
    recorded = _recorded(domain, card)
    if latest is None or any(getattr(latest, name) != value for name, value in recorded.items()):
        number = latest.number + 1 if latest else 1
        latest = PredictorVersion(
            predictor=predictor, number=number, trained_at=card.trained_at, **recorded
        )
    latest.fault = ""
    latest.save()
    for field, value in words.items():
        setattr(predictor, field, value)
    predictor.current_version = latest
    predictor.save(update_fields=[*words, "current_version"])
    return latest


def _recorded(domain: Domain, card: Card) -> dict[str, Any]:
    """What a version records of a training, but for its time, as it comes back from the database.

    The same pickle may have been written with other libraries, which decide whether it is loaded.
    """
    document = {
        "target": domain.target,
        "unit": domain.unit,
        "signature": card.signature,
        "metrics": card.metrics_json(),
        "calibration": card.calibration,
        "report": card.report,
        "artefact_sha256": card.artefact_sha256,
        "artefact_format": card.artefact_format,
        "sklearn_version": card.libraries["scikit-learn"],
        "libraries": card.libraries,
        "data_sha256": card.data_sha256,
        "seed": card.seed,
    }
    found: dict[str, Any] = json.loads(json.dumps(document))  # tuples become lists
    return found
