"""Prediction intervals, called ranges on pages, that hold the true value as often as they say.

The method is conformal prediction. Calibration takes the absolute errors of predictions for rows
that their model had not seen: cross-conformal, as in Vovk, Cross-conformal predictors, 2015. The
margin around a new prediction is their quantile of COVERAGE; if new cases come from where the
calibration rows come from, so many intervals hold the true value.

Errors differ with the predicted value, and a single quantile would make intervals too wide for
some predictions and too narrow for others. So predictions are divided into thirds by their value,
each with a quantile of its own: Mondrian conformal prediction (Vovk, Gammerman and Shafer,
Algorithmic Learning in a Random World, 2005, section 4.5; by predicted value as in Boström and
Johansson, Mondrian conformal regressors, 2020).

Everything here is plain numbers, so that web processes need no scikit-learn for it.
"""

import math
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Self

COVERAGE = 0.9
THIRDS = 3


@dataclass(frozen=True)
class Interval:
    """Both ends, in the target's unit, and the share of such intervals that hold the true value."""

    low: float
    high: float
    coverage: float


@dataclass(frozen=True)
class Calibration:
    """How far the true value may be from a predicted one, by groups of predicted values.

    `edges` are the predicted values at which one group ends, itself included, and the next begins.
    `margins` has one number more: the margin of each group, as a fraction of the predicted value
    if `relative`, otherwise in the target's unit.
    """

    edges: tuple[float, ...]
    margins: tuple[float, ...]
    relative: bool
    coverage: float = COVERAGE

    @classmethod
    def of(
        cls, actual: Sequence[float], predicted: Sequence[float], *, relative: bool
    ) -> "Calibration":
        """Calibrate on predictions, one or more, of rows that their model had not seen."""
        ordered = sorted(predicted)
        cuts = {ordered[len(ordered) * third // THIRDS] for third in range(1, THIRDS)}
        # Equal predictions are in one group, so there may be fewer than three.
        edges = sorted(cuts - {ordered[-1]})
        errors: list[list[float]] = [[] for _ in range(len(edges) + 1)]
        for true_value, prediction in zip(actual, predicted, strict=True):
            scale = abs(prediction) if relative else 1.0
            errors[bisect_left(edges, prediction)].append(abs(true_value - prediction) / scale)
        return cls(tuple(edges), tuple(map(_margin, errors)), relative)

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Self:
        tuples = {key: tuple(document[key]) for key in ("edges", "margins")}
        return cls(**{**document, **tuples})

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    def interval(self, value: float) -> Interval:
        """The interval around a predicted value, cut at 0: prices and ages are never negative."""
        margin = self.margins[bisect_left(self.edges, value)]
        if self.relative:
            margin *= abs(value)
        return Interval(max(0.0, value - margin), max(0.0, value + margin), self.coverage)


def _margin(errors: Sequence[float]) -> float:
    """The error that the next case's error does not exceed with a probability of COVERAGE.

    With too few errors to say, the largest. The `+ 1` counts the next case itself, whose error is
    as likely to have any rank as those of the calibration are.
    """
    return sorted(errors)[min(math.ceil((len(errors) + 1) * COVERAGE), len(errors)) - 1]
