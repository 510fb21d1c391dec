"""Tables and pictures of the page on CLUE from the records of `clue_speed.py`.

    python benchmarks/clue_page.py results/clue                  # of the folder itself
    python benchmarks/clue_page.py results/clue --run shared     # of its folder `shared`

Replaces what stands between ``<!-- tables -->`` and ``<!-- end of tables -->`` in README.md (``<!-- shared -->`` and
``<!-- end of shared -->`` for that run), and draws scaling.png in the run's folder.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np

from skytrigger.core.files import atomic_path, read_json, write_text
from skytrigger.core.host import host_label
from skytrigger.hep.clue import cluster
from skytrigger.hep.clue.events import pu200_event
from skytrigger.hep.clue.pictures import layer_picture


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
    lines = [
        "| input | program | ms | CPU ms | times `cpu` | by CPU time | partition |",
        "|---|---|---:|---:|---:|---:|---|",
    ]
    for name, row in rows.items():
        for arm, one in row["arms"].items():
            if arm != "control":
                title = f"{name} ({row['hits']:,} hits)" if arm == "cpu" else ""
                alone = not (arm.startswith("cpu-") or "at once" in arm)  # threads' CPU times add up
                by_cpu = ratio(one.get("times_of_cpu_by_cpu_time")) if alone else ""
                ratios = f"{ratio(one.get('times_of_cpu'))} | {by_cpu}"
                taken = f"{times(one['ms'])} | {one['median_cpu_ms']:.4g}"
                lines.append(f"| {title} | {arm} | {taken} | {ratios} | {one['agreement']} |")
            if "compiled_ms" in one:
                part = one["compiled_ms"], one["compiled_times_of_cpu"]
                lines.append(f"| | its compiled part alone | {times(part[0])} | | {ratio(part[1])} | | |")
    return lines


GOALS = (("outlier distance 2 dc", 1.15, "the time with dc"), ("no workspace", 1.1, "the time with a workspace"))


def goal_lines(rows: dict[str, Any], crowded: dict[str, Any]) -> list[str]:
    """Ratios of CPU time that have a limit, and the k-d tree's."""
    lines = ["| | at most | most, by CPU time | all rows |", "|---|---:|---:|---|"]
    for arm, limit, than in (*GOALS, ("kdtree", None, "the time of `cpu`")):
        found = {n: r["arms"][arm]["times_of_cpu_by_cpu_time"] for n, r in rows.items() if arm in r["arms"]}
        if not found:
            continue
        worst = max(found, key=lambda n: found[n]["estimate"])
        every = ", ".join(f"{n} {one['estimate']:.3g}" for n, one in found.items())
        lines.append(f"| {arm} / {than} | {limit or ''} | {ratio(found[worst])} ({worst}) | {every} |")
    wide = [one for one in crowded.values() if one["outlier_factor"] > 1]
    if wide:
        ratios = [one["times_of_dc_by_cpu_time"] for one in wide]
        worst = int(np.argmax([r["estimate"] for r in ratios]))
        which = f"{wide[worst]['neighbours']:.1f} neighbours, {wide[worst]['hits']:,} hits"
        every = ", ".join(f"{r['estimate']:.3g}" for r in ratios)
        lines.append(f"| the first by occupancy (below) | 1.15 | {ratio(ratios[worst])} ({which}) | {every} |")
    return lines if len(lines) > 2 else []


def mean_lines(found: dict[str, Any]) -> list[str]:
    """Geometric means against CLUEstering."""
    words = {"times_of_cpu": "whole call", "compiled_times_of_cpu": "its compiled part against our whole call"}
    lines = ["| CLUEstering's time / ours | rows | geometric mean | least |", "|---|---:|---:|---|"]
    if not found:
        return []
    for field, word in words.items():
        if field in found:
            one = found[field]
            mean = ratio({"estimate": one["geometric_mean"], "low": one["low"], "high": one["high"]})
            least = ", ".join(f"{v:.3g} ({k})" for k, v in one["least"].items())
            lines.append(f"| {word} | {one['rows']} | {mean} | {least} |")
    return lines


def scaling_table(found: dict[str, Any]) -> list[str]:
    """Time a hit."""
    lines = ["| hits | | ns a hit | of that at 1e5 | CPU ns a hit |", "|---:|---|---:|---:|---:|"]
    for name, one in found.items():
        what = name if name.startswith("one event") else f"{one['hits'] // 100_000} events of 100,000"
        lines.append(
            f"| {one['hits']:,} | {what} | {times(one['ns_per_hit'])} | {ratio(one['per_hit_of_1e5'])} "
            f"| {one['cpu_ns_per_hit']:.4g} |"
        )
    return lines


