"""Pictures of the doublet filter."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from skytrigger.core.files import atomic_path
from skytrigger.core.host import host_label
from skytrigger.hep.doublets.throughput_table import Row, table
from skytrigger.measure.records import Record


def roc_png(found: Mapping[str, Any], out: str | Path) -> None:
    """Fake rejection against efficiency, filter and baseline, with the working points' intervals; and calibration."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 4.5), layout="constrained")
    axes, reliability = figure.subplots(1, 2)
    rows = {"filter": found}
    if found["baseline"]:
        rows[found["baseline"]["name"]] = found["baseline"]
    for number, (name, row) in enumerate(rows.items()):
        colour = f"C{number}"
        low, high = row["intervals_95"]["auc"]
        label = f"{name}: AUC {row['auc']:.3f} ({low:.3f} to {high:.3f})"
        axes.plot(row["roc"]["efficiency"], row["roc"]["rejection"], color=colour, label=label)
        for point in row["working_points"]:
            axes.plot([point["efficiency"]] * 2, point["interval_95"], color=colour, alpha=0.6, linewidth=3)
        bins = row["calibration"]["bins"]
        reliability.plot([b["probability"] for b in bins], [b["true_share"] for b in bins], "o-", color=colour)
    axes.plot([0, 1], [1, 0], ":", color="grey", label="guessing")
    axes.set(xlabel="efficiency (true pairs kept)", ylabel="rejection (fakes removed)")
    axes.legend(fontsize=8)
    reliability.plot([0, 1], [0, 1], ":", color="grey")
    reliability.set(xlabel="probability of a true pair, as told", ylabel="share of true pairs")
    kind = "synthetic doublets" if found["data"].get("kind") == "synthetic" else "doublets"
    figure.suptitle(f"{found['n']} {kind} ({found['part']}), 95 % intervals", fontsize=10)
    with atomic_path(out) as temporary:
        figure.savefig(temporary, format="png", dpi=120)


def throughput_png(records: Sequence[Record], out: str | Path) -> None:
    """Images per second over the batch size, a line per number of streams; below, each against one stream.

    A column per network, runtime and precision; where there are several ways to the device a column per way, and a
    pair of rows per network, runtime and precision.
    """
    from matplotlib.figure import Figure

    rows = table(records)
    kinds = sorted({_kind(r) for r in rows})
    ways = sorted({(r.transfers, r.memory) for r in rows}, key=list(WAYS).index)
    turned = len(ways) > 1
    pairs, columns = (len(kinds), len(ways)) if turned else (1, len(kinds))
    figure = Figure(figsize=(max(4.6 * columns, 5.5), 2.5 + 4.5 * pairs), layout="constrained")
    panels = figure.subplots(2 * pairs, columns, squeeze=False, sharex="col", sharey="row")
    colours = {streams: f"C{number}" for number, streams in enumerate(sorted({r.streams for r in rows}))}
    for i, kind in enumerate(kinds):
        network, runtime, precision, device, input_type = kind
        title = f"{network} {runtime} {precision}"
        if (device, input_type) != ("cpu", "float32"):
            title += f" on {device}, {input_type} tiles"
        for j, way in enumerate(ways):
            pair, column = (i, j) if turned else (0, i)
            mine = [r for r in rows if _kind(r) == kind and (r.transfers, r.memory) == way]
            panels[2 * pair, column].set_title(f"{title}\n{WAYS[way]}" if turned else title, fontsize=9)
            _rates(panels[2 * pair, column], panels[2 * pair + 1, column], mine, colours)
            panels[-1, column].set_xlabel("batch size")
    for pair in range(pairs):
        panels[2 * pair, 0].set_ylabel("images per second")
        panels[2 * pair + 1, 0].set_ylabel("against one stream")
    entries = {
        text: handle for axes in panels.flat for handle, text in zip(*axes.get_legend_handles_labels(), strict=True)
    }
    words = sorted(entries, key=int)
    panels[0, 0].legend([entries[w] for w in words], words, fontsize=8, title="streams")
    line = "\n" if columns == 1 else ": "
    figure.suptitle(f"{host_label(records[0].where)}{line}medians and extremes of the rounds", fontsize=10)
    with atomic_path(out) as temporary:
        figure.savefig(temporary, format="png", dpi=120)


WAYS = {
    ("with", "pageable"): "from pageable memory",
    ("with", "page-locked"): "from page-locked memory",
    ("without", "device"): "without transfers",
}


def _kind(row: Row) -> tuple[str, ...]:
    return row.network, row.runtime, row.precision, row.device, row.input_type


def _rates(upper: Any, lower: Any, rows: Sequence[Row], colours: dict[int, str]) -> None:
    for streams in sorted({r.streams for r in rows}):
        mine = sorted((r for r in rows if r.streams == streams), key=lambda r: r.batch_size)
        batch = [r.batch_size for r in mine]
        for axes, triples in ((upper, [r.images_per_s for r in mine]), (lower, [r.gain for r in mine])):
            known = [(b, t) for b, t in zip(batch, triples, strict=True) if t is not None]
            if not known:
                continue
            x, values = [b for b, _ in known], np.array([t for _, t in known])
            spread = [values[:, 1] - values[:, 0], values[:, 2] - values[:, 1]]
            axes.errorbar(x, values[:, 1], yerr=spread, fmt="o-", color=colours[streams], label=str(streams), capsize=2)
    upper.set_xscale("log")
    upper.set_yscale("log")
    lower.axhline(1, color="grey", linestyle=":")
