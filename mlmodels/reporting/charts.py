"""Charts as SVG, drawn by the server: no script, and no style but the classes of the stylesheet.

Positions are in units of the drawing, which is WIDTH units wide whatever the screen's width is; y
grows downwards.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Self

from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString, mark_safe

WIDTH = 360
SCATTER_HEIGHT = 320
FONT_SIZE = 13  # as in the stylesheet
DIGIT_WIDTH = 0.6 * FONT_SIZE  # about
MAX_TICKS = 6
MAX_LABEL_LENGTH = 32  # characters of a bar's label, which has the figure beside it

Point = tuple[float, float]
Span = tuple[float, float, float]


@dataclass(frozen=True)
class Drawing:
    """SVG elements without the `<svg>` around them."""

    body: SafeString
    height: float


@dataclass(frozen=True)
class Chart:
    """A drawing with its texts.

    `reading` says how to read it, `figures` what it shows, for those who cannot see it.
    """

    name: str
    title: str
    reading: str
    figures: str
    drawing: Drawing

    def svg(self, style: str = "") -> SafeString:
        """The SVG element; with a `style`, it can stand alone, without the site's stylesheet."""
        return format_html(
            '<svg xmlns="http://www.w3.org/2000/svg" class="chart" role="img" '
            'aria-labelledby="{name}-title {name}-reading" width="{width}" height="{height}" '
            'viewBox="0 0 {width} {height}">{style}<title id="{name}-title">{title}</title>'
            '<desc id="{name}-reading">{reading}</desc>{body}</svg>',
            name=f"chart-{self.name}",
            width=WIDTH,
            height=f"{self.drawing.height:g}",
            style=format_html("<style>{}</style>", mark_safe(style)) if style else "",  # noqa: S308  # ours
            title=self.title,
            reading=self.reading,
            body=self.drawing.body,
        )


@dataclass(frozen=True)
class Scale:
    """An axis: maps values to positions.

    The first tick is at the position `start`, the last one at `end`.
    """

    ticks: tuple[float, ...]
    start: float
    end: float

    @classmethod
    def covering(cls, values: Iterable[float], start: float, end: float) -> Self:
        """A scale for all of the values, with as many ticks as have room for their labels."""
        numbers = list(values)
        for limit in range(MAX_TICKS, 2, -1):
            scale = cls(round_ticks(min(numbers), max(numbers), limit), start, end)
            if scale.label_width * (len(scale.ticks) - 1) <= abs(end - start):
                break
        return scale

    @property
    def labels(self) -> list[str]:
        step = self.ticks[1] - self.ticks[0]
        decimals = max(0, -math.floor(math.log10(step) + 1e-9))
        return [f"{tick:,.{decimals}f}" for tick in self.ticks]

    @property
    def label_width(self) -> float:
        """Of the longest label, with a space of one digit."""
        return DIGIT_WIDTH * (1 + max(map(len, self.labels)))

    def position(self, value: float) -> float:
        low, high = self.ticks[0], self.ticks[-1]
        return self.start + (value - low) / (high - low) * (self.end - self.start)

    def clamp(self, value: float) -> float:
        """The value, or the nearer end of the scale if it is beyond."""
        return min(max(value, self.ticks[0]), self.ticks[-1])


def round_ticks(low: float, high: float, limit: int = MAX_TICKS) -> tuple[float, ...]:
    """Consecutive multiples of 1, 2 or 5 times a power of ten that cover `low` to `high`.

    There are at least two, and at most `limit`, which must be 3 or more.
    """
    if math.isclose(low, high, rel_tol=1e-9, abs_tol=1e-12):
        low, high = low - (abs(low) / 10 or 1), high + (abs(high) / 10 or 1)
    power = math.floor(math.log10((high - low) / limit))
    while True:
        for factor in (1, 2, 5):
            step = factor * 10.0**power
            first, last = math.floor(low / step), math.ceil(high / step)
            if last - first < limit:
                return tuple(number * step for number in range(first, last + 1))
        power += 1


# --- Scatter plots -------------------------------------------------------------------------------


def scatter(
    points: Sequence[Point],
    *,
    x_name: str,
    y_name: str,
    diagonal: bool,
    band: Sequence[Span] = (),
    levels: Sequence[Span] = (),
) -> Drawing:
    """A dot for each point, around a guide: the line x = y if `diagonal`, otherwise y = 0.

    `band` is an area, each item of it an x with its lower and its upper y. `levels` are horizontal
    lines, each a y with the x that it begins and ends at.
    """
    xs, ys = [x for x, _ in points], [0.0, *(y for _, y in points)]
    if diagonal:
        xs = ys = xs + ys[1:]
    bottom, top = SCATTER_HEIGHT - 3.2 * FONT_SIZE, 1.8 * FONT_SIZE
    y = Scale.covering(ys, bottom, top)
    # The labels of the y axis are left of the drawing; half of the last label of the x axis is
    # right of it.
    left = y.label_width
    x = Scale.covering(xs, left, WIDTH - Scale.covering(xs, left, WIDTH).label_width / 2)
    if diagonal:
        y = replace(y, ticks=x.ticks)
    zero = y.position(0)
    guide = ((left, bottom), (x.end, top)) if diagonal else ((left, zero), (x.end, zero))
    upper = [(x.position(value), y.position(y.clamp(high))) for value, _, high in band]
    lower = [(x.position(value), y.position(y.clamp(low))) for value, low, _ in band]
    parts = [
        _path("band", [*upper, *reversed(lower)]),
        _grid(x, y),
        _path("guide", guide),
        _dots([(x.position(x_value), y.position(y_value)) for x_value, y_value in points]),
        *(
            _path("level", [(x.position(end), y.position(level)) for end in (low, high)])
            for level, low, high in levels
        ),
        _text("middle", (x.start + x.end) / 2, SCATTER_HEIGHT - 0.4 * FONT_SIZE, x_name),
        _text("start", 0, FONT_SIZE, y_name),
    ]
    return Drawing(_join(parts), SCATTER_HEIGHT)


