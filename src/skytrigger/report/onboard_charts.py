"""Charts of a mission's replay: policies side by side, and what rate a device sustains."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from skytrigger.measure.stats import Interval
from skytrigger.report.drawing import Axis, Dot, Drawing, Line, Part, Text, line
from skytrigger.report.palette import FIRST, OTHER


@dataclass(frozen=True)
class Metric:
    """How a metric is told: `scale` multiplies it, `better` is ``more`` or ``less``."""

    title: str
    unit: str = ""
    scale: float = 1.0
    better: str = "more"


METRICS = {
    "value_of_oracle": Metric("Value, of the oracle's", "%", 100),
    "target_recall": Metric("Targets on the ground", "%", 100),
    "value_per_Gbit": Metric("Value a gigabit sent"),
    "latency_p50_s": Metric("Sensing to ground, median", "min", 1 / 60, "less"),
    "latency_p90_s": Metric("Sensing to ground, 90 %", "min", 1 / 60, "less"),
    "target_latency_p50_s": Metric("Targets to ground, median", "min", 1 / 60, "less"),
    "value": Metric("Value recovered"),
    "value_of_offered": Metric("Value, of all sensed", "%", 100),
    "sent_share": Metric("Tiles sent, of all", "%", 100),
    "sent_tiles": Metric("Tiles sent"),
    "sent_bit": Metric("Sent", "Gbit", 1e-9),
    "bits_per_km2": Metric("Sent a km² sensed", "kbit", 1e-3, "less"),
    "memory_peak_bit": Metric("Memory at its fullest", "Gbit", 1e-9, "less"),
    "evicted_tiles": Metric("Tiles evicted", "", 1, "less"),
    "dropped_tiles": Metric("Tiles dropped", "", 1, "less"),
    "joules_per_tile": Metric("Energy a tile", "mJ", 1e3, "less"),
    "joules_per_value": Metric("Energy for each unit of value", "J", 1, "less"),
}
FIRST_SHOWN = (
    "value_of_oracle",
    "target_recall",
    "value_per_Gbit",
    "latency_p50_s",
    "target_latency_p50_s",
    "bits_per_km2",
)


def metric_of(name: str) -> Metric:
    """How a metric is told; one that is not known by its own name."""
    return METRICS.get(name, Metric(name.replace("_", " ")))


def figure_of(raw: Any) -> Interval | None:
    """``{"value", "low", "high"}`` as an interval; None where there is no value."""
    if not isinstance(raw, dict) or raw.get("value") is None:
        return None
    low, high = (float("nan") if raw.get(k) is None else float(raw[k]) for k in ("low", "high"))
    return Interval(float(raw["value"]), low, high)


def shown(value: float) -> str:
    """Three digits, without powers of ten where they would be read with trouble."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def si(value: float, unit: str) -> str:
    """``2.4 Tbit``."""
    for by, mark in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= by:
            return f"{value / by:.3g} {mark}{unit}"
    return f"{value:.3g} {unit}"


def policy_bars(metric: Metric, policies: Sequence[tuple[str, Interval | None]], chosen: str) -> Drawing:
    """A row for each policy with its interval; the chosen one stands out. Its title is its panel's heading."""
    width, left, right, top, row = 340, 118, 284, 10, 19
    known = [v.scaled(metric.scale) for _, v in policies if v is not None]
    high = max([1e-12, *(v.high if v.known else v.estimate for v in known)])
    x = Axis(0, high * 1.03, left, right)
    bottom = top + row * len(policies) + 4
    unit = f", {metric.unit}" if metric.unit else ""
    parts: list[Part] = []
    for tick in x.ticks():
        parts += [line(x(tick), top - 6, x(tick), bottom, "grid"),
                  Text(x(tick), bottom + 14, f"{tick:,g}", "tick", "middle")]  # fmt: skip
    for i, (name, raw) in enumerate(policies):
        y, tone = top + row * (i + 0.5), FIRST if name == chosen else OTHER
        parts.append(Text(left - 8, y + 4, policy_title(name), "group" if name == chosen else "row", "end"))
        if raw is None:
            parts.append(Text(left + 4, y + 4, "nothing to measure", "note"))
            continue
        value, said = raw.scaled(metric.scale), ""
        if value.known:
            parts.append(line(x(value.low), y, x(value.high), y, f"whisker {tone}"))
            said = f" ({shown(value.low)} to {shown(value.high)})"
        parts += [Dot(x(value.estimate), y, tone, f"{policy_title(name)}: {shown(value.estimate)}{said}{unit}"),
                  Text(width, y + 4, shown(value.estimate), "value", "end")]  # fmt: skip
    words = f"{metric.title}{unit}, {metric.better} is better; the table below holds the same figures"
    return Drawing(width, bottom + 20, words, parts)


def policy_title(name: str) -> str:
    """A policy's name in words."""
    plain = name.rsplit("/", 1)[-1].removesuffix(".py").replace("_", " ").replace("-", " ")
    return plain.replace("fifo", "FIFO")


def dead_time_curve(raw: Any, things: str = "tiles") -> Drawing | None:
    """Share of things that a device takes over the rate offered; None where the summary has none."""
    points = raw.get("points") if isinstance(raw, dict) else None
    if not points:
        return None
    found = sorted((float(p["offered_tiles_per_s"]), float(p["kept_share"])) for p in points)
    width, height, left, right, top, bottom = 560, 280, 52, 548, 12, 230
    x = Axis(found[0][0] / 1.15, found[-1][0] * 1.15, left, right, log=True)
    y = Axis(0, 1.02, bottom, top)
    parts: list[Part] = []
    for tick in (0, 0.25, 0.5, 0.75, 1.0):
        parts += [line(left, y(tick), right, y(tick), "grid"),
                  Text(left - 5, y(tick) + 4, f"{100 * tick:g} %", "tick", "end")]  # fmt: skip
    for tick in x.ticks():
        parts += [line(x(tick), bottom, x(tick), bottom + 4, "axis"),
                  Text(x(tick), bottom + 16, si(tick, "").strip(), "tick", "middle")]  # fmt: skip
    parts += [line(left, bottom, right, bottom, "axis"),
              Text(right, height - 14, f"{things} offered a second", "tick", "end")]  # fmt: skip
    parts.append(Line(tuple((x(r), y(k)) for r, k in found), f"curve {FIRST}"))
    for rate, kept in found:
        told = f"{si(rate, things)}/s offered: {100 * kept:.1f} % taken, {si(rate * kept, things)}/s"
        parts.append(Dot(x(rate), y(kept), FIRST, told))
    return Drawing(width, height, f"Share of {things} taken over the rate at which they come", parts)
