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
    for name, value, least in (("count", count, 1), ("seed", seed, 0)):
        if not isinstance(value, (int, np.integer)) or isinstance(value, bool) or value < least:
            raise InputError(f"synthetic tiles with {name} {value!r}", expected=f"a whole number of at least {least}")
    count, seed = int(count), int(seed)
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
