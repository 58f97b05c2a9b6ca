"""Ranges around predictions that hold the true value as often as they promise.

Mondrian conformal prediction (Vovk, Gammerman and Shafer, Algorithmic Learning in a Random World,
2005, section 4.5; by predicted value as in Boström and Johansson, Mondrian conformal regressors,
2020), calibrated on the errors a model made on rows it had not seen (cross-conformal: Vovk, 2015).
Reads and writes plain numbers only, so that web processes need no scikit-learn for it.
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
    """Both ends in the target's unit, and how often such a range holds the true value."""

    low: float
    high: float
    coverage: float


@dataclass(frozen=True)
class Calibration:
    """How far the true value may be from a predicted one, by where the predicted one lies.

    `edges` part predicted values into groups; `margins` has one more: the margin of each group, as
    a fraction of the predicted value if `relative`, otherwise in the target's unit.
    """

    edges: tuple[float, ...]
    margins: tuple[float, ...]
    relative: bool
    coverage: float = COVERAGE

    @classmethod
    def of(
        cls, actual: Sequence[float], predicted: Sequence[float], *, relative: bool
    ) -> "Calibration":
        """Calibrate on predictions of rows that their model had not seen."""
        ordered = sorted(predicted)
        cuts = {ordered[len(ordered) * third // THIRDS] for third in range(1, THIRDS)}
        edges = sorted(cuts - {ordered[-1]})  # equal predictions are one group
        errors: list[list[float]] = [[] for _ in range(len(edges) + 1)]
        for truth, guess in zip(actual, predicted, strict=True):
            scale = abs(guess) if relative else 1.0
            errors[bisect_left(edges, guess)].append(abs(truth - guess) / scale)
        return cls(tuple(edges), tuple(map(_margin, errors)), relative)

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Self:
        spans = {key: tuple(document[key]) for key in ("edges", "margins")}
        return cls(**{**document, **spans})

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    def interval(self, value: float) -> Interval:
        """The range around a predicted value; prices and ages are never negative."""
        margin = self.margins[bisect_left(self.edges, value)]
        if self.relative:
            margin *= abs(value)
        return Interval(max(0.0, value - margin), max(0.0, value + margin), self.coverage)


def _margin(errors: Sequence[float]) -> float:
    """The error that the next case's does not exceed with probability COVERAGE, or the largest."""
    return sorted(errors)[min(math.ceil((len(errors) + 1) * COVERAGE), len(errors)) - 1]
