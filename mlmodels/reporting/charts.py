"""Charts as SVG, drawn by the server: no script, and no style but the classes of the stylesheet.

Positions are in units of the drawing, which is WIDTH wide on every screen; y grows downwards.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Self

from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString, mark_safe

WIDTH = 360
SCATTER_HEIGHT = 320
TEXT = 13  # the font size, as in the stylesheet
DIGIT = 0.6 * TEXT  # about as wide
MOST_TICKS = 6
LONGEST_LABEL = 32  # characters beside a bar's figure

Point = tuple[float, float]
Span = tuple[float, float, float]


@dataclass(frozen=True)
class Drawing:
    body: SafeString
    height: float


@dataclass(frozen=True)
class Chart:
    """A drawing with its words: how to read it, and what it shows for those who cannot see it."""

    name: str
    title: str
    reading: str
    figures: str
    drawing: Drawing

    def svg(self, style: str = "") -> SafeString:
        """For a page that has the stylesheet, or with a `style` of its own to stand alone."""
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
    """Values at positions from `start` to `end`; the first and the last are round numbers."""

    ticks: tuple[float, ...]
    start: float
    end: float

    @classmethod
    def over(cls, values: Iterable[float], start: float, end: float) -> Self:
        """With as many ticks as have room for their labels, side by side."""
        found = list(values)
        for most in range(MOST_TICKS, 2, -1):
            scale = cls(round_ticks(min(found), max(found), most), start, end)
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
        return DIGIT * (1 + max(map(len, self.labels)))

    def at(self, value: float) -> float:
        low, high = self.ticks[0], self.ticks[-1]
        return self.start + (value - low) / (high - low) * (self.end - self.start)

    def within(self, value: float) -> float:
        """The value, or the nearer end of the scale."""
        return min(max(value, self.ticks[0]), self.ticks[-1])


def round_ticks(low: float, high: float, most: int = MOST_TICKS) -> tuple[float, ...]:
    """At most `most` multiples of 1, 2 or 5 times a power of ten, around both; three may be needed.

    There are at least two.
    """
    if math.isclose(low, high, rel_tol=1e-9, abs_tol=1e-12):
        low, high = low - (abs(low) / 10 or 1), high + (abs(high) / 10 or 1)
    power = math.floor(math.log10((high - low) / most))
    while True:
        for factor in (1, 2, 5):
            step = factor * 10.0**power
            first, last = math.floor(low / step), math.ceil(high / step)
            if last - first < most:
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
    """Dots around the line where both values are equal, or around y = 0 if not `diagonal`.

    Each of `band` is an x with a lower and an upper y; each of `levels` a y with the x it is drawn
    from and to.
    """
    xs, ys = [x for x, _ in points], [0.0, *(y for _, y in points)]
    if diagonal:
        xs = ys = xs + ys[1:]
    bottom, top = SCATTER_HEIGHT - 3.2 * TEXT, 1.8 * TEXT
    y = Scale.over(ys, bottom, top)
    left = y.label_width
    x = Scale.over(xs, left, WIDTH - Scale.over(xs, left, WIDTH).label_width / 2)
    if diagonal:
        y = replace(y, ticks=x.ticks)
    zero = y.at(0)
    guide = ((left, bottom), (x.end, top)) if diagonal else ((left, zero), (x.end, zero))
    upper = [(x.at(at), y.at(y.within(high))) for at, _, high in band]
    lower = [(x.at(at), y.at(y.within(low))) for at, low, _ in band]
    parts = [
        _path("band", [*upper, *reversed(lower)]),
        _grid(x, y),
        _path("guide", guide),
        _dots([(x.at(across), y.at(up)) for across, up in points]),
        *(
            _path("level", [(x.at(low), y.at(up)), (x.at(high), y.at(up))])
            for up, low, high in levels
        ),
        _text("middle", (x.start + x.end) / 2, SCATTER_HEIGHT - 0.4 * TEXT, x_name),
        _text("start", 0, TEXT, y_name),
    ]
    return Drawing(_join(parts), SCATTER_HEIGHT)


def _grid(x: Scale, y: Scale) -> SafeString:
    """Lines at the ticks of both axes, with their labels."""
    across = [
        _path("grid", [(x.start, y.at(tick)), (x.end, y.at(tick))])
        + _text("end", x.start - 0.5 * DIGIT, y.at(tick) + 0.35 * TEXT, label)
        for tick, label in zip(y.ticks, y.labels, strict=True)
    ]
    return _join([*across, _upright_grid(x, y.start, y.end)])


def _upright_grid(x: Scale, bottom: float, top: float) -> SafeString:
    lines = [
        _path("grid", [(x.at(tick), bottom), (x.at(tick), top)])
        + _text("middle", x.at(tick), bottom + 1.3 * TEXT, label)
        for tick, label in zip(x.ticks, x.labels, strict=True)
    ]
    return _join(lines)


def _dots(places: Sequence[Point]) -> SafeString:
    shape = '<circle cx="{:.1f}" cy="{:.1f}" r="2.5"/>'
    dots = "".join(shape.format(*place) for place in places)
    return mark_safe(f'<g class="dots">{dots}</g>')  # noqa: S308  # only numbers


# --- Bars ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Bar:
    """`figure` is the value as a person reads it."""

    label: str
    value: float
    figure: str


BAR_TOP = 1.5 * TEXT  # below the top of its row
BAR_HEIGHT = 0.7 * TEXT
ROW_HEIGHT = 2.7 * TEXT


def bars(
    rows: Sequence[Bar], *, x_name: str, reach: float | None = None, mark: float | None = None
) -> Drawing:
    """A row for each bar, its words above it, to a scale from 0, which goes on to `reach`.

    `mark` is a value with a line across each bar.
    """
    top, bottom = 0.3 * TEXT, 0.6 * TEXT + ROW_HEIGHT * len(rows)
    end = max([reach or 0.0, *(row.value for row in rows)]) or 1.0
    margin = Scale.over((0, end), 0, WIDTH).label_width / 2
    x = Scale.over((0, end), DIGIT, WIDTH - margin)
    parts = [_upright_grid(x, bottom, top)]
    for number, row in enumerate(rows):
        place = top + ROW_HEIGHT * number
        parts.append(_bar(row, x, place))
        if mark is not None:
            ends = place + BAR_TOP - 2, place + BAR_TOP + BAR_HEIGHT + 2
            parts.append(_path("mark", [(x.at(mark), end) for end in ends]))
    height = bottom + 3.2 * TEXT
    parts.append(_text("middle", (x.start + x.end) / 2, height - 0.4 * TEXT, x_name))
    return Drawing(_join(parts), height)


def _bar(row: Bar, x: Scale, top: float) -> SafeString:
    label = row.label
    if len(label) > LONGEST_LABEL:
        label = f"{label[: LONGEST_LABEL - 1]}…"
    shape = format_html(
        '<rect class="amount" x="{}" y="{}" width="{}" height="{}"/>',
        *map(_number, (x.start, top + BAR_TOP, x.at(row.value) - x.start, BAR_HEIGHT)),
    )
    words = top + 1.1 * TEXT
    return _join(
        [
            _text("start", x.start, words, label),
            _text("end", x.end, words, row.figure, "figure"),
            shape,
        ]
    )


# --- Elements ------------------------------------------------------------------------------------


def _number(value: float) -> str:
    return f"{value:.1f}"


def _text(anchor: str, x: float, y: float, words: str, kind: str = "label") -> SafeString:
    return format_html(
        '<text class="{}" text-anchor="{}" x="{}" y="{}">{}</text>',
        kind, anchor, _number(x), _number(y), words,
    )  # fmt: skip


def _path(kind: str, places: Sequence[Point]) -> SafeString:
    if not places:
        return SafeString()
    course = "L".join(f"{x:.1f} {y:.1f}" for x, y in places)
    return format_html('<path class="{}" d="M{}"/>', kind, course)


def _join(parts: Iterable[SafeString]) -> SafeString:
    return format_html_join("", "{}", ((part,) for part in parts))
