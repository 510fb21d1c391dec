"""The charts of all pages, each described here once: curves, intervals, traces, scatter, matrix."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from skytrigger.measure.stats import Interval
from skytrigger.report.drawing import Axis, Box, Dot, Drawing, Line, Part, Text, line
from skytrigger.report.palette import SHADES

BELOW = "the table below holds the same figures"


@dataclass(frozen=True)
class Curve:
    """A line of a chart: values at x = 1, 2, ...; `tone` is its class."""

    name: str
    values: Sequence[float]
    tone: str


@dataclass(frozen=True)
class Bar:
    """A point with its interval in a chart of intervals; rows of equal `group` stand together."""

    group: str
    name: str
    value: Interval
    tone: str
    note: str = ""


@dataclass(frozen=True)
class Trace:
    """Figures with intervals over x; ``dash`` in its tone draws it dashed."""

    name: str
    points: Sequence[tuple[float, Interval]]
    tone: str


@dataclass(frozen=True)
class Spot:
    """A point with intervals in both directions."""

    name: str
    x: Interval
    y: Interval
    tone: str
    filled: bool
    note: str = ""


def _said(value: float, percent: bool) -> str:
    return f"{100 * value:.1f} %" if percent else f"{value:.3g}"


def _ends(intervals: Iterable[Interval], log: bool) -> list[float]:
    """All finite values and ends; on a logarithmic axis those over zero."""
    values = (v for i in intervals for v in (i.estimate, i.low, i.high))
    return [v for v in values if math.isfinite(v) and (v > 0 or not log)]


def _frame(x: Axis, y: Axis, percent: bool) -> list[Part]:
    """Grid and labels of y, and the axis of x."""
    parts: list[Part] = []
    for tick in y.ticks():
        label = f"{100 * tick:g} %" if percent else f"{tick:g}"
        parts += [line(x.start, y(tick), x.stop, y(tick), "grid"), Text(x.start - 5, y(tick) + 4, label, "tick", "end")]
    return [*parts, line(x.start, y.start, x.stop, y.start, "axis")]


def curves(
    key: str, title: str, lines: Sequence[Curve], low: float, high: float, *, log: bool, percent: bool
) -> Drawing:
    """Curves over epochs. `key` names the chart for the page's script, which shows the values under the pointer."""
    width, height, left, right, top, bottom = 340, 210, 44, 330, 24, 178
    epochs = max((len(c.values) for c in lines), default=1)
    x, y = Axis(1, max(2, epochs), left, right), Axis(low, high, bottom, top, log)
    parts = [Text(left, 14, title, "title"), *_frame(x, y, percent), Text(right, height - 3, "epoch", "tick", "end")]
    for tick in sorted({t for t in (1, *x.ticks()) if float(t).is_integer() and 1 <= t <= epochs}):
        parts += [line(x(tick), bottom, x(tick), bottom + 4, "axis"),
                  Text(x(tick), bottom + 16, f"{tick:g}", "tick", "middle")]  # fmt: skip
    for i, (word, tone) in enumerate({c.name.partition(",")[0]: c.tone for c in lines}.items()):
        at = right - 138 + 70 * i
        parts += [line(at, 10, at + 14, 10, f"curve {tone}"), Text(at + 17, 14, word, "note")]
    for curve in lines:
        points = tuple((x(i), y(v)) for i, v in enumerate(curve.values, 1))
        parts.append(Line(points, f"curve {curve.tone}") if len(points) > 1 else Dot(*points[0], curve.tone, r=3))
    parts.append(line(left, top, left, bottom, "cursor"))
    last = "; ".join(f"{c.name} {_said(c.values[-1], percent)}" for c in lines if c.values)
    facts = {"chart": key, "left": left, "right": right, "epochs": epochs}
    return Drawing(width, height, f"{title} over {epochs} epochs. Last: {last}", parts, facts)