def occupancy_table(found: dict[str, Any]) -> list[str]:
    """Time a hit and a pair against neighbours a hit."""
    lines = [
        "| hits | neighbours a hit | outlier distance | CPU ns a hit | CPU ns a pair | CPU time / that with dc |",
        "|---:|---:|---|---:|---:|---:|",
    ]
    for one in found.values():
        wide = ratio(one["times_of_dc_by_cpu_time"]) if one["outlier_factor"] > 1 else ""
        pair = f"{times(one['cpu_ns_per_hit'])} | {times(one['cpu_ns_per_pair'])}"
        lines.append(f"| {one['hits']:,} | {one['neighbours']:.1f} | {one['outlier_factor']} dc | {pair} | {wide} |")
    return lines


def _curve(axes: Any, across: list[float], ones: list[dict[str, float]], label: str) -> None:
    """Estimates with their intervals."""
    middle = [one["estimate"] for one in ones]
    low = [m - one["low"] for m, one in zip(middle, ones, strict=True)]
    high = [one["high"] - m for m, one in zip(middle, ones, strict=True)]
    axes.errorbar(across, middle, [low, high], marker="o", capsize=3, label=label)


def scaling_picture(path: Path, found: dict[str, Any], crowded: dict[str, Any], title: str) -> None:
    """CPU time a hit against hits, and against neighbours a hit, with that a pair."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(13 if crowded else 7, 4), layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(title)
    axes, *others = figure.subplots(1, 3 if crowded else 1, squeeze=False)[0]
    axes.set(xscale="log", xlabel="hits of a call", ylabel="CPU ns a hit")
    for label, single in (("more events of 100,000 hits", False), ("one event, more hits on its 96 layers", True)):
        ones = [one for name, one in found.items() if name.startswith("one event") == single]
        axes.plot([one["hits"] for one in ones], [one["cpu_ns_per_hit"] for one in ones], marker="o", label=label)
    for place, unit in zip(others, ("hit", "pair"), strict=False):
        place.set(xlabel="neighbours a hit", ylabel=f"CPU ns a {unit}")
        for hits in sorted({one["hits"] for one in crowded.values()}):
            for factor in (1, 2):
                ones = [o for o in crowded.values() if o["hits"] == hits and o["outlier_factor"] == factor]
                label = f"{hits:,} hits, outlier distance {factor} dc"
                _curve(place, [o["neighbours"] for o in ones], [o[f"cpu_ns_per_{unit}"] for o in ones], label)
    for place in (axes, *others):
        place.set_ylim(bottom=0)
        place.grid(alpha=0.3)
        place.legend(fontsize="small")
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format="png", dpi=130)


def event_picture(path: Path) -> None:
    """The fullest layer of a synthetic event."""
    hits = pu200_event(100_000)
    found = cluster(hits.x, hits.y, hits.layer, hits.weight, dc=1.3, rhoc=4.0, outlier_distance=2.6)
    layer_picture(path, hits, found)


def _occupancy(run: Path) -> dict[str, Any]:
    """The run by occupancy, where there is one."""
    return read_json(run / "occupancy.json")["occupancy"] if (run / "occupancy.json").is_file() else {}


def table_lines(folder: Path, name: str = "") -> list[str]:
    """All tables of the run in the folder, or in its folder `name`, between their marks."""
    run, mark = folder / name, name or "tables"
    compare, scaling, memory = (read_json(run / f"{part}.json") for part in ("compare", "scaling", "memory"))
    crowded = _occupancy(run)
    copy, label = memory["memory"], host_label(compare["host"])
    return [
        f"<!-- {mark} -->",
        f"Host: {label}; {compare['blocks']} blocks, every program twice in each; 95 % intervals.", "",
        *goal_lines(compare["compare"]["rows"], crowded), "",
        *mean_lines(compare["compare"]["against_cluestering"]), "",
        *compare_table(compare["compare"]["rows"]), "",
        *(occupancy_table(crowded) if crowded else []), "",
        *scaling_table(scaling["scaling"]), "",
        f"Copying 33 bytes a hit, the least that 300,000 hits take (16 read, 17 written): {times(copy['copy_ms'])} ms; "
        f"clustering them: {times(copy['ms'])} ms, {ratio(copy['times_of_copy'])} times that.",
        f"<!-- end of {mark} -->",
    ]  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, nargs="?", default=Path("results/clue"))
    parser.add_argument("--run", default="", help="folder of a run below it")
    args = parser.parse_args()
    folder: Path = args.folder
    lines = table_lines(folder, args.run)
    begin, end = lines[0], lines[-1]
    page = folder / "README.md"
    before, _, rest = page.read_text().partition(begin)
    write_text(page, before + "\n".join(lines) + rest.partition(end)[2])
    run = folder / args.run
    title = f"CLUE, backend cpu, one thread: {host_label(read_json(run / 'compare.json')['host'])}"
    scaling_picture(run / "scaling.png", read_json(run / "scaling.json")["scaling"], _occupancy(run), title)
    if not args.run:
        event_picture(folder / "layer.png")


if __name__ == "__main__":
    main()
