"""Where a Sentinel-2 tile lies, from its name alone: the 100 km squares of the Military Grid Reference System.

Squares: NGA.STND.0037 (2014), section B. Sentinel-2 tiles are 109,800 m wide; their upper left corner is the square's,
moved outwards to the next multiple of 60 m, so that pixels of 10, 20 and 60 m share it.
"""

from __future__ import annotations

import math
import re

from skytrigger.core.extras import require
from skytrigger.eo.scene.grid import Grid

TILE_M = 109_800
_HALVINGS = {band * 2**level for band in (1, 2, 6) for level in range(6)}
_NAME = re.compile(r"(?<![A-Z0-9])T?((?:0[1-9]|[1-5]\d|60))([C-HJ-NP-X])([A-HJ-NP-Z])([A-HJ-NP-V])(?![A-Z0-9])")
_BANDS = "CDEFGHJKLMNPQRSTUVWX"
_ROWS = "ABCDEFGHJKLMNPQRSTUV"
_COLUMNS = ("ABCDEFGH", "JKLMNPQR", "STUVWXYZ")


def tile_name(text: str) -> str | None:
    """The one tile that `text` names (``T19UDP`` -> ``19UDP``), or None where there is none or several."""
    found = {"".join(match.groups()) for match in _NAME.finditer(text.upper())}
    return found.pop() if len(found) == 1 else None


def tile_grid(tile: str, width: int, height: int) -> Grid | None:
    """Grid of an image of the whole tile, or None where it has not the pixels of one.

    A tile has 10,980 pixels of 10 m; bands and their halvings have ceil(10980 / k). Any other number may be a cut-out.
    """
    pixels = TILE_M // 10
    factor = round(pixels / max(width, 1))
    if factor not in _HALVINGS or width != height or math.ceil(pixels / factor) != width:
        return None
    corner = _corner(tile)
    if corner is None:
        return None
    crs, left, top = corner
    return Grid(crs, left, top, TILE_M / width, width, height)


def _corner(tile: str) -> tuple[str, float, float] | None:
    zone, band, column, row = int(tile[:2]), tile[2], tile[3], tile[4]
    letters = _COLUMNS[(zone - 1) % 3]
    if column not in letters:
        return None
    easting = 100_000 * (letters.index(column) + 1)
    northing = 100_000 * ((_ROWS.index(row) - (0 if zone % 2 else 5)) % 20)
    north = band >= "N"
    crs = f"EPSG:{(32600 if north else 32700) + zone}"
    # rows repeat every 2,000 km: the repetition nearest to the middle of the latitude band is meant
    middle = -76.0 + 8 * _BANDS.index(band) if band != "X" else 78.0
    warp = require("rasterio.warp", why="scenes")
    _, (y,) = warp.transform("EPSG:4326", crs, [6.0 * zone - 183], [middle])
    northing += 2_000_000 * round((y - northing - 50_000) / 2_000_000)
    equator = 0 if north else 10_000_000  # multiples of 60 m are counted from it
    top = equator + 60.0 * math.ceil((northing + 100_000 - equator) / 60)
    return crs, 60.0 * math.floor(easting / 60), top
