"""Predictions as pages show them."""

from collections.abc import Mapping
from typing import Any

from mlmodels.catalogue.queries import signature_of
from mlmodels.domains import DOMAINS
from mlmodels.serving import input_warnings
from mlmodels.signature import Feature, Signature
from predictions import queue, results, what_ifs
from predictions.models import Prediction, WhatIf
from predictions.pages.common import _given


def _what_if(row: WhatIf, features: Mapping[str, Feature]) -> dict[str, Any]:
    """A line of the page: what was changed, and what came of it."""
    told = what_ifs.describe(row)
    before = told["before"]["changed"]
    changes = [
        {
            "feature": features[name],
            "before": features[name].word(before[name]),
            "after": features[name].word(value),
        }
        for name, value in told["changed"].items()
    ]
    return {**told, "changes": changes, "difference": told["value"] - told["before"]["value"]}


def _context(row: Prediction) -> dict[str, Any]:
    signature = signature_of(row.version_id)
    # What was never submitted is as it was given, and may be anything.
    data = row.data if row.queued_at else _given(row, signature).shown
    inputs = [
        {
            "feature": feature,
            "value": feature.word(data[feature.name]),
            "defaulted": feature.name in row.defaulted,
            "entered": (row.entered or {}).get(feature.name),
        }
        for feature in signature.features
        if data.get(feature.name) is not None
    ]
    labels = {feature.name: feature.label for feature in signature.features}
    labels[input_warnings.WHOLE] = "Altogether"
    return {
        "prediction": row,
        "domain": DOMAINS[row.predictor.domain],
        "inputs": inputs,
        "not_measured": [
            feature.label
            for feature in signature.scored
            if feature.name in data and data[feature.name] is None
        ],
        "interval": results.interval(row),
        "gap": _gap(row),
        "warnings": [
            {"label": labels.get(warning.feature, warning.feature), "detail": warning.detail}
            for warning in results.warnings(row)
        ],
        **_reasons(row, signature),
        "position": queue.positions([row]).get(row.pk),
    }


FACTORS_SHOWN = 6  # the others wait folded

BAR = 50  # the width of the longest bar to either side, in units of its drawing


def _reasons(row: Prediction, signature: Signature) -> dict[str, Any]:
    """Factors as a page draws them, and the known cases that are most like this one."""
    found = results.factors(row)
    if not found or row.explanation is None:
        return {}
    features = {feature.name: feature for feature in signature.features}
    longest = abs(found[0]["contribution"]) or 1.0
    drawn = [
        {
            **factor,
            "label": features[factor["feature"]].label,
            "word": features[factor["feature"]].word(factor["value"]),
            "unit": features[factor["feature"]].unit,
            "size": BAR * abs(factor["contribution"]) / longest,
            "start": BAR + min(0.0, BAR * factor["contribution"] / longest),
        }
        for factor in found
    ]
    return {
        "baseline": row.explanation["baseline"],
        "factors": drawn[:FACTORS_SHOWN],
        "more_factors": drawn[FACTORS_SHOWN:],
        "comparables": [
            _comparable(case, features) for case in row.explanation["comparables"] or []
        ],
    }


def _comparable(case: dict[str, Any], features: dict[str, Feature]) -> dict[str, Any]:
    differences = [
        {"feature": features[name], "word": features[name].word(value)}
        for name, value in case["differences"].items()
    ]
    return {**case, "differences": differences}


def _gap(row: Prediction) -> float | None:
    """By how much a result exceeds what was given to compare it with."""
    domain = DOMAINS[row.predictor.domain]
    gaps = {} if row.value is None else domain.gap_of(row.value, row.data)
    return next(iter(gaps.values()), None)
