"""Signs of floods, burns and bared ground in a cell's spectral indices, by rules that stand here and nowhere else.

Limits are for means over a cell, top of atmosphere or surface. They are screens, not products; season matters to all.

- burned: NBR fell by at least 0.27 (Key and Benson 2006, moderate-low severity and up) and NDVI fell by at least 0.1;
- flooded: NDWI rose by at least 0.2 to above 0 (McFeeters 1996: water is above 0), and was below 0 before;
- bared: NDVI fell by at least 0.2 and NDBI rose by at least 0.1 (Zha et al. 2003): soil or building, which it cannot
  tell apart.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float32]
Flags = NDArray[np.bool_]
BURN_NBR, BURN_NDVI = 0.27, 0.1
FLOOD_RISE, WATER = 0.2, 0.0
BARE_NDVI, BARE_NDBI = 0.2, 0.1


def signs(before: Mapping[str, Values], after: Mapping[str, Values]) -> dict[str, Flags]:
    """`burned`, `flooded`, `bared` for cells, of those whose indices both dates have; False where an index is NaN."""
    names = set(before) & set(after)
    found: dict[str, Flags] = {}
    with np.errstate(invalid="ignore"):
        if {"nbr", "ndvi"} <= names:
            fell = before["nbr"] - after["nbr"] >= BURN_NBR
            found["burned"] = fell & (before["ndvi"] - after["ndvi"] >= BURN_NDVI)
        if "ndwi" in names:
            rose = after["ndwi"] - before["ndwi"] >= FLOOD_RISE
            found["flooded"] = rose & (after["ndwi"] > WATER) & (before["ndwi"] < WATER)
        if {"ndvi", "ndbi"} <= names:
            fell = before["ndvi"] - after["ndvi"] >= BARE_NDVI
            found["bared"] = fell & (after["ndbi"] - before["ndbi"] >= BARE_NDBI)
    return found
