"""Charts: scales span the data with round steps, points lie where they belong, and every chart can be read aloud."""

import math
import re
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eval.report.charts import (
    BOTTOM,
    HEIGHT,
    LEFT,
    RIGHT,
    WIDTH,
    Series,
    bar_chart,
    histogram_chart,
    line_chart,
    percent_mark,
    ticks,
)

SVG = "{http://www.w3.org/2000/svg}"
finite = st.floats(-1e6, 1e6).filter(lambda x: x == 0 or abs(x) > 1e-6)


def draw(*series, **options):
    return ElementTree.fromstring(line_chart("Chart", series, x_label="x", y_label="y", **options))


@given(finite, finite)
def test_ticks_span_the_range_in_equal_round_steps(a, b):
    low, high = min(a, b), max(a, b)
    marks = ticks(low, high)
    slack = 1e-6 * (marks[-1] - marks[0])
    assert marks[0] <= low + slack and marks[-1] >= high - slack
    assert 2 <= len(marks) <= 8
    steps = {round((y - x) / (marks[1] - marks[0]), 6) for x, y in zip(marks, marks[1:], strict=False)}
    assert steps == {1.0}
    assert f"{marks[1] - marks[0]:.3e}"[:5] in {"1.000", "2.000", "5.000"}


@pytest.mark.parametrize(("low", "high"), [(0.0275, math.nextafter(0.0275, 1)), (3.7, 3.7000000000000006), (0.0, 5e-324)])
def test_bounds_that_differ_by_a_rounding_alone_are_drawn(low, high):
    marks = ticks(low, high)
    assert marks[0] < marks[-1] and len(marks) <= 8
    assert draw(Series("a", [(0, low), (1, high)])).findall(f"{SVG}path")


def test_points_lie_at_their_coordinates():
    chart = draw(Series("line", [(0, 0), (100, 1), (50, 0.5)]))
    (path,) = chart.findall(f"{SVG}path")
    points = [tuple(map(float, point.split())) for point in re.split("[ML]", path.get("d"))[1:]]
    (x0, y0), (x1, y1), (xm, ym) = points
    assert (x0, x1) == (LEFT, WIDTH - RIGHT) and y0 > y1
    assert xm == pytest.approx((x0 + x1) / 2, abs=0.1) and ym == pytest.approx((y0 + y1) / 2, abs=0.1)


def test_a_chart_names_its_axes_and_describes_itself_in_words():
    chart = draw(Series("a", [(0, 0.1), (1000, 0.9), (2000, 0.5)]), Series("b", [(0, 0.7)], level=True), y_format=percent_mark)
    assert chart.get("role") == "img"
    assert chart.find(f"{SVG}title").text == "Chart"
    assert chart.find(f"{SVG}desc").text == ("Against x. a: 10 % at 0, 50 % at 2,000, between 10 % and 90 %. b: 70 %.")
    texts = [text.text for text in chart.findall(f"{SVG}text")]
    assert {"x", "y", "a", "b", "40 %", "2,000"} <= set(texts)


def test_lines_differ_by_more_than_colour():
    chart = draw(*(Series(str(i), [(0, i), (1, i)]) for i in range(5)))
    dashes = [path.get("stroke-dasharray") for path in chart.findall(f"{SVG}path")]
    assert len(set(dashes)) == 5
    # Two for each of 9 lines: a comparison of all students has more of them than there are colours.
    many = draw(*(Series(str(i), [(0, i), (1, i)]) for i in range(9))).findall(f"{SVG}path")
    assert len({(path.get("class"), path.get("stroke-dasharray")) for path in many}) == 9


def test_missing_and_single_points_do_no_harm():
    assert line_chart("Chart", [Series("a", []), Series("b", [(0, math.nan)])], x_label="x", y_label="y") == ""
    chart = draw(Series("a", [(0, math.inf), (256, 0.5)]))
    assert len(chart.findall(f"{SVG}circle")) == 1 and not chart.findall(f"{SVG}path")
    numbers = re.findall(r"-?\d+\.\d+", ElementTree.tostring(chart, encoding="unicode"))
    assert all(0 <= float(number) <= max(WIDTH, HEIGHT) for number in numbers)


def test_names_are_escaped():
    hostile = '</svg><script>alert("1")</script>'
    chart = draw(Series(hostile, [(0, 0), (1, 1)]), Series("b", [(0, 0)]))
    assert hostile in [text.text for text in chart.findall(f"{SVG}text")]
    assert not chart.findall(f".//{SVG}script")


def boxes(chart):
    return [{key: float(bar.get(key)) for key in ("x", "y", "width", "height")} for bar in chart.findall(f"{SVG}rect")]


def test_bars_of_a_histogram_have_the_right_edges_and_heights():
    chart = ElementTree.fromstring(
        histogram_chart("Chart", [0, 1, 2, 4], {"a": [0.2, 0.4, 0.0], "b": [0.1, 0.1, 0.3]}, x_label="x", y_label="y")
    )
    one, two, three = boxes(chart)
    assert one["x"] == LEFT and two["x"] == pytest.approx((LEFT + WIDTH - RIGHT) / 2 - (WIDTH - RIGHT - LEFT) / 4, abs=0.1)
    assert two["height"] == pytest.approx(2 * one["height"], abs=0.2) and three["height"] == 0
    assert one["y"] + one["height"] == pytest.approx(chart_bottom(chart), abs=0.2)
    (outline,) = [path for path in chart.findall(f"{SVG}path") if f"M{LEFT}" in path.get("d") and "L" in path.get("d")]
    assert outline.get("stroke-dasharray") != "none"
    assert chart.find(f"{SVG}title").text == "Chart"
    assert chart.find(f"{SVG}desc").text == "Against x. a: highest from 1 to 2, with 40 %. b: highest from 2 to 4, with 30 %."
    assert {"x", "y", "a", "b", "40 %"} <= {text.text for text in chart.findall(f"{SVG}text")}


def chart_bottom(chart):
    return float(chart.get("viewBox").split()[3]) - BOTTOM


def test_horizontal_bars_have_the_right_length_and_fit_the_chart():
    hostile = "<b>" + "x" * 80
    chart = ElementTree.fromstring(
        bar_chart("Chart", [("one", 10), (hostile, 40), ("none", 0), ("lost", math.nan)], x_label="texts", y_label="class")
    )
    one, two, none = boxes(chart)
    assert two["width"] == pytest.approx(4 * one["width"], rel=0.01) and none["width"] == 1
    assert all(box["x"] + box["width"] <= WIDTH - RIGHT + 0.1 and box["y"] < chart_bottom(chart) for box in (one, two, none))
    texts = [text.text for text in chart.findall(f"{SVG}text")]
    assert {"one: 10", "texts", "class"} <= set(texts) and max(map(len, texts)) < 60
    assert hostile in chart.find(f"{SVG}desc").text


def test_nothing_to_draw_is_no_chart():
    assert histogram_chart("Chart", [0, 1], {"a": [math.nan]}, x_label="x", y_label="y") == ""
    assert bar_chart("Chart", [("a", math.inf)], x_label="x", y_label="y") == ""
    assert "<svg" in histogram_chart("Chart", [0, 1], {"a": [0.0]}, x_label="x", y_label="y")
    assert "<svg" in bar_chart("Chart", [("a", 0)], x_label="x", y_label="y")
