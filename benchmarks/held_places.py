"""Places held out of the training part of both EuroSAT sets, and lists that divide the sets without them.

    python benchmarks/held_places.py --ms eurosat_ms_train.zip --out results/packaged/lists

From `results/split`, which divides both sets together: of the 13-band training tiles the easternmost (`east.txt`), and
of each class the cluster of colour that lies furthest from its mean (`colour.txt`). RGB tiles of these places are in no
part of the RGB lists, so a network that was trained on those has seen them in no form. `rgb_val.txt` leaves out what
the packaged `eurosat_rgb`, a teacher, was trained on.
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

RESULTS = Path(__file__).parents[1] / "results"
EAST = 75  # a tenth of the 13-band training tiles
LEAST = 12  # tiles of a class that is divided into clusters


def names(file: Path) -> set[str]:
    return set(file.read_text(encoding="utf-8").split())


def furthest(means: Any, labels: Any) -> list[int]:
    """Of each class the rows of the cluster whose centre is furthest from the class's mean."""
    found: list[int] = []
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        if len(members) < LEAST:
            continue
        centres, cluster = kmeans2(means[members], max(3, min(8, len(members) // 10)), seed=1, minit="++")
        counts = np.bincount(cluster, minlength=len(centres))
        far = [np.linalg.norm(c - means[members].mean(0)) * (n >= 3) for c, n in zip(centres, counts, strict=True)]
        found += members[cluster == int(np.argmax(far))].tolist()
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ms", required=True)
    parser.add_argument("--out", required=True, type=Path)
    args = parser.parse_args()
    train, val = (names(RESULTS / "split" / f"{part}.txt") for part in ("train", "val"))
    dataset = load([args.ms])
    stems = np.array([name.rsplit("/", 1)[-1] for name in dataset.ids])
    rows = np.array([i for i, stem in enumerate(stems) if stem in train])
    means = dataset.x[rows].astype(np.float32).mean((2, 3))
    means = (means - means.mean(0)) / means.std(0)
    assert dataset.lonlat is not None
    east = set(stems[rows[np.argsort(dataset.lonlat[rows, 0])[-EAST:]]])
    colour = set(stems[rows[furthest(means, dataset.y[rows])]]) - east
    own, held = set(stems[rows]), east | colour
    ms_val = set(stems) & val
    lists = {
        "east": east, "colour": colour,
        "rgb_train": train - held, "rgb_val": val & names(RESULTS / "eurosat-rgb" / "val.txt"),
        "ms_train_held": own - held, "ms_val_held": ms_val | held, "ms_train": own, "ms_val": ms_val,
    }  # fmt: skip
    for name, some in lists.items():
        write_text(args.out / f"{name}.txt", "\n".join(sorted(some)) + "\n")
        say(f"{name}: {len(some)} tiles")


if __name__ == "__main__":
    main()
