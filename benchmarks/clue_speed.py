"""CLUE backends against each other and, where they are installed, against other packages, in one interleaved run.

    python benchmarks/clue_speed.py --out results/clue                     # all sections
    python benchmarks/clue_page.py results/clue                      # tables and picture of the page

Sections: `compare` (one thread, a copy of it as control, another outlier distance, no workspace, two threads, two calls
at once, three k-d trees (`clue_kdtree.py`), CLUEstering 2.x, DBSCAN), `scaling` (with hits at constant occupancy, and
of one event that grows), `occupancy` (neighbours a hit), `memory` (against copying the same bytes).

Arms are visited in blocks A B .. B A (`measure.paired`); beside every time stands the agreement of its partition.
Times are wall clock of the whole Python call, and CPU time of the process beside it, for machines that are shared.
CLUEstering is timed at its fastest tile size, on hits that lie in the order of layers already (sorting them is not
timed). It searches nearest higher hits no further than the smaller of the two distances: its partition is compared with
that of our rules `cluestering`, its time with our rules `paper`, which do more.
"""

from __future__ import annotations

import argparse
import gc
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from clue_arms import (
    BLOBS,
    HGCAL,
    Arm,
    agreement,
    at_once_arm,
    cluestering_arms,
    dbscan_arm,
    kdtree_arms,
    own_arm,
    rows,
)
from skytrigger.core.files import write_json
from skytrigger.core.host import host_facts, host_label
from skytrigger.core.progress import say, track
from skytrigger.hep.clue import Clusters
from skytrigger.hep.clue.events import blobs, pu200_event, pu200_events
from skytrigger.hep.clue.rules import Kernel
from skytrigger.measure.conditions import Watch
from skytrigger.measure.paired import Slot, block_log_times, compare_blocks, log_intervals, run_blocks
from skytrigger.measure.records import Record, Samples, append

OCCUPANCY = {6: 14, 12: 29, 28: 66, 43: 100}
"""Neighbours a hit, about -> hits of a blob with sigma = dc."""


def visit(arm: Arm, calls: int, inner: list[float] | None = None) -> Callable[[], Slot]:
    """One visit: `calls` calls; the device clock holds the CPU seconds of the process. `inner` collects the median
    time of the compiled part."""

    def go() -> Slot:
        gc.collect()
        gc.freeze()  # CLUEstering makes a list a cluster: the collector shall not search this program's objects for it
        watch = Watch.begin()
        seconds, cpu, parts = [], [], []
        for _ in range(calls):
            before = time.process_time()
            taken, _, part = arm()
            seconds.append(taken)
            parts.append(part)
            cpu.append(time.process_time() - before)
        if inner is not None:
            inner.append(float(np.median(parts)))
        return Slot(tuple(seconds), watch.taken(), tuple(cpu))

    return go


