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

from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop, pgettext

from carprice.pages.formatting import number, percent, short_number, translated
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
THIRDS = (
    gettext_noop("Lowest third"),
    gettext_noop("Middle third"),
    gettext_noop("Highest third"),
)

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
                _("Typical error (MAE)"),
                self.amount,
                _("An estimate is off by so much on average."),
            ),
            (
                "rmse",
                _("Root mean squared error (RMSE)"),
                self.amount,
                _("Like the typical error, but one large error weighs more than many small ones."),
            ),
            (
                "mape",
                _("Relative error (MAPE)"),
                percent,
                _("The error as a share of the true value, on average."),
            ),
            (
                "r2",
                _("Variation explained (R²)"),
                lambda value: number(value, 3),
                _("1 if estimates are exact, 0 if they are no better than the mean."),
            ),
            (
                "coverage",
                _("Truth within the range"),
                percent,
                _("How often ranges held the true value; they promise %(share)s.")
                % {"share": self._nominal_percent},
            ),
            (
                "range_width",
                _("Width of the range"),
                self.amount,
                _("From its lower to its upper end, on average."),
            ),
        ]

    @property
    def unseen_group(self) -> str:
        """The label of the feature whose values were left out in turn; empty if none was."""
        if not self.version.metrics.get("unseen_groups"):
            return ""
        labels = (item.label for item in self.domain.features if item.name == self.domain.group)
        return translated(next(labels, gettext_noop("group")))

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
        reading = _("Each dot is a case; on the dashed line the estimate is right.")
        if self._calibration:
            band = _("The band is the range, which should hold %(share)s of the dots.")
            reading += " " + band % {"share": self._nominal_percent}
        return Chart(
            "predicted",
            _("True value by estimate"),
            reading,
            _(
                "Half of these %(count)s estimates are off by at most %(half)s, nine in ten by at "
                "most %(most)s. The worst says %(worst)s where %(true)s is true."
            )
            % {
                "count": number(len(errors), 0),
                "half": self.amount(median(errors)),
                "most": self.amount(errors[math.ceil(0.9 * len(errors)) - 1]),
                "worst": self.amount(worst[0]),
                "true": self.amount(worst[1]),
            },
            charts.scatter(
                self._pairs,
                x_name=self._axis(pgettext("axis", "Estimate")),
                y_name=self._axis(_("True value")),
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
            (fmean(error for _actual, error in part), part[0][0], part[-1][0])
            for part in _split_evenly(sorted(points), FIFTHS)
        ]
        too_high = _("%(error)s too high from %(low)s to %(high)s")
        too_low = _("%(error)s too low from %(low)s to %(high)s")
        mean_errors = [
            (too_high if mean > 0 else too_low)
            % {
                "error": self.amount(abs(mean)),
                "low": self._plain(low),
                "high": self._plain(high),
            }
            for mean, low, high in fifths
        ]
        return Chart(
            "errors",
            _("Error by true value"),
            _(
                "Above the dashed line an estimate was too high, below it too low. The thick lines "
                "are the mean errors of the five fifths of the cases."
            ),
            _("On average, estimates were %(errors)s.") % {"errors": _enumeration(mean_errors)},
            charts.scatter(
                points,
                x_name=self._axis(_("True value")),
                y_name=self._axis(_("Estimate minus true value")),
                diagonal=False,
                levels=fifths,
            ),
        )

    def _coverage_chart(self) -> Chart | None:
        metrics = self.version.metrics
        thirds = metrics.get("coverage_by_third") or []
        if metrics.get("coverage") is None:
            return None
        shares = [(_("All estimates"), metrics["coverage"])]
        shares += [(_(name), share) for name, share in zip(THIRDS, thirds, strict=False)]
        rows = metrics["rows"] / len(THIRDS)
        # The standard deviation of the share of a sample of so many rows.
        deviation = math.sqrt(self._nominal_coverage * (1 - self._nominal_coverage) / rows)
        of_third = _("%(share)s of the %(third)s")
        by_third = [
            of_third % {"share": percent(share), "third": name.lower()}
            for name, share in shares[1:]
        ]
        thirds_text = f": {_enumeration(by_third)}" if by_third else ""
        return Chart(
            "coverage",
            _("How often the range holds"),
            _(
                "The share of cases whose true value lay within the range, also by thirds of the "
                "estimates. The line is the promise, %(share)s."
            )
            % {"share": self._nominal_percent},
            _(
                "It held for %(share)s of all estimates%(thirds)s. With %(rows)s cases in a third, "
                "chance alone moves a share by about %(points)s points."
            )
            % {
                "share": percent(shares[0][1]),
                "thirds": thirds_text,
                "rows": number(rows, 0),
                "points": number(100 * deviation, 1),
            },
            charts.bars(
                [Bar(name, 100 * share, percent(share)) for name, share in shares],
                x_name=_("Cases within the range (%)"),
                axis_end=100,
                mark=100 * self._nominal_coverage,
            ),
        )

    def _importance_chart(self) -> Chart | None:
        if not self._importance:
            return None
        labels = {feature.name: translated(feature.label) for feature in self.signature.features}
        rows = [
            Bar(labels[name], size, self.amount(size))
            for name, size in self._importance[:CHART_FEATURES]
        ]
        by = _("%(feature)s by %(amount)s")
        first = [by % {"feature": row.label, "amount": row.figure} for row in rows[:NAMED_FEATURES]]
        return Chart(
            "importance",
            _("What matters most"),
            _("By how much a feature moves an estimate up or down, on average."),
            _("The first are %(features)s.") % {"features": _enumeration(first)},
            charts.bars(rows, x_name=self._axis(_("Mean contribution"))),
        )

    # --- Formatting ---

    def amount(self, value: float) -> str:
        return f"{self._plain(value)}{NO_BREAK}{translated(self.version.unit)}"

    def _axis(self, name: str) -> str:
        return f"{name} ({translated(self.version.unit)})"

    def _plain(self, value: float) -> str:
        return number(value, self.domain.decimals)


def _enumeration(texts: Sequence[str]) -> str:
    """Such as "a, b and c"."""
    return _(" and ").join(filter(None, [", ".join(texts[:-1]), texts[-1]]))


def _split_evenly(rows: Sequence[Point], parts: int) -> list[Sequence[Point]]:
    """Parts of about the same size, in order; fewer if there are fewer rows."""
    cuts = [len(rows) * part // parts for part in range(parts + 1)]
    return [rows[start:end] for start, end in pairwise(cuts) if start < end]


def _typical_text(feature: Feature) -> str:
    value = feature.default
    if isinstance(value, int | float):
        return _short_number(value)
    return translated(feature.display(value))


def _in_data_text(feature: Feature) -> str:
    """The range of a number in the training data, or the choices of a category."""
    if feature.training_range:
        return _range_text(*feature.training_range)
    choices = [translated(feature.display(choice)) for choice in feature.choices or ()]
    if len(choices) <= NAMED_CHOICES + 1:
        return ", ".join(choices)
    named = ", ".join(choices[:NAMED_CHOICES])
    return _("%(named)s and %(count)d more") % {
        "named": named,
        "count": len(choices) - NAMED_CHOICES,
    }


def _allowed_text(feature: Feature) -> str:
    if feature.choices:
        return _("only those")
    if feature.minimum is None or feature.maximum is None:
        return ""
    return _range_text(feature.minimum, feature.maximum)


def _range_text(low: float, high: float) -> str:
    return _("%(low)s to %(high)s") % {"low": _short_number(low), "high": _short_number(high)}


def _short_number(value: float) -> str:
    return short_number(float(value))