def intervals(
    title: str, unit: str, bars: Sequence[Bar], *, log: bool = True, marks: Sequence[tuple[float, str]] = ()
) -> Drawing:
    """A row for each bar: a point and a whisker for its interval; `marks` are dashed lines, (where, what it is)."""
    row, left, right, width, top = 17, 150, 470, 560, 26
    ends = [*_ends((b.value for b in bars), True), *(where for where, _ in marks)]
    low, high = (min(ends) / 1.15, max(ends) * 1.15) if log else (0.0, max(ends) * 1.05)
    x = Axis(low, high, left, right, log)
    y, group = top, None
    body: list[Part] = []
    for bar in bars:
        if bar.group != group:
            group = bar.group
            y += 8 + row
            body.append(Text(0, y - 4, bar.group, "group"))
        y += row
        value, told = bar.value, f"{bar.value.estimate:.3g}"
        if value.known:
            body.append(line(x(value.low), y - 5, x(value.high), y - 5, f"whisker {bar.tone}"))
            told += f" ({value.low:.3g} to {value.high:.3g})"
        hint = f"{bar.group} {bar.name}: {told} {unit}, n = {value.n}. {bar.note}"
        body += [Dot(x(value.estimate), y - 5, bar.tone, hint), Text(left - 8, y, bar.name, "row", "end"),
                 Text(right + 8, y, f"{value.estimate:.3g}", "value")]  # fmt: skip
        if bar.note:
            body.append(Text(right + 44, y, bar.note, "note"))
    parts: list[Part] = [Text(0, 14, title, "title"), Text(width, y + 20, unit, "tick", "end")]
    for tick in x.ticks():
        parts += [line(x(tick), top, x(tick), y + 6, "grid"), Text(x(tick), y + 20, f"{tick:g}", "tick", "middle")]
    for where, what in marks:
        parts += [line(x(where), top, x(where), y + 6, "one"), Text(x(where) - 4, top + 8, what, "note", "end")]
    return Drawing(width, y + 34, f"{title}, {unit}; {BELOW}", [*parts, *body])


def traces(
    unit: str, drawn: Sequence[Trace], *, x_unit: str = "batch size", log: bool = True, percent: bool = False
) -> Drawing:
    """Traces over a logarithmic x whose ticks are the values themselves, a whisker for each interval."""
    width, height, left, right, top, bottom = 340, 240, 50, 328, 40, 196
    values = _ends((i for t in drawn for _, i in t.points), log)
    places = sorted({at for t in drawn for at, _ in t.points})
    low, high = min(values), max(values)
    margin = max(0.06 * (high - low), 0.02 * abs(high), 1e-9)
    x = Axis(places[0] / 1.1, places[-1] * 1.1, left, right, log=True)
    y = Axis(*((low / 1.15, high * 1.15) if log else (low - margin, high + margin)), bottom, top, log)
    parts = [Text(0, 12, unit, "title"), *_frame(x, y, percent), Text(right, height - 10, x_unit, "tick", "end")]
    for i, at in enumerate(places):
        parts.append(line(x(at), bottom, x(at), bottom + 4, "axis"))
        if len(places) <= 7 or i % 2 == 0:
            parts.append(Text(x(at), bottom + 16, f"{at:g}", "tick", "middle"))
    for i, t in enumerate(drawn):
        at = left + i * (right - left) / max(2, len(drawn))
        parts += [line(at, 25, at + 16, 25, f"curve {t.tone}"), Text(at + 20, 29, t.name, "note")]
        aside = 3 * (i - (len(drawn) - 1) / 2)  # whiskers of equal x beside each other
        parts.append(Line(tuple((x(at) + aside, y(v.estimate)) for at, v in t.points), f"curve {t.tone}"))
        for at, value in t.points:
            place, said = x(at) + aside, _said(value.estimate, percent)
            if value.known:
                tone = f"whisker thin {t.tone.removesuffix(' dash')}"
                parts.append(line(place, y(value.low), place, y(value.high), tone))
                said += f" ({_said(value.low, percent)} to {_said(value.high, percent)})"
            parts.append(Dot(place, y(value.estimate), t.tone, f"{t.name}, {x_unit} {at:g}: {said}", 3))
    return Drawing(width, height, f"{unit} over {x_unit}; {BELOW}", parts)


