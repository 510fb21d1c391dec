"""What the records of the throughput study say."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skytrigger.hep.doublets.throughput_plan import BEFORE
from skytrigger.hep.doublets.throughput_visit import restored
from skytrigger.measure.records import Record
from skytrigger.measure.stats import percentiles

Triple = tuple[float, float, float]  # smallest, median, largest of the rounds


@dataclass(frozen=True)
class Row:
    """One cell over its rounds.

    Attributes
    ----------
    input_type, transfers, memory
        How the images come to the device (see `throughput_plan.Cell`).
    images
        Those of a visit that is not cut off.
    gain
        Images per second over those of one stream, round by round; None for one stream alone.
    whole_ms
        Milliseconds for all the images, from the first copy (without transfers: the first batch's start) to the last
        logits; None where a visit was cut off.
    latency_s
        Percentiles of the time of one batch in its stream, as far as the number of batches allows.
    """

    network: str
    runtime: str
    precision: str
    device: str
    input_type: str
    transfers: str
    memory: str
    batch_size: int
    streams: int
    threads: int
    images: int
    rounds: int
    images_per_s: Triple
    gain: Triple | None
    whole_ms: Triple | None
    latency_s: dict[str, float]
    auc: float
    auc_change: float | None

    def to_json(self) -> dict[str, Any]:
        """For JSON."""
        return dict(self.__dict__)


NAMES = (
    "network", "runtime", "precision", "device", "input_type", "transfers", "memory", "images", "batch_size", "streams",
)  # fmt: skip


def table(records: Sequence[Record]) -> list[Row]:
    """Rows in order of precision, the images' way to the device, batch size and streams."""
    visits: dict[tuple[Any, ...], dict[int, Record]] = defaultdict(dict)
    for record in records:
        what = {**BEFORE, **record.what}
        visits[tuple(what[name] for name in NAMES)][record.extra["round"]] = record
    rows = []
    for key in sorted(visits, key=lambda k: tuple(map(_sortable, k))):
        own, alone = visits[key], visits.get((*key[:-1], 1), {})
        named, last = dict(zip(NAMES, key, strict=True)), list(own.values())[-1]
        shared = [] if named["streams"] == 1 else sorted(own.keys() & alone.keys())
        whole = [r.samples["whole"] for r in own.values()]
        complete = all(w.items == named["images"] for w in whole)
        rows.append(
            Row(
                **named,
                threads=last.what["threads"],
                rounds=len(own),
                images_per_s=_triple([_rate(r) for r in own.values()]),
                gain=_triple([_rate(own[r]) / _rate(alone[r]) for r in shared]) if shared else None,
                whole_ms=_triple([1e3 * w.values[0] for w in whole]) if complete else None,
                latency_s=percentiles(np.concatenate([_calls(r) for r in own.values()]), (50, 95, 99)),
                auc=last.extra["auc"],
                auc_change=last.extra["auc_change"],
            )
        )
    return rows


def _rate(record: Record) -> float:
    whole = record.samples["whole"]
    return whole.items / whole.values[0]


def _calls(record: Record) -> NDArray[np.float64]:
    """Seconds of each batch; those that were thinned out have their quantiles' values."""
    kept = record.samples["call"].values
    return restored(kept, record.extra["calls"]) if record.extra.get("kept") == "quantiles" else np.array(kept)


def _sortable(value: object) -> tuple[int, float, str]:
    return (0, float(value), "") if isinstance(value, int) else (1, 0.0, str(value))


def _triple(values: list[float]) -> Triple:
    return float(np.min(values)), float(np.median(values)), float(np.max(values))


def markdown(rows: Sequence[Row]) -> str:
    """The table, a line per cell."""
    numbers = {row.images for row in rows}
    whole = f"ms for {min(numbers):,}" if len(numbers) == 1 else "ms for all"
    lines = [
        "| network | runtime | precision | tiles from | batch | streams x threads | images/s | range "
        f"| against 1 stream | {whole} | p50 ms | p95 ms | p99 ms | AUC change |",
        "|---|---|---|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|",
    ]
    for row in rows:
        low, middle, high = row.images_per_s
        gain = "" if row.gain is None else f"{row.gain[1]:.2f} ({row.gain[0]:.2f} to {row.gain[2]:.2f})"
        times = [f"{1e3 * row.latency_s[p]:.3g}" if p in row.latency_s else "-" for p in ("p50", "p95", "p99")]
        change = "-" if row.auc_change is None else f"{row.auc_change:+.4f}"
        cells = [row.network, row.runtime, row.precision, f"{row.memory}, {row.input_type}", str(row.batch_size)]
        cells += [f"{row.streams} x {row.threads}", f"{middle:,.0f}", f"{low:,.0f} to {high:,.0f}", gain]
        cells += ["-" if row.whole_ms is None else f"{row.whole_ms[1]:.4g}", *times, change]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"
