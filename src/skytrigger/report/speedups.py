"""Timing records, and each engine's speed-up over the framework as a paired ratio within one run."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from skytrigger.bench.compare_times import LEVEL, TIMED, compare_times
from skytrigger.core.errors import InputError
from skytrigger.core.host import host_id
from skytrigger.measure.accuracy import holm
from skytrigger.measure.records import Record
from skytrigger.measure.roofline import RooflinePoint
from skytrigger.measure.stats import Interval
from skytrigger.measure.summary import TimeSummary, roofline_of, time_summary
from skytrigger.report.content import interval_of
from skytrigger.report.palette import tone_of
from skytrigger.runtimes.registry import FRAMEWORK

# the framework as a user gets it: what every engine is set against
REFERENCE = (FRAMEWORK, "fp32")


@dataclass(frozen=True)
class Timing:
    """A timing record with what follows from it. `speedup` is the framework's time over this one's, paired."""

    record: Record
    summary: TimeSummary
    ceiling: RooflinePoint | None = None
    speedup: Interval | None = None
    verdict: str = ""
    reasons: tuple[str, ...] = ()

    @property
    def network(self) -> str:
        return str(self.record.what.get("network"))

    @property
    def engine(self) -> str:
        """Runtime and precision, with the number of streams where there are several."""
        what = self.record.what
        streams = f" x{what['streams']}" if (what.get("streams") or 1) > 1 else ""
        kind = what.get("input_type") or "float32"
        tiles = "" if kind == "float32" else f", {kind} tiles"
        return f"{what.get('runtime')} {what.get('precision')}{streams}{tiles}"

    @property
    def tone(self) -> str:
        """Its colour: one for each runtime."""
        return tone_of(self.record.what.get("runtime"))

    @property
    def setting(self) -> tuple[int, str]:
        """What timings must share to stand in one table: batch size and device."""
        return int(self.record.what.get("batch_size") or 1), str(self.record.what.get("device"))

    @property
    def host(self) -> str:
        return host_id(self.record.where)


def timings(records: Sequence[Record]) -> list[Timing]:
    """Every latency and throughput record, with its speed-up where its run holds the framework too.

    Raises
    ------
    InputError
        A record whose free parts (`extra`, `conditions`) are not what `bench` writes.
    """
    try:
        return _timings(records)
    except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
        raise InputError(
            f"a timing record is malformed: {error!r}", remedy="measure again with skytrigger bench"
        ) from error


def _timings(records: Sequence[Record]) -> list[Timing]:
    found = []
    for record in records:
        summary = time_summary(record) if record.kind in TIMED else None
        if summary is not None:
            found.append(Timing(record, summary, roofline_of(record, records)))
    families: dict[tuple[Any, ...], list[int]] = {}
    for i, t in enumerate(found):
        what = t.record.what
        same = (t.record.extra.get("run"), t.host, what.get("network"), what.get("batch_size"), what.get("threads"))
        families.setdefault((*same, what.get("device"), what.get("streams")), []).append(i)
    for key, members in families.items():
        base = next((found[i] for i in members if is_framework(found[i].record)), None)
        if key[0] is None or base is None:
            continue
        others = [i for i in members if found[i] is not base]
        for i, timing in zip(others, _against(base, [found[i] for i in others]), strict=True):
            found[i] = timing
    return found


def is_framework(record: Record) -> bool:
    return (record.what.get("runtime"), record.what.get("precision")) == REFERENCE


def _against(base: Timing, others: Sequence[Timing]) -> list[Timing]:
    """Speed-ups of one run's engines over its framework, each judged for itself.

    With few blocks the sign-flip test cannot fall below about 0.01 (10 blocks), so a correction for five engines would
    leave a threefold speed-up to chance; Holm's p is told where it exceeds the level instead.
    """
    cells: list[dict[str, Any]] = []
    for other in others:
        try:
            cells.append(compare_times([base.record], [other.record])["cells"][0])
        except InputError as error:
            cells.append({"paired": False, "reasons": [str(error)]})
    tested = [c for c in cells if c["paired"] and c["p_value"] is not None]
    if tested:
        for cell, p in zip(tested, holm(np.array([c["p_value"] for c in tested])), strict=True):
            if cell["verdict"] != "not established" and p > 1 - LEVEL:
                cell["reasons"] = [*cell["reasons"], f"p = {p:.3f} after Holm for {len(tested)} engines"]
    done = []
    for other, cell in zip(others, cells, strict=True):
        if not cell["paired"]:
            done.append(other)
            continue
        verdict = {"better": "faster", "worse": "slower"}.get(cell["verdict"], cell["verdict"])
        reasons = (*cell["reasons"], *cell.get("notes", []))
        done.append(replace(other, speedup=inverse(interval_of(cell["ratio"])), verdict=verdict, reasons=reasons))
    return done


def inverse(ratio: Interval) -> Interval:
    """1 / ratio."""
    low, high = (1 / ratio.high, 1 / ratio.low) if ratio.known else (math.nan, math.nan)
    return Interval(1 / ratio.estimate, low, high, ratio.level, ratio.n)
