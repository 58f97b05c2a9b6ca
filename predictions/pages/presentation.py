"""Predictions and what-ifs as pages show them: dataclasses that templates read."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from carprice.pages.formatting import Scale
from mlmodels.catalogue.queries import signature_of, summary_of
from mlmodels.domains import DOMAINS
from mlmodels.domains.base import Domain
from mlmodels.serving import input_warnings
from mlmodels.serving.input_warnings import Warning  # noqa: A004  # the contract's word
from mlmodels.serving.intervals import Interval
from mlmodels.signature import Feature, Signature
from predictions import results, what_ifs
from predictions.models import Prediction, WhatIf
from predictions.pages.forms import EnteredData
from predictions.results import Factor

TYPICAL, WORKED_OUT = "typical", "worked out"
CONVERTED_DIGITS = 4
FACTORS_SHOWN = 6  # the others are folded away
BAR = 50  # the width of the longest bar to either side, in units of its drawing

Status = Prediction.Status

Features = Mapping[str, Feature]


@dataclass(frozen=True)
class Input:
    """A feature as it was used, and as it was entered if that was in another unit.

    `origin` says where a value comes from that the person did not give; empty for one they gave.
    """

    feature: Feature
    text: str
    origin: str
    entered: Mapping[str, Any] | None


@dataclass(frozen=True)
class WarningLine:
    label: str
    detail: str


@dataclass(frozen=True)
class FactorBar:
    """A factor and its bar, from `start` on and `size` wide; a contribution of 0 is at BAR."""

    label: str
    text: str
    origin: str  # as of an Input
    unit: str | None
    direction: str
    contribution: float
    start: float
    size: float


@dataclass(frozen=True)
class Difference:
    """A feature in which a known case differs, and its value there."""

    feature: Feature
    text: str


@dataclass(frozen=True)
class ComparableCase:
    """A known case like the predicted one: its target, and in what it differs."""

    target: float
    differences: list[Difference]


@dataclass(frozen=True)
class Reasons:
    """Why a value is what it is."""

    baseline: float
    factors: list[FactorBar]
    more_factors: list[FactorBar]
    comparables: list[ComparableCase]


@dataclass(frozen=True)
class PredictionDetails:
    """A prediction that is no draft.

    `inputs` are what the person gave, `assumed` the values that were taken for the rest, and
    `not_measured` the labels of features that have no value; the predictor takes typical ones.
    """

    domain: Domain
    scale: Scale
    typical_error: float | None  # only once there is a value
    inputs: list[Input]
    assumed: list[Input]
    not_measured: list[str]
    interval: Interval | None
    mostly_assumed: bool  # so that ranges may hold less often
    age_gap: float | None
    warnings: list[WarningLine]
    reasons: Reasons | None
    position: int | None


@dataclass(frozen=True)
class HistoryLine:
    """A prediction in a list; `amount` is what it holds, was charged or, as a draft, would cost."""

    prediction: Prediction
    scale: Scale
    amount: int


@dataclass(frozen=True)
class Change:
    """A changed feature, before and after; `entered` is as of an Input."""

    feature: Feature
    before: str
    after: str
    entered: Mapping[str, Any] | None


@dataclass(frozen=True)
class WhatIfLine:
    """What was changed, and what came of it."""

    changes: list[Change]
    value: float
    interval: Interval | None
    difference: float
    warnings: list[Warning]


def details_of(row: Prediction) -> PredictionDetails:
    signature, domain = signature_of(row.version_id), DOMAINS[row.predictor.domain]
    # A draft that was canceled was never checked, so its data may be anything.
    data = row.data if row.queued_at else EnteredData.of_prediction(row, signature).shown
    inputs, warnings = _inputs(row, signature, data), results.warnings_of(row)
    return PredictionDetails(
        domain=domain,
        scale=scale_of(row),
        typical_error=None if row.value is None else summary_of(row.version_id).typical_error,
        inputs=[item for item in inputs if not item.origin],
        assumed=[item for item in inputs if item.origin],
        not_measured=[
            feature.label
            for feature in signature.scored
            if feature.name in data and data[feature.name] is None
        ],
        interval=results.interval_of(row),
        mostly_assumed=results.is_mostly_assumed(warnings),
        age_gap=None if row.value is None else domain.age_gap_of(row.value, row.data),
        warnings=_warning_lines(warnings, signature),
        reasons=_reasons(row, signature),
        position=row.position,
    )


def scale_of(row: Prediction) -> Scale:
    return Scale(row.version.unit, DOMAINS[row.predictor.domain].decimals)


def history_lines(rows: Iterable[Prediction]) -> list[HistoryLine]:
    return [HistoryLine(row, scale_of(row), _amount(row)) for row in rows]


def _amount(row: Prediction) -> int:
    if row.status == Status.DRAFT:
        return row.predictor.price
    return row.price if row.is_active else row.charged


def _inputs(row: Prediction, signature: Signature, data: Mapping[str, Any]) -> list[Input]:
    return [
        Input(
            feature,
            _text(row, feature, data[feature.name]),
            _origin(row, feature, data[feature.name]),
            (row.entered or {}).get(feature.name),
        )
        for feature in signature.features
        if data.get(feature.name) is not None
    ]


def _text(row: Prediction | WhatIf, feature: Feature, value: Any) -> str:
    """A value as it is read, with no more digits of a converted one than mean something."""
    if isinstance(value, float) and feature.name in (row.entered or {}):
        value = float(f"{value:.{CONVERTED_DIGITS}g}")
    return feature.display(value)


def _origin(row: Prediction, feature: Feature, value: Any) -> str:
    """Where a value comes from: an empty text if the person gave it."""
    if feature.name not in row.defaulted:
        return TYPICAL if value is None else ""
    derivations = DOMAINS[row.predictor.domain].derivations
    sources = [set(each.sources) for each in derivations if each.feature == feature.name]
    is_derived = any(of - set(row.defaulted) for of in sources)
    return WORKED_OUT if is_derived else TYPICAL


def _warning_lines(warnings: list[Warning], signature: Signature) -> list[WarningLine]:
    labels = {feature.name: feature.label for feature in signature.features}
    labels[input_warnings.ALL_FEATURES] = "Altogether"
    return [
        WarningLine(labels.get(warning.feature, warning.feature), warning.detail)
        for warning in warnings
    ]


def _reasons(row: Prediction, signature: Signature) -> Reasons | None:
    """None where nothing was explained."""
    factors = results.factors_of(row)
    if not factors or row.explanation is None:
        return None
    features = {feature.name: feature for feature in signature.features}
    longest = abs(factors[0].contribution) or 1.0
    bars = [_bar(row, factor, features[factor.feature], longest) for factor in factors]
    return Reasons(
        baseline=row.explanation["baseline"],
        factors=bars[:FACTORS_SHOWN],
        more_factors=bars[FACTORS_SHOWN:],
        comparables=[_comparable(case, features) for case in row.explanation["comparables"] or []],
    )


def _bar(row: Prediction, factor: Factor, feature: Feature, longest: float) -> FactorBar:
    width = BAR * factor.contribution / longest
    return FactorBar(
        label=feature.label,
        text=_text(row, feature, factor.value),
        origin=_origin(row, feature, factor.value),
        unit=None if factor.value is None else feature.unit,
        direction=factor.direction,
        contribution=factor.contribution,
        start=BAR + min(0.0, width),
        size=abs(width),
    )


def _comparable(case: Mapping[str, Any], features: Features) -> ComparableCase:
    differences = case["differences"].items()
    return ComparableCase(
        case["target"],
        [Difference(features[name], features[name].display(value)) for name, value in differences],
    )


def what_if_line(row: WhatIf, features: Features) -> WhatIfLine:
    answer = what_ifs.answer(row)
    before, after = answer.before, answer.after
    return WhatIfLine(
        changes=[
            Change(
                features[name],
                _text(row.prediction, features[name], before.changed[name]),
                _text(row, features[name], value),
                (row.entered or {}).get(name),
            )
            for name, value in after.changed.items()
        ],
        value=after.value,
        interval=after.interval,
        difference=after.value - before.value,
        warnings=answer.warnings,
    )
