"""Cluster shapes of simulated doublets beside those of the CMS file, and what trees make of the simulated ones.

    python benchmarks/doublets_simulator.py --data pixel_doublets.h5.gz --out results/doublets

The CMS figures are of the training part's distinct doublets, on which the simulator's population was tuned.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np

from skytrigger.core.dataset import Dataset
from skytrigger.core.files import write_json
from skytrigger.core.progress import say
from skytrigger.hep.doublets.application import DOUBLETS
from skytrigger.hep.doublets.metrics import curve, scores
from skytrigger.hep.doublets.reader import read_doublets
from skytrigger.hep.doublets.simulator import simulate
from skytrigger.hep.doublets.split import distinct_doublets
from skytrigger.hep.doublets.trees import Trees

COUNT, SEED = 12_000, 3
LEARNED = 9_000  # simulated doublets that the trees learn from; the rest judges


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True)
    parser.add_argument("--out", default="results/doublets", type=Path)
    args = parser.parse_args()
    made, real = simulate(COUNT, seed=SEED), read_doublets(args.data)
    parts = DOUBLETS.split(real, DOUBLETS.splits[0], 0)
    train = parts.train
    trees = Trees.fit(made.x[:LEARNED], made.y[:LEARNED], SEED)
    auc = curve(scores(trees.logits(made.x[LEARNED:])), made.y[LEARNED:]).auc
    found = {
        "simulated": shapes(made, np.arange(COUNT)), "cms": shapes(real, train),
        "count": COUNT, "seed": SEED, "cms_doublets": len(train), "data": real.source,
        "trees": {"learned": LEARNED, "judged": COUNT - LEARNED, "auc": auc},
    }  # fmt: skip
    found["file"] = {
        "inner": len(np.unique(real.x[:, 0].reshape(len(real), -1), axis=0)),
        "outer": len(np.unique(real.x[:, 1].reshape(len(real), -1), axis=0)),
        "in_a_part": sum(len(parts.part(p)) for p in ("train", "val", "test")),
        "largest_component": largest_component(real),
    }
    say(str(found))
    write_json(args.out / "simulator.json", found)


def largest_component(data: Dataset) -> int:
    """Distinct doublets in the largest group that shares clusters."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    first = np.unique(distinct_doublets(data.x), return_index=True)[1]
    pads = (data.x[first, pad].reshape(len(first), -1) for pad in (0, 1))
    inner, outer = (np.unique(pad, axis=0, return_inverse=True)[1] for pad in pads)
    count = int(inner.max()) + 1
    size = count + int(outer.max()) + 1
    graph = coo_array((np.ones(len(first)), (inner, outer + count)), (size, size))
    return int(np.bincount(connected_components(graph, directed=False)[1][inner]).max())


def shapes(data: Dataset, rows: Any) -> dict[str, Any]:
    """Means over the clusters of each pad, the median charge, and the outer pad's pixels by class."""
    found: dict[str, Any] = {}
    for pad, name in enumerate(("inner", "outer")):
        charge = data.x[rows, pad].astype(np.float32)
        lit = charge > 0
        found[name] = {
            "pixels": float(lit.sum((1, 2)).mean()), "rows": float(lit.any(2).sum(1).mean()),
            "columns": float(lit.any(1).sum(1).mean()), "median_charge": float(np.median(charge.sum((1, 2)))),
        }  # fmt: skip
    pixels = (data.x[rows, 1] > 0).sum((1, 2))
    found["outer_pixels"] = {c: float(pixels[data.y[rows] == k].mean()) for k, c in enumerate(data.classes)}
    return found


if __name__ == "__main__":
    main()