def measure(
    name: str, arms: dict[str, Arm], same: dict[str, Clusters], blocks: int, hits: int, out: Path, host: dict[str, Any]
) -> dict[str, Any]:
    """Visit the arms, print and record them: ratios to `cpu`, agreement with `cpu` or with what `same` names."""
    found = {arm: call()[1] for arm, call in arms.items()}  # and compilation, and warm caches
    calls = {arm: max(1, min(20, round(0.05 / max(call()[0], 1e-6)))) for arm, call in arms.items()}
    inner: dict[str, list[float]] = {arm: [] for arm in arms}
    visits = {arm: visit(call, calls[arm], inner[arm]) for arm, call in arms.items()}
    with track(name, blocks) as advance:
        slots = run_blocks(visits, blocks, advance=lambda: advance(1))
    result: dict[str, Any] = {"hits": hits, "arms": {}}
    base, control = slots["cpu"], (slots["cpu"], slots["control"])
    for arm, taken in slots.items():
        wall = [s.value_s for s in taken]
        cpu = [float(np.median(s.device_seconds)) for s in taken]
        row: dict[str, Any] = {
            "ms": _interval_ms(taken),
            "min_ms": 1e3 * min(v for s in taken for v in s.seconds),
            "median_cpu_ms": 1e3 * float(np.median(cpu)),
            "agreement": agreement(found[arm], same.get(arm, found["cpu"])),
        }
        samples = {"call": Samples("s", tuple(wall)), "cpu": Samples("s", tuple(cpu))}
        if arm != "cpu":
            both = compare_blocks(base, taken, control)
            row |= {"times_of_cpu": both.ratio.to_json(), "verdict": both.verdict}
            row["times_of_cpu_by_cpu_time"] = compare_blocks(_cpu(base), _cpu(taken), None).ratio.to_json()
        if any(inner[arm]):
            parts = [Slot((v,), s.conditions) for v, s in zip(inner[arm], taken, strict=True)]
            row["compiled_ms"] = _interval_ms(parts)
            row["compiled_times_of_cpu"] = compare_blocks(base, parts, control).ratio.to_json()
            samples["compiled"] = Samples("s", tuple(inner[arm]))
        result["arms"][arm] = row
        what = {"network": f"clue {name}", "runtime": arm, "batch_size": 1, "hits": hits, "device": "cpu"}
        record = Record("latency", what, host, samples, extra={"agreement": row["agreement"]})
        append(out / "records.jsonl", record)
        ratio = row.get("times_of_cpu", {"estimate": 1.0})
        text = f"  {ratio['estimate']:.3g} x cpu"
        say(
            f"{name:20s} {arm:30s} {row['ms']['estimate']:9.3f} ms  min {row['min_ms']:9.3f}  "
            f"CPU {row['median_cpu_ms']:9.3f}{text}  {row['agreement']}"
        )
    return result


def _interval_ms(slots: list[Slot]) -> dict[str, float]:
    """Time in ms with its 95 % interval: trimmed mean of the blocks' log times, signed-rank bounds (approximate)."""
    logs = block_log_times([s.value_s for s in slots])
    estimate, low, high = (1e3 * float(np.exp(v[0])) for v in log_intervals(logs[None]))
    return {"estimate": estimate, "low": low, "high": high}


def _cpu(slots: list[Slot]) -> list[Slot]:
    return [Slot(s.device_seconds, s.conditions) for s in slots]


def compare(args: argparse.Namespace, host: dict[str, Any]) -> dict[str, Any]:
    """Everything that can run a row, interleaved."""
    results = {}
    for name, make in rows(args.data).items():
        if args.rows and name not in args.rows:
            continue
        hits, options = make()
        arms: dict[str, Arm] = {"cpu": own_arm(hits, options), "control": own_arm(hits, options)}
        outlier = options["dc"] * (1.0 if options["outlier_distance"] > options["dc"] else 2.0)
        other = f"outlier distance {outlier / options['dc']:g} dc"
        arms[other] = own_arm(hits, options, outlier_distance=outlier)
        arms["no workspace"] = own_arm(hits, options, keep=False)
        if args.threads > 1:
            arms[f"cpu-{args.threads}"] = own_arm(hits, options, threads=args.threads)
            arms[f"{args.threads} calls at once, each"] = at_once_arm(hits, options, args.threads)
        if name in args.kdtree_rows:
            arms |= kdtree_arms(hits, options)
        rivals = cluestering_arms(hits, options)
        same = {other: arms[other]()[1]}
        if rivals:
            theirs = own_arm(hits, options, rules="cluestering", kernel=Kernel("flat", (1.0,)))
            if options["seed_distance"] != options["outlier_distance"]:
                arms["cpu, CLUEstering's rules"] = theirs
            same |= dict.fromkeys([*rivals, "cpu, CLUEstering's rules"], theirs()[1])
        arms |= rivals
        arms |= {"DBSCAN": sklearn} if (sklearn := dbscan_arm(hits, options)) else {}
        results[name] = measure(name, arms, same, args.blocks, len(hits), args.out, host)
    return {"rows": results, "against_cluestering": against_cluestering(results)}


