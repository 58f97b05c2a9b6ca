"""Warnings about input that is allowed, but should make a person look again.

They follow from what is stored with a prediction, so they are computed whenever they are shown.
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain

from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop

from mlmodels.domains.base import Domain
from mlmodels.signature import Feature, Signature, Value, after_number

# The codes are part of the contract.
OUTSIDE = "outside_training_range"
RARE = "rare_category"
UNIT_SLIP = "suspected_unit_slip"
IMPLAUSIBLE = "implausible_combination"
MOSTLY_ASSUMED = "mostly_assumed"

ALL_FEATURES = "data"  # stands for the feature where a warning is about the whole row
SLIP_FACTORS = (10.0, 1000.0)  # by which people misplace a decimal point or a prefix
MAX_ASSUMED_SHARE = 0.25  # of the features; where more are assumed, ranges hold less often
_RANGES_ARE_OFF = gettext_noop(
    "Ranges were measured where nearly all are known; this one may hold less often."
)


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
    entered: Collection[str] = (),
) -> list[Warning]:
    """The warnings about one row of checked input: first of each feature, then of combinations.

    `defaulted` names the features that were left out, `entered` those that were sent in another
    unit than their own, whose units are thus meant.
    """
    by_feature = (
        _feature_warnings(item, data.get(item.name), may_be_slip=item.name not in entered)
        for item in signature.scored
    )
    return [
        *chain.from_iterable(by_feature),
        *_combination_warnings(domain, data),
        *assumption_warnings(domain, signature, data, defaulted),
    ]


def _feature_warnings(feature: Feature, value: Value, *, may_be_slip: bool) -> Iterator[Warning]:
    if isinstance(value, str):
        if value in feature.rare:
            detail = _("The training data have few such cases, so the estimate is less certain.")
            yield Warning(feature.name, RARE, detail)
    elif value is not None and feature.training_range is not None:
        low, high = feature.training_range
        if not low <= value <= high:
            detail = _("Known cases go from %(low)s to %(high)s%(unit)s; this is a guess.") % {
                "low": f"{low:g}",
                "high": f"{high:g}",
                "unit": after_number(feature.unit),
            }
            yield Warning(feature.name, OUTSIDE, detail)
            if may_be_slip:
                yield from _unit_slip_warnings(feature, value)


def _unit_slip_warnings(feature: Feature, value: float) -> Iterator[Warning]:
    """One warning at most, if in another unit or by a power of ten the value would be in range."""
    assert feature.training_range is not None  # noqa: S101  # it is outside of it
    low, high = feature.training_range
    for other in feature.other_units:
        if value and low <= (own := other.to_own(value)) <= high:
            sent, meant = after_number(other.unit), f"{own:.4g}{after_number(feature.unit)}"
            detail = _("%(sent)s would be %(meant)s: is that meant?") % {
                "sent": f"{value:g}{sent}",
                "meant": meant,
            }
            yield Warning(feature.name, UNIT_SLIP, detail)
            return
    for factor in SLIP_FACTORS:
        too_large = _("It may be %(factor)s times too large: is %(number)s meant?")
        too_small = _("It may be %(factor)s times too small: is %(number)s meant?")
        for corrected, sentence in ((value / factor, too_large), (value * factor, too_small)):
            if low <= corrected <= high:
                detail = sentence % {"factor": f"{factor:g}", "number": f"{corrected:g}"}
                yield Warning(feature.name, UNIT_SLIP, detail)
                return


def _combination_warnings(domain: Domain, data: Mapping[str, Value]) -> Iterator[Warning]:
    for rule in domain.plausibility_checks:
        values = [data.get(name) for name in rule.features]
        if None not in values and (detail := rule.check(*values)):
            yield Warning(rule.features[0], IMPLAUSIBLE, detail)


def assumption_warnings(
    domain: Domain,
    signature: Signature,
    data: Mapping[str, Value],
    defaulted: Collection[str] = (),
) -> Iterator[Warning]:
    """Accuracy and ranges were measured on rows in which nearly all features are known."""
    names = [feature.name for feature in signature.scored]
    assumed = [name for name in names if name in defaulted or data.get(name) is None]
    given = len(names) - len(assumed)
    if given < min(domain.minimum_given, len(names)):
        detail = _(
            "%(given)d of %(total)d features were given, and %(assumed)d taken for typical. "
            "With fewer than %(minimum)d the estimate says little of this very case."
        ) % {
            "given": given,
            "total": len(names),
            "assumed": len(assumed),
            "minimum": domain.minimum_given,
        }
        detail = f"{detail} {_(_RANGES_ARE_OFF)}"
        yield Warning(ALL_FEATURES, MOSTLY_ASSUMED, detail)
    elif len(assumed) > MAX_ASSUMED_SHARE * len(names):
        detail = _("%(assumed)d of %(total)d features were left out and taken for typical.") % {
            "assumed": len(assumed),
            "total": len(names),
        }
        detail = f"{detail} {_(_RANGES_ARE_OFF)}"
        yield Warning(ALL_FEATURES, MOSTLY_ASSUMED, detail)