def scatter(
    title: str, x_unit: str, y_unit: str, spots: Sequence[Spot], *, floor: tuple[float, str] | None = None
) -> Drawing:
    """Points with intervals: x logarithmic, y in percent; `floor` is a dashed line, (where, what it is)."""
    width, height, left, right, top, bottom = 560, 330, 52, 548, 30, 282
    xs, ys = _ends((s.x for s in spots), True), _ends((s.y for s in spots), False)
    ys += [floor[0]] if floor else []
    margin = max(0.005, 0.05 * (max(ys) - min(ys)))
    x = Axis(min(xs) / 1.15, max(xs) * 1.15, left, right, log=True)
    y = Axis(max(0.0, min(ys) - margin), min(1.0, max(ys) + margin), bottom, top)
    parts = [Text(0, 14, title, "title"), *_frame(x, y, True), Text(left + 4, top - 4, y_unit, "tick"),
             Text(right, height - 10, x_unit, "tick", "end")]  # fmt: skip
    for tick in x.ticks():
        parts += [line(x(tick), top, x(tick), bottom, "grid"),
                  Text(x(tick), bottom + 16, f"{tick:g}", "tick", "middle")]  # fmt: skip
    if floor:
        parts += [
            line(left, y(floor[0]), right, y(floor[0]), "one"),
            Text(right, y(floor[0]) - 4, floor[1], "note", "end"),
        ]
    for spot in spots:
        cx, cy = x(spot.x.estimate), y(spot.y.estimate)
        if spot.x.known:
            parts.append(line(x(spot.x.low), cy, x(spot.x.high), cy, f"whisker thin {spot.tone}"))
        if spot.y.known:
            parts.append(line(cx, y(spot.y.low), cx, y(spot.y.high), f"whisker thin {spot.tone}"))
        parts.append(Dot(cx, cy, spot.tone + ("" if spot.filled else " hollow"), f"{spot.name}: {spot.note}", 5))
        if spot.filled:
            side = "end" if cx > (left + right) / 2 else "start"
            parts.append(Text(cx + (-8 if side == "end" else 8), cy - 7, spot.name, "note", side))
    return Drawing(width, height, f"{title}; {BELOW}", parts)


def shade(share: float) -> int:
    """Level for a share of the true class: square root, so that rare confusions can be seen."""
    levels = len(SHADES) - 1
    return 0 if share <= 0 else max(1, min(levels, math.ceil(levels * math.sqrt(min(share, 1.0)))))


def cell_tone(count: int, diagonal: bool, share: float) -> str:
    """``d`` for the better (right, or fewer confused), ``o`` for the worse, with the shade of its share."""
    return f"{'d' if (count > 0) == diagonal else 'o'}{shade(abs(share)) if count else 0}"


def matrix(
    title: str,
    classes: Sequence[str],
    counts: NDArray[np.int64],
    *,
    of: NDArray[np.int64] | None = None,
    firm: frozenset[tuple[int, int]] = frozenset(),
) -> Drawing:
    """Counts (true, predicted), shaded by their share of the true class: of `of`'s rows where `counts` are a change."""
    side, left, top = 27, 9 + 6.2 * max(map(len, classes)), 36
    total = np.maximum((counts if of is None else of).sum(axis=1), 1)
    bottom = top + side * len(classes)
    parts: list[Part] = [Text(0, 14, title, "title"), Text(0, bottom + 14, "true \\ predicted", "note")]
    for i, name in enumerate(classes):
        middle = side * i + side / 2 + 4
        parts += [Text(left - 6, top + middle, name, "tick", "end"),
                  Text(left + middle, bottom + 12, name, "tick", "end", -45)]  # fmt: skip
        for j, n in enumerate(counts[i].tolist()):
            tone = cell_tone(n, i == j, n / total[i])
            parts.append(Box(left + side * j, top + side * i, side, tone, (i, j) in firm))
            if n:
                said = str(n) if of is None else f"{n:+d}"
                parts.append(Text(left + side * j + side / 2, top + middle, said, "cell", "middle"))
    return Drawing(left + side * len(classes), bottom + 12 + 4.6 * max(map(len, classes)), title, parts)
