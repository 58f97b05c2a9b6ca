"""The known cases that are most like a new one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

    FloatArray = NDArray[np.float64]

SHOWN = 3


@dataclass(frozen=True)
class KnownCases:
    """Training rows with their target, and what distance is measured by.

    The distance is Gower's (A general coefficient of similarity, 1971): the mean over features of
    the difference as a fraction of the feature's range, or of whether categories differ.
    """

    rows: list[dict[str, Any]]
    target: FloatArray
    numbers: FloatArray
    spans: FloatArray
    categories: NDArray[np.object_]
    number_names: list[str]
    category_names: list[str]

    @classmethod
    def of(
        cls, inputs: pd.DataFrame, target: pd.Series[Any], compared: Sequence[str]
    ) -> KnownCases:
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
        """The SHOWN nearest: `target`, `distance` from 0 to 1, and in `differences` its values."""
        import numpy as np

        numbers = np.array([float(data[name]) for name in self.number_names])
        apart = np.minimum(np.abs(self.numbers - numbers) / self.spans, 1.0).sum(axis=1)
        categories = np.array([data[name] for name in self.category_names], dtype=object)
        apart += (self.categories != categories).sum(axis=1)
        distances = apart / (len(self.number_names) + len(self.category_names))
        return [
            {
                "target": float(self.target[place]),
                "distance": float(distances[place]),
                "differences": _differences(self.rows[place], data),
            }
            for place in np.argsort(distances, kind="stable")[:SHOWN]
        ]


def _differences(case: Mapping[str, Any], data: Mapping[str, Any]) -> dict[str, Any]:
    """What a known case has otherwise than the new one."""
    return {name: value for name, value in case.items() if value != data[name]}
