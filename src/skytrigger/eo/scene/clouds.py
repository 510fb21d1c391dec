"""Cloud screening: the product's scene classification where there is one, else thresholds on four bands.

Thresholds, top-of-atmosphere reflectance. A pixel is cloudy where

- B10 > 0.012: light at 1.37 um comes from above most water vapour, so from cirrus and high clouds (Level-1C algorithm
  of ESA: cirrus from 0.012 up); very high and dry ground does this too; or
- B02 > 0.25 and B01 > 0.25 and B11 > 0.12: bright and white. Snow is dark in B11.

These rules are coarse: they miss low, thin clouds and all shadows, and they take some bright roofs and sand for clouds.
A scene without B10 is screened by the second rule alone, one without B11 not at all.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

HIGH, BLUE, AEROSOL, SWIR = 0.012, 0.25, 0.25, 0.12
LIMITS_DN = np.array([HIGH, BLUE, AEROSOL, SWIR], np.float32) * np.float32(10_000)
SCREEN_BANDS = ("B01", "B02", "B10", "B11")
# SCL codes: 8, 9 clouds of medium and high probability, 10 thin cirrus (Sentinel-2 Level-2A product definition)
SCL_CLOUD = (8, 9, 10)
STEP = 4  # every fourth pixel in both directions, from the third on, is screened
CLOUDY_SHARE = 0.5  # of a tile's pixels: such a tile is Cloud


def scl_share(scl: NDArray[np.uint16]) -> NDArray[np.float32]:
    """(n,) share of cloudy pixels among those that (n, t, t) SCL codes classify; 0 is no data."""
    cloudy = np.isin(scl, SCL_CLOUD).sum(axis=(1, 2))
    seen = (scl != 0).sum(axis=(1, 2))
    share: NDArray[np.float32] = (cloudy / np.maximum(seen, 1)).astype(np.float32)
    return share
