"""Sums of many small trees, evaluated at once with tables of bit masks.

The leaves of a tree are numbered from left to right, and the set of those that a row may still end
in is a bit mask. A node that sends the row to the right rules out the leaves at its left. Whatever
the order of the nodes, the lowest bit that is left in the end is the leaf that the row ends in
(Lucchese et al., QuickScorer: a fast algorithm to rank documents with additive ensembles of
regression trees, 2015).

Which nodes of a feature send a row to the right follows from how many of the feature's thresholds
lie below the row's value. So for each feature, and each such count, one table has the masks of all
trees, and a row takes one line of each table: no loop over nodes or trees.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    FloatArray = NDArray[np.float64]
    Masks = NDArray[np.unsignedinteger[Any]]

MAX_LEAVES = 64  # in one tree: the bits of the largest mask


class TooManyLeaves(ValueError):
    """A tree has more leaves than a mask has bits."""


@dataclass(frozen=True)
class Node:
    """A row goes to the left if its value of `feature` is at most `threshold`."""

    feature: int
    threshold: float
    left: int
    right: int


@dataclass(frozen=True)
class Leaf:
    value: float


Tree = list[Node | Leaf]  # the root comes first; children are places in this list


class TreeTables:
    """The leaf values of many trees. Raises TooManyLeaves."""

    def __init__(self, trees: Iterable[Tree]) -> None:
        import numpy as np

        rules: dict[int, list[tuple[float, int, int]]] = defaultdict(list)
        leaves: list[list[float]] = []
        for number, tree in enumerate(trees):
            values: list[float] = []
            for node, ruled_out in _walk(tree, 0, values):
                rules[node.feature].append((node.threshold, number, ruled_out))
            leaves.append(values)
        most = max(map(len, leaves))
        if most > MAX_LEAVES:
            raise TooManyLeaves(f"A tree has {most} leaves, and {MAX_LEAVES} is the most.")
        self._mask = np.uint32 if most <= 32 else np.uint64  # their bits
        self._features = [
            (feature, *_table(rules[feature], len(leaves), self._mask)) for feature in sorted(rules)
        ]
        padded = [values + [0.0] * (most - len(values)) for values in leaves]
        self._values = np.array(padded).ravel()
        # A power of two as a floating-point number has its exponent, and 1023, in the bits from 52.
        self._places = np.arange(len(leaves)) * most - 1023

    def values(self, rows: FloatArray) -> FloatArray:
        """What each tree says of each row: shape (n, features) to shape (n, trees)."""
        import numpy as np

        shape = (len(rows), len(self._places))
        possible = np.full(shape, np.iinfo(self._mask).max, dtype=self._mask)
        lines = np.empty_like(possible)
        for feature, thresholds, table in self._features:
            below = np.searchsorted(thresholds, rows[:, feature])
            np.take(table, below, axis=0, out=lines, mode="clip")  # clip writes to out directly
            np.bitwise_and(possible, lines, out=possible)
        lowest = possible & (~possible + self._mask(1))
        places = lowest.astype(np.float64).view(np.int64) >> 52
        places += self._places
        values: FloatArray = self._values.take(places)
        return values


def _walk(tree: Tree, place: int, values: list[float]) -> Iterator[tuple[Node, int]]:
    """The nodes below a place, each with the mask of the leaves at its left.

    Appends the values of the leaves from left to right.
    """
    node = tree[place]
    if isinstance(node, Leaf):
        values.append(node.value)
        return
    first = len(values)
    yield from _walk(tree, node.left, values)
    yield node, (1 << len(values)) - (1 << first)
    yield from _walk(tree, node.right, values)


def _table(
    rules: list[tuple[float, int, int]], trees: int, mask: type[Any]
) -> tuple[FloatArray, Masks]:
    """A feature's thresholds t, shape (t,), and its masks, shape (t + 1, trees)."""
    import numpy as np

    thresholds = np.unique([threshold for threshold, _, _ in rules])
    everything = int(np.iinfo(mask).max)
    table = np.full((len(thresholds) + 1, trees), everything, dtype=mask)
    for threshold, tree, ruled_out in rules:
        table[np.searchsorted(thresholds, threshold) + 1, tree] &= mask(everything ^ ruled_out)
    masks: Masks = np.bitwise_and.accumulate(table, axis=0)
    return thresholds, masks


# --- Trees of scikit-learn -----------------------------------------------------------------------


def of_gradient_boosting(model: Any, weight: float = 1.0) -> Iterator[Tree]:
    """The trees of a fitted GradientBoostingRegressor, with their share in a weighted result.

    They compare numbers of single precision.
    """
    share = weight * model.learning_rate
    for (estimator,) in model.estimators_:
        tree = estimator.tree_
        yield [
            Leaf(share * float(value))
            if left < 0
            else Node(int(feature), float(threshold), left, right)
            for left, right, feature, threshold, value in zip(
                tree.children_left.tolist(),
                tree.children_right.tolist(),
                tree.feature,
                tree.threshold,
                tree.value.ravel(),
                strict=True,
            )
        ]


def of_histogram_boosting(model: Any) -> Iterator[Tree]:
    """The trees of a fitted HistGradientBoostingRegressor without categorical features."""
    for (predictor,) in model._predictors:  # noqa: SLF001  # there is no public access
        nodes = predictor.nodes
        yield [
            Leaf(float(node["value"]))
            if node["is_leaf"]
            else Node(
                int(node["feature_idx"]),
                float(node["num_threshold"]),
                int(node["left"]),
                int(node["right"]),
            )
            for node in nodes
        ]
