"""Tiles of whole products for a stream, through the scene reader; their truth is what the network says of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from skytrigger.core.errors import InputError
from skytrigger.core.extras import require
from skytrigger.core.host import cores_in_mask
from skytrigger.eo.bands import EUROSAT_ORDER
from skytrigger.eo.scene.cells import Cells
from skytrigger.eo.scene.clouds import CLOUDY_SHARE
from skytrigger.eo.scene.engine import BATCH, Lanes, ModelFile, default_runtime
from skytrigger.eo.scene.model import Scene
from skytrigger.eo.scene.native_rows import ChunkReader, chunk_plan
from skytrigger.eo.scene.opening import open_scene
from skytrigger.eo.scene.raster_band import GDAL_OPTIONS
from skytrigger.eo.scene.results import empty_rows
from skytrigger.eo.scene.tile_maker import TileMaker

SIDE = 64
DN_MOST = np.iinfo(np.uint16).max
MOST = 2_000  # tiles of all scenes together: 200 MB
WHOLE = 0.999  # share of a tile's pixels with data


def scene_tiles(paths: Sequence[str], most: int = MOST) -> NDArray[np.uint16]:
    """(n, 13, 64, 64) clear, whole tiles, evenly from the products' rows.

    Raises
    ------
    InputError
        A product without the 13 bands, or no clear tile in any.
    """
    found: list[NDArray[np.uint16]] = []
    with require("rasterio", why="scenes").Env(**GDAL_OPTIONS):
        for path in paths:
            with open_scene(path) as scene:
                if missing := [b for b in EUROSAT_ORDER if b not in scene.bands]:
                    raise InputError(f"{path} lacks {', '.join(missing)}", expected="the 13 bands of Level-1C")
                clear = np.concatenate([np.empty((0, 13, SIDE, SIDE), np.uint16), *_clear(scene)])
            share = max(1, most // len(paths))
            found.append(clear[np.unique(np.linspace(0, len(clear) - 1, min(share, len(clear))).astype(np.int64))])
    tiles = np.concatenate(found)
    if not len(tiles):
        raise InputError(f"{', '.join(paths)}: no clear tile of 64 pixels")
    return tiles


def _clear(scene: Scene) -> Iterator[NDArray[np.uint16]]:
    """Of each row of cells, the tiles that are whole and not cloudy."""
    cells = Cells(scene.grid, SIDE, SIDE)
    maker = TileMaker(scene, cells, EUROSAT_ORDER, "float32")
    room = maker.room(cells.columns)
    reader = ChunkReader(scene, maker.names, cells, chunk_plan(scene, maker.names, cells), cores_in_mask())
    try:
        for chunk in reader:
            for row in range(chunk.first, chunk.last):
                out = empty_rows(1, cells.columns, 1, len(maker.planes), cells.picture)
                tiles = maker.batch(chunk, row, 0, cells.columns, room, out)
                good = (out.valid[0] >= WHOLE) & (np.nan_to_num(out.cloud[0]) <= CLOUDY_SHARE)
                yield np.clip(np.rint(tiles[good]), 0, DN_MOST).astype(np.uint16)
    finally:
        reader.close()


def classes_of(tiles: NDArray[np.uint16], model: ModelFile, runtime: str = "") -> NDArray[np.int64]:
    """(n,) the network's answers."""
    lanes = Lanes(model, runtime or default_runtime(), 1, codes=False)
    order = [EUROSAT_ORDER.index(b) for b in model.card.channels]
    try:
        run = lanes.logits(0)
        parts = [
            run(np.ascontiguousarray(tiles[i : i + BATCH][:, order], np.float32)).argmax(axis=1)
            for i in range(0, len(tiles), BATCH)
        ]
    finally:
        lanes.close()
    return np.concatenate(parts).astype(np.int64)
