"""Several predictions as pages show them: a list, a chart over time, a comparison."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise

from django.utils.formats import date_format
from django.utils.translation import gettext as _

from carprice.pages.formatting import Scale, number, translated
from mlmodels.catalogue.queries import signature_of
from mlmodels.domains import DOMAINS
from mlmodels.domains.base import Domain
from mlmodels.signature import Feature
from predictions.models import Prediction
from predictions.pages import drawing
from predictions.pages.presentation import (
    PredictionDetails,
    details_of,
    scale_of,
    title_of,
    value_text,
)

Status = Prediction.Status


@dataclass(frozen=True)
class HistoryLine:
    """A prediction in a list; `amount` is what it holds, was charged or, as a draft, would cost."""

    prediction: Prediction
    domain: Domain
    name: str
    scale: Scale
    amount: int


def history_lines(rows: Iterable[Prediction]) -> list[HistoryLine]:
    return [
        HistoryLine(row, DOMAINS[row.predictor.domain], title_of(row), scale_of(row), _amount(row))
        for row in rows
    ]


def _amount(row: Prediction) -> int:
    if row.status == Status.DRAFT:
        return row.predictor.price
    return row.price if row.is_active else row.charged


@dataclass(frozen=True)
class HistoryChart:
    """The newest results of one predictor over time."""

    title: str
    drawing: drawing.Curve


def history_chart(newest: Prediction, rows: Sequence[Prediction]) -> HistoryChart | None:
    """None of fewer than two results, or of results at one moment."""
    scale, domain = scale_of(newest), DOMAINS[newest.predictor.domain]
    results_by_time = [
        (row.created_at.timestamp(), row.value, row.pk == newest.pk)
        for row in rows
        if row.value is not None
    ]
    drawn = drawing.curve(
        results_by_time,
        lambda at: date_format(datetime.fromtimestamp(at, UTC), "j M H:i"),
        lambda value: number(value, scale.decimals),
        marks=_version_changes(rows),
    )
    title = f"{translated(domain.title)}, {translated(newest.predictor.title)}"
    return HistoryChart(title, drawn) if drawn else None


def _version_changes(rows: Sequence[Prediction]) -> list[tuple[float, str]]:
    """When the first prediction by another version than before was made."""
    ordered = sorted(rows, key=lambda row: row.created_at)
    return [
        (row.created_at.timestamp(), _("version %(number)d") % {"number": row.version.number})
        for before, row in pairwise(ordered)
        if before.version_id != row.version_id
    ]


@dataclass(frozen=True)
class ComparedFeature:
    """A feature in which predictions differ, with its text in each of them."""

    feature: Feature
    texts: list[str]


@dataclass(frozen=True)
class Comparison:
    """Predictions beside each other: what they are, and in what their inputs differ."""

    details: list[tuple[Prediction, PredictionDetails]]
    differences: list[ComparedFeature]
    is_of_one_domain: bool


def comparison_of(rows: Sequence[Prediction]) -> Comparison:
    features: dict[str, Feature] = {}
    for row in rows:
        for feature in signature_of(row.version_id).features:
            features.setdefault(feature.name, feature)
    differences = []
    for feature in features.values():
        texts = [_compared_text(row, feature) for row in rows]
        if len(set(texts)) > 1:
            differences.append(ComparedFeature(feature, texts))
    domains = {row.predictor.domain for row in rows}
    return Comparison([(row, details_of(row)) for row in rows], differences, len(domains) == 1)


def _compared_text(row: Prediction, feature: Feature) -> str:
    value = row.data.get(feature.name) if isinstance(row.data, dict) else None
    if value is None or isinstance(value, dict | list):
        return "–"
    return value_text(row, feature, value)
