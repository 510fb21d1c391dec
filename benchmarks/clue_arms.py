"""Inputs and callables that `clue_speed.py` times: our backends, k-d trees, CLUEstering, scikit-learn."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from clue_kdtree import imaging, nearest
from skytrigger.core.extras import find
from skytrigger.core.progress import say
from skytrigger.hep.clue import Clusters, Workspace, cluster
from skytrigger.hep.clue.events import blobs, pu200_event, toy_detector, toy_layer
from skytrigger.hep.clue.hitset import Hitset
from skytrigger.hep.clue.tables import read_hits

TOY = {"dc": 3.0, "rhoc": 8.0, "seed_distance": 5.0, "outlier_distance": 5.0}
BLOBS = {"dc": 1.0, "rhoc": 3.0, "seed_distance": 1.0, "outlier_distance": 1.0}
HGCAL = {"dc": 1.3, "rhoc": 1.0, "seed_distance": 1.3, "outlier_distance": 2.6}
# (seconds, result, seconds of the compiled part or 0)
Arm = Callable[[], tuple[float, Any, float]]


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
        "toy-10k": lambda: toy(10_000),
        "hgcal-100k": lambda: (pu200_event(100_000), HGCAL),
        "hgcal-300k": lambda: (pu200_event(300_000), HGCAL),
        "hgcal-300k-by-layer": lambda: (by_layer(pu200_event(300_000)), HGCAL),
    }


def by_layer(hits: Hitset) -> Hitset:
    """The same hits, layer after layer, as detectors read them out."""
    return hits.take(np.argsort(hits.layer, kind="stable"))


def own_arm(hits: Hitset, options: dict[str, Any], keep: bool = True, **how: Any) -> Arm:
    """`cluster`, with a workspace of its own if `keep`."""
    space = Workspace() if keep else None
    columns = (hits.x, hits.y, hits.layer, hits.weight, hits.event)

    def call() -> tuple[float, Any, float]:
        start = time.perf_counter()
        found = cluster(*columns, **(options | how), workspace=space)
        return time.perf_counter() - start, found, 0.0

    return call


def at_once_arm(hits: Hitset, options: dict[str, Any], calls: int) -> Arm:
    """That many separate calls of one thread each, at once: seconds a call. What the machine's cores allow at best."""
    arms = [own_arm(hits, options) for _ in range(calls)]
    pool = ThreadPoolExecutor(calls)

    def call() -> tuple[float, Any, float]:
        start = time.perf_counter()
        found = [done.result()[1] for done in [pool.submit(arm) for arm in arms]]
        return (time.perf_counter() - start) / calls, found[0], 0.0

    return call


def kdtree_arms(hits: Hitset, options: dict[str, float]) -> dict[str, Arm]:
    """SciPy's compiled tree, the published program's, and that tree at its best, with the fastest of its leaves."""

    def arm(program: Callable[..., Clusters], *how: int) -> Arm:
        def call() -> tuple[float, Any, float]:
            start = time.perf_counter()
            found = program(hits, options, *how)
            return time.perf_counter() - start, found, 0.0

        return call

    def least(leaf: int) -> float:
        return min(arm(nearest, leaf)()[0] for _ in range(4))

    best = fastest(least, [2**k for k in range(8)])
    return {
        "kdtree": own_arm(hits, options, backend="kdtree"),
        "HGCalImagingAlgo's way": arm(imaging),
        f"the same tree at its best ({best} a leaf)": arm(nearest, best),
    }


def cluestering_arms(hits: Hitset, options: dict[str, float]) -> dict[str, Arm]:
    """CLUEstering 2.x at the fastest of its tile sizes, layers as its batches."""
    package = find("CLUEstering")
    if package is None or not hasattr(package.clusterer, "choose_metric"):
        return {}
    order = np.argsort(hits.layer, kind="stable")
    sizes = np.bincount(hits.layer)
    sizes = sizes[sizes > 0].astype(np.uint32)
    columns = {"x0": hits.x[order], "x1": hits.y[order], "weight": hits.weight[order]}

    def run(per_tile: int) -> tuple[float, Any, float]:
        start = time.perf_counter()
        method = package.clusterer(
            options["dc"], options["rhoc"], options["outlier_distance"], options["seed_distance"], per_tile
        )
        method.choose_kernel("flat", [1.0])
        method.read_data(columns)
        method.run_clue(backend="cpu serial", batch_sample_sizes=sizes if len(sizes) > 1 else None)
        taken = time.perf_counter() - start
        labels = np.empty(len(order), np.int64)
        labels[order] = method.clust_prop.cluster_ids
        return taken, labels, method._elapsed_time / 1e3

    def least(per_tile: int) -> float:
        first = run(per_tile)[0]
        return min([first, *(run(per_tile)[0] for _ in range(5 if first < 0.5 else 1))])

    best = fastest(least, [2**k for k in range(11)])
    say(f"CLUEstering: {best} points a tile")
    return {f"CLUEstering {package.__version__} ({best} a tile)": lambda: run(best)}


def fastest(seconds: Callable[[int], float], sizes: list[int]) -> int:
    """The fastest of rising sizes; ends where four in a row are no better, or one takes twice as long."""
    taken: list[float] = []
    for size in sizes:
        taken.append(seconds(size))
        if len(taken) - 1 - int(np.argmin(taken)) >= 4 or taken[-1] > 2 * min(taken):
            break
    return sizes[int(np.argmin(taken))]


def dbscan_arm(hits: Hitset, options: dict[str, Any]) -> Arm | None:
    """One small layer only; another algorithm, so its partition differs."""
    module = find("sklearn.cluster")
    if module is None or len(hits) > 10_000 or hits.layer.any():
        return None
    points = np.stack([hits.x, hits.y], axis=1)
    method = module.DBSCAN(eps=options["dc"], min_samples=int(options["rhoc"]), n_jobs=1)

    def call() -> tuple[float, Any, float]:
        start = time.perf_counter()
        labels = method.fit(points).labels_
        return time.perf_counter() - start, labels, 0.0

    return call


def agreement(found: Any, expected: Clusters) -> str:
    """``identical`` (the same partition, however numbered), or hits in another cluster, or the adjusted Rand index.

    Outliers are one class of their own.
    """
    ours = expected.cluster_id.astype(np.int64)
    theirs = found.cluster_id if isinstance(found, Clusters) else np.asarray(found)
    pairs, counts = np.unique((ours + 1) * (int(theirs.max()) + 2) + theirs + 1, return_counts=True)
    a, b = np.divmod(pairs, int(theirs.max()) + 2)
    if len(np.unique(a)) == len(np.unique(b)) == len(pairs) and ((a == 0) == (b == 0)).all():
        return "identical"
    together = []
    for label in (a, b):  # hits of each class that share its largest part: less where classes are cut, or joined
        largest = np.zeros(int(label.max()) + 1, np.int64)
        np.maximum.at(largest, label, counts)
        together.append(int(largest.sum()))
    other = len(ours) - min(together)
    if other < 0.01 * len(ours):
        return f"{other} of {len(ours):,} hits differ"
    from sklearn.metrics import adjusted_rand_score

    return f"ARI {adjusted_rand_score(ours, theirs):.2f}"