def against_cluestering(results: dict[str, Any]) -> dict[str, Any]:
    """Geometric means over the rows that have it, whole call and compiled part; rows are independent."""
    found: dict[str, Any] = {}
    for field in ("times_of_cpu", "compiled_times_of_cpu"):
        ratios = {
            name: arm[field]
            for name, row in results.items()
            if not name.endswith("by-layer")  # the same hits as another row
            for label, arm in row["arms"].items()
            if label.startswith("CLUEstering ")
        }
        if not ratios or any(r["low"] is None for r in ratios.values()):
            continue
        logs = np.log([[r["estimate"], r["low"], r["high"]] for r in ratios.values()])
        half = float(np.sqrt(((logs[:, 2] - logs[:, 1]) ** 2).sum()) / 2 / len(logs))
        mean = float(logs[:, 0].mean())
        found[field] = {
            "rows": len(ratios),
            "geometric_mean": float(np.exp(mean)),
            "low": float(np.exp(mean - half)),
            "high": float(np.exp(mean + half)),
            "least": {k: ratios[k]["estimate"] for k in [min(ratios, key=lambda k: ratios[k]["estimate"])]},
        }
    return found


def scaling(args: argparse.Namespace, host: dict[str, Any]) -> dict[str, Any]:
    """Nanoseconds a hit: more events of one occupancy; more occupancy on one detector."""
    sizes = {"1e5": 1, "3e5": 3, "1e6": 10, "3e6": 30} | ({"1e7": 100} if args.large else {})
    arms: dict[str, Arm] = {}
    per_hit: dict[str, int] = {}
    many = pu200_events(max(sizes.values()), 100_000)
    for name, events in sizes.items():
        part = many.take(np.arange(events * 100_000))
        arms[name] = own_arm(part, HGCAL)
        per_hit[name] = len(part)
    for hits in (30_000, 100_000, 300_000, 1_000_000):
        name = f"one event of {hits}"
        arms[name] = own_arm(pu200_event(hits), HGCAL)
        per_hit[name] = hits
    for call in arms.values():
        call()
    with track("scaling", args.blocks) as advance:
        calls = {k: max(1, round(1e6 / hits)) for k, hits in per_hit.items()}
        slots = run_blocks({k: visit(v, calls[k]) for k, v in arms.items()}, args.blocks, advance=lambda: advance(1))
    result = {}
    for name, taken in slots.items():
        each = _per_hit(taken, per_hit[name])
        ratio = compare_blocks(_per_hit(slots["1e5"], per_hit["1e5"]), each, None)
        cpu = float(np.median([np.median(s.device_seconds) for s in taken])) / per_hit[name] * 1e9
        ns = {k: 1e6 * v for k, v in _interval_ms(each).items()}
        result[name] = {"hits": per_hit[name], "ns_per_hit": ns, "cpu_ns_per_hit": cpu}
        result[name]["per_hit_of_1e5"] = ratio.ratio.to_json()
        samples = {"call": Samples("s", tuple(s.value_s for s in taken))}
        what = {"network": "clue scaling", "runtime": "cpu", "hits": per_hit[name], "case": name, "threads": 1}
        append(args.out / "records.jsonl", Record("latency", what, host, samples))
        say(f"scaling {name:22s} {ns['estimate']:7.1f} ns/hit (CPU {cpu:.1f})")
    return result


def _per_hit(slots: list[Slot], hits: int) -> list[Slot]:
    return [Slot(tuple(v / hits for v in s.seconds), s.conditions) for s in slots]


