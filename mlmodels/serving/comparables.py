"""Comparables: the training cases that are most like the one that is predicted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

    FloatArray = NDArray[np.float64]

COMPARABLES = 3  # nearest cases returned for a prediction


@dataclass(frozen=True)
class KnownCases:
    """All n training rows with their targets, and the features that distances are computed from.

    The distance is Gower's (A general coefficient of similarity, 1971): the mean over features of,
    for numbers, the difference as a fraction of the feature's range in the training data (1 if it
    is more), and for categories, 0 if they are equal and 1 if not.

    `rows` has all features. `target` has shape (n,), in the target's unit. `numbers` has shape
    (n, len(number_names)), `categories` shape (n, len(category_names)); `spans` has the range of
    each number, or 1 where all training rows have the same.

    Objects are pickled with artefacts, so a change of the fields needs a new artefact format.
    """

    rows: list[dict[str, Any]]
    target: FloatArray
    numbers: FloatArray
    spans: FloatArray
    categories: NDArray[np.object_]
    number_names: list[str]
    category_names: list[str]

    @classmethod
    def from_training_data(
        cls, inputs: pd.DataFrame, target: pd.Series[Any], compared: Sequence[str]
    ) -> KnownCases:
        """`compared` names the features that distances are computed from."""
        import numpy as np
        from pandas.api.types import is_numeric_dtype

        records = inputs.to_dict("records")
        numbers = [name for name in compared if is_numeric_dtype(inputs[name])]
        categories = [name for name in compared if name not in numbers]
        values = inputs[numbers].to_numpy(dtype=np.float64)
        spans = values.max(axis=0) - values.min(axis=0)
        return cls(
            rows=[{str(name): value for name, value in row.items()} for row in records],
            target=target.to_numpy(dtype=np.float64),
            numbers=values,
            spans=np.where(spans > 0, spans, 1.0),
            categories=inputs[categories].to_numpy(dtype=object),
            number_names=numbers,
            category_names=categories,
        )

    def nearest(self, data: Mapping[str, Any]) -> list[dict[str, Any]]:
        """The COMPARABLES nearest cases to a row, nearest first.

        Each has its `target`, in the target's unit, its `distance`, from 0 to 1, and in
        `differences` the values of the features in which it differs from the row.
        """
        import numpy as np

        numbers = np.array([float(data[name]) for name in self.number_names])
        categories = np.array([data[name] for name in self.category_names], dtype=object)
        sums = np.minimum(np.abs(self.numbers - numbers) / self.spans, 1.0).sum(axis=1)
        sums += (self.categories != categories).sum(axis=1)
        distances = sums / (len(self.number_names) + len(self.category_names))
        return [
            {
                "target": float(self.target[index]),
                "distance": float(distances[index]),
                "differences": _differences(self.rows[index], data),
            }
            for index in np.argsort(distances, kind="stable")[:COMPARABLES]
        ]


def _differences(case: Mapping[str, Any], data: Mapping[str, Any]) -> dict[str, Any]:
    """The known case's values of the features in which it differs from the new one."""
    return {name: value for name, value in case.items() if value != data[name]}
