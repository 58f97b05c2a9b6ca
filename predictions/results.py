"""What is known of a prediction: its value, range and factors once it has ended, and warnings.

All but the factors follow from what is stored with the prediction and its version.
"""

from dataclasses import dataclass
from typing import Any

from carprice.http.errors import InvalidInput
from mlmodels.catalogue import queries
from mlmodels.domains import DOMAINS
from mlmodels.serving import input_warnings
from mlmodels.serving.input_warnings import Warning  # noqa: A004  # the contract's word
from mlmodels.serving.intervals import Interval
from predictions.models import Prediction


@dataclass(frozen=True)
class Factor:
    """What a feature contributed to a value, in the target's unit."""

    feature: str
    value: Any
    contribution: float

    @property
    def direction(self) -> str:
        if self.contribution > 0:
            return "raises"
        return "lowers" if self.contribution < 0 else "none"


@dataclass(frozen=True)
class Result:
    """The value with its range and what it is made of, in the target's unit.

    `age_gap` is by how much it exceeds the age that was entered; `comparables` are the known cases
    most like this one. Both are None where the domain, or the prediction, has none.
    """

    value: float
    unit: str
    interval: Interval | None
    baseline: float | None
    factors: list[Factor] | None
    age_gap: float | None
    comparables: list[dict[str, Any]] | None
    note: str


def result_of(row: Prediction) -> Result | None:
    """None while there is no value."""
    if row.value is None:
        return None
    domain, explanation = DOMAINS[row.predictor.domain], row.explanation or {}
    return Result(
        value=row.value,
        unit=queries.summary_of(row.version_id).unit,
        interval=interval_of(row),
        baseline=explanation.get("baseline"),
        factors=factors_of(row),
        age_gap=domain.age_gap_of(row.value, row.data),
        comparables=explanation.get("comparables") or None,
        note=domain.caveat,
    )


def interval_of(row: Prediction) -> Interval | None:
    """None of a version that is older than ranges."""
    return None if row.value is None else queries.summary_of(row.version_id).interval(row.value)


def factors_of(row: Prediction) -> list[Factor] | None:
    """What each feature contributed, largest first; None where nothing is explained."""
    if row.explanation is None:
        return None
    contributions = row.explanation["contributions"].items()
    return [
        Factor(name, row.data.get(name), contribution)
        for name, contribution in sorted(contributions, key=lambda item: -abs(item[1]))
    ]


def warnings_of(row: Prediction) -> list[Warning]:
    """What is odd about its input; none of what was canceled before it was checked, or erased."""
    if row.status == Prediction.Status.DRAFT:
        return _draft_warnings(row)
    if row.queued_at is None or row.erased_at is not None:
        return []
    signature = queries.signature_of(row.version_id)
    domain = DOMAINS[row.predictor.domain]
    entered = row.entered or ()
    return input_warnings.warnings_of(domain, signature, row.data, row.defaulted, entered)


def is_mostly_assumed(warnings: list[Warning]) -> bool:
    """Whether so much is assumed that a range may hold less often than it says."""
    return any(warning.code == input_warnings.MOSTLY_ASSUMED for warning in warnings)


def _draft_warnings(row: Prediction) -> list[Warning]:
    """Those that it would have if it were run now; if it cannot be, how much would be assumed."""
    version_id = row.predictor.current_version_id or row.version_id
    signature, domain = queries.signature_of(version_id), DOMAINS[row.predictor.domain]
    try:
        inputs = queries.check_version_inputs(version_id, domain, row.data)
    except InvalidInput as error:
        data, _ = domain.resolve_names(row.data) if isinstance(row.data, dict) else ({}, {})
        right = {name: value for name, value in data.items() if name not in error.errors}
        return list(input_warnings.assumption_warnings(domain, signature, right))
    return input_warnings.warnings_of(
        domain, signature, inputs.data, inputs.defaulted, inputs.entered
    )
