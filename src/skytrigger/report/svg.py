"""Charts as SVG text: no scripts, no styles of their own (page.css colours the classes), every text escaped."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from skytrigger.measure.stats import Interval


@dataclass(frozen=True)
class Curve:
    """A line of a chart: values at x = 1, 2, ...; `tone` is its CSS class."""

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


class Axis:
    """Data to pixels, linear or logarithmic."""

    def __init__(self, low: float, high: float, start: float, stop: float, log: bool = False) -> None:
        self.log = log
        self.low, self.high = (math.log10(low), math.log10(high)) if log else (low, high)
        if self.high <= self.low:
            self.high = self.low + 1
        self.start, self.stop = start, stop

    def __call__(self, value: float) -> float:
        x = math.log10(max(value, 1e-300)) if self.log else value
        x = min(max(x, self.low), self.high)
        return round(self.start + (x - self.low) / (self.high - self.low) * (self.stop - self.start), 1)

    def ticks(self) -> list[float]:
        """Four to eight round values."""
        if not self.log:
            return _linear_ticks(self.low, self.high)
        decades = self.high - self.low
        steps = (1, 1.5, 2, 3, 5, 7) if decades < 1 else (1, 2, 5) if decades < 2.2 else (1,)
        powers = range(math.floor(self.low), math.ceil(self.high) + 1)
        values = [s * 10.0**p for p in powers for s in steps]
        kept = [v for v in values if self.low - 1e-9 <= math.log10(v) <= self.high + 1e-9]
        return kept if len(kept) >= 2 else [10**self.low, 10**self.high]


def _linear_ticks(low: float, high: float) -> list[float]:
    raw = (high - low) / 4
    power = 10 ** math.floor(math.log10(raw))
    step = next(s * power for s in (1, 2, 2.5, 5, 10) if s * power >= raw)
    first = math.ceil(low / step - 1e-9)
    return [round(i * step, 12) for i in range(first, math.floor(high / step + 1e-9) + 1)]


def text(x: float, y: float, words: str, tone: str = "", anchor: str = "start") -> str:
    """A text element."""
    css = f' class="{tone}"' if tone else ""
    return f'<text x="{x:g}" y="{y:g}"{css} text-anchor="{anchor}">{escape(words)}</text>'


def line(x1: float, y1: float, x2: float, y2: float, tone: str) -> str:
    """A line element."""
    return f'<line x1="{x1:g}" y1="{y1:g}" x2="{x2:g}" y2="{y2:g}" class="{tone}"/>'


def curves(key: str, title: str, lines: Sequence[Curve], low: float, high: float, *, log: bool, percent: bool) -> str:
    """Curves over epochs. `key` names the chart for the page's script, which shows the values under the pointer."""
    width, height, left, right, top, bottom = 340, 210, 44, 330, 24, 178
    epochs = max((len(c.values) for c in lines), default=1)
    x, y = Axis(1, max(2, epochs), left, right), Axis(low, high, bottom, top, log)
    parts = [text(left, 14, title, "title")]
    for tick in y.ticks():
        label = f"{100 * tick:g} %" if percent else f"{tick:g}"
        parts += [line(left, y(tick), right, y(tick), "grid"), text(left - 5, y(tick) + 4, label, "tick", "end")]
    for tick in sorted({t for t in (1, *x.ticks()) if float(t).is_integer() and 1 <= t <= epochs}):
        parts += [line(x(tick), bottom, x(tick), bottom + 4, "axis"),
                  text(x(tick), bottom + 16, f"{tick:g}", "tick", "middle")]  # fmt: skip
    parts += [line(left, bottom, right, bottom, "axis"), text(right, height - 3, "epoch", "tick", "end")]
    for curve in lines:
        points = [(x(i), y(v)) for i, v in enumerate(curve.values, 1)]
        drawn = " ".join(f"{a:g},{b:g}" for a, b in points)
        if len(points) == 1:
            parts.append(f'<circle cx="{points[0][0]:g}" cy="{points[0][1]:g}" r="3" class="dot {curve.tone}"/>')
        parts.append(f'<polyline points="{drawn}" class="curve {curve.tone}"/>')
    parts.append(f'<line x1="{left}" y1="{top}" x2="{left}" y2="{bottom}" class="cursor"/>')
    last = "; ".join(f"{c.name} {_said(c.values[-1], percent)}" for c in lines if c.values)
    facts = f'data-chart="{escape(key)}" data-left="{left}" data-right="{right}" data-epochs="{epochs}"'
    return _svg(width, height, f"{title} over {epochs} epochs. Last: {last}", parts, f'{facts} tabindex="0"')


