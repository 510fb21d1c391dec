"""A drawing: lines, dots, boxes and words at their places, made once and rendered as SVG (for pages) and as PNG."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from typing import Any

from skytrigger.core.files import atomic_path
from skytrigger.report.palette import PAGE, RIGHT, SHADES, WRONG, mixed, tones

ROW_PX, GAP_PX, STACKED_PX = 1460, 26, 360  # of PNGs: a row of panels, what is between them, widest below each other


@dataclass(frozen=True)
class Line:
    """A line through points; `tone` holds its classes, e.g. ``curve t-first dash``."""

    points: tuple[tuple[float, float], ...]
    tone: str


@dataclass(frozen=True)
class Dot:
    """A point; `hint` is told where a pointer rests on it."""

    x: float
    y: float
    tone: str
    hint: str = ""
    r: float = 4.0


@dataclass(frozen=True)
class Box:
    """A matrix's cell, ``d0`` to ``o8`` its shade."""

    x: float
    y: float
    side: float
    tone: str
    framed: bool = False


@dataclass(frozen=True)
class Text:
    """Words; `turn` in degrees."""

    x: float
    y: float
    words: str
    tone: str = ""
    anchor: str = "start"
    turn: float = 0.0


Part = Line | Dot | Box | Text
Panels = Sequence[tuple[str, "Drawing"]]  # each with its heading; those without one go on below the one before


@dataclass(frozen=True)
class Drawing:
    """`label` says in words what is seen; `facts` are ``data-`` attributes for the page's script."""

    width: float
    height: float
    label: str
    parts: Sequence[Part]
    facts: Mapping[str, object] = field(default_factory=dict)


def line(x1: float, y1: float, x2: float, y2: float, tone: str) -> Line:
    """A straight line."""
    return Line(((x1, y1), (x2, y2)), tone)


def svg(drawing: Drawing) -> str:
    """SVG text: no scripts, no styles of its own (page.css colours the classes), every text escaped."""
    facts = "".join(f' data-{name}="{escape(str(value))}"' for name, value in drawing.facts.items())
    facts += ' tabindex="0"' if facts else ""
    body = "".join(map(_svg_part, drawing.parts))
    size = f"{drawing.width:g} {drawing.height:g}"
    return f'<svg viewBox="0 0 {size}" role="img" aria-label="{escape(drawing.label)}"{facts}>{body}</svg>'


def _svg_part(part: Part) -> str:
    if isinstance(part, Text):
        css = f' class="{part.tone}"' if part.tone else ""
        turn = f' transform="rotate({part.turn:g} {part.x:g} {part.y:g})"' if part.turn else ""
        return f'<text x="{part.x:g}" y="{part.y:g}"{css} text-anchor="{part.anchor}"{turn}>{escape(part.words)}</text>'
    if isinstance(part, Dot):
        hint = f"<title>{escape(part.hint)}</title>" if part.hint else ""
        return f'<circle cx="{part.x:g}" cy="{part.y:g}" r="{part.r:g}" class="dot {part.tone}">{hint}</circle>'
    if isinstance(part, Box):
        return f'<rect x="{part.x:g}" y="{part.y:g}" width="{part.side:g}" height="{part.side:g}" class="{part.tone}"/>'
    if len(part.points) == 2:
        (x1, y1), (x2, y2) = part.points
        return f'<line x1="{x1:g}" y1="{y1:g}" x2="{x2:g}" y2="{y2:g}" class="{part.tone}"/>'
    corners = " ".join(f"{x:g},{y:g}" for x, y in part.points)
    return f'<polyline points="{corners}" class="{part.tone}"/>'


