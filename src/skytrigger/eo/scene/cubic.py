"""Bands of 20 and 60 m on the 10 m grid, by cubic convolution of the whole band, written straight into tiles.

Keys 1981, "Cubic convolution interpolation for digital image processing", eq. 4, with a = -1/2: what GDAL calls cubic.
EuroSAT's 13-band tiles were made so; interpolating tile by tile instead makes seams.

An output pixel has data where the native pixel it lies in has. Taps without data, or outside the band, are left out and
the other weights divided by their sum (which stays above 0.4: the nearest tap is always there).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from skytrigger.core.extras import require

numba = require("numba", why="scenes")


def phase_weights(factor: int) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """For each of the `factor` positions in a native pixel: offset of the first of four taps, and their weights.

    Output pixel x has its centre at native (x + 1/2) / factor - 1/2; its taps start at x // factor + offset.
    """
    position = (np.arange(factor) + 0.5) / factor - 0.5
    base = np.floor(position)
    t = position - base
    distance = np.abs(np.stack([1 + t, t, 1 - t, 2 - t], axis=1))
    near = 1.5 * distance**3 - 2.5 * distance**2 + 1
    far = -0.5 * distance**3 + 2.5 * distance**2 - 4 * distance + 2
    return base.astype(np.int64) - 1, np.where(distance <= 1, near, far).astype(np.float32)


@numba.njit(nogil=True, cache=True, inline="always")
def _model_dn(value: float, gain: float, shift: float) -> Any:
    """Rounded, at least 1 (0 is no data), at most 65534; 65535 stays what it is: saturated."""
    if value >= 65534.5:
        return np.float32(65535.0)
    scaled = np.floor(value * gain + shift + np.float32(0.5))
    return min(max(scaled, np.float32(1.0)), np.float32(65534.0))


@numba.njit(nogil=True, cache=True)
def copy_band(src: Any, first_row: int, gain: float, shift: float, ys: Any, xs: Any, out: Any, plane: int) -> None:
    """Tiles of a band that is on the tiles' own grid; `ys` (t,), `xs` (n, t) are image rows and columns."""
    plain = gain == 1.0 and shift == 0.0
    for k in range(xs.shape[0]):
        x0 = xs[k, 0]
        straight = xs[k, -1] == x0 + xs.shape[1] - 1
        for i in range(ys.shape[0]):
            row, target = src[ys[i] - first_row], out[k, plane, i]
            if straight and plain:
                for j in range(xs.shape[1]):
                    target[j] = row[x0 + j]
                continue
            for j in range(xs.shape[1]):
                value = row[xs[k, j]]
                target[j] = 0 if value == 0 else _model_dn(np.float32(value), gain, shift)


@numba.njit(nogil=True, cache=True)
def _slow_pixel(src: Any, first_row: int, height: int, y0: int, x0: int, wy: Any, wx: Any) -> Any:
    """Normalised sum over the taps that exist and have data."""
    total, weight = np.float32(0.0), np.float32(0.0)
    for a in range(4):
        y = y0 + a
        if y < 0 or y >= height:
            continue
        for b in range(4):
            x = x0 + b
            if x < 0 or x >= src.shape[1]:
                continue
            value = src[y - first_row, x]
            if value:
                w = wy[a] * wx[b]
                total += w * np.float32(value)
                weight += w
    return total / weight


@numba.njit(nogil=True, cache=True)
def _slow_tile(
    src: Any, first_row: int, height: int, factor: int, base: Any, weights: Any, gain: float, shift: float,
    ys: Any, xs: Any, target: Any,
) -> None:  # fmt: skip
    for i in range(ys.shape[0]):
        py = ys[i] % factor
        for j in range(xs.shape[0]):
            px = xs[j] % factor
            if src[ys[i] // factor - first_row, xs[j] // factor] == 0:
                target[i, j] = 0
                continue
            value = _slow_pixel(
                src, first_row, height, ys[i] // factor + base[py], xs[j] // factor + base[px], weights[py], weights[px]
            )
            target[i, j] = _model_dn(value, gain, shift)


@numba.njit(nogil=True, cache=True)
def _horizontal(src: Any, row: int, x0: int, factor: int, base: Any, weights: Any, line: Any) -> None:
    """One native row at the output's columns x0, x0 + 1, ...; all taps exist."""
    for phase in range(factor):
        first = (phase - x0) % factor
        w0, w1, w2, w3 = weights[phase, 0], weights[phase, 1], weights[phase, 2], weights[phase, 3]
        n = (x0 + first) // factor + base[phase]
        for m in range((line.shape[0] - first + factor - 1) // factor):
            line[first + m * factor] = (
                w0 * np.float32(src[row, n + m]) + w1 * np.float32(src[row, n + m + 1])
                + w2 * np.float32(src[row, n + m + 2]) + w3 * np.float32(src[row, n + m + 3])
            )  # fmt: skip


@numba.njit(nogil=True, cache=True)
def _whole(src: Any, top: int, bottom: int, left: int, right: int) -> bool:
    """Whether the window has data, and none of it saturated, everywhere."""
    low, high = np.uint16(65535), np.uint16(0)
    for y in range(top, bottom):
        for x in range(left, right):
            low, high = min(low, src[y, x]), max(high, src[y, x])
    return low > 0 and high < 65535


@numba.njit(nogil=True, cache=True)
def resample_band(
    src: Any, first_row: int, height: int, factor: int, base: Any, weights: Any, gain: float, shift: float,
    ys: Any, xs: Any, out: Any, plane: int,
) -> None:  # fmt: skip
    """Tiles of a band whose pixels span `factor` of the tiles'.

    Parameters
    ----------
    src
        (rows, width) uint16, rows [first_row, ...) of the band's `height`: two more on each side than the tiles need.
    ys, xs
        (t,), (n, t) image rows and columns.
    out
        (n, planes, t, t) of any type; `plane` is written.
    """
    size = ys.shape[0]
    rows = np.empty((size // factor + 6, size), np.float32)
    straight_y = ys[size - 1] == ys[0] + size - 1
    low = ys[0] // factor + base[ys[0] % factor]
    high = ys[size - 1] // factor + base[ys[size - 1] % factor] + 4
    for k in range(xs.shape[0]):
        x0 = xs[k, 0]
        left = x0 // factor + base[x0 % factor]
        right = xs[k, size - 1] // factor + base[xs[k, size - 1] % factor] + 4
        inside = straight_y and xs[k, size - 1] == x0 + size - 1 and low >= 0 and high <= height
        if not (
            inside and left >= 0 and right <= src.shape[1]
            and _whole(src, low - first_row, high - first_row, left, right)
        ):  # fmt: skip
            _slow_tile(src, first_row, height, factor, base, weights, gain, shift, ys, xs[k], out[k, plane])
            continue
        for r in range(high - low):
            _horizontal(src, low + r - first_row, x0, factor, base, weights, rows[r])
        for i in range(size):
            phase = ys[i] % factor
            r = ys[i] // factor + base[phase] - low
            w0, w1, w2, w3 = weights[phase, 0], weights[phase, 1], weights[phase, 2], weights[phase, 3]
            a, b, c, d, target = rows[r], rows[r + 1], rows[r + 2], rows[r + 3], out[k, plane, i]
            for j in range(size):
                value = w0 * a[j] + w1 * b[j] + w2 * c[j] + w3 * d[j]
                target[j] = _model_dn(value, gain, shift)
