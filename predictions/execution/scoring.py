"""Scoring a claim's rows, outside of any transaction."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from celery.exceptions import SoftTimeLimitExceeded

from carprice.logs.context import about_prediction
from mlmodels.catalogue import availability
from mlmodels.serving import inference
from mlmodels.serving.artefacts import ArtefactError
from predictions.execution.claims import Claim, Row
from predictions.models import ScoringRequest

logger = logging.getLogger(__name__)

Failure = ScoringRequest.Failure

# Errors that say more about the moment than about the row.
TRANSIENT = (MemoryError, OSError)


@dataclass(frozen=True)
class Outcome:
    """How scoring one row went: a value, a final failure, or one that a retry may mend."""

    row: Row
    value: float | None = None
    explanation: dict[str, Any] | None = None
    failure: str = ""
    is_transient: bool = False

    @property
    def has_value(self) -> bool:
        return not self.failure and not self.is_transient


def score(claim: Claim) -> list[Outcome]:
    """Score a claim's rows as one array; if that fails, one by one, so that only bad ones fail.

    Raises SoftTimeLimitExceeded.
    """
    try:
        scorer = inference.scorer(claim.version_id)
    except ArtefactError as error:
        availability.record_fault(claim.version_id, str(error))
        return [Outcome(row, failure=Failure.MODEL_UNAVAILABLE) for row in claim.rows]
    return score_rows(scorer, claim.rows)


def score_rows(scorer: inference.Scorer, rows: Sequence[Row]) -> list[Outcome]:
    """One outcome for each row, in their order. Raises SoftTimeLimitExceeded."""
    try:
        return _score_together(scorer, rows)
    except SoftTimeLimitExceeded:
        raise
    except Exception:
        logger.warning("Scoring %s rows failed; one by one now.", len(rows), exc_info=True)
    return [_score_alone(scorer, row) for row in rows]


def _score_together(scorer: inference.Scorer, rows: Sequence[Row]) -> list[Outcome]:
    values = scorer.predict([row.data for row in rows])
    to_explain = [row for row in rows if row.explain]
    parts = scorer.explain([row.data for row in to_explain]) if to_explain else []
    explanations = {row.id: part for row, part in zip(to_explain, parts, strict=True)}
    return [
        Outcome(row, value, explanations.get(row.id))
        for row, value in zip(rows, values, strict=True)
    ]


def _score_alone(scorer: inference.Scorer, row: Row) -> Outcome:
    with about_prediction(row.id):
        return _score_logged(scorer, row)


def _score_logged(scorer: inference.Scorer, row: Row) -> Outcome:
    try:
        return _score_together(scorer, [row])[0]
    except SoftTimeLimitExceeded:
        raise
    except (ValueError, TypeError, inference.ScoringError):
        logger.warning("Row %s cannot be scored.", row.id, exc_info=True)
        return Outcome(row, failure=Failure.INVALID_INPUT)
    except TRANSIENT as error:
        logger.warning("Row %s is tried again later: %r", row.id, error)
        return Outcome(row, is_transient=True)
    except Exception:
        logger.exception("Scoring row %s failed.", row.id)
        return Outcome(row, failure=Failure.INTERNAL_ERROR)
