"""Scoring: rows of features in, numbers out. Loaded pipelines are kept for the process's life."""

import math
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from mlmodels import artefacts
from mlmodels.models import PredictorVersion

KEPT = 16  # loaded pipelines per process

_loaded: OrderedDict[UUID, "Scorer"] = OrderedDict()


class ScoringError(Exception):
    """The model did not return one finite number for each row."""


class Scorer:
    """A version's pipeline with the columns it was fitted on."""

    def __init__(self, pipeline: Any, columns: Sequence[str]) -> None:
        self._pipeline = pipeline
        self._columns = list(columns)

    def predict(self, rows: Sequence[Mapping[str, Any]]) -> list[float]:
        """One value per row, in the target's unit, in the rows' order. Raises ScoringError."""
        import pandas as pd

        frame = pd.DataFrame({column: [row[column] for row in rows] for column in self._columns})
        values = [float(value) for value in self._pipeline.predict(frame)]
        if len(values) != len(rows):
            raise ScoringError(f"{len(values)} values for {len(rows)} rows")
        if not all(math.isfinite(value) for value in values):
            raise ScoringError("a value is not finite")
        return values


def scorer(version_id: UUID) -> Scorer:
    """The version's scorer, verified and loaded on first use. Raises ArtefactError."""
    found = _loaded.get(version_id)
    if found is None:
        version = PredictorVersion.objects.get(pk=version_id)
        columns = [feature["name"] for feature in version.signature]
        found = Scorer(artefacts.load(version), columns)
        _loaded[version_id] = found
        while len(_loaded) > KEPT:
            _loaded.popitem(last=False)
    _loaded.move_to_end(version_id)
    return found