def _said(value: float, percent: bool) -> str:
    return f"{100 * value:.1f} %" if percent else f"{value:.3g}"


def intervals(
    title: str, unit: str, bars: Sequence[Bar], *, log: bool = True, marks: Sequence[tuple[float, str]] = ()
) -> str:
    """A row for each bar: a point and a whisker for its interval; `marks` are dashed lines, (where, what it is)."""
    row, left, right = 17, 150, 470
    width, top = 560, 26
    ends = [v for b in bars for v in (b.value.estimate, b.value.low, b.value.high) if math.isfinite(v) and v > 0]
    ends += [where for where, _ in marks]
    low, high = (min(ends) / 1.15, max(ends) * 1.15) if log else (0.0, max(ends) * 1.05)
    x = Axis(low, high, left, right, log)
    parts, y, group = [], top, None
    body: list[str] = []
    for bar in bars:
        if bar.group != group:
            group = bar.group
            y += 8 + row
            body.append(text(0, y - 4, bar.group, "group"))
        y += row
        middle = y - 5
        known = bar.value.known
        if known:
            body.append(line(x(bar.value.low), middle, x(bar.value.high), middle, f"whisker {bar.tone}"))
        told = f"{bar.value.estimate:.3g}" + (f" ({bar.value.low:.3g} to {bar.value.high:.3g})" if known else "")
        hint = f"{bar.group} {bar.name}: {told} {unit}, n = {bar.value.n}. {bar.note}"
        body.append(
            f'<circle cx="{x(bar.value.estimate):g}" cy="{middle}" r="4" class="dot {bar.tone}">'
            f"<title>{escape(hint)}</title></circle>"
        )
        body += [text(left - 8, y, bar.name, "row", "end"), text(right + 8, y, f"{bar.value.estimate:.3g}", "value")]
        if bar.note:
            body.append(text(right + 44, y, bar.note, "note"))
    height = y + 34
    parts.append(text(0, 14, title, "title"))
    for tick in x.ticks():
        parts += [line(x(tick), top, x(tick), y + 6, "grid"),
                  text(x(tick), y + 20, f"{tick:g}", "tick", "middle")]  # fmt: skip
    for where, what in marks:
        parts += [line(x(where), top, x(where), y + 6, "one"), text(x(where) - 4, top + 8, what, "note", "end")]
    parts.append(text(width, y + 20, unit, "tick", "end"))
    return _svg(width, height, f"{title}, {unit}; the table below holds the same figures", [*parts, *body])


@dataclass(frozen=True)
class Trace:
    """Figures with intervals over x; `tone` is its CSS class, ``dash`` in it draws it dashed."""

    name: str
    points: Sequence[tuple[float, Interval]]
    tone: str


