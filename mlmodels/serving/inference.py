"""Scoring: rows of features in, numbers out. Each process keeps the pipelines it used last."""

import math
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Any, Protocol
from uuid import UUID

from mlmodels.models import PredictorVersion
from mlmodels.serving import artefacts, compilation, explanations, row_sums
from mlmodels.serving.artefacts import Artefact, ArtefactError
from mlmodels.signature import Feature, Signature

Rows = Sequence[Mapping[str, Any]]

MAX_LOADED = 16  # scorers per process

# The scorers in memory by the id of their version, the most recently used last.
_loaded: OrderedDict[UUID, "Scorer"] = OrderedDict()


class ScoringError(Exception):
    """The model did not return one finite number for each row."""


class Scorer:
    """A version's artefact, compiled if it can be.

    The prediction and the explanation of a row are the same to the last bit whatever rows are
    scored in the same call; `mlmodels.serving.row_sums` says why that needs care.
    """

    def __init__(self, artefact: Artefact, features: Sequence[Feature]) -> None:
        row_sums.use_row_sums(artefact.pipeline)
        self._artefact = artefact
        self._scoring = _scoring(artefact, features)
        self._tree_explainers: explanations.TreeExplainers = {}
        self._names = [feature.name for feature in features]

    def predict(self, rows: Rows) -> list[float]:
        """One value per row, in the target's unit, in the rows' order. Raises ScoringError."""
        values = [float(value) for value in self._scoring.predict(rows)]
        if len(values) != len(rows):
            raise ScoringError(f"{len(values)} values for {len(rows)} rows")
        if not all(math.isfinite(value) for value in values):
            raise ScoringError("a value is not finite")
        return values

    def explain(self, rows: Rows) -> list[dict[str, Any] | None]:
        """One explanation per row, as it is stored with the prediction.

        `baseline` and the values of `contributions`, by feature, are in the target's unit and add
        up to the prediction; `comparables` are what `KnownCases.nearest` returns. All are None for
        an artefact that is too old to explain anything.
        """
        if not (self._artefact.explains and rows):
            return [None] * len(rows)
        contributions = explanations.explain_encoded(
            self._artefact.pipeline,
            self._names,
            lambda columns: self._scoring.encode(columns, rows),
            self._artefact.backgrounds,
            self._tree_explainers,
        )
        known_cases = self._artefact.known_cases
        return [
            {
                "baseline": baseline,
                "contributions": dict(zip(self._names, parts, strict=True)),
                "comparables": known_cases.nearest(row) if known_cases else None,
            }
            for row, baseline, parts in zip(
                rows, contributions.baseline.tolist(), contributions.parts.tolist(), strict=True
            )
        ]


def _scoring(artefact: Artefact, features: Sequence[Feature]) -> "Scoring":
    """The compiled pipeline; the pipeline itself for what was published when none was compiled.

    The two differ in last bits, and a replay has to reproduce what was stored.

    Raises ArtefactError.
    """
    if not artefact.is_compiled:
        return ReferenceScoring(artefact.pipeline, features)
    try:
        return compilation.CompiledPipeline(artefact.pipeline)
    except compilation.NotCompilable as error:
        raise ArtefactError(f"This release cannot compile the artefact: {error}.") from error


class Scoring(Protocol):
    """Scores rows, and encodes them as the models within the pipeline take them."""

    def predict(self, rows: Rows) -> Any: ...

    def encode(self, columns: Any, rows: Rows) -> Any: ...


class ReferenceScoring:
    """Scores by scikit-learn itself."""

    def __init__(self, pipeline: Any, features: Sequence[Feature]) -> None:
        self._pipeline = pipeline
        self._names = [feature.name for feature in features]
        # A column of a number that may be missing must be of floats even if all of its values are
        # missing, or the pipeline would get a column of objects.
        self._floats = {f.name for f in features if f.optional and f.type != "category"}

    def predict(self, rows: Rows) -> Any:
        return self._pipeline.predict(self._frame(rows))

    def encode(self, columns: Any, rows: Rows) -> Any:
        return columns.transform(self._frame(rows))

    def _frame(self, rows: Rows) -> Any:
        """The rows as a pandas DataFrame with the columns that the pipeline was fitted on."""
        import numpy as np
        import pandas as pd

        columns: dict[str, Any] = {name: [row[name] for row in rows] for name in self._names}
        for name in self._floats:
            columns[name] = np.array(columns[name], dtype=float)  # turns None into NaN
        return pd.DataFrame(columns)


def scorer(version_id: UUID) -> Scorer:
    """The version's scorer, verified and loaded on first use. Raises ArtefactError."""
    loaded = _loaded.get(version_id)
    if loaded is None:
        version = PredictorVersion.objects.defer("report").get(pk=version_id)
        signature = Signature.from_json(version.signature)
        loaded = Scorer(artefacts.load(version), signature.scored)
        _loaded[version_id] = loaded
        while len(_loaded) > MAX_LOADED:
            _loaded.popitem(last=False)
    _loaded.move_to_end(version_id)
    return loaded
