"""OmniCloudMask's clouds (Wright et al. 2025, Remote Sensing of Environment), by the package of that name: an extra.

Its networks read red, green and near infrared at 10 to 50 m, of any level, and know thick cloud, thin cloud and shadow.
The mask takes the place of SCL, in whose codes it is written, so everything behind treats it as that.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skytrigger.core.errors import InputError
from skytrigger.core.extras import require
from skytrigger.eo.scene.band_names import SCL
from skytrigger.eo.scene.model import Scene, SceneBand
from skytrigger.eo.scene.radiometry import NO_DATA, Radiometry
from skytrigger.eo.scene.raster_band import Pixels

MASK_M = 20.0
FINEST_M, COARSEST_M = 10.0, 50.0  # as its authors state
SMALLEST = 64  # pixels a side; a smaller scene is filled up with no data
STRIPE = 1024  # rows that are averaged at a time
# its classes (clear, thick cloud, thin cloud, shadow) -> SCL: 4 and 3 are no cloud, 9 and 10 are; 0 is no data
SCL_OF = np.array([4, 9, 10, 3], np.uint16)
Predict = Callable[..., NDArray[np.uint8]]


class ArrayBand:
    """A band that lies in memory; see `raster_band.BandReader`."""

    def __init__(self, pixels: Pixels, name: str) -> None:
        self.pixels, self.name = pixels, name
        self.height, self.width = pixels.shape
        self.block = (min(256, self.height), self.width)  # nothing is decoded

    def read(self, rows: tuple[int, int], columns: tuple[int, int]) -> Pixels:
        """See `BandReader`."""
        return self.pixels[rows[0] : rows[1], columns[0] : columns[1]]

    def read_into(self, rows: tuple[int, int], columns: tuple[int, int], out: Pixels) -> None:
        """See `BandReader`."""
        out[:] = self.read(rows, columns)

    def sample(self, side: int) -> Pixels:
        """See `BandReader`."""
        step = max(1, self.width // side)
        return self.pixels[::step, ::step]

    def identity(self) -> list[Any]:
        """It follows from the scene's other bands."""
        return [self.name]

    def close(self) -> None:
        """Nothing is held open."""


def with_cloud_mask(scene: Scene, device: str = "cpu") -> Scene:
    """The scene with OmniCloudMask's clouds as its SCL; networks are fetched by that package when it first runs.

    Raises
    ------
    UnavailableError
        The package is not installed.
    InputError
        Pixels finer or coarser than it knows, or no red, green or near infrared.
    """
    predict: Predict = require("omnicloudmask", why="--clouds omnicloudmask").predict_from_array
    grid = scene.grid
    if not FINEST_M - 1e-6 <= grid.pixel_m <= COARSEST_M:
        raise InputError(
            f"--clouds omnicloudmask: {scene.source} has pixels of {grid.pixel_m:.4g} m",
            expected=f"{FINEST_M:g} to {COARSEST_M:g} m",
            remedy="--clouds rules",
        )
    near = "B8A" if "B8A" in scene.bands else "B08"
    lacking = [n for n in ("B04", "B03", near) if n not in scene.bands]
    if lacking:
        raise InputError(f"--clouds omnicloudmask: {scene.source} has no {', '.join(lacking)}", remedy="--clouds rules")
    factor = max(1, round(MASK_M / grid.pixel_m))
    target = grid.coarser(factor)
    stack = np.zeros((3, max(target.height, SMALLEST), max(target.width, SMALLEST)), np.uint16)
    for plane, name in zip(stack, ("B04", "B03", near), strict=True):
        _averaged(scene, name, factor, plane[: target.height, : target.width])
    found = predict(stack, no_data_value=NO_DATA, apply_no_data_mask=True, inference_device=device)
    codes = SCL_OF[np.asarray(found)[0, : target.height, : target.width]]
    codes[(stack[:, : target.height, : target.width] == NO_DATA).any(axis=0)] = NO_DATA
    band = SceneBand(SCL, target, Radiometry(), ArrayBand(codes, "omnicloudmask"))
    note = "Clouds by OmniCloudMask, from B04, B03 and " + near + "."
    return replace(scene, bands={**scene.bands, SCL: band}, notes=(*scene.notes, note))


def _averaged(scene: Scene, name: str, factor: int, out: Pixels) -> None:
    """Means of the band's pixels in each of `out`, no data where one of them has none; coarser pixels are repeated."""
    band, own = scene.bands[name], scene.factors()[name]
    if own >= factor:
        dn = band.dn()
        rows, columns = (np.arange(n) * factor // own for n in out.shape)
        out[:] = dn[np.ix_(np.minimum(rows, dn.shape[0] - 1), np.minimum(columns, dn.shape[1] - 1))]
        return
    step = factor // own
    for first in range(0, out.shape[0], STRIPE):
        last = min(first + STRIPE, out.shape[0])
        dn = band.dn((first * step, min(last * step, band.grid.height)))
        more = [(0, n * step - m) for n, m in zip((last - first, out.shape[1]), dn.shape, strict=True)]
        blocks = np.pad(dn, more, mode="edge").reshape(last - first, step, out.shape[1], step)
        means = (blocks.sum(axis=(1, 3), dtype=np.uint32) + step * step // 2) // (step * step)
        out[first:last] = np.where((blocks == NO_DATA).any(axis=(1, 3)), NO_DATA, means)
