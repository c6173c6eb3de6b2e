"""Charts as inline SVG: lines, histograms and bars.

They are drawn here because plotting libraries write scripts, or pictures that ignore the page's colours. A chart is text: axis
names, a scale with round numbers, one shape per series. Colours come from the page's style sheet through classes (`s0`, `s1`,
...), so one drawing serves light and dark pages. Each series also has its own dash pattern, because not everyone can tell
colours apart. `<title>` and `<desc>` describe the chart in words.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from markupsafe import Markup

WIDTH, HEIGHT = 400, 250
LEFT, RIGHT, TOP, BOTTOM = 70, 26, 12, 44
LEGEND_LINE = 18
BAR_LINE = 34
LONGEST_NAME = 48  # characters of a bar's name that fit into the chart
CHARACTER = 8.2  # mean width of a character in SVG units; only line breaks of the legend depend on it
TINY = 1e-300  # below it, there are no numbers left for the steps of a scale
DASHES = ("none", "6 3", "2 3", "9 3 2 3", "4 4", "1 2")


@dataclass(frozen=True)
class Series:
    """One line: its name and its (x, y) points in order of x.

    A `level` is a value to compare with: a thin line across the whole chart at the height of its only point.
    `spread` maps x to half the height of a band around the line, such as a standard deviation.
    """

    name: str
    points: list[tuple[float, float]]
    level: bool = False
    spread: Mapping[float, float] = field(default_factory=dict)


def percent(value: float) -> str:
    """Format a share to a tenth of a percent.

    Examples:
        >>> percent(0.876), percent(1.0)
        ('87.6 %', '100.0 %')
    """
    return f"{100 * value:.1f} %"


def percent_mark(value: float) -> str:
    """Format a share as the mark of an axis.

    Examples:
        >>> percent_mark(0.8), percent_mark(0.825)
        ('80 %', '82.5 %')
    """
    return percent(value).replace(".0 %", " %")


def compact(value: float) -> str:
    """Format a number in three significant digits, or as a whole one.

    Examples:
        >>> compact(16000), compact(2.5e6), compact(0.03125), compact(12.0), compact(7.24e9), compact(999.9)
        ('16,000', '2.5 M', '0.0312', '12', '7,240 M', '1,000')
    """
    if abs(value) >= 1e6:
        return f"{_no_exponent(value / 1e6)} M"
    return _no_exponent(value)


def _no_exponent(value: float) -> str:
    """Return a number of three digits, or whole; `g` would write those that it rounds to 1000 or more as 1e+03."""
    return f"{value:,.0f}" if abs(value) >= 999.5 else f"{value:.3g}"


def ticks(low: float, high: float, count: int = 5) -> list[float]:
    """Return about `count` round numbers (1, 2 or 5 times a power of ten apart) that span [low, high].

    The first is <= low, the last >= high; bounds that are equal, or differ by a rounding alone, are widened.

    Examples:
        >>> ticks(0.12, 0.93)
        [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]
    """
    if high - low <= 1e-9 * max(abs(low), abs(high)) + TINY:
        pad = abs(low) / 2 or 0.5
        low, high = low - pad, high + pad
    raw = (high - low) / count
    power = 10.0 ** math.floor(math.log10(raw))
    step = power * min((factor for factor in (1, 2, 5, 10) if factor * power >= raw * (1 - 1e-9)), default=10)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    digits = max(0, 2 - math.floor(math.log10(step)))
    return [round(number * step, digits) + 0.0 for number in range(first, last + 1)]


def line_chart(
    name: str,
    series: Sequence[Series],
    *,
    x_label: str,
    y_label: str,
    y_format: Callable[[float], str] = compact,
    from_zero: bool = False,
    reach: Sequence[float] = (),
) -> Markup:
    """Draw lines.

    Args:
        name: Title of the text alternative.
        series: Lines; those without a finite point are skipped.
        x_label: Name and unit of the horizontal axis.
        y_label: Name and unit of the vertical axis.
        y_format: Format of the numbers on the vertical axis.
        from_zero: Whether the vertical axis includes 0.
        reach: Further heights to include, so that several charts can share one scale.

    Returns:
        An `<svg>` element, or nothing if no series has a point. All text is escaped.
    """
    lines = [replace(s, points=_finite(s.points)) for s in series]
    lines = [line for line in lines if line.points]
    if not lines:
        return Markup("")
    xs = [x for line in lines for x, _ in line.points if not line.level] or [0.0, 1.0]
    ys = [edge for line in lines for x, y in line.points for edge in (y - line.spread.get(x, 0), y + line.spread.get(x, 0))]
    ys += [*reach, *([0.0] if from_zero else [])]
    x_ticks, y_ticks = ticks(min(0.0, *xs), max(xs), 4), ticks(min(ys), max(ys), 5)
    legend, legend_height = _legend([line.name for line in lines]) if len(lines) > 1 else (Markup(""), 0)
    height = HEIGHT + legend_height
    place = _scale(x_ticks, y_ticks, TOP + legend_height, height)
    parts = [legend, *_axes(place, x_ticks, y_ticks, x_label, y_label, compact, y_format)]
    parts += [_band(number, line, place) for number, line in enumerate(lines) if line.spread]
    parts += [_line(number, line, place, x_ticks) for number, line in enumerate(lines)]
    return _svg(name, _in_words(lines, x_label, y_format), height, parts)


def histogram_chart(
    name: str,
    edges: Sequence[float],
    heights: Mapping[str, Sequence[float]],
    *,
    x_label: str,
    y_label: str,
    x_format: Callable[[float], str] = compact,
    y_format: Callable[[float], str] = percent_mark,
) -> Markup:
    """Draw a histogram: the first series as bars, others as outlines over them.

    Args:
        name: Title of the text alternative.
        edges: B + 1 increasing numbers, the bounds of the bars.
        heights: B heights >= 0 for each series; a series without a finite height is skipped.
        x_label: Name and unit of the horizontal axis.
        y_label: Name and unit of the vertical axis.
        x_format: Format of the numbers on the horizontal axis.
        y_format: Format of the numbers on the vertical axis.

    Returns:
        An `<svg>` element, or nothing if no series has a height. All text is escaped.
    """
    drawn = {
        key: [value if math.isfinite(value) else 0.0 for value in values]
        for key, values in heights.items()
        if any(math.isfinite(value) for value in values)
    }
    if not drawn:
        return Markup("")
    x_ticks, y_ticks = ticks(edges[0], edges[-1], 5), ticks(0.0, max(max(values) for values in drawn.values()), 5)
    legend, legend_height = _legend(list(drawn)) if len(drawn) > 1 else (Markup(""), 0)
    height = HEIGHT + legend_height
    place = _scale(x_ticks, y_ticks, TOP + legend_height, height)
    parts = [legend, *_axes(place, x_ticks, y_ticks, x_label, y_label, x_format, y_format)]
    for number, values in enumerate(drawn.values()):
        if number == 0:
            parts += [_bar(place, *bar) for bar in zip(edges[:-1], edges[1:], values, strict=True)]
            continue
        corners = [(edges[0], 0.0)]
        for left, right, value in zip(edges[:-1], edges[1:], values, strict=True):
            corners += [(left, value), (right, value)]
        parts.append(_line(number, Series("", [*corners, (edges[-1], 0.0)]), place, x_ticks))
    words = []
    for key, values in drawn.items():
        top = max(range(len(values)), key=lambda index: values[index])
        where = f"{x_format(edges[top])} to {x_format(edges[top + 1])}"
        words.append(f"{key}: highest from {where}, with {y_format(values[top])}.")
    return _svg(name, f"Against {x_label}. " + " ".join(words), height, parts)


def bar_chart(
    name: str,
    bars: Sequence[tuple[str, float]],
    *,
    x_label: str,
    y_label: str,
    x_format: Callable[[float], str] = compact,
) -> Markup:
    """Draw horizontal bars, each below its name, so that long names still fit a phone.

    Args:
        name: Title of the text alternative.
        bars: Names with values >= 0, from the top; those without a finite value are skipped.
        x_label: Name and unit of the values.
        y_label: What the bars stand for.
        x_format: Format of the values.

    Returns:
        An `<svg>` element, or nothing without bars. All text is escaped.
    """
    shown = [(label, value) for label, value in bars if math.isfinite(value)]
    if not shown:
        return Markup("")
    x_ticks = ticks(0.0, max(value for _, value in shown), 4)
    left, first = RIGHT, TOP + LEGEND_LINE
    height = first + BAR_LINE * len(shown) + BOTTOM
    parts = [Markup('<text class="axis" x="{}" y="{}">{}</text>').format(left, TOP + 4, y_label)]

    def across(value: float) -> float:
        return left + value / x_ticks[-1] * (WIDTH - RIGHT - left)

    for tick in x_ticks:
        x = across(tick)
        anchor = "end" if x > WIDTH - RIGHT - 20 else "start" if tick == 0 else "middle"
        parts.append(Markup('<line class="grid" x1="{0:.1f}" x2="{0:.1f}" y1="{1}" y2="{2}"/>').format(
            x, first, height - BOTTOM))  # fmt: skip
        parts.append(Markup('<text class="tick {}" x="{:.1f}" y="{}">{}</text>').format(
            anchor, x, height - BOTTOM + 17, x_format(tick)))  # fmt: skip
    for number, (label, value) in enumerate(shown):
        y = first + number * BAR_LINE
        short = label if len(label) <= LONGEST_NAME else label[: LONGEST_NAME - 1] + "…"
        parts.append(Markup(
            '<text class="tick" x="{0}" y="{1}">{2}: {3}</text>'
            '<rect class="bar s0" x="{0}" y="{4}" width="{5:.1f}" height="10"/>'
        ).format(left, y + 15, short, x_format(value), y + 20, max(1.0, across(value) - left)))  # fmt: skip
    parts.append(Markup('<text class="axis middle" x="{}" y="{}">{}</text>').format(WIDTH / 2, height - 8, x_label))
    words = ", ".join(f"{label} {x_format(value)}" for label, value in shown)
    return _svg(name, f"{x_label} by {y_label}: {words}.", height, parts)


def _scale(
    x_ticks: list[float], y_ticks: list[float], top: float, height: float
) -> Callable[[float, float], tuple[float, float]]:
    """Return a function from data to SVG coordinates, for a plot between `top` and the axis names."""

    def place(x: float, y: float) -> tuple[float, float]:
        across = (x - x_ticks[0]) / (x_ticks[-1] - x_ticks[0])
        up = (y - y_ticks[0]) / (y_ticks[-1] - y_ticks[0])
        return LEFT + across * (WIDTH - LEFT - RIGHT), height - BOTTOM - up * (height - BOTTOM - top)

    return place


def _axes(
    place: Callable[[float, float], tuple[float, float]],
    x_ticks: list[float],
    y_ticks: list[float],
    x_label: str,
    y_label: str,
    x_format: Callable[[float], str],
    y_format: Callable[[float], str],
) -> list[Markup]:
    """Draw grid, numbers and names of both axes."""
    parts = []
    bottom, top = place(x_ticks[0], y_ticks[0])[1], place(x_ticks[0], y_ticks[-1])[1]
    for tick in y_ticks:
        _, y = place(x_ticks[0], tick)
        parts.append(Markup('<line class="grid" x1="{}" x2="{}" y1="{:.1f}" y2="{:.1f}"/>').format(
            LEFT, WIDTH - RIGHT, y, y))  # fmt: skip
        parts.append(Markup('<text class="tick end" x="{}" y="{:.1f}">{}</text>').format(LEFT - 6, y + 4, y_format(tick)))
    for tick in x_ticks:
        x, _ = place(tick, y_ticks[0])
        parts.append(Markup('<text class="tick middle" x="{:.1f}" y="{:.0f}">{}</text>').format(
            x, bottom + 17, x_format(tick)))  # fmt: skip
    parts.append(Markup('<text class="axis middle" x="{}" y="{:.0f}">{}</text>').format(
        (LEFT + WIDTH - RIGHT) / 2, bottom + BOTTOM - 8, x_label))  # fmt: skip
    parts.append(Markup('<text class="axis middle" transform="translate(12 {:.1f}) rotate(-90)">{}</text>').format(
        (top + bottom) / 2, y_label))  # fmt: skip
    return parts


def _bar(place: Callable[[float, float], tuple[float, float]], left: float, right: float, value: float) -> Markup:
    """Draw one bar of a histogram."""
    (x0, y0), (x1, y1) = place(left, 0.0), place(right, value)
    return Markup('<rect class="bar s0" x="{:.1f}" y="{:.1f}" width="{:.1f}" height="{:.1f}"/>').format(
        x0, y1, max(0.5, x1 - x0 - 0.5), y0 - y1)  # fmt: skip


def _svg(name: str, description: str, height: int, parts: Sequence[Markup]) -> Markup:
    return Markup(
        '<svg viewBox="0 0 {} {}" role="img" xmlns="http://www.w3.org/2000/svg"><title>{}</title><desc>{}</desc>{}</svg>'
    ).format(WIDTH, height, name, description, Markup("").join(parts))


def _in_words(lines: Sequence[Series], x_label: str, y_format: Callable[[float], str]) -> str:
    """Describe in words where each line begins and ends, and its range."""
    words = []
    for line in lines:
        (x0, y0), (x1, y1) = line.points[0], line.points[-1]
        ys = [y for _, y in line.points]
        around = f", give or take up to {y_format(max(line.spread.values()))}" if line.spread else ""
        if line.level or len(line.points) == 1:
            words.append(f"{line.name}: {y_format(y0)}{around}.")
            continue
        words.append(
            f"{line.name}: {y_format(y0)} at {compact(x0)}, {y_format(y1)} at {compact(x1)}, "
            f"between {y_format(min(ys))} and {y_format(max(ys))}{around}."
        )
    return f"Against {x_label}. " + " ".join(words)


def _finite(points: list[tuple[float, float]]) -> list[tuple[float, float]]:
    return [(x, y) for x, y in points if math.isfinite(x) and math.isfinite(y)]


def _line(number: int, line: Series, place: Callable[[float, float], tuple[float, float]], x_ticks: list[float]) -> Markup:
    style, dash = _look(number)
    points = line.points
    if line.level:
        points = [(x_ticks[0], line.points[0][1]), (x_ticks[-1], line.points[0][1])]
    if len(points) == 1:
        x, y = place(*points[0])
        return Markup('<circle class="dot {}" cx="{:.1f}" cy="{:.1f}" r="3.5"/>').format(style, x, y)
    path = "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in (place(*point) for point in points))
    kind = "level" if line.level else "line"
    return Markup('<path class="{} {}" stroke-dasharray="{}" d="{}"/>').format(kind, style, dash, path)


def _band(number: int, line: Series, place: Callable[[float, float], tuple[float, float]]) -> Markup:
    """Draw the band around a line, or a vertical bar around a single point."""
    edges = [(x, y - line.spread.get(x, 0.0), y + line.spread.get(x, 0.0)) for x, y in line.points]
    around = [*((x, low) for x, low, _ in edges), *((x, high) for x, _, high in reversed(edges))]
    path = "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in (place(*point) for point in around))
    kind = "band" if len(edges) > 1 else "upright"
    return Markup('<path class="{} {}" d="{}"/>').format(kind, _look(number)[0], path)


def _look(number: int) -> tuple[str, str]:
    """Return class (colour) and dash pattern of a line. When colours repeat, the patterns are shifted."""
    return f"s{number % len(DASHES)}", DASHES[(number + number // len(DASHES)) % len(DASHES)]


def _legend(names: Sequence[str]) -> tuple[Markup, int]:
    """Draw the names with their line styles above the chart, in as many lines as needed."""
    parts, x, row = [], float(LEFT), 0
    for number, name in enumerate(names):
        width = 26 + CHARACTER * len(name) + 12
        if x > LEFT and x + width > WIDTH:
            x, row = float(LEFT), row + 1
        y = TOP + row * LEGEND_LINE
        style, dash = _look(number)
        parts.append(Markup(
            '<path class="line {}" stroke-dasharray="{}" d="M{:.1f} {}h20"/>'
            '<text class="tick" x="{:.1f}" y="{}">{}</text>'
        ).format(style, dash, x, y, x + 26, y + 4, name))  # fmt: skip
        x += width
    return Markup("").join(parts), (row + 1) * LEGEND_LINE
