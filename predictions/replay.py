"""Scoring stored predictions once more, each by its own version: the same numbers are expected.

Nothing is written and nothing locked. Rows are read in pages in the order of their ids, so it takes
little memory and no long transaction; those that are erased meanwhile are left out.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from django.conf import settings
from threadpoolctl import threadpool_limits

from carprice.db import dialect
from mlmodels.models import Predictor, PredictorVersion
from mlmodels.serving import inference
from mlmodels.serving.artefacts import ArtefactError
from predictions.execution import scoring
from predictions.execution.claims import Row
from predictions.execution.scoring import Outcome
from predictions.models import Prediction, PredictionQuerySet

PAGE_ROWS = 1024
SHOWN = 5  # differences of a version


class Stored(NamedTuple):
    """A finished prediction as the database has it."""

    id: UUID
    data: dict[str, Any]
    value: float
    explanation: dict[str, Any] | None


@dataclass(frozen=True)
class Difference:
    """The first number of a prediction that is another one now."""

    id: UUID
    number: str
    stored: Any
    now: Any

    def __str__(self) -> str:
        return f"prediction {self.id}: {self.number} stored {self.stored!r}, now {self.now!r}"


@dataclass
class Replay:
    """What came of a version's predictions; `largest` is of values, as a fraction of them."""

    version: PredictorVersion
    rows: int = 0
    differing: int = 0
    largest: float = 0.0
    differences: list[Difference] = field(default_factory=list)  # the first SHOWN
    fault: str = ""  # why none could be scored

    @property
    def is_faithful(self) -> bool:
        return not (self.fault or self.differing)


def replay(
    *, predictor: Predictor | None = None, since: datetime | None = None, limit: int | None = None
) -> Iterator[Replay]:
    """Replay what is finished and not erased, version by version, at most `limit` rows of each."""
    rows = Prediction.objects.filter(status=Prediction.Status.FINISHED, erased_at=None)
    if predictor is not None:
        rows = rows.filter(predictor=predictor)
    if since is not None:
        rows = rows.filter(finished_at__gte=dialect.Moment(since))
    versions = PredictorVersion.objects.filter(pk__in=rows.values("version"))
    for version in versions.select_related("predictor").order_by("predictor__name", "number"):
        yield _replay(version, rows.filter(version=version), limit)


def _replay(version: PredictorVersion, rows: PredictionQuerySet, limit: int | None) -> Replay:
    replayed = Replay(version)
    try:
        scorer = inference.scorer(version.pk)
    except (ArtefactError, OSError) as error:
        replayed.rows, replayed.fault = rows.count(), str(error)
        return replayed
    with threadpool_limits(1):  # as in a worker
        for page in _pages(rows, limit):
            for start in range(0, len(page), settings.CLAIM_ROWS):
                _compare(replayed, scorer, page[start : start + settings.CLAIM_ROWS])
    return replayed


def _pages(rows: PredictionQuerySet, limit: int | None) -> Iterator[list[Stored]]:
    """Ids are random, so the first ones are no worse a sample than others."""
    rows, left = rows.order_by("pk"), limit
    page = _page(rows, left)
    while page:
        yield page
        left = None if left is None else left - len(page)
        page = _page(rows.filter(pk__gt=page[-1].id), left)


def _page(rows: PredictionQuerySet, limit: int | None) -> list[Stored]:
    size = PAGE_ROWS if limit is None else min(PAGE_ROWS, limit)
    values = rows.values_list("pk", "data", "value", "explanation")[:size]
    return [Stored._make(row) for row in values]


def _compare(replayed: Replay, scorer: inference.Scorer, batch: list[Stored]) -> None:
    """Score a batch as a worker does, and note what is not the same."""
    rows = [Row(row.id, row.data, explain=row.explanation is not None) for row in batch]
    replayed.rows += len(batch)
    for row, outcome in zip(batch, scoring.score_rows(scorer, rows), strict=True):
        difference = _difference(row, outcome)
        if difference is None:
            continue
        replayed.differing += 1
        if outcome.value is not None and row.value:
            replayed.largest = max(replayed.largest, abs(outcome.value / row.value - 1))
        if len(replayed.differences) < SHOWN:
            replayed.differences.append(difference)


def _difference(row: Stored, outcome: Outcome) -> Difference | None:
    if outcome.value is None:
        return Difference(row.id, "value", row.value, outcome.failure or "no memory or files")
    now = _numbers(outcome.value, outcome.explanation)
    for name, number in _numbers(row.value, row.explanation).items():
        if now.get(name) != number:
            return Difference(row.id, name, number, now.get(name))
    return None


def _numbers(value: float, explanation: dict[str, Any] | None) -> dict[str, Any]:
    """Everything that was computed for a prediction, by name."""
    parts = dict(explanation or {})
    contributions = parts.pop("contributions", {})
    return {
        "value": value,
        **{name: _as_float(part) for name, part in parts.items()},
        **{f"contribution of {name}": _as_float(part) for name, part in contributions.items()},
    }


def _as_float(part: Any) -> Any:
    """PostgreSQL writes large floats in JSON without a point, and they come back as integers."""
    return float(part) if isinstance(part, int) else part
