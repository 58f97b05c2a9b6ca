"""Which predictors of a domain are better, by the figure that is shown first: the typical error.

Two whose typical errors differ by less than chance would make them have the same rank. Chance is
told by the folds: both were tested on the same rows in each, so the differences of their errors,
fold by fold, have a standard error (paired differences, as in a paired t-test).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from statistics import fmean, stdev
from typing import Any

from mlmodels.models import Predictor

STANDARD_ERRORS = 2.0
MIN_FOLDS = 3  # fewer say nothing about chance

MetricsByName = Mapping[str, Mapping[str, Any]]  # `Metrics` as JSON by the predictor's name


def ranks(metrics: MetricsByName) -> list[list[str]]:
    """Names by their typical error, the largest first; those of the same rank together.

    A rank reaches as far as each predictor and the next differ by no more than chance.
    """
    ranked: list[list[str]] = []
    for name in sorted(metrics, key=lambda name: (-metrics[name]["mae"], name)):
        if ranked and _differ_by_chance(metrics[ranked[-1][-1]], metrics[name]):
            ranked[-1].append(name)
        else:
            ranked.append([name])
    return ranked


def equals_of(predictors: Iterable[Predictor]) -> dict[str, list[str]]:
    """For each predictor's name, those of the others of its domain that have the same rank.

    Predictors come with their current version.
    """
    domains: dict[str, dict[str, Mapping[str, Any]]] = {}
    for row in predictors:
        if row.current_version is not None:
            domains.setdefault(row.domain, {})[row.name] = row.current_version.metrics
    return {
        name: [other for other in sorted(names) if other != name]
        for metrics in domains.values()
        for names in ranks(metrics)
        for name in names
    }


def _differ_by_chance(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    errors, other_errors = one.get("mae_by_fold") or [], other.get("mae_by_fold") or []
    if len(errors) != len(other_errors) or len(errors) < MIN_FOLDS:
        return False  # they were not tested on the same folds
    differences = [a - b for a, b in zip(errors, other_errors, strict=True)]
    standard_error = stdev(differences) / math.sqrt(len(differences))
    return bool(abs(fmean(differences)) <= STANDARD_ERRORS * standard_error)
