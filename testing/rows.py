"""Rows of a domain's own data, for tests of what is scored."""

from typing import Any

from mlmodels.domains.base import Domain
from mlmodels.signature import Signature


def rows_of(domain: Domain, signature: Signature, count: int) -> list[dict[str, Any]]:
    """Real rows, the typical case, and one far outside of all."""
    table = domain.load(domain.data_path)[: count - 2]
    names = [feature.name for feature in signature.scored]
    real = table[names].astype(object).where(table[names].notna(), None).to_dict("records")
    limits = {
        feature.name: feature.default if feature.maximum is None else feature.maximum
        for feature in signature.scored
    }
    return [*real, signature.example(), limits]  # type: ignore[list-item]
