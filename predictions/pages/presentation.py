"""Predictions and what-ifs as pages show them: dataclasses that templates read."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, gettext_noop, ngettext

from accounts.models import User
from carprice.pages.formatting import Scale, number, translated
from mlmodels.catalogue.queries import signature_of, summary_of
from mlmodels.domains import DOMAINS
from mlmodels.domains.base import Domain
from mlmodels.presentation import feature_text, name_of
from mlmodels.serving.input_warnings import Warning  # noqa: A004  # the contract's word
from mlmodels.serving.intervals import Interval
from mlmodels.signature import Feature, Signature
from predictions import results
from predictions.models import Prediction, WhatIf
from predictions.pages import drawing
from predictions.pages.entered_data import EnteredData
from predictions.results import Factor

TYPICAL, WORKED_OUT = gettext_lazy("typical"), gettext_lazy("worked out")
CONVERTED_DIGITS = 4  # of a value that was converted from another unit
ASSUMED_DIGITS = 3  # of a typical one
FACTORS_SHOWN = 6  # the others are folded away
# The labels of statuses, which Django makes of their names, for the translators.
STATUSES = [
    gettext_noop("Draft"),
    gettext_noop("Queued"),
    gettext_noop("Running"),
    gettext_noop("Finished"),
    gettext_noop("Failed"),
    gettext_noop("Canceled"),
]

Status = Prediction.Status

Features = Mapping[str, Feature]


@dataclass(frozen=True)
class Zone:
    """Where a value lies in what is normal, by whom."""

    kind: str  # low, normal or high
    word: str
    normal: str
    source: str


@dataclass(frozen=True)
class Input:
    """A feature as it was used, and as it was entered if that was in another unit.

    `origin` says where a value comes from that the person did not give; empty for one they gave.
    """

    feature: Feature
    text: str
    origin: str
    entered: Mapping[str, Any] | None
    warnings: list[str]
    zone: Zone | None


@dataclass(frozen=True)
class FactorBar:
    """A factor, from the value without it to the value with it."""

    label: str
    text: str
    origin: str  # as of an Input
    unit: str | None
    direction: str
    contribution: float
    bar: drawing.Bar


@dataclass(frozen=True)
class Difference:
    """A feature in which a known case differs, its value there, and here."""

    feature: Feature
    text: str
    here: str


@dataclass(frozen=True)
class ComparableCase:
    """A known case like the predicted one: what it is, its target, and in what it differs."""

    name: str
    target: float
    differences: list[Difference]


@dataclass(frozen=True)
class Reasons:
    """Why a value is what it is: factors by which the typical case becomes this one.

    `rest` is what all the others add up to: `more_factors`, and what was not measured.
    """

    baseline: float
    baseline_bar: drawing.Bar
    factors: list[FactorBar]
    rest: FactorBar | None
    more_factors: list[FactorBar]
    not_measured: list[str]
    value_bar: drawing.Bar
    comparables: list[ComparableCase]


@dataclass(frozen=True)
class PredictionDetails:
    """A prediction that is no draft.

    `inputs` are what the person gave, `assumed` the values that were taken for the rest, and
    `not_measured` the labels of features that have no value; the predictor takes typical ones.
    `warnings` are those about no single feature, `noted` the inputs that have one.
    """

    domain: Domain
    name: str
    scale: Scale
    typical_error: float | None  # only once there is a value
    inputs: list[Input]
    assumed: list[Input]
    not_measured: list[str]
    interval: Interval | None
    range: drawing.Range | None
    mostly_assumed: bool  # so that ranges may hold less often
    age_gap: float | None
    warnings: list[str]
    noted: list[Input]
    reasons: Reasons | None
    position: int | None
    poll_ms: int  # when a page looks again


def details_of(row: Prediction) -> PredictionDetails:
    signature, domain = signature_of(row.version_id), DOMAINS[row.predictor.domain]
    # A draft that was canceled was never checked, so its data may be anything.
    data = row.data if row.queued_at else EnteredData.of_prediction(row, signature).shown
    warnings = results.warnings_of(row)
    inputs, interval, scale = (
        _inputs(row, signature, data, warnings),
        results.interval_of(row),
        scale_of(row),
    )
    reasons = _reasons(row, signature)
    return PredictionDetails(
        domain=domain,
        name=title_of(row),
        scale=scale,
        typical_error=None if row.value is None else summary_of(row.version_id).typical_error,
        inputs=[item for item in inputs if not item.origin],
        assumed=[item for item in inputs if item.origin],
        not_measured=[
            translated(feature.label)
            for feature in signature.scored
            if feature.name in data and data[feature.name] is None
        ],
        interval=interval,
        range=_range(row.value, interval, reasons, scale),
        mostly_assumed=results.is_mostly_assumed(warnings),
        age_gap=None if row.value is None else domain.age_gap_of(row.value, row.data),
        warnings=[each.detail for each in warnings if each.feature not in data],
        noted=[item for item in inputs if item.warnings],
        reasons=reasons,
        position=row.position,
        poll_ms=_poll_ms(row),
    )


def scale_of(row: Prediction) -> Scale:
    return Scale(summary_of(row.version_id).unit, DOMAINS[row.predictor.domain].decimals)


def title_of(row: Prediction) -> str:
    """What a prediction is called: its user's label, or what was given of the case."""
    if row.label:
        return row.label
    if not isinstance(row.data, dict):  # as a draft's may be
        return translated(DOMAINS[row.predictor.domain].title)
    given = {name: value for name, value in row.data.items() if name not in row.defaulted}
    return name_of(DOMAINS[row.predictor.domain], signature_of(row.version_id), given)


