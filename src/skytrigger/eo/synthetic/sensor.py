"""From surface reflectance at 5 m to the DN of a Level-1C tile: air, optics, sampling, noise, resampling."""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from skytrigger.eo.bands import BANDS
from skytrigger.eo.synthetic.canvas import CELL_M, CELLS, Canvas, Field

SIZE = 64  # pixels of 10 m
DN_PER_REFLECTANCE = 10_000.0
OFFSETS = CELLS // 2 - SIZE + 1  # where a tile may begin against the 60 m grid, in pixels of 10 m

_MICRON = np.array([band.centre_nm for band in BANDS]) / 1000.0
# Optical depth of air at sea level, Hansen & Travis 1974, eq. 2.30
RAYLEIGH_DEPTH = 0.008569 * _MICRON**-4 * (1 + 0.0113 * _MICRON**-2 + 0.00013 * _MICRON**-4)

# Per band: reference radiance (W/m2/sr/um) and the signal-to-noise ratio there, as the mission reports it from
# flight (Sentinel-2 L1C Data Quality Report; above the requirement everywhere), and the sun's irradiance
# outside the atmosphere (W/m2/um), rounded.
RADIOMETRY: dict[str, tuple[float, float, float]] = {
    "B01": (129.0, 1300, 1885),
    "B02": (128.0, 214, 1960),
    "B03": (128.0, 249, 1823),
    "B04": (108.0, 230, 1513),
    "B05": (74.5, 250, 1425),
    "B06": (68.0, 220, 1287),
    "B07": (67.0, 227, 1162),
    "B08": (103.0, 221, 1036),
    "B8A": (52.5, 160, 955),
    "B09": (9.0, 222, 813),
    "B10": (6.0, 390, 367),
    "B11": (4.0, 159, 245),
    "B12": (1.5, 167, 85),
}
_RADIANCE, _SNR, _IRRADIANCE = np.array([RADIOMETRY[band.name] for band in BANDS]).T

# Absorption per unit of sqrt(water column in g/cm2 x airmass): strong-line band models go with the square
# root (Goody 1964). B09 sits in the 940 nm band. Ozone is part of the small constants at 560 and 665 nm.
_WATER = np.array([{"B05": 0.012, "B09": 0.56, "B11": 0.008, "B12": 0.022}.get(b.name, 0.002) for b in BANDS])
_OZONE = np.array([{"B02": 0.007, "B03": 0.033, "B04": 0.018, "B05": 0.007}.get(b.name, 0.0) for b in BANDS])
_CIRRUS = [band.name for band in BANDS].index("B10")


class Air:
    """One tile's atmosphere, seen at nadir; single scattering.

    Path reflectance of molecules ``tau P / (4 mu)`` and of aerosol with an Angstrom exponent; two-way
    transmission by Tanre et al. 1979 (``exp(-(0.52 tau_r + 0.16 tau_a) / mu)``); part of the light comes
    from the neighbourhood (adjacency). B10 sees no ground: only thin cirrus high above the vapour.
    """

    def __init__(self, canvas: Canvas) -> None:
        rng = canvas.rng
        mu = math.cos(canvas.sun_zenith)
        airmass = 1 + 1 / mu
        haze = 0.10 * math.exp(rng.normal(0.0, 0.4))  # aerosol optical depth at 550 nm
        aerosol = haze * (_MICRON / 0.55) ** -canvas.between(0.9, 1.6)
        water = (1.2 + 1.6 * math.sin(math.pi * canvas.season)) * math.exp(rng.normal(0.0, 0.3))
        self.path = RAYLEIGH_DEPTH * 0.75 * (1 + mu**2) / (4 * mu) + aerosol * 0.35 / (4 * mu)
        self.through = np.exp(-(0.52 * RAYLEIGH_DEPTH + 0.16 * aerosol) * airmass)
        self.gas = np.exp(-_WATER * math.sqrt(water * airmass) - _OZONE * airmass)
        self.strayed = np.minimum(0.3, 0.25 * RAYLEIGH_DEPTH + 0.5 * aerosol)
        cirrus = rng.gamma(6.5, 12.0 / 6.5) / DN_PER_REFLECTANCE  # mean 12 DN, as in EuroSAT
        self.cirrus = cirrus * (1 + 0.02 * average(canvas.noise(2.0), 2))

    def top(self, ground: Field, band: int) -> Field:
        """Reflectance at the top of the atmosphere over surface reflectance `ground` (72, 72)."""
        if band == _CIRRUS:
            return self.cirrus
        strayed = self.strayed[band]
        mixed = ground * (1 - strayed) + ground.mean() * strayed
        return np.asarray(self.gas[band] * (self.path[band] + self.through[band] * mixed))


