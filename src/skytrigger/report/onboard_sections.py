"""Sections of a replay's page besides the replay itself: policies, rate, passes, latency, link, facts."""

from __future__ import annotations

from typing import Any

from skytrigger.measure.stats import Interval
from skytrigger.report.content import (
    NOTHING,
    Block,
    Code,
    Figure,
    Prose,
    Section,
    Table,
    Value,
    compact_seconds,
    number,
    words,
)
from skytrigger.report.onboard_charts import (
    FIRST_SHOWN,
    dead_time_curve,
    figure_of,
    metric_of,
    policy_bars,
    policy_title,
    shown,
    si,
)
from skytrigger.report.onboard_data import Replay


def policies_section(summary: dict[str, Any]) -> Section:
    """Every metric of every policy, the main ones drawn."""
    policies = summary["policies"]
    names = [n for n in dict.fromkeys(m for p in policies.values() for m in p) if "." not in n]
    first = [n for n in FIRST_SHOWN if n in names] or names[:4]
    panels = [
        (
            _heading(n),
            policy_bars(metric_of(n), [(p, figure_of(m.get(n))) for p, m in policies.items()], summary["policy"]),
        )
        for n in first
    ]
    head = ("policy", *(_heading(n) for n in names))
    rows = [[words(policy_title(p)), *(_cell(m.get(n), n) for n in names)] for p, m in policies.items()]
    seeds = summary.get("seeds")
    of = f" of {seeds} orders of the scenes" if seeds else " over orders of the scenes"
    caption = f"Mean{of}, in small its 95 % interval."
    oracle = summary.get("oracle", {})
    about = {"exact": "The oracle knows the future and is solved exactly.",
             "bound": "The oracle knows the future; its value is an upper bound (a linear programme)."}  # fmt: skip
    said = about.get(str(oracle.get("kind")), "")
    return Section("policies", "Policies side by side", [
        *([Prose(f"{said} All policies have the same stream, memory and passes.")] if said else []),
        Figure(panels), Table(head, rows, caption),
    ])  # fmt: skip


def _heading(name: str) -> str:
    metric = metric_of(name)
    return f"{metric.title}, {metric.unit}" if metric.unit else metric.title


def _cell(raw: Any, name: str) -> Value:
    return told(figure_of(raw), metric_of(name).scale)


def told(value: Interval | None, scale: float = 1.0) -> Value:
    """An estimate with its interval as the second line."""
    if value is None:
        return NOTHING
    scaled = value.scaled(scale)
    ends = (shown(scaled.low), shown(scaled.high))
    small = "" if not scaled.known else "no spread" if ends[0] == ends[1] else " to ".join(ends)
    return Value(shown(scaled.estimate), scaled.estimate, small)


def dead_time_section(summary: dict[str, Any], things: str = "tiles") -> Section | None:
    """The curve of dead time, where the summary has one."""
    raw = summary.get("dead_time")
    drawn = dead_time_curve(raw, things)
    if drawn is None or not isinstance(raw, dict):
        return None
    device = f" Device: {raw['device']}." if raw.get("device") else ""
    caption = f"Beyond the rate that the device sustains it is busy when {things} come: dead time.{device}"
    return Section("rate", "What rate the device sustains", [Figure([("", drawn)], caption, wide=True)])


def passes_section(replay: Replay) -> Section:
    """A row for each pass: its room, what was sent, what arrived."""
    received = {p["pass"]: p for p in replay.ground.passes}
    most = max((p["capacity_bit"] for p in replay.passes), default=0)
    by, unit = (1e9, "Gbit") if most >= 1e9 else (1e6, "Mbit")
    rows = []
    for entry in replay.passes:
        got = received.get(entry["pass"])
        missed = (
            Value("missed", "missed", tone="bad")
            if entry.get("missed")
            else words(compact_seconds(entry["t_end_s"] - entry["t_start_s"]))
        )
        used = entry["sent_bit"] / entry["capacity_bit"] if entry.get("capacity_bit") else None
        rows.append([
            number(entry["pass"], "{:.0f}"), words(entry["station"]), number(entry["t_start_s"] / 3600, "{:.2f}"),
            missed, number(entry["capacity_bit"] / by), number(entry["sent_bit"] / by),
            number(None if used is None else 100 * used, "{:.1f}"), number(entry["sent_items"], "{:,.0f}"),
            number(got["new_tiles"] if got else 0, "{:,.0f}"), number(got["packets"] if got else 0, "{:,.0f}"),
        ])  # fmt: skip
    head = (
        "pass",
        "station",
        "begins, h",
        "lasts",
        f"room, {unit}",
        f"sent, {unit}",
        "used, %",
        "items sent",
        "classified tiles new to the ground",
        "packets received",
    )
    caption = (
        "Sent bits and items are the whole mission's; packets, and tiles new to the ground, those of tiles that were "
        "classified tile by tile."
    )
    return Section("passes", "Passes", [Table(head, rows, caption)])


