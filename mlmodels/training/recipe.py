"""What a predictor's measured figures follow from, as a digest.

It covers the table that a domain loads, the unfitted pipeline with all of its parameters, and how
it is measured. It does not cover what only people read: labels, titles, other names and units. So
a card in the repository stays good when these are edited.
"""

from __future__ import annotations

import hashlib
import inspect
import json
from dataclasses import asdict
from typing import Any

from mlmodels.domains.base import Domain, PredictorSpec
from mlmodels.serving.intervals import COVERAGE, THIRDS
from mlmodels.training.cross_validation import SEED, Plan
from mlmodels.training.train import MAX_EXPLAINED_ROWS, MAX_REPORTED_ROWS, TrainingData

# Raise it with a change of the code that measures, if that changes a figure: of this package, of
# mlmodels.serving.intervals or of mlmodels.serving.explanations.
MEASURING = 1


def digest(domain: Domain, spec: PredictorSpec, data: TrainingData) -> str:
    recipe = {
        "measuring": MEASURING,
        "plan": asdict(Plan.for_rows(len(data.inputs))),
        "seed": SEED,
        "ranges": [COVERAGE, THIRDS, domain.relative_errors],
        "reported": [MAX_REPORTED_ROWS, MAX_EXPLAINED_ROWS],
        "group": domain.group,
        "table": _table_digest(data),
        "pipeline": describe(spec.build()),
    }
    return hashlib.sha256(json.dumps(recipe, sort_keys=True).encode()).hexdigest()


def _table_digest(data: TrainingData) -> str:
    """Of the rows as they are loaded, so that it changes when cleaning them does."""
    from pandas.util import hash_pandas_object

    columns = [[name, str(dtype)] for name, dtype in data.inputs.dtypes.items()]
    result = hashlib.sha256(json.dumps([columns, str(data.target.dtype)]).encode())
    for part in (data.inputs, data.target):
        result.update(hash_pandas_object(part, index=False).to_numpy().tobytes())
    return result.hexdigest()


def describe(value: Any) -> Any:
    """An unfitted model, or a parameter of one, as JSON that says all that fitting depends on."""
    if isinstance(value, dict):
        return {str(key): describe(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [describe(item) for item in value]
    if isinstance(value, type) or not hasattr(value, "get_params"):
        return _named(value) if callable(value) else repr(value)
    return [_named(type(value)), describe(value.get_params(deep=False))]


def _named(value: Any) -> str:
    """A class or a function by its name, and by its source if it is this program's."""
    module = getattr(value, "__module__", None) or "numpy"  # of which its functions say nothing
    name = f"{module}.{getattr(value, '__qualname__', value.__name__)}"
    return name + inspect.getsource(value) if module.startswith("mlmodels") else name