def write_png(panels: Panels, out: str | Path, title: str = "") -> None:
    """All panels on one picture, in rows."""
    from matplotlib.figure import Figure

    columns: list[list[tuple[str, Drawing]]] = []
    for heading, drawn in panels:
        if heading or not columns or drawn.width > STACKED_PX:
            columns.append([])
        columns[-1].append((heading, drawn))
    placed: list[tuple[float, float, str, Drawing]] = []
    lines = title.split("\n") if title else []
    x, y, deepest, widest = 0.0, 10.0 + 20 * len(lines), 0.0, 8.2 * max(map(len, lines), default=0)
    for column in columns:
        width = max(d.width for _, d in column)
        if x and x + width > ROW_PX:
            x, y, deepest = 0.0, y + deepest + GAP_PX, 0.0
        below = y
        for heading, drawn in column:
            below += 20 if heading else 4
            placed.append((x, below, heading, drawn))
            below += drawn.height
        deepest, widest, x = max(deepest, below - y), max(widest, x + width), x + width + GAP_PX
    width, height = widest + 24, y + deepest + 12
    figure = Figure(figsize=(width / 100, height / 100))
    axes = figure.add_axes((0, 0, 1, 1), xlim=(-12, width - 12), ylim=(height, 0))
    axes.axis("off")
    for i, words in enumerate(lines):
        _mpl_text(axes, Text(0, 22 + 19 * i, words, "" if i else "title"), 0, 0, 12)
    for x, y, heading, drawn in placed:
        if heading:
            _mpl_text(axes, Text(0, 0, heading, "title"), x, y - 6, 12)
        for part in drawn.parts:
            _mpl_part(axes, part, x, y)
    with atomic_path(out) as temporary:
        figure.savefig(temporary, format="png", dpi=150)


def _colour(tone: str) -> str:
    """Of the first class that has one; on white."""
    names = {"grid": "line", "axis": "soft", "one": "ink", "tick": "soft", "note": "soft"}
    for word in tone.split():
        if word in tones():
            return tones()[word][0]
        if word in names:
            return PAGE[names[word]][0]
        if word[:1] in "do" and word[1:].isdecimal():
            return mixed((RIGHT if word[0] == "d" else WRONG)[0], "#ffffff", SHADES[int(word[1:])])
    return PAGE["ink"][0]


def _mpl_part(axes: Any, part: Part, x: float, y: float) -> None:
    if isinstance(part, Text):
        return _mpl_text(axes, part, x, y, 10)
    words, colour = part.tone.split(), _colour(part.tone)
    if isinstance(part, Dot):
        hollow = "hollow" in words
        axes.plot([x + part.x], [y + part.y], "o", ms=1.44 * part.r, mfc="white" if hollow else colour, mec=colour)
    elif isinstance(part, Box):
        from matplotlib.patches import Rectangle

        edge, width = (PAGE["ink"][0], 1.6) if part.framed else ("white", 0.8)
        place = (x + part.x, y + part.y)
        axes.add_patch(Rectangle(place, part.side, part.side, fc=colour, ec=edge, lw=width, zorder=2 + part.framed))
    elif "cursor" not in words:
        width = 2.2 if words[0] == "whisker" and "thin" not in words else 1.2 if words[0] == "curve" else 0.8
        dashes = {"ls": (0, (4, 2.5))} if {"dash", "one"} & set(words) else {}
        xs, ys = zip(*part.points, strict=True)
        axes.plot([x + a for a in xs], [y + b for b in ys], color=colour, lw=width, **dashes,
                  alpha=0.5 if words[0] == "whisker" else 1.0, solid_capstyle="butt")  # fmt: skip
    return None


def _mpl_text(axes: Any, part: Text, x: float, y: float, px: float) -> None:
    side = {"start": "left", "middle": "center", "end": "right"}[part.anchor]
    weight = "bold" if part.tone in ("title", "group") else "normal"
    axes.text(x + part.x, y + part.y, part.words.replace("$", r"\$"), ha=side, va="baseline", fontsize=0.72 * px,
              color=_colour(part.tone), fontweight=weight, rotation=-part.turn, rotation_mode="anchor")  # fmt: skip


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
            raw = (self.high - self.low) / 4
            power = 10 ** math.floor(math.log10(raw))
            step = next(s * power for s in (1, 2, 2.5, 5, 10) if s * power >= raw)
            first = math.ceil(self.low / step - 1e-9)
            return [round(i * step, 12) for i in range(first, math.floor(self.high / step + 1e-9) + 1)]
        decades = self.high - self.low
        steps = (1, 1.5, 2, 3, 5, 7) if decades < 1 else (1, 2, 5) if decades < 2.2 else (1,)
        powers = range(math.floor(self.low), math.ceil(self.high) + 1)
        values = [s * 10.0**p for p in powers for s in steps]
        kept = [v for v in values if self.low - 1e-9 <= math.log10(v) <= self.high + 1e-9]
        return kept if len(kept) >= 2 else [10**self.low, 10**self.high]
