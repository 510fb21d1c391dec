"""What a report says, before it is HTML or Markdown: sections of prose, tables and figures. Plain text, unescaped."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from skytrigger.measure.stats import Interval
from skytrigger.report.drawing import Panels

Item = TypeVar("Item")
Columns = Sequence["tuple[str, Callable[[Item], Value]] | None"]


@dataclass(frozen=True)
class Value:
    """A table's cell: text (a line break starts a new line), its sort key, its interval in small, a tone.

    The tone is ``good``, ``bad`` or ``mute``.
    """

    text: str
    order: float | str | None = None
    small: str = ""
    tone: str = ""

    @property
    def numeric(self) -> bool:
        """Whether it is sorted (and set) as a number."""
        return isinstance(self.order, (int, float))


NOTHING = Value("–", None, "", "mute")


@dataclass(frozen=True)
class Table:
    """Rows of `Value`; `caption` says what an interval is and how many samples stand behind it."""

    head: tuple[str, ...]
    rows: Sequence[Sequence[Value]]
    caption: str = ""


@dataclass(frozen=True)
class Prose:
    """A paragraph."""

    text: str
    tone: str = ""


@dataclass(frozen=True)
class Code:
    """Something to type, verbatim."""

    text: str


@dataclass(frozen=True)
class Figure:
    """Drawings side by side."""

    panels: Panels
    caption: str = ""
    wide: bool = False


@dataclass(frozen=True)
class Markup:
    """HTML made by the report's own code, and the same facts for Markdown and for its picture."""

    html: str
    plain: Sequence[Table | Prose] = ()
    panels: Panels = ()


Block = Table | Prose | Code | Figure | Markup


@dataclass(frozen=True)
class Section:
    """A part of the page; `key` is its anchor."""

    key: str
    title: str
    blocks: Sequence[Block] = field(default_factory=tuple)

    @property
    def panels(self) -> Panels:
        """All that is drawn in it."""
        return [panel for b in self.blocks if isinstance(b, (Figure, Markup)) for panel in b.panels]


@dataclass(frozen=True)
class Page:
    """A whole page: `badges` are (text, tone), `headline` (name, figure, what stands behind it), `data` page.js's.

    `more` names further styles and scripts beside page.css and page.js: ``replay`` is replay.css and replay.js.
    """

    title: str
    badges: Sequence[tuple[str, str]]
    headline: Sequence[tuple[str, str, str]]
    sections: Sequence[Section]
    foot: str
    data: dict[str, Any] = field(default_factory=lambda: {"charts": {}, "confusion": {}})
    more: Sequence[str] = ()


def table(items: Iterable[Item], columns: Columns[Item], caption: str = "") -> Table:
    """A row for each item, a column for each (heading, value of an item); a column that is None is left out."""
    kept = [c for c in columns if c is not None]
    return Table(tuple(head for head, _ in kept), [[value(i) for _, value in kept] for i in items], caption)


def words(value: Any, none: str = "–") -> Value:
    """Text of anything, or a dash for None."""
    return NOTHING if value is None or value == "" else Value(str(value), str(value).lower())


def number(value: float | None, form: str = "{:.4g}", small: str = "") -> Value:
    """A number in the given form."""
    if value is None or not math.isfinite(value):
        return NOTHING
    return Value(form.format(value), float(value), small)


def span(interval: Interval, form: str = "{:.3g}", scale: float = 1.0) -> str:
    """``low to high``, or a plain statement that there is none."""
    if not interval.known:
        return "no interval: too few samples"
    return f"{form.format(interval.low * scale)} to {form.format(interval.high * scale)}"


def estimate(interval: Interval | None, form: str = "{:.3g}", scale: float = 1.0, unit: str = "") -> Value:
    """An estimate with its interval as the second line; a dash for None."""
    if interval is None:
        return NOTHING
    return Value(form.format(interval.estimate * scale) + unit, interval.estimate, span(interval, form, scale))


def interval_of(raw: dict[str, Any]) -> Interval:
    """Back from `Interval.to_json`."""
    low, high = (math.nan if raw[k] is None else float(raw[k]) for k in ("low", "high"))
    return Interval(float(raw["estimate"]), low, high, float(raw["level"]), int(raw["n"]))


def compact_seconds(seconds: float) -> str:
    """``42 s``, ``3 min 05 s``, ``2 h 10 min``."""
    if seconds < 120:
        return f"{seconds:.3g} s"
    whole = round(seconds)
    if whole < 7200:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def compact_bytes(count: float) -> str:
    """Decimal units: ``18.2 MB``."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:.3g} TB"
