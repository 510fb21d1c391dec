"""CLUE backends against each other and, where they are installed, against other packages, in one interleaved run.

    python benchmarks/clue.py --out results/clue                     # all sections
    python benchmarks/clue.py --sections compare --rows hgcal-100k   # one row

Sections: `compare` (`cpu` on one thread, a second copy of it as control, two threads, `kdtree`, CLUEstering 2.x,
scikit-learn's DBSCAN and HDBSCAN), `scaling` (with hits at constant occupancy, and with occupancy), `memory` (against
copying the same bytes).

Arms are visited in blocks A B .. B A (`measure.paired`); beside every time stands the agreement of its partition with
`cpu`'s. Times are wall clock of the whole Python call (CLUEstering: its own clock around its compiled part, which
favours it), and CPU time of the process beside it, for machines that are shared.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from skytrigger.core.extras import find
from skytrigger.core.files import write_json
from skytrigger.core.progress import say, track
from skytrigger.hep.clue import Clusters, Workspace, cluster
from skytrigger.hep.clue.events import Hitset, blobs, pu200_event, pu200_events, toy_detector, toy_layer
from skytrigger.hep.clue.tables import read_hits
from skytrigger.measure.conditions import Watch
from skytrigger.measure.host import host_facts, host_label
from skytrigger.measure.paired import Slot, compare_blocks, run_blocks
from skytrigger.measure.records import Record, Samples, append

TOY = {"dc": 3.0, "rhoc": 8.0, "seed_distance": 5.0, "outlier_distance": 5.0}
BLOBS = {"dc": 0.5, "rhoc": 3.0, "seed_distance": 0.5, "outlier_distance": 0.5}
HGCAL = {"dc": 1.3, "rhoc": 1.0, "seed_distance": 1.3, "outlier_distance": 2.6}
# CLUEstering 2.11 at its best tile size, ms on a quiet machine of this class, one thread: another run, other blobs and
# events of the same description. Printed beside our times, never used for a claim.
ELSEWHERE_MS = {
    "blobs-10k": 8.7, "blobs-100k": 109, "blobs-1M": 3884, "toy-1k": 21.9, "toy-3k": 125, "toy-5k": 287,
    "toy-10k": 701, "hgcal-100k": 39, "hgcal-300k": 142,
}  # fmt: skip
Arm = Callable[[], tuple[float, Any]]


def rows(data: Path | None) -> dict[str, Callable[[], tuple[Hitset, dict[str, float]]]]:
    """Name -> (hits, parameters); toy layers from `data` where it has them."""

    def toy(n: int) -> tuple[Hitset, dict[str, float]]:
        file = data / "clue" / f"toyDetector_{n}.csv" if data else None
        layer = read_hits(file) if file and file.is_file() else None
        x, y = (layer.x, layer.y) if layer else toy_layer(n)
        return toy_detector(x, y), TOY

    return {
        "blobs-10k": lambda: (blobs(10_000), BLOBS),
        "blobs-100k": lambda: (blobs(100_000), BLOBS),
        "blobs-1M": lambda: (blobs(1_000_000), BLOBS),
        "toy-1k": lambda: toy(1000),
        "toy-3k": lambda: toy(3000),
        "toy-5k": lambda: toy(5000),
        "toy-10k": lambda: toy(10_000),
        "hgcal-100k": lambda: (pu200_event(100_000), HGCAL),
        "hgcal-300k": lambda: (pu200_event(300_000), HGCAL),
        "hgcal-300k-by-layer": lambda: (by_layer(pu200_event(300_000)), HGCAL),
    }


def by_layer(hits: Hitset) -> Hitset:
    """The same hits, layer after layer, as detectors read them out."""
    return hits.take(np.argsort(hits.layer, kind="stable"))


def own_arm(hits: Hitset, options: dict[str, float], threads: int = 1, backend: str = "cpu") -> Arm:
    space = Workspace()
    weight = None if (hits.weight == 1).all() else hits.weight

    def call() -> tuple[float, Any]:
        start = time.perf_counter()
        found = cluster(
            hits.x, hits.y, hits.layer, weight, hits.event, **options, backend=backend, threads=threads, workspace=space
        )
        return time.perf_counter() - start, found

    return call


def cluestering_arm(hits: Hitset, options: dict[str, float]) -> Arm | None:
    """CLUEstering 2.x at the fastest of some tile sizes, layers as its batches."""
    package = find("CLUEstering")
    if package is None or not hasattr(package.clusterer, "choose_metric"):
        return None
    order = np.argsort(hits.layer, kind="stable")
    sizes = np.bincount(hits.layer)
    sizes = sizes[sizes > 0].astype(np.uint32)
    columns = {"x0": hits.x[order], "x1": hits.y[order], "weight": hits.weight[order]}

    def run(per_tile: int) -> tuple[float, Any]:
        method = package.clusterer(
            options["dc"], options["rhoc"], options["outlier_distance"], options["seed_distance"], per_tile
        )
        method.choose_kernel("flat", [1.0])
        method.read_data(columns)
        method.run_clue(backend="cpu serial", batch_sample_sizes=sizes if len(sizes) > 1 else None)
        labels = np.empty(len(order), np.int64)
        labels[order] = method.clust_prop.cluster_ids
        return method._elapsed_time / 1e3, labels

    best = min((4, 8, 16, 32, 64, 128), key=lambda per_tile: run(per_tile)[0])
    return lambda: run(best)


def sklearn_arm(name: str, hits: Hitset, options: dict[str, float]) -> Arm | None:
    """One layer only; other algorithms, so their partitions differ."""
    module = find("sklearn.cluster")
    if module is None or len(hits) > 100_000 or hits.layer.any():
        return None
    points = np.stack([hits.x, hits.y], axis=1)
    if name == "DBSCAN":
        method = module.DBSCAN(eps=options["dc"], min_samples=int(options["rhoc"]), n_jobs=1)
    elif len(hits) > 10_000:
        return None
    else:
        method = module.HDBSCAN(min_cluster_size=10, copy=True, n_jobs=1)

    def call() -> tuple[float, Any]:
        start = time.perf_counter()
        labels = method.fit(points).labels_
        return time.perf_counter() - start, labels

    return call


def agreement(found: Any, expected: Clusters) -> str:
    """``identical`` to the bit, or the adjusted Rand index with outliers as one class."""
    labels = found.cluster_id if isinstance(found, Clusters) else np.asarray(found)
    if np.array_equal(labels, expected.cluster_id):
        return "identical"
    from sklearn.metrics import adjusted_rand_score

    return f"ARI {adjusted_rand_score(expected.cluster_id, labels):.4f}"


def visit(arm: Arm, calls: int) -> Callable[[], Slot]:
    """One visit: `calls` calls; the device clock holds the CPU seconds of the process."""

    def go() -> Slot:
        watch = Watch.begin()
        seconds, cpu = [], []
        for _ in range(calls):
            before = time.process_time()
            seconds.append(arm()[0])
            cpu.append(time.process_time() - before)
        return Slot(tuple(seconds), watch.taken(), tuple(cpu))

    return go


def measure(
    name: str, arms: dict[str, Arm], base: str, blocks: int, hits: int, out: Path, host: dict[str, Any]
) -> dict[str, Any]:
    """Visit the arms, print and record them, ratios to `base`."""
    found = {arm: call()[1] for arm, call in arms.items()}  # and compilation, and warm caches
    calls = {arm: max(1, min(20, round(0.05 / max(call()[0], 1e-6)))) for arm, call in arms.items()}
    visits = {arm: visit(call, calls[arm]) for arm, call in arms.items()}
    with track(name, blocks) as advance:
        slots = run_blocks(visits, blocks, advance=lambda: advance(1))
    result: dict[str, Any] = {"hits": hits, "arms": {}}
    for arm, taken in slots.items():
        wall = [s.value_s for s in taken]
        cpu = [float(np.median(s.device_seconds)) for s in taken]
        row: dict[str, Any] = {
            "median_ms": 1e3 * float(np.median(wall)),
            "min_ms": 1e3 * min(v for s in taken for v in s.seconds),
            "median_cpu_ms": 1e3 * float(np.median(cpu)),
            "agreement": agreement(found[arm], found[base]),
        }
        if arm != base:
            control = (slots[base], slots["control"]) if "control" in slots else None
            both = compare_blocks(slots[base], taken, control)
            by_cpu = compare_blocks(_cpu(slots[base]), _cpu(taken), None)
            row["times_of_base"] = both.ratio.to_json()
            row["times_of_base_cpu"] = by_cpu.ratio.to_json()
            row["verdict"] = both.verdict
        result["arms"][arm] = row
        record = Record(
            "latency",
            {"network": f"clue {name}", "runtime": arm, "batch_size": 1, "hits": hits, "device": "cpu"},
            host,
            {"call": Samples("s", tuple(wall)), "cpu": Samples("s", tuple(cpu))},
            extra={"agreement": row["agreement"]},
        )
        append(out / "records.jsonl", record)
        ratio = row.get("times_of_base")
        text = (
            f"  {ratio['estimate']:.3g} x {base} ({ratio['low'] or np.nan:.3g} to {ratio['high'] or np.nan:.3g})"
            if ratio
            else ""
        )
        say(
            f"{name:20s} {arm:12s} median {row['median_ms']:9.3f} ms  min {row['min_ms']:9.3f}  "
            f"CPU {row['median_cpu_ms']:9.3f}{text}  {row['agreement']}"
        )
    return result


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
        if args.threads > 1:
            arms[f"cpu-{args.threads}"] = own_arm(hits, options, args.threads)
        if len(hits) <= args.kdtree_hits:
            arms["kdtree"] = own_arm(hits, options, backend="kdtree")
        others = {"CLUEstering": cluestering_arm(hits, options)}
        others |= {k: sklearn_arm(k, hits, options) for k in ("DBSCAN", "HDBSCAN")}
        arms |= {k: v for k, v in others.items() if v is not None}
        results[name] = measure(name, arms, "cpu", args.blocks, len(hits), args.out, host)
        results[name]["cluestering_2_11_elsewhere_ms"] = ELSEWHERE_MS.get(name)
    return results


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
        slots = run_blocks({k: visit(v, 1) for k, v in arms.items()}, args.blocks, advance=lambda: advance(1))
    result = {}
    for name, taken in slots.items():
        wall = np.array([s.value_s for s in taken]) / per_hit[name] * 1e9
        cpu = np.array([s.device_seconds[0] for s in taken]) / per_hit[name] * 1e9
        ratio = compare_blocks(*(_per_hit(slots[k], per_hit[k]) for k in ("1e5", name)), None)
        result[name] = {
            "hits": per_hit[name],
            "ns_per_hit_median": float(np.median(wall)),
            "ns_per_hit_min": float(wall.min()),
            "cpu_ns_per_hit_median": float(np.median(cpu)),
            "cpu_ns_per_hit_min": float(cpu.min()),
            "per_hit_of_1e5": ratio.ratio.to_json(),
        }
        samples = {"call": Samples("s", tuple(s.value_s for s in taken))}
        what = {"network": "clue scaling", "runtime": "cpu", "hits": per_hit[name], "case": name, "threads": 1}
        append(args.out / "records.jsonl", Record("latency", what, host, samples))
        say(f"scaling {name:22s} {np.median(wall):7.1f} ns/hit (min {wall.min():.1f}; CPU {np.median(cpu):.1f})")
    return result


def _per_hit(slots: list[Slot], hits: int) -> list[Slot]:
    return [Slot(tuple(v / hits for v in s.device_seconds), s.conditions) for s in slots]


def memory(args: argparse.Namespace, host: dict[str, Any]) -> dict[str, Any]:
    """The least that any program must do: read 16 bytes a hit, write 17."""
    hits = pu200_event(300_000)
    source, target = np.zeros(16 * len(hits), np.uint8), np.zeros(17 * len(hits), np.uint8)

    def copy() -> tuple[float, Any]:
        start = time.perf_counter()
        target[: len(source)] = source
        target[len(source) :] = 0
        return time.perf_counter() - start, None

    arms = {"cpu": own_arm(hits, HGCAL), "copy": copy}
    for call in arms.values():
        call()
    slots = run_blocks({k: visit(v, 5) for k, v in arms.items()}, args.blocks)
    ratio = compare_blocks(slots["copy"], slots["cpu"], None).ratio
    say(f"memory: one event of 300,000 hits takes {ratio.estimate:.0f} times as long as copying its bytes")
    return {"times_of_copy": ratio.to_json(), "copy_ms": 1e3 * float(np.median([s.value_s for s in slots["copy"]]))}


SECTIONS = {"compare": compare, "scaling": scaling, "memory": memory}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("results/clue"))
    parser.add_argument("--sections", nargs="+", choices=list(SECTIONS), default=list(SECTIONS))
    parser.add_argument("--rows", nargs="+", choices=list(rows(None)))
    parser.add_argument("--data", type=Path, help="folder with clue/toyDetector_<n>.csv; else synthetic toy layers")
    parser.add_argument("--blocks", type=int, default=10)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--kdtree-hits", type=int, default=100_000, help="largest input for the slow baseline")
    parser.add_argument("--large", action="store_true", help="scaling up to 1e7 hits (some 3 GB)")
    args = parser.parse_args()
    host = host_facts()
    say(host_label(host))
    for section in args.sections:
        write_json(args.out / f"{section}.json", {"host": host, section: SECTIONS[section](args, host)})


if __name__ == "__main__":
    main()
