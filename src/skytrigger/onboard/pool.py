"""Tiles that scenes are laid out with: real or generated ones of known class, under drawn clouds, beside a reference.

A scene's tile is a tile of the pool in one of its eight orientations. Clouds are drawn over it (they are synthetic in
every case). Its on-board reference, after Earth+ (Du et al. 2024) an eighth of the resolution, is the same ground with
another day's light, or ground of another class where the scene says that it changed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from skytrigger.core.dataset import Dataset
from skytrigger.core.errors import InputError
from skytrigger.core.seeds import generator
from skytrigger.eo.bands import EUROSAT_ORDER
from skytrigger.eo.load import load

Floats = NDArray[np.float32]
Tiles = NDArray[np.uint16]
REFERENCE_CELL = 8  # pixels of a reference's pixel
CHANGE_LIMIT = 0.16  # mean relative difference from the reference above which a tile counts as changed
CLOUD_DN = 7_500.0  # a bright cloud's reflectance of 0.75
CIRRUS_DN = 350.0  # its B10, above most water vapour
LIGHT = 0.12  # spread of another day's light, relative, by band


@dataclass(frozen=True)
class Pool:
    """Tiles (n, 13, 64, 64) uint16 DN in EuroSAT's order, their class (-1: not known) and low-resolution copies.

    `synthetic` where the tiles themselves are generated.
    """

    x: Tiles
    y: NDArray[np.int64]
    classes: tuple[str, ...]
    synthetic: bool
    content_hash: str
    low: Floats

    def of_class(self, index: int) -> NDArray[np.int64]:
        """Numbers of the tiles of a class."""
        return np.flatnonzero(self.y == index)


def load_pool(sources: Sequence[str], classes: tuple[str, ...]) -> Pool:
    """The pool from labelled tiles.

    Raises
    ------
    InputError
        Not 13 bands of Sentinel-2 in DN, tiles of another size, classes that the model does not know.
    """
    data: Dataset = load(list(sources))
    missing = [b for b in EUROSAT_ORDER if b not in data.channels]
    if missing or data.x.shape[2:] != (64, 64) or data.x.dtype != np.uint16:
        raise InputError(
            f"{' '.join(sources)}: tiles of {data.x.shape[1]} bands, {data.x.shape[2]} pixels, {data.x.dtype}",
            expected="13 bands of Sentinel-2, 64 x 64 pixels, uint16",
        )
    if strange := sorted(set(data.classes) - set(classes)):
        raise InputError(f"{' '.join(sources)}: classes {strange}", expected=", ".join(classes))
    x = np.ascontiguousarray(np.asarray(data.x)[:, [data.channels.index(b) for b in EUROSAT_ORDER]])
    y = np.array([classes.index(c) for c in data.classes])[np.asarray(data.y)]
    return Pool(x, y, classes, data.source.get("kind") == "synthetic", data.content_hash, reduced(x))


def reduced(x: NDArray[np.uint16]) -> Floats:
    """(n, c, 8, 8) means over cells of 8 pixels."""
    n, c, h, w = x.shape
    cells = x.reshape(n, c, h // REFERENCE_CELL, REFERENCE_CELL, w // REFERENCE_CELL, REFERENCE_CELL)
    means: Floats = cells.mean(axis=(3, 5), dtype=np.float32)
    return means


@dataclass(frozen=True)
class Draws:
    """How each tile of a window is made from the pool; arrays (n,)."""

    source: NDArray[np.int64]
    turn: NDArray[np.int64]
    true: NDArray[np.int64]
    cloudy: NDArray[np.bool_]
    changed: NDArray[np.bool_]
    seed: NDArray[np.int64]


def tile(pool: Pool, draws: Draws, index: int) -> Tiles:
    """(13, 64, 64) DN of one drawn tile, the cloud over it included."""
    turn = int(draws.turn[index])
    x = np.rot90(pool.x[draws.source[index]], turn % 4, axes=(1, 2))
    x = x[:, :, ::-1] if turn >= 4 else x
    if not draws.cloudy[index]:
        return np.ascontiguousarray(x)
    cover = _cloud(int(draws.seed[index]))
    white = np.full(len(EUROSAT_ORDER), CLOUD_DN, np.float32)
    white[EUROSAT_ORDER.index("B10")] = CIRRUS_DN
    mixed = x * (1 - cover) + white[:, None, None] * cover
    return np.asarray(np.rint(mixed), np.uint16)


def _cloud(seed: int) -> Floats:
    """(64, 64) opacity, 0.1 to 1: an even sheet with soft waves."""
    rng = generator(seed, "cloud")
    depth, phase = rng.uniform(0.12, 1.0), rng.uniform(0, 2 * np.pi, 2)
    wave = rng.uniform(0.04, 0.12, 2)
    ramp = np.arange(64)
    texture = np.sin(wave[0] * ramp[:, None] + phase[0]) * np.sin(wave[1] * ramp[None, :] + phase[1])
    cover: Floats = np.clip(depth * (1 + 0.15 * texture), 0.1, 1.0).astype(np.float32)
    return cover


def change_seen(pool: Pool, draws: Draws) -> NDArray[np.bool_]:
    """(n,) whether each tile differs from its on-board reference by more than `CHANGE_LIMIT`."""
    n = len(draws.source)
    seen = np.empty(n, bool)
    bands = [i for i, b in enumerate(EUROSAT_ORDER) if b != "B10"]
    for i in range(n):
        rng = generator(int(draws.seed[i]), "reference")
        now = pool.low[draws.source[i]]
        if draws.changed[i]:
            others = np.flatnonzero(pool.y != draws.true[i])
            before = pool.low[others[rng.integers(len(others))]] if len(others) else now
        else:
            before = now
        light = rng.normal(1.0, LIGHT, (len(EUROSAT_ORDER), 1, 1)).astype(np.float32)
        difference = np.abs(now - before * light)[bands] / np.maximum(before[bands], 100.0)
        seen[i] = difference.mean() > CHANGE_LIMIT
    return seen