def titles_by_id(user: User, ids: Collection[UUID]) -> dict[UUID, str]:
    """What the user's predictions of these ids are called; those they deleted are not there."""
    rows = Prediction.objects.of(user).filter(pk__in=ids).select_related("predictor")
    return {row.pk: title_of(row) for row in rows}


def _poll_ms(row: Prediction) -> int:
    """Most end within a moment, so the first look is soon; the longer one waits, the rarer."""
    if row.queued_at is None or not row.is_active:
        return 0
    age = (timezone.now() - row.queued_at).total_seconds()
    return 300 if age < 2 else 1000 if age < 15 else 3000


def _range(
    value: float | None, interval: Interval | None, reasons: Reasons | None, scale: Scale
) -> drawing.Range | None:
    if value is None or interval is None:
        return None
    return drawing.range_of(
        value,
        interval.low,
        interval.high,
        typical=reasons.baseline if reasons else None,
        text=lambda at: number(at, scale.decimals),
    )


def _inputs(
    row: Prediction, signature: Signature, data: Mapping[str, Any], warnings: list[Warning]
) -> list[Input]:
    details: dict[str, list[str]] = {}
    for warning in warnings:
        details.setdefault(warning.feature, []).append(warning.detail)
    return [
        Input(
            feature,
            value_text(row, feature, data[feature.name]),
            _origin(row, feature, data[feature.name]),
            (row.entered or {}).get(feature.name),
            details.get(feature.name, []),
            _zone(row, feature, data[feature.name]),
        )
        for feature in signature.features
        if data.get(feature.name) is not None
    ]


def _zone(row: Prediction, feature: Feature, value: Any) -> Zone | None:
    normal = DOMAINS[row.predictor.domain].reference_ranges.get(feature.name)
    if normal is None or feature.name in row.defaulted or not isinstance(value, int | float):
        return None
    low, high = (end and feature_text(feature, end) for end in (normal.low, normal.high))
    if low and high:
        text = _("%(low)s to %(high)s") % {"low": low, "high": high}
    elif high:
        text = _("below %(high)s") % {"high": high}
    else:
        text = _("%(low)s or more") % {"low": low}
    words = {"low": _("low"), "normal": _("normal"), "high": _("high")}
    kind = normal.zone(value)
    return Zone(kind, words[kind], text, normal.source)