def classes_section(summary: dict[str, Any]) -> Section | None:
    """Latency by class of every policy, where the summary has it."""
    policies = summary["policies"]
    names = list(
        dict.fromkeys(n.partition(".")[2] for p in policies.values() for n in p if n.startswith("latency_p50_s."))
    )
    if not names:
        return None
    head = ("policy", *names)
    rows = []
    for policy, metrics in policies.items():
        row = [words(policy_title(policy))]
        for name in names:
            middle, late = (figure_of(metrics.get(f"latency_p{p}_s.{name}")) for p in (50, 90))
            said = "" if late is None else f"90 %: {shown(late.estimate / 60)}"
            row.append(NOTHING if middle is None else Value(shown(middle.estimate / 60), middle.estimate, said))
        rows.append(row)
    return Section(
        "latency",
        "From sensing to the ground, by class",
        [Table(head, rows, "Minutes: the median, in small what 90 % need at most.")],
    )


def link_section(replay: Replay) -> Section | None:
    """Faults, where there are any."""
    faults = replay.ground.faults
    if not faults:
        return None
    rows = [
        [number(n, "{:.0f}"), words(f.kind), words(f.stream), number(f.packets, "{:,.0f}"), words(f.detail)]
        for n, f in faults[:200]
    ]
    more = f" The first 200 of {len(faults)}." if len(faults) > 200 else ""
    return Section(
        "link",
        "What went wrong on the link",
        [
            Table(
                ("pass", "what", "stream", "packets", "detail"),
                rows,
                f"As the ground finds it by counts and checksums.{more}",
            )
        ],
    )


def about_section(summary: dict[str, Any]) -> Section:
    """Facts of the mission, what misclassification and miscalibration cost, the commands."""
    facts = summary.get("facts", {})
    rows = [[words(name.removesuffix(f"_{_unit(name)}").replace("_", " ")), words(_plain(value, _unit(name)))]
            for name, value in facts.items()]  # fmt: skip
    blocks: list[Block] = [Table(("fact", "value"), rows)] if rows else []
    regret = summary.get("regret", {})
    if regret:
        told = [[words(cause), _cell(raw, "value_of_oracle")] for cause, raw in regret.items()]
        blocks.append(
            Table(("value lost to", "points of the oracle's value"), told, "Against a replay that knows better.")
        )
    explain = "" if "curve" in summary else "\nskytrigger onboard explain DIR TILE"
    blocks.append(Code(f"skytrigger onboard {summary.get('preset', 'SPEC.toml')} --out DIR{explain}"))
    return Section("about", "What this rests on", blocks)


def _unit(name: str) -> str:
    """Of a fact: the last word of its name, where that is a unit."""
    last = name.rpartition("_")[2]
    return last if last in ("s", "bit", "J", "W", "km2", "m", "hz") else ""


def _plain(value: Any, unit: str = "") -> str:
    if isinstance(value, dict):
        return ", ".join(f"{k}: {_plain(v)}" for k, v in value.items())
    if isinstance(value, list):
        return ", ".join(map(_plain, value)) or "none"
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return str(value)
    if unit in ("bit", "J", "hz"):
        return si(value, unit.replace("hz", "Hz"))
    if unit == "s":
        return compact_seconds(value)
    return f"{value:,}" if isinstance(value, int) else f"{shown(value)} {unit}".strip()
