"""Worked examples for the start page: each domain's own case, scored by each version on sale."""

from django.db.models import Exists, OuterRef

from mlmodels.catalogue.queries import check_version_inputs
from mlmodels.domains import DOMAINS
from mlmodels.models import Predictor
from mlmodels.serving import inference
from mlmodels.serving.artefacts import ArtefactError
from predictions.models import Example


def make_missing() -> None:
    """Store an example of each version that is on sale and has none."""
    has_one = Exists(Example.objects.filter(version_id=OuterRef("current_version")))
    for predictor in Predictor.objects.on_sale().filter(~has_one):
        version_id, domain = predictor.current_version_id, DOMAINS[predictor.domain]
        if version_id is None or not domain.example:
            continue
        inputs = check_version_inputs(version_id, domain, domain.example)
        try:
            scorer = inference.scorer(version_id)
        except ArtefactError:
            continue  # whoever loads the models on sale has recorded it
        Example.objects.get_or_create(
            version_id=version_id,
            defaults={
                "data": inputs.data,
                "defaulted": inputs.defaulted,
                "value": scorer.predict([inputs.data])[0],
                "explanation": scorer.explain([inputs.data])[0],
            },
        )
