"""UTM to longitude and latitude on WGS 84, by Krüger's series.

Formulas: Karney, "Transverse Mercator with an accuracy of a few nanometers", J. Geodesy 85 (2011),
eqs. 7 to 19 (conformal latitude) and 36 (inverse series), cut after n^4: well under a millimetre
within a zone, where a tile measures 640 m.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

SEMI_MAJOR_M = 6378137.0
FLATTENING = 1 / 298.257223563
SCALE = 0.9996
FALSE_EASTING_M = 500_000.0
FALSE_NORTHING_SOUTH_M = 10_000_000.0

_N = FLATTENING / (2 - FLATTENING)
_RECTIFYING_RADIUS_M = SEMI_MAJOR_M / (1 + _N) * (1 + _N**2 / 4 + _N**4 / 64)
_BETA = (
    _N / 2 - 2 * _N**2 / 3 + 37 * _N**3 / 96 - _N**4 / 360,
    _N**2 / 48 + _N**3 / 15 - 437 * _N**4 / 1440,
    17 * _N**3 / 480 - 37 * _N**4 / 840,
    4397 * _N**4 / 161280,
)


def utm_zone(epsg: int) -> tuple[int, bool] | None:
    """(zone, southern hemisphere) of a WGS 84 / UTM code (326zz, 327zz), None for any other."""
    hundreds, zone = divmod(epsg, 100)
    return (zone, hundreds == 327) if hundreds in (326, 327) and 1 <= zone <= 60 else None


def to_lonlat(easting_m: ArrayLike, northing_m: ArrayLike, zone: int, *, south: bool = False) -> NDArray[np.float64]:
    """(..., 2) longitude and latitude, degrees, of UTM coordinates in metres."""
    east, north = np.asarray(easting_m, np.float64), np.asarray(northing_m, np.float64)
    xi = (north - (FALSE_NORTHING_SOUTH_M if south else 0.0)) / (SCALE * _RECTIFYING_RADIUS_M)
    eta = (east - FALSE_EASTING_M) / (SCALE * _RECTIFYING_RADIUS_M)
    zeta = xi + 1j * eta
    zeta = zeta - sum(b * np.sin(2 * k * zeta) for k, b in enumerate(_BETA, 1))
    xi, eta = zeta.real, zeta.imag
    longitude = np.degrees(np.arctan2(np.sinh(eta), np.cos(xi))) + 6 * zone - 183
    tau = _geodetic_tangent(np.sin(xi) / np.hypot(np.sinh(eta), np.cos(xi)))
    return np.stack([longitude, np.degrees(np.arctan(tau))], axis=-1)


def _geodetic_tangent(conformal_tangent: NDArray[np.float64]) -> NDArray[np.float64]:
    """tan(latitude) from tan(conformal latitude): Newton's method (eqs. 19 to 21), three rounds converge."""
    e2 = FLATTENING * (2 - FLATTENING)
    e = np.sqrt(e2)
    tau = conformal_tangent
    for _ in range(3):
        root = np.hypot(1.0, tau)
        sigma = np.sinh(e * np.arctanh(e * tau / root))
        guess = tau * np.hypot(1.0, sigma) - sigma * root
        slope = np.hypot(1.0, guess) * root * (1 - e2) / (1 + (1 - e2) * tau**2)
        tau = tau + (conformal_tangent - guess) / slope
    return np.asarray(tau)
