"""What is on sale as pages show it: frozen dataclasses that templates read."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from carprice.pages.formatting import Scale
from mlmodels.catalogue import ranking, training_status
from mlmodels.domains import DOMAINS, predictor_specs
from mlmodels.domains.base import Domain
from mlmodels.models import Predictor


@dataclass(frozen=True)
class Offer:
    """A predictor on sale, with the accuracy of its current version.

    `as_good_as` has the titles of others on sale whose typical error differs only by chance.
    """

    predictor: Predictor
    metrics: Mapping[str, Any]
    scale: Scale
    as_good_as: tuple[str, ...] = ()


@dataclass(frozen=True)
class DomainOffers:
    """What is on sale of one domain, cheapest first."""

    domain: Domain
    offers: list[Offer]


def domains_on_sale() -> list[DomainOffers]:
    """Every domain that has something on sale."""
    predictors = list(Predictor.objects.on_sale().with_version())
    groups = [
        DomainOffers(domain, _offers([row for row in predictors if row.domain == name], domain))
        for name, domain in DOMAINS.items()
    ]
    return [group for group in groups if group.offers]


def _offers(rows: Sequence[Predictor], domain: Domain) -> list[Offer]:
    equals = ranking.equals_of(rows)
    titles = {row.name: row.title for row in rows}
    offers = []
    for row in rows:
        version = row.current_version
        assert version is not None  # noqa: S101  # on sale means it has one
        as_good_as = tuple(titles[name] for name in equals[row.name])
        scale = Scale(version.unit, domain.decimals)
        offers.append(Offer(row, version.metrics, scale, as_good_as))
    return offers


@dataclass(frozen=True)
class TrainingLine:
    """A predictor that a training is at, and what it does about it."""

    domain: Domain
    title: str
    stage: str


@dataclass(frozen=True)
class TrainingAtWork:
    """What is not ready to be sold yet, and what is sold by an estimate and measured meanwhile."""

    lines: list[TrainingLine]
    ready: int
    total: int


def training_at_work() -> TrainingAtWork | None:
    status = training_status.read()
    entries = predictor_specs()
    lines = [
        TrainingLine(domain, spec.title, status[spec.name])
        for domain, spec in entries
        if spec.name in status
    ]
    missing = sum(line.stage == training_status.TRAINING for line in lines)
    return TrainingAtWork(lines, len(entries) - missing, len(entries)) if lines else None
