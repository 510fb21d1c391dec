"""Pictures of a card's page: CLUE's strategies, and time and joules an image over the batch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from skytrigger.measure.records import Record

COLOURS = {"copied in": "tab:blue", "kernels": "tab:red", "copied out": "tab:cyan"}


def pictures(records: dict[str, list[Record]], folder: Path) -> list[str]:
    """Draw what there are records for; the page's lines that show them."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    lines = []
    for name, title, draw in (("clue", "CLUE's strategies", _clue), ("batch", "Batch size", _batch)):
        if name in records:
            figure = draw(plt, records[name])
            if figure is None:
                continue
            figure.savefig(folder / f"{name}.png", dpi=120)
            plt.close(figure)
            lines += [f"![{title}]({name}.png)", ""]
    return lines


def _clue(plt: Any, records: list[Record]) -> Any:
    """Whole call against its parts on the device, an event a panel."""
    events = list(dict.fromkeys(r.what["network"] for r in records if r.kind == "latency"))
    if not events:
        return None
    columns = min(3, len(events))
    rows = -(-len(events) // columns)
    figure, axes = plt.subplots(rows, columns, figsize=(4 * columns, 2.5 * rows), squeeze=False, layout="constrained")
    for axis in axes.flat[len(events) :]:
        axis.axis("off")
    for axis, event in zip(axes.flat, events, strict=False):
        own = [r for r in records if r.kind == "latency" and r.what["network"] == event]
        named = [(f"GPU {r.what['strategy']}" if r.what["strategy"] else f"CPU x {r.what['threads']}", r) for r in own]
        named.sort(key=lambda pair: pair[0], reverse=True)
        for place, (_, record) in enumerate(named):
            whole = 1e3 * float(np.median(record.samples["call"].values))
            axis.barh(place, whole, color="0.85", label="whole call" if place == 0 else None)
            left = 0.0
            for phase, colour in COLOURS.items():
                if phase in record.samples:
                    width = 1e3 * float(np.median(record.samples[phase].values))
                    axis.barh(place, width, left=left, height=0.45, color=colour)
                    left += width
            axis.text(whole, place, f" {whole:.3g}", va="center", fontsize=8)
        axis.set_yticks(range(len(named)), [n for n, _ in named])
        axis.set_xscale("symlog", linthresh=1)
        axis.set_xlim(0, 4 * axis.get_xlim()[1])
        axis.set_title(event.removeprefix("clue "), loc="left", fontsize=10)
        axis.set_xlabel("ms (linear to 1)")
    handles = [plt.Rectangle((0, 0), 1, 1, color=c) for c in ("0.85", *COLOURS.values())]
    names = ["whole Python call", "copies in", "kernels", "copies out"]
    figure.legend(handles, names, loc="outside lower center", ncols=4, frameon=False, fontsize=8)
    return figure


def _batch(plt: Any, records: list[Record]) -> Any:
    """us an image in inference, images/s in training."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 3.8), layout="constrained")
    lines: dict[str, list[tuple[int, float]]] = {}
    for r in records:
        if r.what.get("scenario") == "burst":
            call = r.samples["call"]
            each = 1e6 * float(np.median(call.values)) / call.items
            lines.setdefault(f"{r.what['runtime']} {r.what['precision']}", []).append((r.what["batch_size"], each))
    _draw(left, lines, "us/image, tiles on the card")
    left.set_title("inference", loc="left")
    lines = {}
    for r in records:
        if r.kind == "training":
            rate = r.extra["images"] / r.samples["epoch"].values[0]
            lines.setdefault(r.what["precision"], []).append((r.what["batch_size"], rate))
    _draw(right, lines, "images/s")
    right.set_title("training", loc="left")
    return figure


def _draw(axis: Any, lines: dict[str, list[tuple[int, float]]], label: str) -> None:
    for name, points in lines.items():
        axis.plot(*zip(*sorted(points), strict=True), "o-", label=name)
    axis.set_xscale("log", base=2)
    axis.set_yscale("log")
    axis.set_xlabel("batch")
    axis.set_ylabel(label)
    axis.grid(alpha=0.3, which="both")
    axis.legend(fontsize=8, frameon=False)
