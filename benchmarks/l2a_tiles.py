"""13-band top-of-atmosphere tiles as what Level-2A would show of them, simulated: 12 bands, levels by gain and offset.

    python benchmarks/l2a_tiles.py --data eurosat_ms_train.zip ... --split-lists train.txt val.txt test.txt --out FOLDER

Of each tile `--copies` copies for training (one of validation and test tiles), each under an atmosphere of its own that
is taken off: ``surface = (top - path) / transmittance`` for every band, with the path reflectance and transmittance
of molecules, aerosol, ozone and water vapour in single scattering. B10 is left out, as Level-2A has none. Written: a
packed store ``tiles`` and the lists ``train.txt``, ``val.txt``, ``test.txt`` of its names.

**Simulated**: no labelled Level-2A tiles were at hand. What it leaves out: neighbouring ground, slopes, clouds,
directional reflectance, and how real processors err.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skytrigger.core.dataset import Dataset
from skytrigger.core.files import write_text
from skytrigger.core.progress import say
from skytrigger.core.seeds import generator
from skytrigger.core.split import split_by
from skytrigger.eo.bands import BANDS
from skytrigger.eo.load import load
from skytrigger.eo.store import save_store

CHANNELS = tuple(b.name for b in BANDS if b.name != "B10")
FULL = 10_000  # DN of reflectance 1
WAVES = np.array([next(b.centre_nm for b in BANDS if b.name == c) for c in CHANNELS]) / 1000  # um
# two-way optical depth at air mass 1: ozone (300 DU, Chappuis band), and water vapour of 1 cm
OZONE = {"B02": 0.006, "B03": 0.030, "B04": 0.018, "B05": 0.006}
WATER = {"B04": 0.002, "B05": 0.012, "B06": 0.008, "B07": 0.003, "B08": 0.035, "B8A": 0.002, "B09": 0.80, "B11": 0.003,
         "B12": 0.012}  # fmt: skip
NOISE = 0.02, 0.003  # what a processor gets wrong: of each band's gain, and in reflectance
Values = NDArray[np.float64]


def atmosphere(random: np.random.Generator) -> tuple[Values, Values]:
    """(path reflectance, two-way transmittance) of each band under one drawn atmosphere and sun.

    Molecules: tau = 0.00864 w^-(3.916 + 0.074 w + 0.05 / w) (Teillet 1990), phase 3/4 (1 + cos^2). Aerosol: Angstrom's
    law from a depth at 550 nm of 0.03 to 0.5, exponent 0.8 to 1.7, single scattering albedo 0.93, phase 0.25 backwards.
    Half of a molecule's and a fifth of an aerosol's scattering is lost to the path's transmittance.
    """
    sun = np.cos(np.radians(random.uniform(25, 60)))
    mass = 1 / sun + 1
    rayleigh = 0.00864 * WAVES ** -(3.916 + 0.074 * WAVES + 0.05 / WAVES)
    depth = float(np.clip(random.lognormal(np.log(0.13), 0.6), 0.03, 0.5))
    aerosol = depth * (WAVES / 0.55) ** -random.uniform(0.8, 1.7)
    path = (0.75 * (1 + sun**2) * rayleigh + 0.93 * 0.25 * aerosol) / (4 * sun)
    water = random.uniform(0.4, 3.0) ** 0.6
    gases = np.array([OZONE.get(c, 0.0) + water * WATER.get(c, 0.0) for c in CHANNELS])
    return path, np.exp(-(0.5 * rayleigh + 0.2 * aerosol + 0.5 * gases) * mass)


def surface(tile: NDArray[Any], random: np.random.Generator) -> NDArray[np.uint16]:
    """One tile (12, h, w) of DN with an atmosphere taken off; what would be nothing or less is 1, as in products."""
    path, transmittance = atmosphere(random)
    gain = np.exp(random.normal(0, NOISE[0], len(CHANNELS))) / transmittance
    offset = (random.normal(0, NOISE[1], len(CHANNELS)) - path) * FULL
    values = (tile + offset[:, None, None]) * gain[:, None, None]
    return np.clip(np.rint(values), 1, 65_535).astype(np.uint16)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", nargs="+", required=True)
    parser.add_argument("--split-lists", nargs="+", required=True)
    parser.add_argument("--copies", type=int, default=6)
    parser.add_argument("--out", required=True, type=Path)
    args = parser.parse_args()
    dataset = load(args.data).select(CHANNELS)
    split = split_by(dataset, args.split_lists)
    rows, names = [], []
    for part, copies in (("train", args.copies), ("val", 1), ("test", 1)):
        own = [(i, f"{dataset.ids[i]}_copy_{k}") for i in split.part(part) for k in range(1, copies + 1)]
        rows += [i for i, _ in own]
        names += [name for _, name in own]
        write_text(args.out / f"{part}.txt", "\n".join(name for _, name in own) + "\n")
    x = np.stack([surface(dataset.x[i], generator(0, "l2a", name)) for i, name in zip(rows, names, strict=True)])
    made = Dataset(x, dataset.y[rows], tuple(names), CHANNELS, dataset.classes, "", "DN",
                   source={**dataset.source, "altered": "simulated Level-2A (benchmarks/l2a_tiles.py)"})  # fmt: skip
    save_store(made, args.out / "tiles")
    say(f"{args.out}: {len(made)} tiles of {len(CHANNELS)} bands")
    means = np.stack([part.mean((0, 2, 3)) for part in (dataset.x[split.train], x[: len(split.train) * args.copies])])
    for name, before, after in zip(CHANNELS, *means, strict=True):
        say(f"{name}: mean DN {before:.0f} at the top, {after:.0f} at the surface")


if __name__ == "__main__":
    main()