def value_text(row: Prediction | WhatIf, feature: Feature, value: Any) -> str:
    """A value as it is read, with no more digits than mean something."""
    digits = 6
    if feature.name in (row.entered or {}):
        digits = CONVERTED_DIGITS
    elif isinstance(row, Prediction) and feature.name in row.defaulted:
        digits = ASSUMED_DIGITS
    return feature_text(feature, value, digits=digits)


def _origin(row: Prediction, feature: Feature, value: Any) -> str:
    """Where a value comes from: an empty text if the person gave it."""
    if feature.name not in row.defaulted:
        return str(TYPICAL) if value is None else ""
    derivations = DOMAINS[row.predictor.domain].derivations
    sources = [set(each.sources) for each in derivations if each.feature == feature.name]
    is_derived = any(of - set(row.defaulted) for of in sources)
    return str(WORKED_OUT if is_derived else TYPICAL)


def _reasons(row: Prediction, signature: Signature) -> Reasons | None:
    """None where nothing was explained."""
    factors = results.factors_of(row)
    if not factors or row.explanation is None or row.value is None:
        return None
    features = {feature.name: feature for feature in signature.features}
    baseline: float = row.explanation["baseline"]
    known = [factor for factor in factors if factor.value is not None]
    shown, folded = known[:FACTORS_SHOWN], known[FACTORS_SHOWN:]
    others = len(factors) - len(shown)
    # What is left to the value, and not a sum, so that the last step ends where the value is.
    rest = row.value - baseline - sum(factor.contribution for factor in shown)
    steps = [factor.contribution for factor in shown] + [rest] * (others > 0)
    first, *bars, last = drawing.waterfall(baseline, steps)
    lines = [
        _line(row, factor, features[factor.feature], bar)
        for factor, bar in zip(shown, bars, strict=False)
    ]
    return Reasons(
        baseline=baseline,
        baseline_bar=first,
        factors=lines,
        rest=_rest_line(rest, others, bars[-1]) if others else None,
        more_factors=[
            _line(row, factor, features[factor.feature], drawing.NO_BAR) for factor in folded
        ],
        not_measured=[
            translated(features[factor.feature].label) for factor in factors if factor.value is None
        ],
        value_bar=last,
        comparables=[
            _comparable(row, signature, case) for case in row.explanation["comparables"] or []
        ],
    )


def _line(row: Prediction, factor: Factor, feature: Feature, bar: drawing.Bar) -> FactorBar:
    return FactorBar(
        label=translated(feature.label),
        text=value_text(row, feature, factor.value),
        origin=_origin(row, feature, factor.value),
        unit=None if factor.value is None else feature.unit,
        direction=factor.direction,
        contribution=factor.contribution,
        bar=bar,
    )


def _rest_line(rest: float, count: int, bar: drawing.Bar) -> FactorBar:
    label = ngettext("%(count)d other", "%(count)d others together", count) % {"count": count}
    direction = "raises" if rest > 0 else "lowers" if rest < 0 else "none"
    return FactorBar(label, "", "", None, direction, rest, bar)


def _comparable(row: Prediction, signature: Signature, case: Mapping[str, Any]) -> ComparableCase:
    features = {feature.name: feature for feature in signature.features}
    domain, differences = DOMAINS[row.predictor.domain], case["differences"]
    return ComparableCase(
        name_of(domain, signature, {**row.data, **differences}),
        case["target"],
        [
            Difference(
                features[name],
                feature_text(features[name], value, digits=CONVERTED_DIGITS),
                feature_text(features[name], row.data.get(name), digits=CONVERTED_DIGITS),
            )
            for name, value in differences.items()
        ],
    )
