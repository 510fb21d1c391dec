"""Spectral indices of tiles, from band means: (a - b) / (a + b)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from skytrigger.eo.scene.decide import LandCover, mean_of

# name -> (a, b); NDVI Rouse 1974, NDWI McFeeters 1996, NBR Key and Benson 2006, NDBI Zha 2003
INDICES = {"ndvi": ("B08", "B04"), "ndwi": ("B03", "B08"), "nbr": ("B08", "B12"), "ndbi": ("B11", "B08")}


def indices(cover: LandCover) -> dict[str, NDArray[np.float32]]:
    """Of those whose bands the scene has, (rows, columns); NaN where both bands are zero."""
    found = {}
    for name, (first, second) in INDICES.items():
        if first in cover.planes and second in cover.planes:
            a, b = mean_of(cover, first), mean_of(cover, second)
            with np.errstate(invalid="ignore", divide="ignore"):
                found[name] = ((a - b) / (a + b)).astype(np.float32)
    return found
