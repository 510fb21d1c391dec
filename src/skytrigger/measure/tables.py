"""Records as rows: Markdown to read, CSV to work on. Every figure with its sample count and interval."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from typing import Any

from skytrigger.core.host import host_id, host_label
from skytrigger.measure.records import Record
from skytrigger.measure.stats import Interval
from skytrigger.measure.summary import energy_summary, roofline_of, time_summary

KEYS = (
    "network",
    "runtime",
    "precision",
    "batch_size",
    "threads",
    "streams",
    "device",
    "input_type",
    "stored",
    "scenario",
)
HEAD = (
    "network", "runtime", "precision", "batch", "threads", "what", "ms/image (95 % interval)", "images/s",
    "of ceiling", "tail", "energy", "n",
)  # fmt: skip
SERIES = {"frame-rate": ("response",), "stages": None, "cold-start": None}


def rows(records: Sequence[Record]) -> list[dict[str, Any]]:
    """One flat dict for each record and series, plain enough for JSON and CSV; control arms are left out."""
    flattened = []
    for record in records:
        if record.kind in ("control", "ceilings"):
            continue
        names = SERIES.get(record.kind, ("call",))
        for series in names if names is not None else tuple(record.samples):
            summary = time_summary(record, series)
            if summary is None:
                continue
            row = {"kind": record.kind, "series": series, **{k: record.what.get(k) for k in KEYS}}
            row |= _figures("ms_per_item", summary.ms_per_item)
            row |= _figures("items_per_s", summary.items_per_s)
            row |= {f"{name}_ms": value * 1e3 for name, value in summary.percentiles_s.items()}
            row["n"] = summary.call_s.n
            for name in ("frames", "missed", "dropped", "rate_hz", "deadline_s"):
                if name in record.extra:
                    row[name] = record.extra[name]
            row |= {"energy": record.energy["label"], "energy_source": record.energy.get("source")}
            if (point := roofline_of(record, records)) is not None and series == "call":
                row |= {"fraction_of_ceiling": point.fraction, "bound": point.bound}
            if (energy := energy_summary(record)) is not None:
                row |= {"joules_per_item_gross": energy.gross_j, "joules_per_item_net": energy.net_j}
            row |= {"host": host_label(record.where), "host_id": host_id(record.where), "when": record.when}
            flattened.append(row)
    return flattened


def _figures(name: str, interval: Interval) -> dict[str, float | None]:
    low, high = (interval.low, interval.high) if interval.known else (None, None)
    return {name: interval.estimate, f"{name}_low": low, f"{name}_high": high}


def to_csv(records: Sequence[Record]) -> str:
    """CSV with a header; columns that only some kinds have are empty elsewhere."""
    table = rows(records)
    names = list(dict.fromkeys(name for row in table for name in row))
    text = io.StringIO()
    writer = csv.DictWriter(text, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows(table)
    return text.getvalue()


def markdown(records: Sequence[Record]) -> str:
    """A Markdown table: what ran, ms per image with its 95 % interval, images/s, tail, energy, samples."""
    lines = [
        "| " + " | ".join(HEAD) + " |",
        "|---|---|---|---:|---:|---|---:|---:|---|---|---|---:|",
    ]
    for row in rows(records):
        streams = f" x{row['streams']}" if (row["streams"] or 1) > 1 else ""
        what = row["scenario"] or row["kind"]
        if row["series"] not in ("call", "response"):
            what = f"{what}: {row['series']}"
        if "missed" in row:
            what += f" {row['rate_hz']:g} Hz, missed {row['missed']} of {row['frames']}"
        ceiling = f"{row['fraction_of_ceiling']:.0%} ({row['bound']})" if "bound" in row else ""
        tail = ", ".join(f"{p[:-3]} {row[p]:.3g} ms" for p in row if p.startswith("p9") and p.endswith("_ms"))
        energy = row["energy"]
        if "joules_per_item_gross" in row:
            energy = f"{row['joules_per_item_gross'] * 1e3:.3g} mJ/image ({energy}, {row['energy_source']})"
        kind = row["input_type"] or "float32"
        precision = row["precision"] if kind == "float32" else f"{row['precision']}, {kind} tiles"
        precision += f", from {row['stored']}" if row["stored"] else ""
        cells = [row["network"], row["runtime"], precision, row["batch_size"], f"{row['threads']}{streams}"]
        cells += [
            what,
            _with_interval(row, "ms_per_item"),
            f"{row['items_per_s']:.4g}",
            ceiling,
            tail,
            energy,
            row["n"],
        ]
        lines.append("| " + " | ".join(map(str, cells)) + " |")
    return "\n".join(lines)


def _with_interval(row: dict[str, Any], name: str) -> str:
    if row[f"{name}_low"] is None:
        return f"{row[name]:.4g} (too few samples)"
    return f"{row[name]:.4g} ({row[f'{name}_low']:.4g} to {row[f'{name}_high']:.4g})"
