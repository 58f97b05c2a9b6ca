"""What-ifs as pages show them: what was changed, what came of it, and a curve."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.utils.translation import gettext as _

from carprice.pages.formatting import number, translated
from mlmodels.domains import DOMAINS
from mlmodels.presentation import feature_text
from mlmodels.serving.input_warnings import Warning  # noqa: A004  # the contract's word
from mlmodels.serving.intervals import Interval
from mlmodels.signature import Feature
from predictions import what_ifs
from predictions.models import Prediction, WhatIf
from predictions.pages import drawing
from predictions.pages.presentation import CONVERTED_DIGITS, scale_of, value_text

Features = Mapping[str, Feature]


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


def what_if_line(row: WhatIf, features: Features) -> WhatIfLine:
    answer = what_ifs.answer(row)
    before, after = answer.before, answer.after
    return WhatIfLine(
        changes=[
            Change(
                features[name],
                value_text(row.varied, features[name], before.changed[name]),
                value_text(row, features[name], value),
                (row.entered or {}).get(name),
            )
            for name, value in after.changed.items()
        ],
        value=after.value,
        interval=after.interval,
        difference=after.value - before.value,
        warnings=[each for each in answer.warnings if each.feature in features],
    )


@dataclass(frozen=True)
class WhatIfCurve:
    """The results over the values that were tried of one feature alone."""

    title: str
    drawing: drawing.Curve


def what_if_curve(
    row: Prediction, answered: Sequence[WhatIf], features: Features
) -> WhatIfCurve | None:
    """That of the feature that was varied last, if it is a number and was varied by itself."""
    domain, scale = DOMAINS[row.predictor.domain], scale_of(row)
    derived = {derivation.feature for derivation in domain.derivations}
    varied = [(each, set(each.changed) - derived) for each in answered]
    if not varied or len(varied[-1][1]) != 1 or row.value is None:
        return None
    feature = features[next(iter(varied[-1][1]))]
    own = row.data.get(feature.name)
    if feature.type == "category" or not isinstance(own, int | float):
        return None
    points = [(own, row.value, True)] + [
        (each.data[feature.name], each.value, False)
        for each, names in varied
        if names == {feature.name}
        and each.value is not None
        and isinstance(each.data[feature.name], int | float)
    ]
    unit = f", {translated(feature.unit)}" if feature.unit else ""
    title = _("%(target)s by %(feature)s%(unit)s") % {
        "target": translated(domain.title),
        "feature": translated(feature.label).lower(),
        "unit": unit,
    }
    drawn = drawing.curve(
        points,
        lambda x: feature_text(feature, x, digits=CONVERTED_DIGITS),
        lambda y: number(y, scale.decimals),
    )
    return WhatIfCurve(title, drawn) if drawn else None
