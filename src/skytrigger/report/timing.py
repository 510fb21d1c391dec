"""The report's tables and pictures of time per image, of model files and of other measurements."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from skytrigger.bench.compare_times import TIMED
from skytrigger.core.host import host_id
from skytrigger.measure.records import Record
from skytrigger.measure.summary import energy_summary
from skytrigger.measure.tables import rows as flat_rows
from skytrigger.report import charts
from skytrigger.report.content import (
    NOTHING,
    Block,
    Columns,
    Figure,
    Prose,
    Section,
    Table,
    Value,
    compact_bytes,
    estimate,
    number,
    span,
    table,
    words,
)
from skytrigger.report.speedups import Timing, is_framework
from skytrigger.report.study_folder import StudyFolder, network_words
from skytrigger.study.study_file import Cell, entry

OWN = Value("1 (framework)", 1.0, "", "mute")
CEILING_NOTE = (
    " Of the machine's ceiling: the least time that a matrix product's operations or a copy's bytes per second allow, "
    "both measured in the same run, divided by the time; over 100 % where fewer operations were done than counted "
    "(Winograd) or weights stayed in a cache; none where no product in the engine's precision was measured."
)


def host_names(hosts: Sequence[dict[str, Any]]) -> dict[str, str]:
    """Host id -> ``host 1``, ``host 2``, ... in order of appearance."""
    found: dict[str, str] = {}
    for facts in hosts:
        found.setdefault(host_id(facts), f"host {len(found) + 1}")
    return found


def timing_section(found: Sequence[Timing], hosts: dict[str, str], studies: Sequence[StudyFolder]) -> Section:
    """A table and a picture for each batch size and device."""
    title = "Time per image"
    blocks: list[Block] = []
    if not found:
        blocks.append(Prose("No engine has been timed."))
    for size, device in sorted({t.setting for t in found}):
        group = [t for t in found if t.setting == (size, device)]
        blocks.append(_figure(group, size, device, hosts))
        blocks.append(_table(group, size, device, hosts))
    if found:
        blocks.append(_energy(found))
    blocks += _absent(studies)
    return Section("timing", title, blocks)


def _figure(group: Sequence[Timing], size: int, device: str, hosts: dict[str, str]) -> Figure:
    bars = []
    for t in sorted(group, key=lambda t: list(hosts).index(t.host) if t.host in hosts else 0):
        where = f", {hosts[t.host]}" if len(hosts) > 1 and t.host in hosts else ""
        note = "" if t.speedup is None else f"{t.speedup.estimate:.2f}×" if t.verdict == "faster" else ""
        bars.append(charts.Bar(t.network + where, t.engine, t.summary.ms_per_item, t.tone, note))
    order = {name: i for i, name in enumerate(dict.fromkeys(b.group for b in bars))}
    bars.sort(key=lambda b: order[b.group])
    drawn = charts.intervals(f"Batch {size} on {device}", "ms/image", bars)
    caption = (
        "Median time per image with its 95 % interval, logarithmic; further left is better. Beside it the speed-up "
        "over the framework (torch fp32) where it is established."
    )
    return Figure([("", drawn)], caption, wide=True)


def _table(group: Sequence[Timing], size: int, device: str, hosts: dict[str, str]) -> Table:
    tails = sorted({p for t in group for p in t.summary.percentiles_s if p != "p50"}, key=lambda p: float(p[1:]))
    threads = sorted({t.record.what.get("threads") or 1 for t in group})

    def tail(name: str) -> Callable[[Timing], Value]:
        return lambda t: number(t.summary.percentiles_s.get(name, math.nan) * 1e3)

    columns: Columns[Timing] = [
        ("host", lambda t: words(hosts.get(t.host))) if len(hosts) > 1 else None,
        ("network", lambda t: words(t.network)),
        ("engine", lambda t: words(t.engine)),
        ("threads", lambda t: words(t.record.what.get("threads"))) if len(threads) > 1 else None,
        ("ms/image", lambda t: estimate(t.summary.ms_per_item)),
        ("images/s", lambda t: number(t.summary.items_per_s.estimate, "{:.4g}", span(t.summary.items_per_s))),
        *((f"{p}, ms/batch", tail(p)) for p in tails),
        ("speed-up over torch fp32", speedup_value),
        ("calls timed (n)", lambda t: number(t.summary.call_s.n, "{:d}")),
        ("of the machine's ceiling", ceiling_value) if (ceiling := any(t.ceiling for t in group)) else None,
        ("mJ/image above idle", joules_value) if any(energy_summary(t.record) for t in group) else None,
        ("remarks", lambda t: words(_remarks(t))),
    ]
    caption = (
        f"Batch {size} on {device}, {' or '.join(map(str, threads))} threads. Median over all timed calls with its "
        "95 % interval. Speed-up: the framework's time divided by this engine's, paired visit by visit within one "
        "counterbalanced run, with the signed-rank interval over blocks; each engine is judged for itself at 95 %: not "
        "established where its ratio lies within the run's A/A noise floor, its interval holds 1 or random signs do as "
        "much. A percentile is shown where the calls suffice for it (p99: 1,000)."
    ) + (CEILING_NOTE if ceiling else "")
    return table(group, columns, caption)


def _remarks(t: Timing) -> str:
    """The strongest reason why a speed-up is not established, and whether the warm-up settled."""
    said = [f"{t.record.extra['blocks']} blocks"] if t.record.extra.get("blocks") else []
    if t.verdict == "not established" and t.reasons:
        strong = (r for word in ("noise floor", "holds 1", "") for r in t.reasons if word in r)
        said.append(next(strong))
    said += [r for r in t.reasons if "Holm" in r]
    if not t.record.extra.get("warmup", {}).get("agreed", True):
        said.append("warm-up did not settle")
    return "; ".join(said)


def speedup_value(t: Timing) -> Value:
    """Over the framework, with its interval and verdict."""
    if t.speedup is None:
        return OWN if is_framework(t.record) else Value("–", None, "not paired", "mute")
    text, tone = f"{t.speedup.estimate:.2f}×", {"faster": "good", "slower": "bad"}.get(t.verdict, "mute")
    small = span(t.speedup, "{:.2f}")
    if t.verdict == "not established":
        return Value(f"{text}, not established", t.speedup.estimate, small, tone)
    return Value(f"{text} {t.verdict}" if t.verdict == "slower" else text, t.speedup.estimate, small, tone)


def ceiling_value(t: Timing) -> Value:
    """Share of the nearer ceiling (matrix product in the engine's precision, or copy) that the same run measured."""
    if t.ceiling is None:
        return NOTHING
    call, least = t.summary.call_s, t.ceiling.least_s
    reach = f"{100 * least / call.high:.0f} to {100 * least / call.low:.0f}, " if call.known and call.low > 0 else ""
    other = "" if t.ceiling.product == "fp32" else f" ({t.ceiling.product} product)"
    return Value(f"{100 * t.ceiling.fraction:.0f} %", t.ceiling.fraction, f"{reach}{t.ceiling.bound}{other}")


def joules_value(t: Timing) -> Value:
    found = energy_summary(t.record)
    if found is None:
        return Value("unavailable", None, str(t.record.energy.get("why_not") or ""), "mute")
    joules = found.gross if found.net is None else found.net
    kind = f"{span(joules, '{:.3g}', 1e3)}; {found.label}, {t.record.energy.get('source')}, {found.watts:.3g} W"
    return Value(f"{joules.estimate * 1e3:.3g}" + (" (gross)" if found.net is None else ""), joules.estimate, kind)


def _energy(found: Sequence[Timing]) -> Prose:
    without = [t for t in found if t.record.energy["label"] == "unavailable"]
    if not without:
        return Prose("Energy: one power window a cell; the interval holds how much the power moved within it, not the "
                     "sensor's own error. Source and watts stand beside it.")  # fmt: skip
    reasons = sorted({str(t.record.energy.get("why_not") or "no sensor was read") for t in without})
    return Prose(f"Energy: unavailable for {len(without)} of {len(found)} timings ({'; '.join(reasons)}). No figure is "
                 "derived from nominal power.")  # fmt: skip


def _absent(studies: Sequence[StudyFolder]) -> list[Block]:
    """Engines that this machine could not run, with the reason."""
    rows = [
        [
            words(network_words(cell)),
            words(label),
            Value(word, word, "", "bad" if word == "failed" else "mute"),
            words(why),
        ]
        for study in studies
        for cell in study.of_kind("bench")
        for word in ("unavailable", "failed")
        for label, why in entry(cell.result, word).items()
    ]
    note = "Engines without a figure, and why."
    return [Table(("network", "engine", "state", "reason"), rows, note)] if rows else []


def other_section(records: Sequence[Record], hosts: dict[str, str]) -> Section | None:
    """Records of other kinds: frame rate, stages, cold start, power."""
    rest = [r for r in records if r.kind not in (*TIMED, "control")]
    if not rest:
        return None

    def ms(row: dict[str, Any]) -> Value:
        low, high = row["ms_per_item_low"], row["ms_per_item_high"]
        small = "no interval: too few samples" if low is None else f"{max(0.0, low):.3g} to {high:.3g}"
        return number(row["ms_per_item"], "{:.3g}", small)

    def missed(row: dict[str, Any]) -> Value:
        return words(f"{row['missed']} of {row['frames']} at {row['rate_hz']:g} Hz" if "missed" in row else None)

    def plain(name: str) -> Callable[[dict[str, Any]], Value]:
        return lambda row: words(row[name])

    rows = flat_rows(rest)
    columns: Columns[dict[str, Any]] = [
        ("host", lambda row: words(hosts.get(row["host_id"]))),
        *((name, plain(name)) for name in ("network", "runtime", "precision")),
        *((head, plain(name)) for head, name in (("batch", "batch_size"), ("measured", "kind"), ("series", "series"))),
        ("ms/image", ms),
        ("deadlines missed", missed),
        ("n", lambda row: number(row["n"], "{:d}")),
    ]
    note = "Median with its 95 % interval."
    return Section("other", "Other measurements", [table(rows, columns, note)]) if rows else None


def exports_table(study: StudyFolder) -> Block:
    """Model files: size and parity with the network they came from."""
    done = [c for c in study.of_kind("export") if c.status == "done"]
    if not done:
        return Prose("No network has been exported yet.")

    def size(cell: Cell) -> Value:
        count = cell.result.get("bytes")
        return Value(compact_bytes(count), count) if isinstance(count, int) else NOTHING

    columns: Columns[Cell] = [
        ("network", lambda c: words(network_words(c))),
        ("precision", lambda c: words(c.result.get("precision"))),
        ("model file", size),
        ("relative error, median", lambda c: number(c.result.get("relative_error_median"), "{:.1e}")),
        ("relative error, largest", lambda c: number(c.result.get("relative_error_max"), "{:.1e}")),
        ("decisions changed", lambda c: number(c.result.get("changed_decisions"), "{:d}")),
        ("images", lambda c: number(c.result.get("images"), "{:d}", str(c.result.get("tiles", "")))),
        ("checked with", lambda c: words(c.result.get("runtime"))),
    ]
    caption = (
        "ONNX file against the trained network on the same images, every one of them: errors of the logits relative to "
        "the image's largest logit, and decisions that came out differently. No sampling, so no interval."
    )
    return table(done, columns, caption)
