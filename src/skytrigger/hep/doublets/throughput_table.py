"""What the records of the throughput study say."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from skytrigger.measure.records import Record
from skytrigger.measure.stats import percentiles

Triple = tuple[float, float, float]  # smallest, median, largest of the rounds


@dataclass(frozen=True)
class Row:
    """One cell over its rounds.

    `gain` is its images per second over those of one stream, round by round; None for one stream alone.
    `latency_s` are percentiles of the time of one batch in its stream, as far as their number allows.
    """

    network: str
    runtime: str
    precision: str
    device: str
    batch_size: int
    streams: int
    threads: int
    rounds: int
    images_per_s: Triple
    gain: Triple | None
    latency_s: dict[str, float]
    auc: float
    auc_change: float | None

    def to_json(self) -> dict[str, Any]:
        """For JSON."""
        return dict(self.__dict__)


def table(records: Sequence[Record]) -> list[Row]:
    """Rows in order of precision, batch size and streams."""
    rates: dict[tuple[Any, ...], dict[int, float]] = defaultdict(dict)
    calls: dict[tuple[Any, ...], list[float]] = defaultdict(list)
    last: dict[tuple[Any, ...], Record] = {}
    for record in records:
        key = tuple(record.what[k] for k in ("network", "runtime", "precision", "device", "batch_size", "streams"))
        whole = record.samples["whole"]
        rates[key][record.extra["round"]] = whole.items / whole.values[0]
        calls[key] += record.samples["call"].values
        last[key] = record
    rows = []
    for key in sorted(rates, key=lambda k: tuple(map(_sortable, k))):
        own, alone = rates[key], rates.get((*key[:-1], 1), {})
        shared = sorted(own.keys() & alone.keys())
        gain = None if key[-1] == 1 or not shared else _triple([own[r] / alone[r] for r in shared])
        what, extra = last[key].what, last[key].extra
        latency = percentiles(calls[key], (50, 95, 99))
        own_rates = _triple(list(own.values()))
        network, runtime, precision, device, batch_size, streams = key
        cell = (network, runtime, precision, device, batch_size, streams, what["threads"], len(own))
        rows.append(Row(*cell, own_rates, gain, latency, extra["auc"], extra["auc_change"]))
    return rows


def _sortable(value: object) -> tuple[int, float, str]:
    return (0, float(value), "") if isinstance(value, int) else (1, 0.0, str(value))


def _triple(values: list[float]) -> Triple:
    return float(np.min(values)), float(np.median(values)), float(np.max(values))


def markdown(rows: Sequence[Row]) -> str:
    """The table, a line per cell."""
    lines = [
        "| network | runtime | precision | batch | streams x threads | images/s | range | against 1 stream "
        "| p50 ms | p95 ms | p99 ms | AUC change |",
        "|---|---|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|",
    ]
    for row in rows:
        low, middle, high = row.images_per_s
        gain = "" if row.gain is None else f"{row.gain[1]:.2f} ({row.gain[0]:.2f} to {row.gain[2]:.2f})"
        times = [f"{1e3 * row.latency_s[p]:.3g}" if p in row.latency_s else "-" for p in ("p50", "p95", "p99")]
        change = "-" if row.auc_change is None else f"{row.auc_change:+.4f}"
        cells = [row.network, row.runtime, row.precision, str(row.batch_size), f"{row.streams} x {row.threads}"]
        cells += [f"{middle:,.0f}", f"{low:,.0f} to {high:,.0f}", gain, *times, change]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"
