"""Where the sun is, and whether a satellite sees it.

The sun's direction is the Astronomical Almanac's low-precision formula (section C, "Low precision formulas for the
Sun": 0.01 degree from 1950 to 2050), in the mean equator and equinox of date.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]
EARTH_RADIUS_M = 6_378_137.0
J2000_JD = 2_451_545.0


def sun_direction(julian_day: ArrayLike) -> Floats:
    """(..., 3) unit vectors from the Earth's centre to the sun; `julian_day` in UT or TT.

    >>> sun_direction(2451545.0).round(3).tolist()
    [0.18, -0.902, -0.391]
    """
    n = np.asarray(julian_day, np.float64) - J2000_JD
    mean_longitude = 280.460 + 0.9856474 * n
    anomaly = np.radians(357.528 + 0.9856003 * n)
    longitude = np.radians(mean_longitude + 1.915 * np.sin(anomaly) + 0.020 * np.sin(2 * anomaly))
    obliquity = np.radians(23.439 - 0.0000004 * n)
    return np.stack(
        [np.cos(longitude), np.cos(obliquity) * np.sin(longitude), np.sin(obliquity) * np.sin(longitude)], axis=-1
    )


def in_sunlight(position_m: Floats, sun: Floats) -> NDArray[np.bool_]:
    """(n,) whether satellites at (n, 3) metres are out of the Earth's shadow, taken as a cylinder."""
    along = np.einsum("ij,ij->i", position_m, sun)
    away = np.linalg.norm(position_m - along[:, None] * sun, axis=1)
    lit: NDArray[np.bool_] = (along > 0) | (away > EARTH_RADIUS_M)
    return lit


def sun_elevation(position_m: Floats, sun: Floats) -> Floats:
    """(n,) the sun's height over the horizon below the satellite, degrees, on a spherical Earth."""
    up = position_m / np.linalg.norm(position_m, axis=1, keepdims=True)
    return np.asarray(np.degrees(np.arcsin(np.clip(np.einsum("ij,ij->i", up, sun), -1, 1))))
