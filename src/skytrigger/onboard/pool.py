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

from skytrigger.core.dataset import Dataset, content_hash
from skytrigger.core.errors import InputError
from skytrigger.eo.bands import EUROSAT_ORDER
from skytrigger.eo.load import load
from skytrigger.eo.scene.engine import ModelFile
from skytrigger.learn.leakage import judged_images
from skytrigger.onboard.scene_tiles import classes_of, scene_tiles

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

    `synthetic` where the tiles themselves are generated, `self_labelled` where their classes are the network's own.
    """

    x: Tiles
    y: NDArray[np.int64]
    classes: tuple[str, ...]
    synthetic: bool
    content_hash: str
    low: Floats
    self_labelled: bool = False
    notes: tuple[str, ...] = ()

    def of_class(self, index: int) -> NDArray[np.int64]:
        """Numbers of the tiles of a class."""
        return np.flatnonzero(self.y == index)


def scene_pool(paths: Sequence[str], model: ModelFile, runtime: str = "") -> Pool:
    """The pool from whole products; its classes are the network's own answers, so that its errors are not counted."""
    x = scene_tiles(paths)
    y = classes_of(x, model, runtime)
    classes = model.card.heads[0].names
    return Pool(
        x,
        y,
        classes,
        False,
        content_hash(x, y, [str(i) for i in range(len(x))], EUROSAT_ORDER, classes),
        reduced(x),
        True,
    )


def load_pool(sources: Sequence[str], model: ModelFile) -> Pool:
    """The pool from labelled tiles.

    Raises
    ------
    InputError
        Not 13 bands of Sentinel-2 in DN, tiles of another size, classes that the model does not know.
    """
    data: Dataset = load(list(sources))
    classes = model.card.heads[0].names
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
    notes: tuple[str, ...] = ()
    generated = data.source.get("kind") == "synthetic"
    seen = judged_images(model.card, model.card.name, data, np.arange(len(data.x)))
    if seen["images"]:
        found = f"{seen['images']} of the {len(x)} tiles are among those that the network learned from or chose by"
        notes = (f"{found}: its errors are fewer here than on other ground",)
    elif not seen["known"] and not generated:
        notes = ("which tiles the network has learned from is not known (its card keeps no list)",)
    return Pool(x, y, classes, generated, data.content_hash, reduced(x), notes=notes)


def reduced(x: NDArray[np.uint16]) -> Floats:
    """(n, c, 8, 8) means over cells of 8 pixels."""
    n, c, h, w = x.shape
    cells = x.reshape(n, c, h // REFERENCE_CELL, REFERENCE_CELL, w // REFERENCE_CELL, REFERENCE_CELL)
    means: Floats = cells.mean(axis=(3, 5), dtype=np.float32)
    return means


@dataclass(frozen=True)
class Draws:
    """How each tile of a window is made from the pool; arrays (n,), `veil` (n, 5): see `clouds`."""

    source: NDArray[np.int64]
    turn: NDArray[np.int64]
    true: NDArray[np.int64]
    cloudy: NDArray[np.bool_]
    changed: NDArray[np.bool_]
    veil: Floats


def draw_veils(rng: np.random.Generator, n: int) -> Floats:
    """(n, 5) depth, two wave numbers, two phases of a cloud over each tile."""
    lows, highs = (0.12, 0.04, 0.04, 0.0, 0.0), (1.0, 0.12, 0.12, 2 * np.pi, 2 * np.pi)
    return rng.uniform(lows, highs, (n, 5)).astype(np.float32)


def clouds(veil: Floats) -> Floats:
    """(n, 64, 64) opacity, 0.1 to 1: even sheets with soft waves."""
    ramp = np.arange(64, dtype=np.float32)
    down = np.sin(veil[:, 1:2] * ramp + veil[:, 3:4])
    across = np.sin(veil[:, 2:3] * ramp + veil[:, 4:5])
    waves = 1 + 0.15 * down[:, :, None] * across[:, None, :]
    cover: Floats = np.clip(veil[:, 0, None, None] * waves, 0.1, 1.0).astype(np.float32)
    return cover


def tiles(pool: Pool, draws: Draws, begin: int, end: int) -> Tiles:
    """(n, 13, 64, 64) DN of the drawn tiles [begin, end), the clouds over them included."""
    part = slice(begin, end)
    turn = draws.turn[part]
    out = np.empty((end - begin, *pool.x.shape[1:]), np.uint16)
    for t in np.unique(turn):
        x = np.rot90(pool.x[draws.source[part][turn == t]], t % 4, axes=(2, 3))
        out[turn == t] = x[..., ::-1] if t >= 4 else x
    over = np.flatnonzero(draws.cloudy[part])
    if len(over):
        cover = clouds(draws.veil[part][over])[:, None]
        white = np.full((len(EUROSAT_ORDER), 1, 1), CLOUD_DN, np.float32)
        white[EUROSAT_ORDER.index("B10")] = CIRRUS_DN
        out[over] = np.rint(out[over] * (1 - cover) + white * cover)
    return out


def tile(pool: Pool, draws: Draws, index: int) -> Tiles:
    """(13, 64, 64) DN of one drawn tile."""
    one: Tiles = tiles(pool, draws, index, index + 1)[0]
    return one


def change_seen(pool: Pool, draws: Draws, rng: np.random.Generator) -> NDArray[np.bool_]:
    """(n,) whether each tile differs from its on-board reference by more than `CHANGE_LIMIT`."""
    n = len(draws.source)
    before = draws.source.copy()
    for true in np.unique(draws.true[draws.changed]):
        of, others = np.flatnonzero(draws.changed & (draws.true == true)), np.flatnonzero(pool.y != true)
        if len(others):
            before[of] = others[rng.integers(len(others), size=len(of))]
    bands = [i for i, b in enumerate(EUROSAT_ORDER) if b != "B10"]
    light = rng.normal(1.0, LIGHT, (n, len(bands), 1, 1)).astype(np.float32)
    now, then = pool.low[draws.source][:, bands], pool.low[before][:, bands]
    difference = np.abs(now - then * light) / np.maximum(then, 100.0)
    seen: NDArray[np.bool_] = difference.mean(axis=(1, 2, 3)) > CHANGE_LIMIT
    return seen