def occupancy(args: argparse.Namespace, host: dict[str, Any]) -> dict[str, Any]:
    """Nanoseconds a hit and a pair against neighbours a hit, with outlier distances of dc and 2 dc."""
    arms: dict[str, Arm] = {}
    about: dict[str, tuple[int, int, float]] = {}
    for neighbours, per_blob in OCCUPANCY.items():
        for hits in (100_000, 1_000_000):
            made = blobs(hits, per_blob)
            for factor in (1, 2):
                name = f"{hits} hits, {neighbours} neighbours, outlier distance {factor} dc"
                arms[name] = own_arm(made, BLOBS | {"outlier_distance": float(factor)})
                about[name] = hits, factor, float(arms[name]()[1].rho.mean()) - 1
    with track("occupancy", args.blocks) as advance:
        calls = {k: max(1, round(3e5 / about[k][0])) for k in arms}
        slots = run_blocks({k: visit(v, calls[k]) for k, v in arms.items()}, args.blocks, advance=lambda: advance(1))
    result = {}
    for name, taken in slots.items():
        hits, factor, neighbours = about[name]
        base = slots[name.replace(f"distance {factor} dc", "distance 1 dc")]
        about_it = {"hits": hits, "outlier_factor": factor, "neighbours": neighbours}
        result[name] = about_it | {
            **_ns(taken, hits, neighbours),
            "times_of_dc": compare_blocks(base, taken, None).ratio.to_json(),
            "times_of_dc_by_cpu_time": compare_blocks(_cpu(base), _cpu(taken), None).ratio.to_json(),
        }
        clocks = {"call": [s.value_s for s in taken], "cpu": [float(np.median(s.device_seconds)) for s in taken]}
        samples = {clock: Samples("s", tuple(values)) for clock, values in clocks.items()}
        what = {"network": "clue occupancy", "runtime": "cpu", "hits": hits, "case": name, "threads": 1}
        record = Record("latency", what, host, samples, extra={"neighbours": neighbours})
        append(args.out / "records.jsonl", record)
        say(f"{name}: {result[name]['cpu_ns_per_hit']['estimate']:.1f} ns/hit of CPU time")
    return result


def _ns(taken: list[Slot], hits: int, neighbours: float) -> dict[str, dict[str, float]]:
    """Nanoseconds a hit and a pair, by the clock on the wall and by CPU time."""
    result = {}
    for clock, slots in (("", taken), ("cpu_", _cpu(taken))):
        ns = {k: 1e6 * v for k, v in _interval_ms(_per_hit(slots, hits)).items()}
        result[f"{clock}ns_per_hit"] = ns
        result[f"{clock}ns_per_pair"] = {k: v / neighbours for k, v in ns.items()}
    return result


def memory(args: argparse.Namespace, host: dict[str, Any]) -> dict[str, Any]:
    """The least that any program must do: read 16 bytes a hit, write 17."""
    hits = pu200_event(300_000)
    source, target = np.zeros(16 * len(hits), np.uint8), np.zeros(17 * len(hits), np.uint8)

    def copy() -> tuple[float, Any, float]:
        start = time.perf_counter()
        target[: len(source)] = source
        target[len(source) :] = 0
        return time.perf_counter() - start, None, 0.0

    arms = {"cpu": own_arm(hits, HGCAL), "copy": copy}
    for call in arms.values():
        call()
    slots = run_blocks({k: visit(v, 5) for k, v in arms.items()}, args.blocks)
    ratio = compare_blocks(slots["copy"], slots["cpu"], None).ratio
    say(f"memory: one event of 300,000 hits takes {ratio.estimate:.0f} times as long as copying its bytes")
    return {"times_of_copy": ratio.to_json(), "copy_ms": _interval_ms(slots["copy"]), "ms": _interval_ms(slots["cpu"])}


SECTIONS = {"compare": compare, "scaling": scaling, "occupancy": occupancy, "memory": memory}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("results/clue"))
    parser.add_argument("--sections", nargs="+", choices=list(SECTIONS), default=list(SECTIONS))
    parser.add_argument("--rows", nargs="+", choices=list(rows(None)))
    parser.add_argument("--data", type=Path, help="folder with clue/toyDetector_<n>.csv; else synthetic toy layers")
    parser.add_argument("--blocks", type=int, default=20)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--kdtree-rows", nargs="*", default=["blobs-10k", "hgcal-100k"])
    parser.add_argument("--large", action="store_true", help="scaling up to 1e7 hits (some 3 GB)")
    args = parser.parse_args()
    host = host_facts()
    say(host_label(host))
    for section in args.sections:
        write_json(
            args.out / f"{section}.json", {"host": host, "blocks": args.blocks, section: SECTIONS[section](args, host)}
        )


if __name__ == "__main__":
    main()
