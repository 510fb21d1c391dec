"""Synthetic EuroSAT-like tiles: drawn landscapes seen through a model of Sentinel-2's sensor."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from skytrigger.core.dataset import Dataset, content_hash
from skytrigger.core.errors import InputError
from skytrigger.core.seeds import generator
from skytrigger.eo.bands import EUROSAT_ORDER
from skytrigger.eo.eurosat import CLASSES
from skytrigger.eo.synthetic import built, rural, water
from skytrigger.eo.synthetic.canvas import Canvas
from skytrigger.eo.synthetic.sensor import SIZE, observe

VERSION = 1  # raised whenever the same seed would give other tiles

SCENES = {
    "AnnualCrop": rural.annual_crop,
    "Forest": rural.forest,
    "HerbaceousVegetation": rural.herbaceous,
    "Highway": built.highway,
    "Industrial": built.industrial,
    "Pasture": rural.pasture,
    "PermanentCrop": rural.permanent_crop,
    "Residential": built.residential,
    "River": water.river,
    "SeaLake": water.sea_lake,
}


def tile(number: int, seed: int = 0) -> NDArray[np.uint16]:
    """Tile `number` of the endless series of `seed`: (13, 64, 64) DN; its class is ``number % 10``."""
    canvas = Canvas(generator(seed, "synthetic tile", VERSION, number))
    SCENES[CLASSES[number % len(CLASSES)]](canvas)
    return observe(canvas)


def make(count: int = 800, seed: int = 0) -> Dataset:
    """Ten EuroSAT classes as generated tiles, balanced to one tile.

    Tile i depends on `seed` and i alone: a larger set begins with the smaller one.

    Parameters
    ----------
    count
        Number of tiles, at least 1.
    seed
        Non-negative.

    Returns
    -------
    Dataset
        ``x`` (count, 13, 64, 64) uint16, top-of-atmosphere reflectance x 10,000; ids such as ``River_12``;
        ``source["kind"] == "synthetic"``.

    Raises
    ------
    InputError
        `count` below 1 or `seed` below 0.
    """
    if count < 1:
        raise InputError(f"{count} synthetic tiles asked for", expected="a count of at least 1")
    if seed < 0:
        raise InputError(f"seed {seed} is negative", expected="a seed of at least 0")
    x = np.empty((count, len(EUROSAT_ORDER), SIZE, SIZE), np.uint16)
    for number in range(count):
        x[number] = tile(number, seed)
    y = np.arange(count, dtype=np.int64) % len(CLASSES)
    ids = tuple(f"{CLASSES[i % len(CLASSES)]}_{i // len(CLASSES) + 1}" for i in range(count))
    return Dataset(
        x=x,
        y=y,
        ids=ids,
        channels=EUROSAT_ORDER,
        classes=CLASSES,
        content_hash=content_hash(x, y, ids, EUROSAT_ORDER, CLASSES),
        source={"kind": "synthetic", "seed": seed, "count": count, "version": VERSION},
    )
