"""Warnings: what is allowed, but should make a person look again. Nothing here refuses.

A pure function of what is stored with a prediction, so it can be told at any time.
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain

from mlmodels.domains.base import Domain
from mlmodels.signature import Feature, Signature, Value

OUTSIDE = "outside_training_range"
RARE = "rare_category"
SLIP = "suspected_unit_slip"
IMPLAUSIBLE = "implausible_combination"
ASSUMED = "mostly_assumed"

SLIPS = (10.0, 1000.0)
WHOLE = "data"  # stands for the feature where a warning is about all of them
ASSUMED_SHARE = 0.25  # of the features; where more are assumed, ranges hold less often


@dataclass(frozen=True)
class Warning:  # noqa: A001  # the contract's word
    feature: str
    code: str
    detail: str


def warnings_of(
    domain: Domain,
    signature: Signature,
    data: Mapping[str, Value],
    defaulted: Collection[str] = (),
) -> list[Warning]:
    """What is odd about one row of checked input: first each feature, then all together."""
    of_features = (_of_feature(feature, data.get(feature.name)) for feature in signature.scored)
    return [
        *chain.from_iterable(of_features),
        *_of_combinations(domain, data),
        *_of_what_is_assumed(signature, data, defaulted),
    ]


def _of_feature(feature: Feature, value: Value) -> Iterator[Warning]:
    if isinstance(value, str):
        if value in feature.rare:
            detail = "The training data have few such cases, so the estimate is less certain."
            yield Warning(feature.name, RARE, detail)
    elif value is not None and feature.training_range is not None:
        low, high = feature.training_range
        if not low <= value <= high:
            detail = f"Known cases go from {low:g} to {high:g}{_unit(feature)}; this is a guess."
            yield Warning(feature.name, OUTSIDE, detail)
            yield from _slip(feature, value)


def _slip(feature: Feature, value: float) -> Iterator[Warning]:
    """What the value would be in another unit, or with the point elsewhere, if that is known."""
    assert feature.training_range is not None  # noqa: S101  # it is outside of it
    low, high = feature.training_range
    for other in feature.other_units:
        if value and low <= (own := other.to_own(value)) <= high:
            detail = f"{value:g} {other.unit} would be {own:.4g}{_unit(feature)}: is that meant?"
            yield Warning(feature.name, SLIP, detail)
            return
    for factor in SLIPS:
        for guess, words in ((value / factor, "large"), (value * factor, "small")):
            if low <= guess <= high:
                detail = f"It may be {factor:g} times too {words}: is {guess:g} meant?"
                yield Warning(feature.name, SLIP, detail)
                return


def _unit(feature: Feature) -> str:
    return f" {feature.unit}" if feature.unit else ""


def _of_combinations(domain: Domain, data: Mapping[str, Value]) -> Iterator[Warning]:
    for rule in domain.plausibility_checks:
        values = [data.get(name) for name in rule.features]
        if None not in values and (detail := rule.check(*values)):
            yield Warning(rule.features[0], IMPLAUSIBLE, detail)


def _of_what_is_assumed(
    signature: Signature, data: Mapping[str, Value], defaulted: Collection[str]
) -> Iterator[Warning]:
    """Accuracy and ranges were measured on cases of which nearly everything is known."""
    names = [feature.name for feature in signature.scored]
    assumed = [name for name in names if name in defaulted or data.get(name) is None]
    if len(assumed) > ASSUMED_SHARE * len(names):
        detail = (
            f"{len(assumed)} of {len(names)} features were left out and taken for typical. Ranges "
            "were measured where nearly all are known; this one may hold less often."
        )
        yield Warning(WHOLE, ASSUMED, detail)
