"""Two sets of timing records: paired where they come from one run, cautious where they do not."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from skytrigger.core.errors import InputError
from skytrigger.core.host import host_id
from skytrigger.measure.accuracy import holm
from skytrigger.measure.paired import Slot, compare_blocks
from skytrigger.measure.records import Record
from skytrigger.measure.stats import median_interval
from skytrigger.measure.tables import KEYS as CELL_KEYS

LEVEL = 0.95
KEYS = ("kind", *CELL_KEYS)
TIMED = ("latency", "throughput")
# Two runs at different times share no noise, and nothing in them tells how the machine drifted in between. Fixed
# beforehand: such a difference must exceed 10 %, more where the slower run was held up (steal, throttling, stalls).
UNPAIRED_FLOOR = 1.10


def compare_times(a: Sequence[Record], b: Sequence[Record]) -> dict[str, Any]:
    """Compare every cell of A with its match in B.

    Returns
    -------
    dict
        ``cells`` (each with ratio B / A of seconds per image, verdict, reasons), ``verdict``, ``claims``, ``limits``.

    Raises
    ------
    InputError
        No timing records, or no cell of A matches one of B.
    """
    a, b = ([r for r in side if r.kind in TIMED] for side in (a, b))
    for name, side in (("A", a), ("B", b)):
        if not side:
            raise InputError(f"{name} holds no timing records", remedy="skytrigger bench MODEL.onnx --out DIR")
    pairs = match(a, b)
    level = 1 - (1 - LEVEL) / len(pairs)
    cells = [_cell(x, y, level) for x, y in pairs]
    paired = [c for c in cells if c["p_value"] is not None]
    for cell, p in zip(paired, holm(np.array([c["p_value"] for c in paired])), strict=True):
        cell["p_holm"] = float(p)
        if cell["verdict"] != "not established" and p > 1 - LEVEL:
            cell["verdict"] = "not established"
            cell["reasons"].append(f"not after correction for {len(paired)} comparisons (p = {p:.3f})")
    verdicts = {c["verdict"] for c in cells} - {"not established"}
    verdict = "worse" if "worse" in verdicts else "better" if verdicts else "not established"
    claims = [
        f"{c['label']}: B takes {c['ratio']['estimate']:.3f} of A's time per image"
        f" ({c['ratio']['low']:.3f} to {c['ratio']['high']:.3f})"
        for c in cells if c["verdict"] != "not established"
    ]  # fmt: skip
    limits = ["anything about other machines, or this one under another load, other thread counts or batch sizes"]
    if any(not c["paired"] for c in cells):
        limits.append(
            "small differences between separate runs: measure both in one run (skytrigger bench A.onnx B.onnx ...)"
        )
    if len(verdicts) == 2:
        limits.append("that B is better or worse on the whole: it is slower in some cells and faster in others")
    return {"aspect": "time", "verdict": verdict, "cells": cells, "claims": claims, "limits": limits}


def match(a: Sequence[Record], b: Sequence[Record]) -> list[tuple[Record, Record]]:
    """Cells that belong together: equal in every key that A and B do not differ in as a whole."""

    def value(record: Record, key: str) -> Any:
        if key == "input_type":  # records from before it was kept took float32
            return record.what.get(key) or "float32"
        return record.kind if key == "kind" else record.what.get(key)

    if len(a) == len(b) == 1:
        return [(a[0], b[0])]
    kept = []
    for key in KEYS:
        of_a, of_b = {value(r, key) for r in a}, {value(r, key) for r in b}
        if not (len(of_a) == len(of_b) == 1 and of_a != of_b):
            kept.append(key)
    index: dict[tuple[Any, ...], Record] = {}
    for record in b:  # the latest record of a cell counts
        index[tuple(value(record, k) for k in kept)] = record
    own = {tuple(value(record, k) for k in kept): record for record in a}
    pairs = [(record, index[key]) for key, record in own.items() if key in index]
    if not pairs:
        raise InputError("no cell of A has a match in B", expected=f"records equal in {', '.join(kept)}")
    return pairs


def _cell(a: Record, b: Record, level: float) -> dict[str, Any]:
    label = f"{_label(a)} against {_label(b)}" if _label(a) != _label(b) else _label(a)
    cell: dict[str, Any] = {"label": label, "notes": []}
    for side, record in (("a", a), ("b", b)):
        if not record.extra.get("warmup", {}).get("agreed", True):
            cell["notes"].append(f"{side.upper()}'s warm-up did not settle")
    run = a.extra.get("run")
    if run and run == b.extra.get("run") and _items(a) == _items(b) and "slot" in a.samples and "slot" in b.samples:
        control = a.extra.get("control")
        twins = (_slots(control["a"], control), _slots(control["c"], control)) if control else None
        got = compare_blocks(_slots_of(a), _slots_of(b), twins, LEVEL)
        comparison = got.to_json()
        comparison["reasons"] = list(comparison["reasons"])
        return {**cell, "paired": True, **comparison}
    return {**cell, "paired": False, **_unpaired(a, b, level)}


def _label(record: Record) -> str:
    what = record.what
    if "cell" in record.extra:
        return str(record.extra["cell"])
    return f"{what.get('network')} {what.get('runtime')} {what.get('precision')} batch {what.get('batch_size')}"


def _items(record: Record) -> int:
    return record.samples["call"].items


def _slots_of(record: Record) -> list[Slot]:
    return _slots(record.samples["slot"].values, record.extra.get("slot_conditions", {}))


def _slots(values: Sequence[float], conditions: dict[str, Any]) -> list[Slot]:
    names = [n for n in ("wall_s", "steal_s", "quota_throttled_s", "thermal_throttles") if n in conditions]
    return [Slot((v,), {n: conditions[n][i] for n in names}) for i, v in enumerate(values)]


def held_up(record: Record) -> float:
    """Largest share of the wall time that the record's run lost to others: steal, quota, or tasks waiting for a CPU."""
    wall_s = record.conditions.get("wall_s") or 0.0
    if wall_s <= 0:
        return 0.0
    cores = record.where.get("cpu", {}).get("logical_cores") or 1
    shares = [
        (record.conditions.get("steal_s") or 0.0) / cores,
        record.conditions.get("quota_throttled_s") or 0.0,
        record.conditions.get("stall_cpu_some_s") or 0.0,
    ]
    return min(0.9, max(shares) / wall_s)


