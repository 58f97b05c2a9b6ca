"""Scoring: rows of features in, numbers out. Loaded pipelines are kept for the process's life."""

import math
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from mlmodels.models import PredictorVersion
from mlmodels.serving import artefacts, explanations, row_sums
from mlmodels.serving.artefacts import Artefact
from mlmodels.signature import Feature, Signature

KEPT = 16  # loaded pipelines per process

_loaded: OrderedDict[UUID, "Scorer"] = OrderedDict()


class ScoringError(Exception):
    """The model did not return one finite number for each row."""


class Scorer:
    """A version's artefact with the columns it was fitted on.

    What it says of a row does not depend on the rows beside it, to the last bit.
    """

    def __init__(self, artefact: Artefact, features: Sequence[Feature]) -> None:
        row_sums.make_rowwise(artefact.pipeline)
        self._artefact = artefact
        self._explainers: explanations.Explainers = {}
        self._names = [feature.name for feature in features]
        # Numbers that may be missing are floats even where a whole batch lacks them.
        self._floats = {f.name for f in features if f.optional and f.type != "category"}

    def predict(self, rows: Sequence[Mapping[str, Any]]) -> list[float]:
        """One value per row, in the target's unit, in the rows' order. Raises ScoringError."""
        found = self._artefact.pipeline.predict(self._frame(rows))
        values = [float(value) for value in found]
        if len(values) != len(rows):
            raise ScoringError(f"{len(values)} values for {len(rows)} rows")
        if not all(math.isfinite(value) for value in values):
            raise ScoringError("a value is not finite")
        return values

    def explain(self, rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any] | None]:
        """What each prediction is made of, as it is stored; None where a version cannot tell."""
        if not (self._artefact.explains and rows):
            return [None] * len(rows)
        found = explanations.explain(
            self._artefact.pipeline,
            self._frame(rows),
            self._artefact.backgrounds,
            self._explainers,
        )
        known = self._artefact.known_cases
        return [
            {
                "baseline": baseline,
                "contributions": dict(zip(self._names, parts, strict=True)),
                "comparables": known.nearest(row) if known else None,
            }
            for row, baseline, parts in zip(
                rows, found.baseline.tolist(), found.parts.tolist(), strict=True
            )
        ]

    def _frame(self, rows: Sequence[Mapping[str, Any]]) -> Any:
        import numpy as np
        import pandas as pd

        columns: dict[str, Any] = {name: [row[name] for row in rows] for name in self._names}
        for name in self._floats:
            columns[name] = np.array(columns[name], dtype=float)  # None becomes NaN
        return pd.DataFrame(columns)


def scorer(version_id: UUID) -> Scorer:
    """The version's scorer, verified and loaded on first use. Raises ArtefactError."""
    found = _loaded.get(version_id)
    if found is None:
        version = PredictorVersion.objects.defer("report").get(pk=version_id)
        signature = Signature.from_json(version.signature)
        found = Scorer(artefacts.load(version), signature.scored)
        _loaded[version_id] = found
        while len(_loaded) > KEPT:
            _loaded.popitem(last=False)
    _loaded.move_to_end(version_id)
    return found
