"""Tables and picture of `benchmarks/gpu_networks.py`'s records: ``python benchmarks/gpu_page.py results/gpu``.

Ratios are taken round by round, each engine against PyTorch eager in float32 of the same network.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np

from skytrigger.core.files import write_text
from skytrigger.core.host import host_label
from skytrigger.measure.records import Record, read
from skytrigger.measure.roofline import Ceilings


def us(record: Record) -> np.ndarray:
    """Microseconds an image, a value a round."""
    call = record.samples["call"]
    return np.array(call.values) / call.items * 1e6


def spread(values: np.ndarray, digits: str = ".3g") -> str:
    """Median with the extremes of the rounds."""
    return f"{np.median(values):{digits}} ({values.min():{digits}} to {values.max():{digits}})"


def name(what: dict[str, Any]) -> str:
    """Runtime, precision, and the type of the tiles where it is not float32."""
    kind = "" if what["input_type"] == "float32" else f", {what['input_type']} tiles"
    return f"{what['runtime']} {what['precision']}{kind}"


def resident_table(records: list[Record]) -> list[str]:
    """Device-resident times, one and two streams, with ratios and joules."""
    lines = ["| network | engine | batch | us/image, 1 stream | 2 streams | times PyTorch eager fp32 "
             "| mJ/image |",
             "|---|---|--:|--:|--:|--:|---|"]  # fmt: skip
    cells = {_key(r): r for r in records if r.what["scenario"] == "device-resident"}
    joules = {_key(r): r.extra["energy"] for r in records if r.what["scenario"] == "device-resident energy"}
    alone = [k for k in cells if k[-1] == 1]
    for key in sorted(alone, key=lambda k: (k[0], k[1], -np.median(us(cells[k])))):
        eager = us(cells[key[0], key[1], "torch", "fp32", "float32", 1])
        own, two = us(cells[key]), cells.get((*key[:-1], 2))
        energy = joules.get(key)
        figures = [spread(own), "" if two is None else spread(us(two)), spread(eager / own)]
        doubt = "" if energy is None or not energy["flags"] else " (" + "; ".join(energy["flags"]) + ")"
        figures.append("" if energy is None else f"{1e3 * energy['joules'] / energy['images']:.2g}{doubt}")
        lines.append(f"| {key[0]} | {name(cells[key].what)} | {key[1]} | " + " | ".join(figures) + " |")
    return lines


def transfer_table(records: list[Record]) -> list[str]:
    """Times from the host's memory and back over streams."""
    lines = ["| engine | memory | " + " | ".join(f"{s} stream{'s' * (s > 1)}" for s in (1, 2, 4, 8)) + " |",
             "|---|---|--:|--:|--:|--:|"]  # fmt: skip
    rows: dict[tuple[str, str], dict[int, np.ndarray]] = {}
    for record in records:
        if record.what["scenario"] == "transfers":
            rows.setdefault((name(record.what), record.extra["memory"]), {})[record.what["streams"]] = us(record)
    for (engine, memory), times in sorted(rows.items()):
        cells = [spread(times[s]) if s in times else "" for s in (1, 2, 4, 8)]
        lines.append(f"| {engine} | {memory} | " + " | ".join(cells) + " |")
    return lines


def _key(record: Record) -> tuple[Any, ...]:
    what = record.what
    names = ("network", "batch_size", "runtime", "precision", "input_type", "streams")
    return tuple(what[n] for n in names)


def picture(records: list[Record], out: Path) -> None:
    """Device-resident bars, and transfers over streams."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4.2), width_ratios=(1.15, 1))
    alone = [r for r in records if r.what["scenario"] == "device-resident" and r.what["streams"] == 1]
    alone = [r for r in alone if r.what["network"] == "basic"]
    alone.sort(key=lambda r: np.median(us(r)))
    for place, record in enumerate(alone):
        values = us(record)
        colour = "tab:red" if record.what["runtime"] == "hopper" else "tab:blue"
        left.barh(place, np.median(values), color=colour)
        left.text(np.median(values) * 1.03, place, f"{np.median(values):.2f}", va="center", fontsize=9)
    left.set_yticks(range(len(alone)), [name(r.what) for r in alone])
    left.set_xscale("log")
    left.set_xlim(0.3, 40)
    left.set_xlabel("us/image, tiles on the GPU, batch 1,024")
    left.set_title("basic, 13 bands", loc="left")
    lines: dict[str, list[tuple[int, float]]] = {}
    for record in records:
        if record.what["scenario"] == "transfers":
            label = f"{name(record.what)}, {record.extra['memory']}"
            lines.setdefault(label, []).append((record.what["streams"], float(np.median(us(record)))))
    for label, points in sorted(lines.items()):
        points.sort()
        right.plot(*zip(*points, strict=True), "o-" if "page-locked" in label else "o:", label=label)
    right.set_yscale("log")
    right.set_xticks((1, 2, 4, 8))
    right.set_xlabel("streams")
    right.set_ylabel("us/image, host to host")
    right.legend(fontsize=7, loc="upper center", bbox_to_anchor=(0.5, -0.16), ncols=2, frameon=False)
    right.grid(alpha=0.3, which="both")
    figure.tight_layout()
    figure.savefig(out, dpi=130)
    plt.close(figure)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    records = read(folder / "networks.jsonl")
    ceilings = Ceilings.of(next(r for r in records if r.kind == "ceilings"))
    rates = ", ".join(f"{p} {ceilings.product(p)[0] / 1e12:.0f}" for p in ("fp32", "tf32", "fp16", "bf16"))
    text = [host_label(records[0].where), ""]
    text += [f"Ceilings measured in the same run: {rates} TFLOP/s (8192 x 8192 x 8192), copy "
             f"{ceilings.bytes_per_s / 1e12:.2f} TB/s.", ""]  # fmt: skip
    records = [r for r in records if r.kind != "ceilings"]
    text += ["Tiles on the GPU (medians and extremes of the rounds):", "", *resident_table(records), ""]
    text += ["`basic` from the host's memory and back, batch 1,024, us/image:", "", *transfer_table(records)]
    write_text(folder / "tables.md", "\n".join(text) + "\n")
    picture(records, folder / "networks.png")


if __name__ == "__main__":
    main()
