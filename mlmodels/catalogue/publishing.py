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
    """Make a trained model the current version of its predictor.

    If the latest version is the same in all that is recorded, no new one is made, but its fault, if
    any, is cleared.
    """
    texts = {
        "domain": domain.name,
        "title": spec.title,
        "algorithm": spec.algorithm,
        "summary": spec.summary,
    }
    # The price is provisional: `price_by_rank` follows when all predictors of a domain are trained.
    Predictor.objects.get_or_create(
        name=spec.name, defaults={**texts, "price": PRICE_BY_RANK[0], "enabled": True}
    )
    predictor = Predictor.objects.select_for_update().get(name=spec.name)
    latest = predictor.versions.order_by("-number").first()
    fields = _version_fields(domain, card)
    if latest is None or any(getattr(latest, name) != value for name, value in fields.items()):
        number = latest.number + 1 if latest else 1
        latest = PredictorVersion(
            predictor=predictor, number=number, trained_at=card.trained_at, **fields
        )
    latest.fault = ""
    latest.save()
    for name, text in texts.items():
        setattr(predictor, name, text)
    predictor.current_version = latest
    predictor.save(update_fields=[*texts, "current_version"])
    return latest


def _version_fields(domain: Domain, card: Card) -> dict[str, Any]:
    """The fields by which versions are compared: all that are recorded but the time of training.

    The digest alone would not do: the same pickle may be written with other libraries, and the
    recorded libraries decide who may load it. Values are as they come back from the database.
    """
    fields = {
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
    stored: dict[str, Any] = json.loads(json.dumps(fields))  # turns tuples into lists
    return stored
