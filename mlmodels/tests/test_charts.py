"""Charts: the position of a value, the axes, and the texts for those who cannot see the drawing."""

import re
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlmodels.reporting.charts import Bar, Chart, Drawing, Scale, bars, round_ticks, scatter

SVG = "{http://www.w3.org/2000/svg}"


def chart_of(drawing: Drawing, title: str = "A title", reading: str = "How to read it.") -> Chart:
    return Chart("name", title, reading, "Figures.", drawing)


def render(drawing: Drawing) -> ET.Element:
    return ET.fromstring(chart_of(drawing).svg())


def all_of(root: ET.Element, tag: str, css_class: str | None = None) -> list[ET.Element]:
    return [item for item in root.iter(f"{SVG}{tag}") if css_class in (None, item.get("class"))]


def numbers(element: ET.Element, *names: str) -> tuple[float, ...]:
    return tuple(float(element.get(name, "")) for name in names)


def path_points(element: ET.Element) -> list[tuple[float, float]]:
    """The positions that a path goes through."""
    pairs = re.findall(r"(-?[\d.]+) (-?[\d.]+)", element.get("d", ""))
    return [(float(x), float(y)) for x, y in pairs]


def dots(root: ET.Element) -> list[tuple[float, ...]]:
    return [numbers(dot, "cx", "cy") for dot in all_of(root, "circle")]


def labels(root: ET.Element) -> list[str]:
    return [item.text or "" for item in all_of(root, "text", "label")]


def points_chart(points: list[tuple[float, float]], **options: Any) -> ET.Element:
    options = {"x_name": "Across", "y_name": "Up", "diagonal": True, **options}
    return render(scatter(points, **options))


# --- Axes ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("low", "high", "ticks"),
    [
        (0, 100, (0, 20, 40, 60, 80, 100)),
        (5_118, 45_400, (0, 10_000, 20_000, 30_000, 40_000, 50_000)),
        (-9_000, 6_000, (-10_000, -5_000, 0, 5_000, 10_000)),
        (0.31, 0.39, (0.3, 0.32, 0.34, 0.36, 0.38, 0.4)),
    ],
)
def test_ticks_are_round_and_lie_around_all_values(
    low: float, high: float, ticks: tuple[float, ...]
) -> None:
    assert round_ticks(low, high) == pytest.approx(ticks)


@given(
    st.floats(-1e12, 1e12, allow_subnormal=False),
    st.floats(-1e12, 1e12, allow_subnormal=False),
    st.integers(3, 8),
)
def test_any_values_have_a_few_ticks_that_rise_around_them(
    one: float, other: float, most: int
) -> None:
    low, high = sorted([one, other])

    ticks = round_ticks(low, high, most)

    assert 2 <= len(ticks) <= most
    assert list(ticks) == sorted(set(ticks))
    spread = ticks[-1] - ticks[0]
    assert ticks[0] <= low + 1e-9 * spread
    assert ticks[-1] >= high - 1e-9 * spread


def test_a_value_lies_in_proportion_between_the_ends() -> None:
    scale = Scale((0.0, 50.0, 100.0), start=10, end=110)

    assert [scale.position(value) for value in (0, 25, 100)] == [10, 35, 110]


@pytest.mark.parametrize(
    ("ticks", "labels"),
    [
        ((0.0, 5_000.0, 10_000.0), ["0", "5,000", "10,000"]),
        ((-0.2, 0.0, 0.2), ["-0.2", "0.0", "0.2"]),
        ((0.0, 0.05, 0.1), ["0.00", "0.05", "0.10"]),
    ],
)
def test_ticks_are_written_like_other_numbers_with_the_decimals_they_need(
    ticks: tuple[float, ...], labels: list[str]
) -> None:
    assert Scale(ticks, 0, 100).labels == labels


def test_labels_that_would_touch_are_fewer() -> None:
    values = (0, 40_000_000)

    assert len(Scale.covering(values, 0, 1_000).ticks) == 5
    assert len(Scale.covering(values, 0, 200).ticks) == 3


# --- Scatter plots -------------------------------------------------------------------------------


def test_a_dot_lies_at_the_lines_of_its_values() -> None:
    root = points_chart([(0, 0), (20, 60), (100, 100)])

    lines = [path_points(line) for line in all_of(root, "path", "grid")]
    levels = [start[1] for start, end in lines if start[1] == end[1]]
    columns = [start[0] for start, end in lines if start[0] == end[0]]
    assert dots(root)[1] == (columns[1], levels[3])  # the ticks are 0, 20, 40 and so on


def test_equal_values_lie_on_the_diagonal_which_goes_from_corner_to_corner() -> None:
    root = points_chart([(0, 0), (50, 50), (100, 100)])

    [guide] = all_of(root, "path", "guide")
    (left, bottom), (right, top) = path_points(guide)
    lowest, middle, highest = dots(root)
    assert (lowest, highest) == ((left, bottom), (right, top))
    assert middle == pytest.approx(((left + right) / 2, (bottom + top) / 2), abs=0.1)


def test_both_axes_have_the_same_ticks_where_there_is_a_diagonal() -> None:
    root = points_chart([(9_000, 5_000), (31_000, 45_400)])

    texts = labels(root)
    assert texts.count("0") == texts.count("50,000") == 2


def test_otherwise_the_line_is_at_zero_even_if_all_values_lie_above() -> None:
    root = points_chart([(10, 0), (20, 4), (30, 8)], diagonal=False)

    [guide] = all_of(root, "path", "guide")
    assert {y for _, y in path_points(guide)} == {dots(root)[0][1]}
    above = points_chart([(10, 7), (20, 8)], diagonal=False)
    assert "0" in labels(above)


