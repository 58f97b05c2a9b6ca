"""What is told of a prediction that has ended: its value, range, factors and warnings.

All but the factors follow from what is stored with the prediction and its version.
"""

from dataclasses import asdict
from typing import Any

from mlmodels.catalogue import queries
from mlmodels.domains import DOMAINS
from mlmodels.serving import input_warnings
from mlmodels.serving.input_warnings import Warning  # noqa: A004  # the contract's word
from mlmodels.serving.intervals import Interval
from predictions.models import Prediction


def describe(row: Prediction) -> dict[str, Any] | None:
    """The contract's `result`, in the target's unit; None while there is none."""
    if row.value is None:
        return None
    domain, made_of = DOMAINS[row.predictor.domain], row.explanation or {}
    found = interval(row)
    comparables = made_of.get("comparables")
    return {
        "value": row.value,
        "unit": queries.facts_of(row.version_id).unit,
        "interval": asdict(found) if found else None,
        "baseline": made_of.get("baseline"),
        "factors": factors(row),
        **domain.gap_of(row.value, row.data),
        **({"comparables": comparables} if comparables else {}),
        "note": domain.caveat,
    }


def interval(row: Prediction) -> Interval | None:
    """None of a version that is older than ranges."""
    return None if row.value is None else queries.facts_of(row.version_id).interval(row.value)


def factors(row: Prediction) -> list[dict[str, Any]] | None:
    """What each feature contributed, largest first; None where nobody asked."""
    if row.explanation is None:
        return None
    contributions = row.explanation["contributions"].items()
    return [
        {
            "feature": name,
            "value": row.data.get(name),
            "contribution": size,
            "direction": "raises" if size > 0 else "lowers" if size < 0 else "none",
        }
        for name, size in sorted(contributions, key=lambda item: -abs(item[1]))
    ]


def warnings(row: Prediction) -> list[Warning]:
    """What is odd about its input, which must have been checked: a draft's has not been."""
    if row.queued_at is None or row.erased_at is not None:
        return []
    signature = queries.signature_of(row.version_id)
    domain = DOMAINS[row.predictor.domain]
    return input_warnings.warnings_of(domain, signature, row.data, row.defaulted)
