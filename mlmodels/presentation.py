"""What is on sale as pages show it: frozen dataclasses that templates read."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.utils.translation import gettext as _
from django.utils.translation import pgettext

from carprice.pages.formatting import Scale, short_number, translated
from mlmodels.catalogue import ranking, training_status
from mlmodels.domains import DOMAINS, predictor_specs
from mlmodels.domains.base import Domain
from mlmodels.models import Predictor
from mlmodels.signature import Feature, Signature, Value


@dataclass(frozen=True)
class Offer:
    """A predictor on sale, with the accuracy of its current version.

    `tier` says in a word what a buyer gets, and `gain` by how much its typical error is smaller
    than that of the next cheaper one; None of the cheapest. `as_good_as` has the titles of others
    on sale whose typical error differs only by chance.
    """

    predictor: Predictor
    metrics: Mapping[str, Any]
    scale: Scale
    tier: str
    gain: float | None
    as_good_as: tuple[str, ...] = ()


@dataclass(frozen=True)
class DomainOffers:
    """What is on sale of one domain, cheapest first."""

    domain: Domain
    offers: list[Offer]

    @property
    def measured(self) -> list[tuple[int, int, int]]:
        """By how many repeats and folds, and on how many rows, its figures were measured."""
        parts = ("repeats", "folds", "rows")
        found = [tuple(offer.metrics.get(part, 1) for part in parts) for offer in self.offers]
        return list(dict.fromkeys(found))


def domains_on_sale() -> list[DomainOffers]:
    """Every domain that has something on sale."""
    predictors = list(Predictor.objects.on_sale().with_version())
    groups = [
        DomainOffers(domain, offers_of(domain, [row for row in predictors if row.domain == name]))
        for name, domain in DOMAINS.items()
    ]
    return [group for group in groups if group.offers]


def offers_of(domain: Domain, rows: Sequence[Predictor] | None = None) -> list[Offer]:
    """What is on sale of a domain, cheapest first; `rows` if they were read already."""
    if rows is None:
        rows = list(Predictor.objects.on_sale().with_version().filter(domain=domain.name))
    equals = ranking.equals_of(rows)
    titles = {row.name: row.title for row in rows}
    offers: list[Offer] = []
    for row in rows:
        cheaper = [each for each in rows if each.price < row.price]
        version = row.current_version
        assert version is not None  # noqa: S101  # on sale means it has one
        as_good_as = tuple(translated(titles[name]) for name in equals[row.name])
        scale = Scale(version.unit, domain.decimals)
        gain = min(map(_error, cheaper)) - _error(row) if cheaper else None
        tier = _tier(row, rows, equals)
        offers.append(Offer(row, version.metrics, scale, tier, gain, as_good_as))
    return offers


def _tier(row: Predictor, rows: Sequence[Predictor], equals: Mapping[str, Sequence[str]]) -> str:
    """By what was measured: none is called better than one that it beats only by chance."""
    best = min(rows, key=lambda each: (_error(each), each.name))
    if row == best:
        return _("Most accurate") if not equals[row.name] else _("Smallest error")
    if row.name in equals[best.name]:
        return _("As accurate")
    cheapest = min(each.price for each in rows)
    return _("Basic") if row.price == cheapest else pgettext("tier", "Balanced")


def _error(row: Predictor) -> float:
    assert row.current_version is not None  # noqa: S101  # as above
    return float(row.current_version.metrics["mae"])


def feature_text(feature: Feature, value: Value, *, digits: int = 6) -> str:
    """The text that a person reads for a feature's value, without its unit."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return str(value) if isinstance(value, int) else short_number(value, digits)
    return translated(feature.display(value))


def name_of(domain: Domain, signature: Signature, data: Mapping[str, Any]) -> str:
    """What a case is called, by some of its values: "Toyota, sedan, 95 hp"."""
    features = {feature.name: feature for feature in signature.features}
    parts = [
        translated(pattern) % feature_text(features[name], data[name], digits=4)
        for name, pattern in domain.named_by.items()
        if name in features and data.get(name) is not None and _is_plain(data[name])
    ]
    text = ", ".join(parts)
    return text[:1].upper() + text[1:] if text else translated(domain.title)


def _is_plain(value: Any) -> bool:
    """Whether it may be a value; a draft's may be anything."""
    return isinstance(value, str | int | float)


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
        TrainingLine(domain, spec.title, training_status.translated_stage(status[spec.name]))
        for domain, spec in entries
        if spec.name in status
    ]
    missing = sum(status.get(spec.name) == training_status.TRAINING for _, spec in entries)
    return TrainingAtWork(lines, len(entries) - missing, len(entries)) if lines else None
