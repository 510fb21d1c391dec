"""From surface reflectance at 5 m to the DN of a Level-1C tile: air, optics, sampling, noise, resampling."""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy import interpolate

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
_RADIOMETRY: dict[str, tuple[float, float, float]] = {
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
_RADIANCE, _SNR, _IRRADIANCE = np.array([_RADIOMETRY[band.name] for band in BANDS]).T

# Absorption per unit of sqrt(water column in g/cm2 x airmass): strong-line band models go with the square
# root (Goody 1964). B09 sits in the 940 nm band. Ozone is part of the small constants at 560 and 665 nm.
_WATER = np.array([{"B05": 0.012, "B09": 0.56, "B11": 0.008, "B12": 0.022}.get(b.name, 0.002) for b in BANDS])
_OZONE = np.array([{"B02": 0.007, "B03": 0.033, "B04": 0.018, "B05": 0.007}.get(b.name, 0.0) for b in BANDS])
_CIRRUS = [band.name for band in BANDS].index("B10")


def top_of_atmosphere(canvas: Canvas, ground: Field) -> Field:
    """Reflectance seen from orbit at nadir, (h, w, 13), single scattering.

    Path reflectance of molecules ``tau P / (4 mu)`` and of aerosol with an Angstrom exponent; two-way
    transmission by Tanre et al. 1979 (``exp(-(0.52 tau_r + 0.16 tau_a) / mu)``); part of the light comes
    from the neighbourhood (adjacency). B10 sees no ground: only thin cirrus high above the vapour.
    """
    rng = canvas.rng
    mu = math.cos(canvas.sun_zenith)
    airmass = 1 + 1 / mu
    haze = 0.10 * math.exp(rng.normal(0.0, 0.5))  # aerosol optical depth at 550 nm
    aerosol = haze * (_MICRON / 0.55) ** -canvas.between(0.9, 1.6)
    water = (1.2 + 1.6 * math.sin(math.pi * canvas.season)) * math.exp(rng.normal(0.0, 0.3))

    molecules = RAYLEIGH_DEPTH * 0.75 * (1 + mu**2) / (4 * mu)
    path = molecules + aerosol * 0.35 / (4 * mu)
    through = np.exp(-(0.52 * RAYLEIGH_DEPTH + 0.16 * aerosol) * airmass)
    gas = np.exp(-_WATER * math.sqrt(water * airmass) - _OZONE * airmass)
    around = ground.mean(axis=(0, 1)) * canvas.between(0.8, 1.2)
    strayed = np.minimum(0.3, 0.25 * RAYLEIGH_DEPTH + 0.5 * aerosol)

    seen = gas * (path + through * (ground * (1 - strayed) + around * strayed))
    cirrus = rng.gamma(6.5, 12.0 / 6.5) / DN_PER_REFLECTANCE  # mean 12 DN, as in EuroSAT
    seen[..., _CIRRUS] = cirrus * (1 + 0.02 * canvas.noise(2.0)[::2, ::2])
    return np.asarray(seen)


def noise_deviation(reflectance: Field, band: int, mu: float) -> Field:
    """Standard deviation of the sensor's noise in reflectance: read noise plus a shot-noise part."""
    reference = math.pi * _RADIANCE[band] / (_IRRADIANCE[band] * mu)
    return np.asarray(reference / _SNR[band] * np.sqrt(0.3 + 0.7 * np.maximum(reflectance, 0) / reference))


@lru_cache(maxsize=4)
def upsampling(resolution_m: int) -> NDArray[np.float64]:
    """(72, n) matrix: cubic spline through the centres of n coarse pixels, read at the centres of 10 m ones."""
    factor = resolution_m // 10
    coarse = CELLS // 2 // factor
    centre = (np.arange(coarse) + 0.5) * factor
    fine = np.clip(np.arange(CELLS // 2) + 0.5, centre[0], centre[-1])
    return np.asarray(interpolate.make_interp_spline(centre, np.eye(coarse), k=3)(fine))


def _blur(image: Field, weight: float) -> Field:
    """The optics: a three-point kernel along each axis, reflecting at the border."""
    for axis in (0, 1):
        image = image.swapaxes(0, axis)
        padded = np.concatenate([image[:1], image, image[-1:]])
        image = ((1 - 2 * weight) * image + weight * (padded[:-2] + padded[2:])).swapaxes(0, axis)
    return image


def average(image: Field, factor: int) -> Field:
    """Mean over factor x factor cells of the first two axes."""
    height, width = image.shape[0] // factor, image.shape[1] // factor
    return np.asarray(image.reshape(height, factor, width, factor, *image.shape[2:]).mean(axis=(1, 3)))


def observe(canvas: Canvas) -> NDArray[np.uint16]:
    """(13, 64, 64) DN: each band sampled at its own resolution, with its noise, then brought to 10 m.

    60 m pixels do not divide 640 m: the scene of 720 m is sampled whole and the tile cut from it at a
    random offset, as tiles are cut from a granule.
    """
    rng = canvas.rng
    fine = _blur(average(canvas.reflectance(), round(10 / CELL_M)), 0.12)
    seen = top_of_atmosphere(canvas, fine)
    mu = math.cos(canvas.sun_zenith)
    top, left = rng.integers(0, OFFSETS, 2)
    tile = np.empty((len(BANDS), SIZE, SIZE))
    for number, band in enumerate(BANDS):
        factor = band.resolution_m // 10
        image = average(np.ascontiguousarray(seen[..., number]), factor) if factor > 1 else seen[..., number]
        image = image + noise_deviation(image, number, mu) * rng.standard_normal(image.shape)
        # Level 1C is whole DN at the band's own resolution; resampling and its rounding come after
        image = np.rint(image * DN_PER_REFLECTANCE)
        if factor > 1:
            matrix = upsampling(band.resolution_m)
            image = matrix @ image @ matrix.T
        tile[number] = image[top : top + SIZE, left : left + SIZE]
    return np.clip(np.rint(tile), 1, 65_535).astype(np.uint16)  # 0 is no-data in Level 1C
