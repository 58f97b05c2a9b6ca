"""Every text of the domains that a page shows, so that none is left out of a translation."""

from collections.abc import Iterator

from mlmodels.domains import DOMAINS
from mlmodels.domains.base import Domain, FeatureSpec


def texts() -> list[str]:
    """In the order in which they are written, each once. Reads the data, for the choices."""
    found = (text for domain in DOMAINS.values() for text in _texts_of(domain))
    return list(dict.fromkeys(filter(None, found)))


def _texts_of(domain: Domain) -> Iterator[str]:
    yield from (domain.title, domain.unit, domain.caveat)
    yield from (*domain.source, *domain.faults, *domain.out_of_scope)
    yield from domain.named_by.values()
    yield from (group.title for group in domain.groups)
    yield from (normal.source for normal in domain.reference_ranges.values())
    for spec in domain.predictors:
        yield from (spec.title, spec.algorithm, spec.summary)
    rows = domain.load(domain.data_path)
    for feature in domain.features:
        yield from (feature.label, feature.help, feature.unit or "")
        yield from (other.unit for other in feature.other_units)
        if feature.type == "category":
            yield from _choices(feature, sorted(map(str, rows[feature.name].unique())))


def _choices(feature: FeatureSpec, values: list[str]) -> Iterator[str]:
    yield from (feature.choice_labels.get(value, value) for value in values)
