"""landcover.tif: a cloud-optimised GeoTIFF whose pixels are the cells."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from skytrigger.core.extras import require
from skytrigger.core.files import atomic_path
from skytrigger.eo.scene.grid import Grid
from skytrigger.eo.scene.legend import NO_DATA, Entry

BAND_NAMES = ("class", "confidence_percent", "valid_percent")


def write_cog(
    path: Path, bands: Sequence[NDArray[np.uint8]], names: Sequence[str], grid: Grid, entries: Sequence[Entry],
    tags: dict[str, str],
) -> None:  # fmt: skip
    """Write uint8 bands, 255 as no data in all of them; overviews take the most frequent value, never a mean.

    A TIFF of several bands cannot hold a colour table, so GDAL keeps it in ``PATH.aux.xml`` beside it; the classes'
    names go there too.
    """
    rasterio = require("rasterio", why="maps")
    profile = {
        "width": grid.width, "height": grid.height, "count": len(bands), "dtype": "uint8", "crs": grid.crs,
        "transform": rasterio.Affine(*grid.transform), "nodata": NO_DATA,
    }  # fmt: skip
    with atomic_path(path) as temporary:
        # a dataset in memory: unlike a TIFF it can hold a colour table on one of several bands
        with rasterio.MemoryFile() as memory, memory.open(driver="MEM", **profile) as source:
            for i, (values, name) in enumerate(zip(bands, names, strict=True), 1):
                source.write(values, i)
                source.set_band_description(i, name)
            source.update_tags(**tags)
            source.update_tags(1, **{f"CLASS_{e.value}": e.title for e in entries})
            source.write_colormap(1, {e.value: (*e.rgb, 255) for e in entries} | {NO_DATA: (0, 0, 0, 0)})
            require("rasterio.shutil", why="maps").copy(
                source, str(temporary), driver="COG", compress="DEFLATE", overview_resampling="mode", blocksize=512
            )
        beside = temporary.with_name(f"{temporary.name}.aux.xml")
        if beside.exists():
            os.replace(beside, path.with_name(f"{path.name}.aux.xml"))


def percent(values: NDArray[np.float32], codes: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """0 to 100, 255 where there is no class."""
    whole: NDArray[np.uint8] = np.floor(np.clip(values, 0, 1) * 100 + 0.5).astype(np.uint8)
    whole[codes == NO_DATA] = NO_DATA
    return whole
