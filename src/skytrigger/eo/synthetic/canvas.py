"""The ground at 5 m before any sensor sees it: which two materials, in which share, how brightly lit."""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy import fft

from skytrigger.eo.bands import BANDS
from skytrigger.eo.synthetic.materials import SPECTRA

Field = NDArray[np.float64]
Mask = NDArray[np.bool_]
Codes = NDArray[np.intp]

CELL_M = 5.0  # half of the finest band: edges are anti-aliased, a street of 15 m is not a whole pixel
CELLS = 144  # 720 m: twelve pixels of 60 m, so that a tile of 640 m lies inside at any of eight offsets
EXTENT_M = CELLS * CELL_M

_axis = (np.arange(CELLS) + 0.5) * CELL_M - EXTENT_M / 2
EAST_M, SOUTH_M = (np.ascontiguousarray(a) for a in np.meshgrid(_axis, _axis))
_TILT = np.log(np.array([band.centre_nm for band in BANDS]) / 900.0)  # spectral slope about 900 nm
# Everything is float64: the last DN digit then survives the ulp by which sin and exp differ among CPUs.


@lru_cache(maxsize=64)
def _amplitude(exponent: float, shortest_m: float, longest_m: float, modes: int) -> Field:
    wave = np.hypot(*np.meshgrid(np.arange(modes), np.r_[0:modes, -modes:0])) / EXTENT_M
    wave[0, 0] = 1.0
    amplitude = wave**-exponent * np.exp(-((wave * shortest_m / 2) ** 2)) / (1 + (wave * longest_m) ** -4.0)
    amplitude[0, 0] = 0.0
    return np.asarray(amplitude)


class Canvas:
    """A scene of CELLS x CELLS cells, painted object by object.

    Reflectance of a cell is ``light * ((1 - share) * under + share * over)``, where `under` and `over`
    are the spectra of the object the cell belongs to.

    Attributes
    ----------
    season
        0 (early spring) ... 1 (late autumn); 0.4 is the height of growth.
    soil
        The soil of this neighbourhood.
    exposure
        Factor on all light.
    sun_zenith, sun_azimuth
        Radians; azimuth clockwise from north. Sentinel-2 passes in mid-morning: the sun is in the south-east.
    """

    def __init__(self, rng: np.random.Generator) -> None:
        self.rng = rng
        self.season = float(rng.uniform(0.0, 1.0))
        self.sun_zenith = math.radians(np.clip(30 + 45 * (self.season - 0.4) ** 2 / 0.36 + rng.normal(0, 6), 18, 70))
        self.sun_azimuth = math.radians(rng.uniform(130, 172))
        self.soil = self.pick(soil_bright=3, soil_red=2, soil_dark=3)
        self.exposure = math.exp(rng.normal(0.0, 0.08))  # the whole scene leans toward the sun or away
        self.code: Codes = np.zeros((CELLS, CELLS), np.intp)
        self.share: Field = np.zeros((CELLS, CELLS))
        self.light: Field = np.ones((CELLS, CELLS))
        self._under: list[Field] = []
        self._over: list[Field] = []

    # ---- chance

    def pick(self, **weights: float) -> str:
        """One of the names, with its weight."""
        value = np.array(list(weights.values()))
        return str(self.rng.choice(list(weights), p=value / value.sum()))

    def chance(self, probability: float) -> bool:
        """True with `probability`."""
        return bool(self.rng.random() < probability)

    def between(self, low: float, high: float) -> float:
        """Uniform."""
        return float(self.rng.uniform(low, high))

    def noise(self, exponent: float = 1.0, shortest_m: float = 0.0, longest_m: float = 4 * EXTENT_M) -> Field:
        """Gaussian random field, mean 0, standard deviation 1, amplitude spectrum ``wave ** -exponent``."""
        # fields without fine detail need only a quarter of the waves: 0.25 ms instead of 0.7
        modes = CELLS // 4 if exponent >= 1.8 or shortest_m >= 40 else CELLS // 2
        amplitude = _amplitude(exponent, shortest_m, longest_m, modes)
        wave = self.rng.standard_normal((2, *amplitude.shape))
        spectrum = np.zeros((CELLS, CELLS // 2 + 1), complex)
        waves = (wave[0] + 1j * wave[1]) * amplitude
        spectrum[:modes, :modes] = waves[:modes]
        spectrum[-modes:, :modes] = waves[modes:]
        field = np.asarray(fft.irfft2(spectrum, s=(CELLS, CELLS), overwrite_x=True))
        field /= math.sqrt(np.square(field).mean())
        return field

    # ---- objects

    def new(self, under: str, over: str | None = None, spread: float = 0.08) -> int:
        """A new object of the materials `under` and `over`; its brightness and slope vary by `spread`."""
        for store, name in ((self._under, under), (self._over, over or under)):
            level, slope = self.rng.normal(0.0, spread), self.rng.normal(0.0, spread / 2)
            store.append(SPECTRA[name] * np.exp(np.clip(level + slope * _TILT, -0.6, 0.6)))
        return len(self._under) - 1

    def news(self, count: int, under: str, over: str | None = None, spread: float = 0.08) -> Codes:
        """`count` new objects alike: their codes."""
        return np.array([self.new(under, over, spread) for _ in range(count)], np.intp)

    def paint(self, where: Mask, code: int | Codes, share: float | Field = 0.0, light: float | Field = 1.0) -> None:
        """Make the cells `where` part of object `code`; arrays are whole scenes."""
        np.copyto(self.code, code, where=where)
        np.copyto(self.share, share, where=where)
        np.copyto(self.light, light, where=where)

    def cast_shadow(self, body: Mask, height_m: float, depth: float = 0.55) -> None:
        """Darken what lies in the shadow of bodies of one height (the bodies themselves are left lit)."""
        length = height_m * math.tan(self.sun_zenith) / CELL_M
        shadow = np.zeros_like(body)
        for step in range(1, max(1, round(length)) + 1):
            east, south = -step * math.sin(self.sun_azimuth), step * math.cos(self.sun_azimuth)
            shadow |= np.roll(body, (round(south), round(east)), (0, 1))
        self.light[shadow & ~body] *= 1 - depth

    def relief(self, height: Field, height_m: float) -> None:
        """Light slopes by Lambert's cosine law; `height` has standard deviation 1 and is scaled to metres."""
        south, east = np.gradient(height * height_m, CELL_M)
        toward = -(east * math.sin(self.sun_azimuth) - south * math.cos(self.sun_azimuth))
        facing = (1 + math.tan(self.sun_zenith) * toward) / np.sqrt(1 + east**2 + south**2)
        self.light *= np.clip(facing, 0.25, 1.8)

    def reflectance(self, band: int) -> Field:
        """(CELLS, CELLS) surface reflectance of one band, by its number in `BANDS`."""
        under, over = np.array(self._under)[:, band], np.array(self._over)[:, band]
        ground = np.take(over - under, self.code)
        ground *= self.share
        ground += np.take(under, self.code)
        ground *= self.light * self.exposure
        return np.clip(ground, 0.0005, 1.6, out=ground)
