"""Where the parts of small drawings stand; templates write them as SVG.

Coordinates are numbers in the units of a drawing, rounded so that they stay short.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

BAR_WIDTH = 100.0
RANGE_WIDTH, RANGE_MARGIN = 400.0, 40.0  # the margin has room for half a label
CURVE_WIDTH, CURVE_HEIGHT = 480.0, 200.0
LEFT, RIGHT, TOP, BOTTOM = 66.0, 24.0, 16.0, 30.0  # around a curve, for its labels


@dataclass(frozen=True)
class Bar:
    """From `start` on and `size` wide; `zero` is where it grows from."""

    start: str
    size: str
    zero: str


NO_BAR = Bar("0", "0", "0")


@dataclass(frozen=True)
class Mark:
    x: str
    text: str


@dataclass(frozen=True)
class Range:
    """A value on its scale, with the range around it and the typical case."""

    low: Mark
    value: Mark
    high: Mark
    typical: Mark | None


@dataclass(frozen=True)
class Point:
    x: str
    y: str
    text: str
    is_own: bool = False


@dataclass(frozen=True)
class Curve:
    """Points from left to right with the ends of both axes, and marks along the lower one."""

    points: list[Point]
    marks: list[Mark]
    left: str
    right: str
    top: str
    bottom: str

    @property
    def line(self) -> str:
        return " ".join(f"{point.x},{point.y}" for point in self.points)


def waterfall(baseline: float, steps: Sequence[float]) -> list[Bar]:
    """Bars for the baseline, for each step from there, and for where the steps end.

    The first and the last reach from the left edge, which is below all of them.
    """
    totals = [baseline]
    for step in steps:
        totals.append(totals[-1] + step)
    low, high = min(totals), max(totals)
    pad = (high - low) * 0.12 or 1.0
    place = _placing(low - pad, high + pad * 0.2, 0.0, BAR_WIDTH)
    places = [place(total) for total in totals]
    moves = [
        _bar(min(before, after), max(before, after), before) for before, after in pairwise(places)
    ]
    return [_bar(0.0, places[0], 0.0), *moves, _bar(0.0, places[-1], 0.0)]


def range_of(
    value: float, low: float, high: float, *, typical: float | None, text: Callable[[float], str]
) -> Range:
    shown = [value, low, high] if typical is None else [value, low, high, typical]
    first, last = min(shown), max(shown)
    pad = (last - first) * 0.04 or 1.0
    place = _placing(first - pad, last + pad, RANGE_MARGIN, RANGE_WIDTH - RANGE_MARGIN)
    mark = None if typical is None else Mark(_short(place(typical)), text(typical))
    return Range(
        Mark(_short(place(low)), text(low)),
        Mark(_short(place(value)), text(value)),
        Mark(_short(place(high)), text(high)),
        mark,
    )


def curve(
    points: Sequence[tuple[float, float, bool]],
    text_of_x: Callable[[float], str],
    text_of_y: Callable[[float], str],
    marks: Sequence[tuple[float, str]] = (),
) -> Curve | None:
    """Of (x, y, whether it is the prediction's own); None of fewer than two different ones."""
    ordered = sorted(points)
    if len({x for x, _, _ in ordered}) < 2:
        return None
    xs, ys = [x for x, _, _ in ordered], [y for _, y, _ in ordered]
    pad = (max(ys) - min(ys)) * 0.1 or 1.0
    across = _placing(xs[0], xs[-1], LEFT, CURVE_WIDTH - RIGHT)
    up = _placing(min(ys) - pad, max(ys) + pad, CURVE_HEIGHT - BOTTOM, TOP)
    return Curve(
        [
            Point(_short(across(x)), _short(up(y)), f"{text_of_x(x)}: {text_of_y(y)}", is_own)
            for x, y, is_own in ordered
        ],
        [Mark(_short(across(x)), text) for x, text in marks],
        text_of_x(xs[0]),
        text_of_x(xs[-1]),
        text_of_y(max(ys) + pad),
        text_of_y(min(ys) - pad),
    )


def _placing(low: float, high: float, start: float, end: float) -> Callable[[float], float]:
    share = (end - start) / (high - low)
    return lambda value: start + (value - low) * share


def _bar(start: float, end: float, zero: float) -> Bar:
    return Bar(_short(start), _short(end - start), _short(zero))


def _short(value: float) -> str:
    return f"{value:.1f}"