def _unpaired(a: Record, b: Record, level: float) -> dict[str, Any]:
    """Medians per image of two separate runs; established only far beyond what drift can do."""
    intervals = []
    for record in (a, b):
        series = record.samples.get("slot") or record.samples["call"]
        logs = np.log(np.maximum(series.values, 1e-12)) - math.log(series.items)
        intervals.append(median_interval(logs, level))
    x, y = intervals
    ratio = math.exp(y.estimate - x.estimate)
    slower = b if ratio > 1 else a
    floor = UNPAIRED_FLOOR / (1 - held_up(slower))
    reasons = ["measured in separate runs, not side by side"]
    if host_id(a.where) != host_id(b.where):
        reasons.append("measured on different machines or software: the difference is theirs, too")
    known = x.known and y.known
    low, high = (math.exp(y.low - x.high), math.exp(y.high - x.low)) if known else (math.nan, math.nan)
    verdict = "not established"
    if not known:
        reasons.append("too few samples for an interval")
    elif low > floor:
        verdict = "worse"
    elif high < 1 / floor:
        verdict = "better"
    else:
        reasons.append(f"between separate runs of these a difference must exceed x{floor:.2f}")
    interval = {"estimate": ratio, "low": low if known else None, "high": high if known else None,
                "level": level, "n": min(x.n, y.n)}  # fmt: skip
    return {"ratio": interval, "p_value": None, "noise_floor_ratio": floor, "control_ratio": None,
            "verdict": verdict, "reasons": reasons}  # fmt: skip
