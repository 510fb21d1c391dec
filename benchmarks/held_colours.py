"""Clusters of colour held out of the RGB training tiles: what choices between ways of training are made by.

    python benchmarks/held_colours.py --rgb eurosat_rgb_train.zip --out results/packaged/lists

RGB tiles have no coordinates and their numbers do not follow places, so a place stands here for what it does to a tile:
of each class the clusters of colour (means and deviations of the channels) that lie furthest from the class's mean, at
least an eighth of its tiles (`rgb_held.txt`), out of `rgb_train.txt`.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
from scipy.cluster.vq import kmeans2

from skytrigger.core.files import write_text
from skytrigger.core.progress import say
from skytrigger.eo.load import load

CLUSTERS, SHARE, LEAST = 16, 1 / 8, 10


def outermost(features: Any) -> Any:
    """Rows of the clusters furthest from the mean, until they are `SHARE` of all."""
    centres, cluster = kmeans2(features, CLUSTERS, seed=1, minit="++")
    counts = np.bincount(cluster, minlength=CLUSTERS)
    order = np.argsort(-np.linalg.norm(centres - features.mean(0), axis=1) * (counts >= LEAST), kind="stable")
    reached = int(np.searchsorted(np.cumsum(counts[order]), SHARE * len(features))) + 1
    return np.flatnonzero(np.isin(cluster, order[:reached]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rgb", required=True)
    parser.add_argument("--out", required=True, type=Path)
    args = parser.parse_args()
    dataset = load([args.rgb])
    stems = np.array([name.rsplit("/", 1)[-1] for name in dataset.ids])
    known = set((args.out / "rgb_train.txt").read_text(encoding="utf-8").split())
    rows = np.array([i for i, stem in enumerate(stems) if stem in known])
    tiles = dataset.x[rows].astype(np.float32)
    features = np.concatenate([tiles.mean((2, 3)), tiles.std((2, 3))], 1)
    features = (features - features.mean(0)) / features.std(0)
    held: list[str] = []
    for label in np.unique(dataset.y[rows]):
        members = np.flatnonzero(dataset.y[rows] == label)
        far = outermost(features[members])
        held += stems[rows[members[far]]].tolist()
        say(f"{dataset.classes[label]}: {len(far)} of {len(members)}")
    write_text(args.out / "rgb_held.txt", "\n".join(sorted(held)) + "\n")
    say(f"rgb_held: {len(held)} tiles")


if __name__ == "__main__":
    main()