def test_the_band_goes_up_along_its_upper_ends_and_back_along_the_lower_ones() -> None:
    points: list[tuple[float, float]] = [(0, 0), (20, 40), (20, 0), (100, 100), (100, 60)]
    band = [(20.0, 0.0, 40.0), (100.0, 60.0, 100.0)]

    root = points_chart(points, band=band)

    [shape] = all_of(root, "path", "band")
    _, upper, lower, far_upper, far_lower = dots(root)
    assert path_points(shape) == [upper, far_upper, far_lower, lower]


def test_what_of_the_band_is_beyond_the_axes_is_left_out() -> None:
    root = points_chart([(0, 0), (100, 100)], band=[(0, -50, 10), (100, 90, 500)])

    [shape] = all_of(root, "path", "band")
    heights = [y for _, y in path_points(shape)]
    assert (max(heights), min(heights)) == (dots(root)[0][1], dots(root)[1][1])


def test_a_level_is_drawn_over_the_values_it_is_the_mean_of() -> None:
    root = points_chart([(10, -2), (30, 2), (50, 2)], diagonal=False, levels=[(2, 30, 50)])

    [level] = all_of(root, "path", "level")
    assert path_points(level) == dots(root)[1:]


def test_a_single_point_can_be_drawn() -> None:
    root = points_chart([(13_000, 13_000)])

    assert len(dots(root)) == 1
    assert "13,000" in labels(root) or "12,000" in labels(root)


def test_everything_lies_within_the_drawing() -> None:
    root = points_chart([(-9e6, -8e6), (9e6, 7.5e6)])

    width, height = numbers(root, "width", "height")
    assert root.get("viewBox") == f"0 0 {width:g} {height:g}"
    points = [*dots(root), *(at for path in all_of(root, "path") for at in path_points(path))]
    assert all(0 <= x <= width and 0 <= y <= height for x, y in points)


# --- Bars ----------------------------------------------------------------------------------------


def test_a_bar_is_as_long_as_its_value() -> None:
    root = render(bars([Bar("A", 100, "100 %"), Bar("B", 25, "25 %")], x_name="Share (%)"))

    full, quarter = (numbers(bar, "x", "width") for bar in all_of(root, "rect"))
    assert full[0] == quarter[0]
    assert quarter[1] == pytest.approx(full[1] / 4, abs=0.1)


def test_a_mark_lies_at_its_value_beside_each_bar() -> None:
    root = render(bars([Bar("A", 50, ""), Bar("B", 100, "")], x_name="", axis_end=100, mark=50))

    half = numbers(all_of(root, "rect")[0], "x", "width")
    marks = [path_points(mark)[0][0] for mark in all_of(root, "path", "mark")]
    assert marks == [pytest.approx(sum(half), abs=0.1)] * 2


def test_the_axis_goes_as_far_as_it_must_even_if_no_bar_does() -> None:
    root = render(bars([Bar("A", 3, "3 %")], x_name="Share (%)", axis_end=100))

    assert "100" in labels(root)


def test_bars_of_nothing_have_no_length() -> None:
    root = render(bars([Bar("A", 0, "0")], x_name=""))

    assert numbers(all_of(root, "rect")[0], "width") == (0,)


def test_each_bar_has_its_label_and_its_figure() -> None:
    root = render(bars([Bar("Engine size", 1651, "1,651 USD")], x_name="Mean contribution (USD)"))

    assert {"Engine size", "Mean contribution (USD)"} <= set(labels(root))
    assert [item.text for item in all_of(root, "text", "figure")] == ["1,651 USD"]


def test_a_label_that_would_reach_the_figure_is_cut_short() -> None:
    root = render(bars([Bar("A feature with a name like a sentence", 1, "1")], x_name=""))

    [label] = [word for word in labels(root) if word.startswith("A feature")]
    assert label == "A feature with a name like a se…"


# --- The texts of a chart ------------------------------------------------------------------------

SPECIAL = "<script>alert(1)</script> & \"quoted\" 'too'"


def test_a_screen_reader_gets_the_title_and_how_to_read_it() -> None:
    root = render(bars([Bar("A", 1, "1")], x_name=""))

    assert root.get("role") == "img"
    texts = {
        element.get("id"): element.text
        for tag in ("title", "desc")
        for element in all_of(root, tag)
    }
    assert [texts[name] for name in root.get("aria-labelledby", "").split()] == [
        "A title",
        "How to read it.",
    ]


def test_special_characters_are_escaped() -> None:
    drawing = bars([Bar(SPECIAL[:20], 1, SPECIAL)], x_name=SPECIAL)

    source = chart_of(drawing, title=SPECIAL, reading=SPECIAL).svg()

    root = ET.fromstring(source)
    assert "<script" not in source
    assert [all_of(root, tag)[0].text for tag in ("title", "desc")] == [SPECIAL, SPECIAL]
    assert {SPECIAL[:20], SPECIAL} <= set(labels(root))


def test_a_chart_has_no_style_of_its_own_unless_it_stands_alone() -> None:
    chart = chart_of(scatter([(1, 2)], x_name="", y_name="", diagonal=True))

    assert "style" not in chart.svg()
    alone = ET.fromstring(chart.svg(".dots { fill: red; }"))
    assert [item.text for item in all_of(alone, "style")] == [".dots { fill: red; }"]
