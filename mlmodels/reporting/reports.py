"""What is told of a version of a predictor, by its page and by docs/models.md.

It follows from the domain, the signature and the row alone. A version that is older than a part of
it is told of without that part.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from statistics import fmean, median

from mlmodels.domains import DOMAINS
from mlmodels.domains.base import Domain
from mlmodels.models import PredictorVersion
from mlmodels.reporting import charts
from mlmodels.reporting.charts import Bar, Chart, Point
from mlmodels.serving.intervals import COVERAGE, Calibration
from mlmodels.signature import Feature, Signature

FIFTHS = 5
BAND_STEPS = 120
FEATURES_DRAWN = 10
FEATURES_TOLD = 3
CHOICES_NAMED = 6
NO_BREAK = "\N{NO-BREAK SPACE}"
THIRDS = ("Lowest third", "Middle third", "Highest third")

Tell = Callable[[float], str]


@dataclass(frozen=True)
class Measure:
    """A figure of accuracy, what it is for groups never seen if that was measured, its meaning."""

    name: str
    figure: str
    of_unseen_groups: str
    meaning: str


@dataclass(frozen=True)
class FeatureLine:
    """A feature in words: its default, what the training data have of it, its hard limits.

    `contribution` is by how much it moves a prediction on average, `share` that of all features'.
    """

    feature: Feature
    typical: str
    known: str
    allowed: str
    contribution: str
    share: str


class Report:
    """Of a version that was read with its predictor."""

    def __init__(self, version: PredictorVersion) -> None:
        self.version = version
        self.predictor = version.predictor
        self.domain: Domain = DOMAINS[version.predictor.domain]
        self.signature = Signature.from_json(version.signature)
        found = version.calibration
        self._calibration = Calibration.from_json(found) if found else None
        self._promised = self._calibration.coverage if self._calibration else COVERAGE
        self._promise = f"{100 * self._promised:.0f}{NO_BREAK}%"

    @property
    def measures(self) -> list[Measure]:
        metrics = self.version.metrics
        unseen = metrics.get("unseen_groups") or {}
        return [
            Measure(
                name,
                tell(metrics[key]),
                "" if unseen.get(key) is None else tell(unseen[key]),
                meaning,
            )
            for key, name, tell, meaning in self._known_measures()
            if metrics.get(key) is not None
        ]

    def _known_measures(self) -> list[tuple[str, str, Tell, str]]:
        return [
            (
                "mae",
                "Typical error (MAE)",
                self.amount,
                "An estimate is off by so much on average.",
            ),
            (
                "rmse",
                "Root mean squared error (RMSE)",
                self.amount,
                "Like the typical error, but one large error weighs more than many small ones.",
            ),
            (
                "mape",
                "Relative error (MAPE)",
                percent,
                "The error as a share of the true value, on average.",
            ),
            (
                "r2",
                "Variation explained (R²)",
                "{:.3f}".format,
                "1 if estimates are exact, 0 if they are no better than always telling the mean.",
            ),
            (
                "coverage",
                "Truth within the range",
                percent,
                f"How often ranges held the true value; they promise {self._promise}.",
            ),
            (
                "range_width",
                "Width of the range",
                self.amount,
                "From its lower to its upper end, on average.",
            ),
        ]

    @property
    def unseen_group(self) -> str:
        """The feature whose values were left out in turn; empty if none was."""
        measured = self.version.metrics.get("unseen_groups")
        labels = (item.label for item in self.domain.features if item.name == self.domain.group)
        return next(labels, "group") if measured else ""

    # --- Features ---

    @cached_property
    def features(self) -> list[FeatureLine]:
        """Those that matter most first."""
        sizes = dict(self._importance)
        total = sum(sizes.values()) or 1.0
        ranked = sorted(self.signature.scored, key=lambda feature: -sizes.get(feature.name, 0.0))
        return [
            FeatureLine(
                feature,
                _typical(feature),
                _known(feature),
                _allowed(feature),
                self.amount(sizes[feature.name]) if sizes else "",
                percent(sizes[feature.name] / total) if sizes else "",
            )
            for feature in ranked
        ]

    @cached_property
    def _importance(self) -> list[tuple[str, float]]:
        """Features by the mean size of their contribution, the largest first."""
        found = self.version.report.get("importance") or []
        return [(item["feature"], item["mean_contribution"]) for item in found]

    # --- Charts ---

    @cached_property
    def charts(self) -> list[Chart]:
        drawn = [self._predicted(), self._errors(), self._coverage(), self._importance_drawn()]
        return [chart for chart in drawn if chart]

    @cached_property
    def _pairs(self) -> list[Point]:
        """Predicted and actual values of rows that their model had not seen."""
        report = self.version.report
        return list(zip(report.get("predicted", ()), report.get("actual", ()), strict=True))

    def _predicted(self) -> Chart | None:
        if not self._pairs:
            return None
        off = sorted(abs(actual - predicted) for predicted, actual in self._pairs)
        worst = max(self._pairs, key=lambda pair: abs(pair[1] - pair[0]))
        reading = "Each dot is a case; on the dashed line the estimate is right."
        if self._calibration:
            reading += f" The band is the range, which should hold {self._promise} of the dots."
        return Chart(
            "predicted",
            "True value by estimate",
            reading,
            f"Half of these {len(off):,} estimates are off by at most {self.amount(median(off))}, "
            f"nine in ten by at most {self.amount(off[math.ceil(0.9 * len(off)) - 1])}. The worst "
            f"says {self.amount(worst[0])} where {self.amount(worst[1])} is true.",
            charts.scatter(
                self._pairs,
                x_name=f"Estimate ({self.version.unit})",
                y_name=f"True value ({self.version.unit})",
                diagonal=True,
                band=self._band(),
            ),
        )

    def _band(self) -> list[tuple[float, float, float]]:
        """Where predictions lie: each with the ends of its range."""
        if not self._calibration:
            return []
        low, high = min(self._pairs)[0], max(self._pairs)[0]
        values = [low + (high - low) * step / BAND_STEPS for step in range(BAND_STEPS + 1)]
        found = [(value, self._calibration.interval(value)) for value in values]
        return [(value, interval.low, interval.high) for value, interval in found]

    def _errors(self) -> Chart | None:
        """By the true value, since that shows what the other chart hides: a pull to the mean."""
        if not self._pairs:
            return None
        points = [(actual, predicted - actual) for predicted, actual in self._pairs]
        fifths = [
            (fmean(error for _, error in part), part[0][0], part[-1][0])
            for part in _divided(sorted(points), FIFTHS)
        ]
        told = [
            f"{self.amount(abs(mean))} too {'high' if mean > 0 else 'low'} "
            f"from {self._plain(low)} to {self._plain(high)}"
            for mean, low, high in fifths
        ]
        return Chart(
            "errors",
            "Error by true value",
            "Above the dashed line an estimate was too high, below it too low. The thick lines are "
            "the mean errors of the five fifths of the cases.",
            f"On average, estimates were {_listed(told)}.",
            charts.scatter(
                points,
                x_name=f"True value ({self.version.unit})",
                y_name=f"Estimate minus true value ({self.version.unit})",
                diagonal=False,
                levels=fifths,
            ),
        )

    def _coverage(self) -> Chart | None:
        metrics = self.version.metrics
        thirds = metrics.get("coverage_by_third") or []
        if metrics.get("coverage") is None:
            return None
        shares = [("All estimates", metrics["coverage"]), *zip(THIRDS, thirds, strict=False)]
        rows = metrics["rows"] / len(THIRDS)
        chance = math.sqrt(self._promised * (1 - self._promised) / rows)
        told = [f"{percent(share)} of the {name.lower()}" for name, share in shares[1:]]
        return Chart(
            "coverage",
            "How often the range holds",
            f"The share of cases whose true value lay within the range, also by thirds of the "
            f"estimates. The line is the promise, {self._promise}.",
            f"It held for {percent(shares[0][1])} of all estimates"
            + (f": {_listed(told)}. " if told else ". ")
            + f"With {rows:,.0f} cases in a third, chance alone moves a share by about "
            f"{100 * chance:.1f} points.",
            charts.bars(
                [Bar(name, 100 * share, percent(share)) for name, share in shares],
                x_name="Cases within the range (%)",
                reach=100,
                mark=100 * self._promised,
            ),
        )

    def _importance_drawn(self) -> Chart | None:
        if not self._importance:
            return None
        labels = {feature.name: feature.label for feature in self.signature.features}
        rows = [
            Bar(labels[name], size, self.amount(size))
            for name, size in self._importance[:FEATURES_DRAWN]
        ]
        told = [f"{row.label} by {row.figure}" for row in rows[:FEATURES_TOLD]]
        return Chart(
            "importance",
            "What matters most",
            "By how much a feature moves an estimate up or down, on average.",
            f"The first are {_listed(told)}.",
            charts.bars(rows, x_name=f"Mean contribution ({self.version.unit})"),
        )

    # --- Words ---

    def amount(self, value: float) -> str:
        return f"{self._plain(value)}{NO_BREAK}{self.version.unit}"

    def _plain(self, value: float) -> str:
        """As `mlmodels/_quantity.html` writes it."""
        return f"{value:,.{0 if self.version.unit == 'USD' else 1}f}"


def percent(share: float) -> str:
    return f"{100 * share:.1f}{NO_BREAK}%"


def _listed(words: Sequence[str]) -> str:
    return " and ".join(filter(None, [", ".join(words[:-1]), words[-1]]))


def _divided(rows: Sequence[Point], parts: int) -> list[Sequence[Point]]:
    """In so many parts of about the same size, without those that would be empty."""
    cuts = [len(rows) * part // parts for part in range(parts + 1)]
    return [rows[start:end] for start, end in pairwise(cuts) if start < end]


def _typical(feature: Feature) -> str:
    value = feature.default
    return _short(value) if isinstance(value, int | float) else feature.display(value)


def _known(feature: Feature) -> str:
    """What the training data have of a feature."""
    if feature.training_range:
        return _span(*feature.training_range)
    choices = [feature.display(choice) for choice in feature.choices or ()]
    if len(choices) <= CHOICES_NAMED + 1:
        return ", ".join(choices)
    return f"{', '.join(choices[:CHOICES_NAMED])} and {len(choices) - CHOICES_NAMED} more"


def _allowed(feature: Feature) -> str:
    if feature.choices:
        return "only those"
    if feature.minimum is None or feature.maximum is None:
        return ""
    return _span(feature.minimum, feature.maximum)


def _span(low: float, high: float) -> str:
    return f"{_short(low)} to {_short(high)}"


def _short(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"
