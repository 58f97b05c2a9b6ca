"""What is on sale as pages show it: frozen dataclasses that templates read."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from carprice.pages.formatting import Scale
from mlmodels.domains import DOMAINS
from mlmodels.domains.base import Domain
from mlmodels.models import Predictor


@dataclass(frozen=True)
class Offer:
    """A predictor on sale, with the accuracy of its current version."""

    predictor: Predictor
    metrics: Mapping[str, Any]
    scale: Scale


@dataclass(frozen=True)
class DomainOffers:
    """What is on sale of one domain, cheapest first."""

    domain: Domain
    offers: list[Offer]


def domains_on_sale() -> list[DomainOffers]:
    """Every domain that has something on sale."""
    predictors = list(Predictor.objects.on_sale().with_version())
    groups = [
        DomainOffers(domain, [_offer(row, domain) for row in predictors if row.domain == name])
        for name, domain in DOMAINS.items()
    ]
    return [group for group in groups if group.offers]


def _offer(row: Predictor, domain: Domain) -> Offer:
    version = row.current_version
    assert version is not None  # noqa: S101  # on sale means it has one
    return Offer(row, version.metrics, Scale(version.unit, domain.decimals))
