"""Whole bands on the 10 m grid and the tiles cut from them, the plain and slow way."""

from __future__ import annotations

import numpy as np

from skytrigger.eo.scene.radiometry import Radiometry


def keys(t: np.ndarray) -> np.ndarray:
    """Cubic convolution kernel, a = -1/2."""
    t = np.abs(t)
    return np.where(t <= 1, 1.5 * t**3 - 2.5 * t**2 + 1, np.where(t < 2, -0.5 * t**3 + 2.5 * t**2 - 4 * t + 2, 0))


def matrix(size: int, native: int, factor: int) -> np.ndarray:
    """(size, native) weights of every native pixel in every output pixel."""
    position = (np.arange(size)[:, None] + 0.5) / factor - 0.5
    return keys(position - np.arange(native)[None])


def whole_band(dn: np.ndarray, factor: int, height: int, width: int, r: Radiometry) -> np.ndarray:
    """(height, width) model DN: convolution normalised over the pixels with data, all of the band in one product."""
    wy, wx = matrix(height, dn.shape[0], factor), matrix(width, dn.shape[1], factor)
    data = (dn != 0).astype(float)
    nearest = np.repeat(np.repeat(dn, factor, 0), factor, 1)[:height, :width]
    with np.errstate(invalid="ignore", divide="ignore"):
        out = (wy @ dn.astype(float) @ wx.T) / (wy @ data @ wx.T)
        shifted = np.where(out >= 65534.5, 65535, np.clip(np.floor(out * r.gain + r.shift + 0.5), 1, 65534))
    return np.where(nearest != 0, shifted, 0)


def window(band: np.ndarray, top: int, left: int, size: int) -> np.ndarray:
    """A tile that may stick out: the scene mirrored at its edges, however far."""

    def reflect(i: int, n: int) -> int:
        while not 0 <= i < n:
            i = -1 - i if i < 0 else 2 * n - 1 - i
        return i

    rows = [reflect(top + i, band.shape[0]) for i in range(size)]
    columns = [reflect(left + j, band.shape[1]) for j in range(size)]
    return band[np.ix_(rows, columns)]