def traces(
    unit: str,
    drawn: Sequence[Trace],
    *,
    x_unit: str = "batch size",
    log: bool = True,
    percent: bool = False,
) -> str:
    """Traces over a logarithmic x whose ticks are the values themselves, a whisker for each interval."""
    width, height, left, right, top, bottom = 340, 240, 50, 328, 40, 196
    values = [v for t in drawn for _, i in t.points for v in (i.estimate, i.low, i.high)]
    values = [v for v in values if math.isfinite(v) and (v > 0 or not log)]
    places = sorted({at for t in drawn for at, _ in t.points})
    low, high = min(values), max(values)
    margin = max(0.06 * (high - low), 0.02 * abs(high), 1e-9)
    x = Axis(places[0] / 1.1, places[-1] * 1.1, left, right, log=True)
    y = Axis(*((low / 1.15, high * 1.15) if log else (low - margin, high + margin)), bottom, top, log)
    parts = [text(0, 12, unit, "title")]
    for i, t in enumerate(drawn):
        at = left + i * (right - left) / max(2, len(drawn))
        parts += [f'<line x1="{at:g}" y1="25" x2="{at + 16:g}" y2="25" class="curve {t.tone}"/>',
                  text(at + 20, 29, t.name, "note")]  # fmt: skip
    for tick in y.ticks():
        label = f"{100 * tick:g} %" if percent else f"{tick:g}"
        parts += [line(left, y(tick), right, y(tick), "grid"), text(left - 5, y(tick) + 4, label, "tick", "end")]
    for i, at in enumerate(places):
        parts.append(line(x(at), bottom, x(at), bottom + 4, "axis"))
        if len(places) <= 7 or i % 2 == 0:
            parts.append(text(x(at), bottom + 16, f"{at:g}", "tick", "middle"))
    parts += [line(left, bottom, right, bottom, "axis"), text(right, height - 10, x_unit, "tick", "end")]
    for i, t in enumerate(drawn):
        aside = 3 * (i - (len(drawn) - 1) / 2)  # whiskers of equal x beside each other
        corners = " ".join(f"{x(at) + aside:g},{y(value.estimate):g}" for at, value in t.points)
        parts.append(f'<polyline points="{corners}" class="curve {t.tone}"/>')
        for at, value in t.points:
            place, said = x(at) + aside, _said(value.estimate, percent)
            if value.known:
                tone = f"whisker thin {t.tone.removesuffix(' dash')}"
                parts.append(line(place, y(value.low), place, y(value.high), tone))
                said += f" ({_said(value.low, percent)} to {_said(value.high, percent)})"
            parts.append(
                f'<circle cx="{place:g}" cy="{y(value.estimate):g}" r="3" class="dot {t.tone}">'
                f"<title>{escape(f'{t.name}, {x_unit} {at:g}: {said}')}</title></circle>"
            )
    return _svg(width, height, f"{unit} over {x_unit}; the table below holds the same figures", parts)


@dataclass(frozen=True)
class Spot:
    """A point with intervals in both directions."""

    name: str
    x: Interval
    y: Interval
    tone: str
    filled: bool
    note: str = ""


def scatter(title: str, x_unit: str, y_unit: str, spots: Sequence[Spot]) -> str:
    """Points with intervals: x logarithmic, y in percent."""
    width, height, left, right, top, bottom = 560, 330, 52, 548, 30, 282
    xs = [v for s in spots for v in (s.x.estimate, s.x.low, s.x.high) if math.isfinite(v) and v > 0]
    ys = [v for s in spots for v in (s.y.estimate, s.y.low, s.y.high) if math.isfinite(v)]
    margin = max(0.005, 0.05 * (max(ys) - min(ys)))
    x = Axis(min(xs) / 1.15, max(xs) * 1.15, left, right, log=True)
    y = Axis(max(0.0, min(ys) - margin), min(1.0, max(ys) + margin), bottom, top)
    parts = [text(0, 14, title, "title")]
    for tick in y.ticks():
        parts += [line(left, y(tick), right, y(tick), "grid"),
                  text(left - 6, y(tick) + 4, f"{100 * tick:g} %", "tick", "end")]  # fmt: skip
    for tick in x.ticks():
        parts += [line(x(tick), top, x(tick), bottom, "grid"),
                  text(x(tick), bottom + 16, f"{tick:g}", "tick", "middle")]  # fmt: skip
    parts += [text(right, height - 10, x_unit, "tick", "end"), text(left + 4, top - 4, y_unit, "tick")]
    for spot in spots:
        cx, cy = x(spot.x.estimate), y(spot.y.estimate)
        if spot.x.known:
            parts.append(line(x(spot.x.low), cy, x(spot.x.high), cy, f"whisker thin {spot.tone}"))
        if spot.y.known:
            parts.append(line(cx, y(spot.y.low), cx, y(spot.y.high), f"whisker thin {spot.tone}"))
        hint = f"<title>{escape(f'{spot.name}: {spot.note}')}</title>"
        hollow = "" if spot.filled else " hollow"
        parts.append(f'<circle cx="{cx:g}" cy="{cy:g}" r="5" class="dot {spot.tone}{hollow}">{hint}</circle>')
        if spot.filled:
            side = "end" if cx > (left + right) / 2 else "start"
            parts.append(text(cx + (-8 if side == "end" else 8), cy - 7, spot.name, "note", side))
    return _svg(width, height, f"{title}; the table below holds the same figures", parts)


def _svg(width: int, height: int, label: str, parts: Sequence[str], facts: str = "") -> str:
    body = "".join(parts)
    return f'<svg viewBox="0 0 {width} {height}" role="img" aria-label="{escape(label)}" {facts}>{body}</svg>'
