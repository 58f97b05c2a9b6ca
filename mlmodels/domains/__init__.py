"""The registry of domains: a new one is a file beside this one, its data, and a line here."""

from mlmodels.domains import biological_age, blood_age, car_price
from mlmodels.domains.base import Domain, PredictorSpec

DOMAINS: dict[str, Domain] = {
    domain.name: domain
    for domain in (
        car_price.DOMAIN,
        biological_age.DOMAIN,
        blood_age.DOMAIN,
    )
}


def predictor_specs() -> list[tuple[Domain, PredictorSpec]]:
    """Every predictor with its domain, in the order of the registry."""
    return [(domain, spec) for domain in DOMAINS.values() for spec in domain.predictors]