def noise_deviation(reflectance: Field, band: int, mu: float) -> Field:
    """Standard deviation of the sensor's noise in reflectance: read noise plus a shot-noise part."""
    reference = math.pi * _RADIANCE[band] / (_IRRADIANCE[band] * mu)
    return np.asarray(reference / _SNR[band] * np.sqrt(0.3 + 0.7 * np.maximum(reflectance, 0) / reference))


@lru_cache(maxsize=4)
def _taps(resolution_m: int) -> tuple[NDArray[np.intp], Field]:
    """For each 10 m pixel of the scene: the four nearest coarse pixels and their weights, (72, 4) each.

    Cubic convolution, Keys 1981, a = -1/2; past the border the last coarse pixel is repeated.
    """
    factor = resolution_m // 10
    place = (np.arange(CELLS // 2) + 0.5) / factor - 0.5
    first = np.floor(place).astype(np.intp)
    t = place - first
    weights = [((2 - t) * t - 1) * t, (3 * t - 5) * t**2 + 2, ((4 - 3 * t) * t + 1) * t, (t - 1) * t**2]
    index = np.clip(first[:, None] + np.arange(-1, 3), 0, CELLS // 2 // factor - 1)
    return index, np.stack(weights, axis=1) / 2


def upsample(image: Field, resolution_m: int, top: int, left: int) -> Field:
    """(64, 64) pixels of 10 m from (n, n) pixels of 20 or 60 m, beginning at pixel (top, left) of 10 m."""
    index, weight = _taps(resolution_m)
    rows, columns = np.s_[top : top + SIZE], np.s_[left : left + SIZE]
    # einsum over the taps, not a matrix product: that wakes BLAS threads, 50 times slower on a busy machine
    tall = np.einsum("it,itj->ij", weight[rows], image[index[rows]])
    return np.asarray(np.einsum("jt,ijt->ij", weight[columns], tall[:, index[columns]]))


def blur(image: Field, weight: float) -> Field:
    """The optics: a three-point kernel along each axis, repeating the border."""
    padded = np.pad(image, 1, mode="edge")
    rows = (1 - 2 * weight) * padded[1:-1] + weight * (padded[:-2] + padded[2:])
    return np.asarray((1 - 2 * weight) * rows[:, 1:-1] + weight * (rows[:, :-2] + rows[:, 2:]))


def average(image: Field, factor: int) -> Field:
    """Mean over factor x factor cells."""
    if factor == 1:
        return image
    rows = np.add.reduce([image[start::factor] for start in range(factor)])
    # strided sums: mean over axes 1 and 3 of the reshaped image takes three times as long
    return np.asarray(np.add.reduce([rows[:, start::factor] for start in range(factor)]) / factor**2)


def observe(canvas: Canvas) -> NDArray[np.uint16]:
    """(13, 64, 64) DN: each band sampled at its own resolution, with its noise, then brought to 10 m.

    60 m pixels do not divide 640 m: the scene of 720 m is sampled whole and the tile cut from it at a
    random offset, as tiles are cut from a granule.
    """
    rng, air, mu = canvas.rng, Air(canvas), math.cos(canvas.sun_zenith)
    top, left = rng.integers(0, OFFSETS, 2)
    tile = np.empty((len(BANDS), SIZE, SIZE))
    for number, band in enumerate(BANDS):
        ground = blur(average(canvas.reflectance(number), round(10 / CELL_M)), 0.12)
        factor = band.resolution_m // 10
        image = average(air.top(ground, number), factor)
        image = image + noise_deviation(image, number, mu) * rng.standard_normal(image.shape)
        # Level 1C is whole DN at the band's own resolution; resampling and its rounding come after
        image = np.rint(image * DN_PER_REFLECTANCE)
        cut = np.s_[top : top + SIZE, left : left + SIZE]
        tile[number] = image[cut] if factor == 1 else upsample(image, band.resolution_m, top, left)
    return np.clip(np.rint(tile), 1, 65_535).astype(np.uint16)  # 0 is no-data in Level 1C
