"""The report on a version of a predictor, as its page and docs/models.md show it.

It follows from the domain and the version's row alone. Versions that were published before some of
these figures were recorded have reports without them.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from statistics import fmean, median

from carprice.pages.formatting import number, percent
from mlmodels.domains import DOMAINS
from mlmodels.domains.base import Domain
from mlmodels.models import PredictorVersion
from mlmodels.reporting import charts
from mlmodels.reporting.charts import Bar, Chart, Point
from mlmodels.serving.intervals import COVERAGE, Calibration
from mlmodels.signature import Feature, Signature

FIFTHS = 5
BAND_STEPS = 120
CHART_FEATURES = 10  # bars in the chart of importance
NAMED_FEATURES = 3  # of those, named in its text
NAMED_CHOICES = 6  # of a feature's choices in the data
NO_BREAK = "\N{NO-BREAK SPACE}"
THIRDS = ("Lowest third", "Middle third", "Highest third")

Formatter = Callable[[float], str]


@dataclass(frozen=True)
class Measure:
    """A figure of accuracy with an explanation; both figures are formatted.

    `of_unseen_groups` is the same for groups the model had not seen, empty if not measured.
    """

    name: str
    figure: str
    of_unseen_groups: str
    meaning: str


@dataclass(frozen=True)
class FeatureLine:
    """A feature as the report shows it, all values formatted.

    `typical` is its default, `in_data` the range or the choices of the training data, `allowed` the
    limits. `contribution` is by how much it moves a prediction on average, `share` its part of what
    all features do; both are empty if that was not measured.
    """

    feature: Feature
    typical: str
    in_data: str
    allowed: str
    contribution: str
    share: str


class Report:
    """The report on a version, which must have been fetched with its predictor."""

    def __init__(self, version: PredictorVersion) -> None:
        self.version = version
        self.predictor = version.predictor
        self.domain: Domain = DOMAINS[version.predictor.domain]
        self.signature = Signature.from_json(version.signature)
        self._calibration = (
            Calibration.from_json(version.calibration) if version.calibration else None
        )
        # The share of true values that ranges should hold.
        self._nominal_coverage = self._calibration.coverage if self._calibration else COVERAGE
        self._nominal_percent = f"{100 * self._nominal_coverage:.0f}{NO_BREAK}%"

    @property
    def measures(self) -> list[Measure]:
        metrics = self.version.metrics
        unseen = metrics.get("unseen_groups") or {}
        return [
            Measure(
                name,
                formatter(metrics[key]),
                "" if unseen.get(key) is None else formatter(unseen[key]),
                meaning,
            )
            for key, name, formatter, meaning in self._measure_definitions()
            if metrics.get(key) is not None
        ]

    def _measure_definitions(self) -> list[tuple[str, str, Formatter, str]]:
        """The key in the metrics, the name, how to format the figure, and what it means."""
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
                f"How often ranges held the true value; they promise {self._nominal_percent}.",
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
        """The label of the feature whose values were left out in turn; empty if none was."""
        if not self.version.metrics.get("unseen_groups"):
            return ""
        labels = (item.label for item in self.domain.features if item.name == self.domain.group)
        return next(labels, "group")

    # --- Features ---

    @cached_property
    def features(self) -> list[FeatureLine]:
        """All scored features, the most important first."""
        importance = dict(self._importance)
        total = sum(importance.values()) or 1.0
        ranked = sorted(self.signature.scored, key=lambda item: -importance.get(item.name, 0.0))
        return [
            FeatureLine(
                feature,
                _typical_text(feature),
                _in_data_text(feature),
                _allowed_text(feature),
                self.amount(importance[feature.name]) if importance else "",
                percent(importance[feature.name] / total) if importance else "",
            )
            for feature in ranked
        ]

    @cached_property
    def _importance(self) -> list[tuple[str, float]]:
        """Features with the mean size of their contributions, the largest first."""
        items = self.version.report.get("importance") or []
        return [(item["feature"], item["mean_contribution"]) for item in items]

    # --- Charts ---

    @cached_property
    def charts(self) -> list[Chart]:
        charts_or_none = [
            self._prediction_chart(),
            self._error_chart(),
            self._coverage_chart(),
            self._importance_chart(),
        ]
        return [chart for chart in charts_or_none if chart]

    @cached_property
    def _pairs(self) -> list[Point]:
        """The predicted and the actual value of a sample of rows, each unseen by its model."""
        report = self.version.report
        return list(zip(report.get("predicted", ()), report.get("actual", ()), strict=True))

    def _prediction_chart(self) -> Chart | None:
        if not self._pairs:
            return None
        errors = sorted(abs(actual - predicted) for predicted, actual in self._pairs)
        worst = max(self._pairs, key=lambda pair: abs(pair[1] - pair[0]))
        reading = "Each dot is a case; on the dashed line the estimate is right."
        if self._calibration:
            reading += (
                f" The band is the range, which should hold {self._nominal_percent} of the dots."
            )
        return Chart(
            "predicted",
            "True value by estimate",
            reading,
            f"Half of these {len(errors):,} estimates are off by at most "
            f"{self.amount(median(errors))}, nine in ten by at most "
            f"{self.amount(errors[math.ceil(0.9 * len(errors)) - 1])}. The worst "
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
        """The ends of the range around each of BAND_STEPS predictions, from lowest to highest."""
        if not self._calibration:
            return []
        low, high = min(self._pairs)[0], max(self._pairs)[0]
        values = [low + (high - low) * step / BAND_STEPS for step in range(BAND_STEPS + 1)]
        intervals = [(value, self._calibration.interval(value)) for value in values]
        return [(value, interval.low, interval.high) for value, interval in intervals]

    def _error_chart(self) -> Chart | None:
        """Errors by the true value, which shows that predictions lean towards the mean."""
        if not self._pairs:
            return None
        points = [(actual, predicted - actual) for predicted, actual in self._pairs]
        fifths = [
            (fmean(error for _, error in part), part[0][0], part[-1][0])
            for part in _split_evenly(sorted(points), FIFTHS)
        ]
        mean_errors = [
            f"{self.amount(abs(mean))} too {'high' if mean > 0 else 'low'} "
            f"from {self._plain(low)} to {self._plain(high)}"
            for mean, low, high in fifths
        ]
        return Chart(
            "errors",
            "Error by true value",
            "Above the dashed line an estimate was too high, below it too low. The thick lines are "
            "the mean errors of the five fifths of the cases.",
            f"On average, estimates were {_enumeration(mean_errors)}.",
            charts.scatter(
                points,
                x_name=f"True value ({self.version.unit})",
                y_name=f"Estimate minus true value ({self.version.unit})",
                diagonal=False,
                levels=fifths,
            ),
        )

    def _coverage_chart(self) -> Chart | None:
        metrics = self.version.metrics
        thirds = metrics.get("coverage_by_third") or []
        if metrics.get("coverage") is None:
            return None
        shares = [("All estimates", metrics["coverage"]), *zip(THIRDS, thirds, strict=False)]
        rows = metrics["rows"] / len(THIRDS)
        # The standard deviation of the share of a sample of so many rows.
        deviation = math.sqrt(self._nominal_coverage * (1 - self._nominal_coverage) / rows)
        by_third = [f"{percent(share)} of the {name.lower()}" for name, share in shares[1:]]
        return Chart(
            "coverage",
            "How often the range holds",
            f"The share of cases whose true value lay within the range, also by thirds of the "
            f"estimates. The line is the promise, {self._nominal_percent}.",
            f"It held for {percent(shares[0][1])} of all estimates"
            + (f": {_enumeration(by_third)}. " if by_third else ". ")
            + f"With {rows:,.0f} cases in a third, chance alone moves a share by about "
            f"{100 * deviation:.1f} points.",
            charts.bars(
                [Bar(name, 100 * share, percent(share)) for name, share in shares],
                x_name="Cases within the range (%)",
                axis_end=100,
                mark=100 * self._nominal_coverage,
            ),
        )

    def _importance_chart(self) -> Chart | None:
        if not self._importance:
            return None
        labels = {feature.name: feature.label for feature in self.signature.features}
        rows = [
            Bar(labels[name], size, self.amount(size))
            for name, size in self._importance[:CHART_FEATURES]
        ]
        first = [f"{row.label} by {row.figure}" for row in rows[:NAMED_FEATURES]]
        return Chart(
            "importance",
            "What matters most",
            "By how much a feature moves an estimate up or down, on average.",
            f"The first are {_enumeration(first)}.",
            charts.bars(rows, x_name=f"Mean contribution ({self.version.unit})"),
        )

    # --- Formatting ---

    def amount(self, value: float) -> str:
        return f"{self._plain(value)}{NO_BREAK}{self.version.unit}"

    def _plain(self, value: float) -> str:
        return number(value, self.domain.decimals)


def _enumeration(texts: Sequence[str]) -> str:
    """Such as "a, b and c"."""
    return " and ".join(filter(None, [", ".join(texts[:-1]), texts[-1]]))


def _split_evenly(rows: Sequence[Point], parts: int) -> list[Sequence[Point]]:
    """Parts of about the same size, in order; fewer if there are fewer rows."""
    cuts = [len(rows) * part // parts for part in range(parts + 1)]
    return [rows[start:end] for start, end in pairwise(cuts) if start < end]


def _typical_text(feature: Feature) -> str:
    value = feature.default
    return _short_number(value) if isinstance(value, int | float) else feature.display(value)


def _in_data_text(feature: Feature) -> str:
    """The range of a number in the training data, or the choices of a category."""
    if feature.training_range:
        return _range_text(*feature.training_range)
    choices = [feature.display(choice) for choice in feature.choices or ()]
    if len(choices) <= NAMED_CHOICES + 1:
        return ", ".join(choices)
    return f"{', '.join(choices[:NAMED_CHOICES])} and {len(choices) - NAMED_CHOICES} more"


def _allowed_text(feature: Feature) -> str:
    if feature.choices:
        return "only those"
    if feature.minimum is None or feature.maximum is None:
        return ""
    return _range_text(feature.minimum, feature.maximum)


def _range_text(low: float, high: float) -> str:
    return f"{_short_number(low)} to {_short_number(high)}"


def _short_number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"
