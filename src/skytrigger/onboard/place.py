"""Where a window's tiles lie: a north-up grid of 640 m in the UTM zone of its block's middle."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from skytrigger.core.extras import require
from skytrigger.eo.utm import to_lonlat, utm_zone
from skytrigger.onboard.facts import TILE_M
from skytrigger.onboard.plan import Plan
from skytrigger.onboard.spec import Spec

Floats = NDArray[np.float64]


def window_grid(spec: Spec, plan: Plan, block: int) -> tuple[int, float, float]:
    """EPSG code, and the left and top edge in metres, whole tiles from the zone's origin."""
    latitude, longitude = float(plan.blocks.latitude_deg[block]), float(plan.blocks.longitude_deg[block])
    zone = min(60, int((longitude + 180) // 6) + 1)
    epsg = (32700 if latitude < 0 else 32600) + zone
    warp = require("rasterio.warp", why="the places of tiles")
    x, y = warp.transform("EPSG:4326", f"EPSG:{epsg}", [longitude], [latitude])
    rows, columns = spec.stream.window[0], spec.stream.window[1]
    left = TILE_M * round(x[0] / TILE_M - columns / 2)
    top = TILE_M * round(y[0] / TILE_M + rows / 2)
    return epsg, left, top


def window_xy(spec: Spec, plan: Plan, block: int) -> tuple[int, Floats, Floats]:
    """EPSG code and the centres (tiles,) of a window's tiles, metres, row by row from the north."""
    epsg, left, top = window_grid(spec, plan, block)
    rows, columns = spec.stream.window[0], spec.stream.window[1]
    row, column = np.divmod(np.arange(rows * columns), columns)
    return epsg, left + TILE_M * (column + 0.5), top - TILE_M * (row + 0.5)


def window_lonlat(spec: Spec, plan: Plan, block: int) -> Floats:
    """(tiles, 2) longitude and latitude of the centres, degrees."""
    epsg, x, y = window_xy(spec, plan, block)
    zone = utm_zone(epsg)
    if zone is None:
        raise ValueError(f"EPSG:{epsg} is no UTM zone")
    return to_lonlat(x, y, zone[0], south=zone[1])
