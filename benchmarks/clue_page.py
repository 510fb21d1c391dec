"""Tables and pictures of the page on CLUE from the records of `clue.py`.

    python benchmarks/clue_page.py results/clue

Replaces what stands between ``<!-- tables -->`` and ``<!-- end of tables -->`` in README.md, and draws scaling.png and
layer.png.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from skytrigger.core.files import atomic_path, read_json, write_text
from skytrigger.core.host import host_label
from skytrigger.hep.clue import cluster
from skytrigger.hep.clue.events import pu200_event
from skytrigger.hep.clue.pictures import layer_picture

BEGIN, END = "<!-- tables -->", "<!-- end of tables -->"


def times(found: dict[str, float]) -> str:
    """Milliseconds with their interval."""
    return f"{found['estimate']:.4g} ({found['low']:.4g} to {found['high']:.4g})"


def ratio(found: dict[str, Any] | None) -> str:
    """A ratio with its interval, where there is one."""
    if found is None:
        return ""
    if found["low"] is None:
        return f"{found['estimate']:.3g} (no interval)"
    return f"{found['estimate']:.3g} ({found['low']:.3g} to {found['high']:.3g})"


def compare_table(rows: dict[str, Any]) -> list[str]:
    """Everything that ran, a line each."""
    lines = ["| input | program | ms | times `cpu` | partition |", "|---|---|---:|---:|---|"]
    for name, row in rows.items():
        for arm, one in row["arms"].items():
            if arm != "control":
                title = f"{name} ({row['hits']:,} hits)" if arm == "cpu" else ""
                lines.append(
                    f"| {title} | {arm} | {times(one['ms'])} | {ratio(one.get('times_of_cpu'))} | {one['agreement']} |"
                )
            if "compiled_ms" in one:
                part = one["compiled_ms"], one["compiled_times_of_cpu"]
                lines.append(f"| | its compiled part alone | {times(part[0])} | {ratio(part[1])} | |")
    return lines


def mean_lines(found: dict[str, Any]) -> list[str]:
    """Geometric means against CLUEstering."""
    words = {"times_of_cpu": "whole call", "compiled_times_of_cpu": "its compiled part against our whole call"}
    lines = ["| CLUEstering's time / ours | rows | geometric mean | least |", "|---|---:|---:|---|"]
    for field, word in words.items():
        if field in found:
            one = found[field]
            mean = ratio({"estimate": one["geometric_mean"], "low": one["low"], "high": one["high"]})
            least = ", ".join(f"{v:.3g} ({k})" for k, v in one["least"].items())
            lines.append(f"| {word} | {one['rows']} | {mean} | {least} |")
    return lines


def scaling_table(found: dict[str, Any]) -> list[str]:
    """Time a hit."""
    lines = ["| hits | | ns a hit | of that at 1e5 |", "|---:|---|---:|---:|"]
    for name, one in found.items():
        what = name if name.startswith("one event") else f"{one['hits'] // 100_000} events of 100,000"
        lines.append(f"| {one['hits']:,} | {what} | {times(one['ns_per_hit'])} | {ratio(one['per_hit_of_1e5'])} |")
    return lines


def scaling_picture(path: Path, found: dict[str, Any], title: str) -> None:
    """Nanoseconds a hit against hits: at constant occupancy, and of one event that grows."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot(xscale="log", xlabel="hits of a call", ylabel="ns a hit", title=title)
    for label, single in (("more events of 100,000 hits", False), ("one event, more hits on its 96 layers", True)):
        ones = [one for name, one in found.items() if name.startswith("one event") == single]
        middle = [one["ns_per_hit"]["estimate"] for one in ones]
        low = [m - one["ns_per_hit"]["low"] for m, one in zip(middle, ones, strict=True)]
        high = [one["ns_per_hit"]["high"] - m for m, one in zip(middle, ones, strict=True)]
        axes.errorbar([one["hits"] for one in ones], middle, [low, high], marker="o", capsize=3, label=label)
    axes.set_ylim(bottom=0)
    axes.grid(alpha=0.3)
    axes.legend()
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format="png", dpi=130)


def event_picture(path: Path) -> None:
    """The fullest layer of a synthetic event."""
    hits = pu200_event(100_000)
    found = cluster(hits.x, hits.y, hits.layer, hits.weight, dc=1.3, rhoc=4.0, outlier_distance=2.6)
    layer_picture(path, hits, found)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, nargs="?", default=Path("results/clue"))
    folder = parser.parse_args().folder
    compare, scaling, memory = (read_json(folder / f"{name}.json") for name in ("compare", "scaling", "memory"))
    copy, label = memory["memory"], host_label(compare["host"])
    lines = [
        BEGIN, f"Host: {label}; {compare['blocks']} blocks, every program twice in each; 95 % intervals.", "",
        *mean_lines(compare["compare"]["against_cluestering"]), "",
        *compare_table(compare["compare"]["rows"]), "",
        *scaling_table(scaling["scaling"]), "",
        f"Copying 33 bytes a hit, the least that 300,000 hits take (16 read, 17 written): {times(copy['copy_ms'])} ms; "
        f"clustering them: {times(copy['ms'])} ms, {ratio(copy['times_of_copy'])} times that.", END,
    ]  # fmt: skip
    page = folder / "README.md"
    before, _, rest = page.read_text().partition(BEGIN)
    write_text(page, before + "\n".join(lines) + rest.partition(END)[2])
    scaling_picture(folder / "scaling.png", scaling["scaling"], f"CLUE, backend cpu, one thread: {label}")
    event_picture(folder / "layer.png")


if __name__ == "__main__":
    main()
