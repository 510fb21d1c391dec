"""Where a tile lies, from its GeoTIFF tags."""

from __future__ import annotations

import math
import struct
from typing import Any

from skytrigger.eo import utm

NOWHERE = (math.nan, math.nan)
SCALE, TIEPOINT, TRANSFORM, KEYS = 33550, 33922, 34264, 34735
GEO_TAGS = (SCALE, TIEPOINT, TRANSFORM, KEYS)


def centre_lonlat(tags: dict[int, Any], height: int, width: int) -> tuple[float, float]:
    """Longitude and latitude of the tile's centre in degrees, NaN where the tags do not tell."""
    try:
        keys = tags.get(KEYS, ())
        geo = {keys[k]: keys[k + 3] for k in range(4, len(keys), 4) if keys[k + 1] == 0}
        shift = 0.5 if geo.get(1025) == 2 else 0.0  # RasterPixelIsPoint: coordinates are of pixel centres
        column, row = width / 2 - shift, height / 2 - shift
        if TRANSFORM in tags:
            m = tags[TRANSFORM]
            x, y = m[0] * column + m[1] * row + m[3], m[4] * column + m[5] * row + m[7]
        else:
            i, j, _, x0, y0 = tags[TIEPOINT][:5]
            x, y = x0 + (column - i) * tags[SCALE][0], y0 - (row - j) * tags[SCALE][1]
        zone = utm.utm_zone(int(geo.get(3072, 0)))
        if zone is not None:
            lon, lat = map(float, utm.to_lonlat(x, y, zone[0], south=zone[1]))
        elif geo.get(1024) == 2 and geo.get(2048) == 4326:
            lon, lat = float(x), float(y)
        else:
            return NOWHERE
    except (KeyError, IndexError, TypeError, ValueError, struct.error):
        return NOWHERE
    inside = abs(lon) <= 180 and abs(lat) <= 90
    return (lon, lat) if inside else NOWHERE