def _grid(x: Scale, y: Scale) -> SafeString:
    """Lines at the ticks of both axes, with their labels."""
    horizontal = [
        _path("grid", [(x.start, y.position(tick)), (x.end, y.position(tick))])
        + _text("end", x.start - 0.5 * DIGIT_WIDTH, y.position(tick) + 0.35 * FONT_SIZE, label)
        for tick, label in zip(y.ticks, y.labels, strict=True)
    ]
    return _join([*horizontal, _vertical_grid(x, y.start, y.end)])


def _vertical_grid(x: Scale, bottom: float, top: float) -> SafeString:
    """Vertical lines at the ticks of the x axis, with their labels."""
    lines = [
        _path("grid", [(x.position(tick), bottom), (x.position(tick), top)])
        + _text("middle", x.position(tick), bottom + 1.3 * FONT_SIZE, label)
        for tick, label in zip(x.ticks, x.labels, strict=True)
    ]
    return _join(lines)


def _dots(positions: Sequence[Point]) -> SafeString:
    circle = '<circle cx="{:.1f}" cy="{:.1f}" r="2.5"/>'
    dots = "".join(circle.format(*position) for position in positions)
    return mark_safe(f'<g class="dots">{dots}</g>')  # noqa: S308  # only numbers


# --- Bars ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Bar:
    """`figure` is the text of the value."""

    label: str
    value: float
    figure: str


BAR_TOP = 1.5 * FONT_SIZE  # from the top of its row
BAR_HEIGHT = 0.7 * FONT_SIZE
ROW_HEIGHT = 2.7 * FONT_SIZE


def bars(
    rows: Sequence[Bar], *, x_name: str, axis_end: float | None = None, mark: float | None = None
) -> Drawing:
    """Horizontal bars, a row for each, with its label and figure above it.

    The axis begins at 0 and covers all values, and `axis_end` as well. `mark` is a value that is
    marked by a line across each bar.
    """
    top, bottom = 0.3 * FONT_SIZE, 0.6 * FONT_SIZE + ROW_HEIGHT * len(rows)
    largest = max([axis_end or 0.0, *(row.value for row in rows)]) or 1.0
    margin = Scale.covering((0, largest), 0, WIDTH).label_width / 2
    x = Scale.covering((0, largest), DIGIT_WIDTH, WIDTH - margin)
    parts = [_vertical_grid(x, bottom, top)]
    for number, row in enumerate(rows):
        row_top = top + ROW_HEIGHT * number
        parts.append(_bar(row, x, row_top))
        if mark is not None:
            ends = row_top + BAR_TOP - 2, row_top + BAR_TOP + BAR_HEIGHT + 2
            parts.append(_path("mark", [(x.position(mark), end) for end in ends]))
    height = bottom + 3.2 * FONT_SIZE
    parts.append(_text("middle", (x.start + x.end) / 2, height - 0.4 * FONT_SIZE, x_name))
    return Drawing(_join(parts), height)


def _bar(row: Bar, x: Scale, top: float) -> SafeString:
    """`top` is the upper edge of the bar's row."""
    label = row.label
    if len(label) > MAX_LABEL_LENGTH:
        label = f"{label[: MAX_LABEL_LENGTH - 1]}…"
    rectangle = format_html(
        '<rect class="amount" x="{}" y="{}" width="{}" height="{}"/>',
        *map(_number, (x.start, top + BAR_TOP, x.position(row.value) - x.start, BAR_HEIGHT)),
    )
    text_y = top + 1.1 * FONT_SIZE
    return _join(
        [
            _text("start", x.start, text_y, label),
            _text("end", x.end, text_y, row.figure, "figure"),
            rectangle,
        ]
    )


# --- Elements ------------------------------------------------------------------------------------


def _number(value: float) -> str:
    return f"{value:.1f}"


def _text(anchor: str, x: float, y: float, text: str, css_class: str = "label") -> SafeString:
    """`anchor` says which point of the text is at x: start, middle or end."""
    return format_html(
        '<text class="{}" text-anchor="{}" x="{}" y="{}">{}</text>',
        css_class, anchor, _number(x), _number(y), text,
    )  # fmt: skip


def _path(css_class: str, positions: Sequence[Point]) -> SafeString:
    """Straight lines from each position to the next; empty without positions."""
    if not positions:
        return SafeString()
    lines = "L".join(f"{x:.1f} {y:.1f}" for x, y in positions)
    return format_html('<path class="{}" d="M{}"/>', css_class, lines)


def _join(parts: Iterable[SafeString]) -> SafeString:
    return format_html_join("", "{}", ((part,) for part in parts))
