"""Bands of 20 and 60 m on the 10 m grid, by cubic convolution of the whole band, written straight into tiles.

Keys 1981, "Cubic convolution interpolation for digital image processing", eq. 4, with a = -1/2: what GDAL calls cubic.
EuroSAT's 13-band tiles were made so; interpolating tile by tile instead makes seams.

An output pixel has data where the native pixel it lies in has. Taps without data, or outside the band, are left out and
the other weights divided by their sum (which stays above 0.4: the nearest tap is always there).
"""

# mypy: disable-error-code="untyped-decorator"
from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from skytrigger.core.extras import require

compiled: Any = require("numba", why="scenes").njit(nogil=True, cache=True, error_model="numpy")
# a product and a sum may be one instruction; nothing is reordered, so that all tiles are computed alike
contracted: Any = require("numba", why="scenes").njit(
    nogil=True, cache=True, error_model="numpy", fastmath={"contract"}
)


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


@compiled
def _model_dn(value: float, gain: float, shift: float) -> Any:
    """Rounded, at least 1 (0 is no data), at most 65534; 65535 stays what it is: saturated."""
    if value >= 65534.5:
        return np.float32(65535.0)
    scaled = np.floor(value * gain + shift + np.float32(0.5))
    return min(max(scaled, np.float32(1.0)), np.float32(65534.0))


@compiled
def copy_band(src: Any, first_row: int, gain: float, shift: float, ys: Any, xs: Any, out: Any, plane: int) -> None:
    """Tiles of a band that is on the tiles' own grid; `ys` (t,), `xs` (n, t) are image rows and columns."""
    plain = gain == 1.0 and shift == 0.0
    size = xs.shape[1]
    for k in range(xs.shape[0]):
        x0 = xs[k, 0]
        straight = xs[k, size - 1] == x0 + size - 1
        for i in range(ys.shape[0]):
            row, target = src[ys[i] - first_row], out[k, plane, i]
            if straight and plain:
                target[:] = row[x0 : x0 + size]
            elif straight:
                _scaled(row[x0 : x0 + size], gain, shift, target)
            else:
                for j in range(size):
                    value = row[xs[k, j]]
                    target[j] = 0 if value == 0 else _model_dn(np.float32(value), gain, shift)


@compiled
def _scaled(row: Any, gain: float, shift: float, target: Any) -> None:
    """`_model_dn` of each, 0 where there is no data; selections instead of branches."""
    low, high, half = np.float32(1.0), np.float32(65534.0), np.float32(0.5)
    for j in range(target.shape[0]):
        value = np.float32(row[j])
        scaled = np.floor(value * gain + shift + half)
        scaled = low if scaled < low else scaled
        scaled = high if scaled > high else scaled
        scaled = np.float32(65535.0) if value >= np.float32(65534.5) else scaled
        target[j] = np.float32(0.0) if value == np.float32(0.0) else scaled


@compiled
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


@compiled
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


@contracted
def _horizontal(src: Any, row: int, x0: int, factor: int, base: Any, weights: Any, line: Any) -> None:
    """One native row at the output's columns x0, x0 + 1, ...; all taps exist."""
    for phase in range(factor):
        first = (phase - x0) % factor
        w0, w1, w2, w3 = weights[phase, 0], weights[phase, 1], weights[phase, 2], weights[phase, 3]
        n = (x0 + first) // factor + base[phase]
        count = (line.shape[0] - first + factor - 1) // factor
        a, b, c, d = (src[row, n:], src[row, n + 1 :], src[row, n + 2 :], src[row, n + 3 :])
        target = line[first:]
        for m in range(count):
            target[m * factor] = (
                w0 * np.float32(a[m]) + w1 * np.float32(b[m]) + w2 * np.float32(c[m]) + w3 * np.float32(d[m])
            )


@contracted
def _horizontal_2(src: Any, row: int, n: int, weights: Any, line: Any) -> None:
    """The same for factor 2 and an even first column: both phases at once, so that stores are whole vectors."""
    e0, e1, e2, e3 = weights[0, 0], weights[0, 1], weights[0, 2], weights[0, 3]
    o0, o1, o2, o3 = weights[1, 0], weights[1, 1], weights[1, 2], weights[1, 3]
    half = line.shape[0] // 2
    s = src[row, n : n + half + 4]
    for m in range(half):
        a, b, c, d, e = (
            np.float32(s[m]),
            np.float32(s[m + 1]),
            np.float32(s[m + 2]),
            np.float32(s[m + 3]),
            np.float32(s[m + 4]),
        )
        line[2 * m] = e0 * a + e1 * b + e2 * c + e3 * d
        line[2 * m + 1] = o0 * b + o1 * c + o2 * d + o3 * e


@contracted
def _vertical(a: Any, b: Any, c: Any, d: Any, w: Any, gain: float, shift: float, target: Any) -> None:
    """One output row from four lines; selections instead of branches, so that it is done in vectors."""
    w0, w1, w2, w3 = w[0], w[1], w[2], w[3]
    low, high, half = np.float32(1.0), np.float32(65534.0), np.float32(0.5)
    for j in range(target.shape[0]):
        value = w0 * a[j] + w1 * b[j] + w2 * c[j] + w3 * d[j]
        scaled = np.floor(value * gain + shift + half)
        scaled = low if scaled < low else scaled
        scaled = high if scaled > high else scaled
        target[j] = np.float32(65535.0) if value >= np.float32(65534.5) else scaled


@compiled
def _whole(src: Any, top: int, bottom: int, left: int, right: int) -> bool:
    """Whether the window has data, and none of it saturated, everywhere."""
    low, high = np.uint16(65535), np.uint16(0)
    for y in range(top, bottom):
        for x in range(left, right):
            low, high = min(low, src[y, x]), max(high, src[y, x])
    return bool(low > 0 and high < 65535)


@compiled
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
        paired = factor == 2 and x0 % 2 == 0 and size % 2 == 0
        for r in range(high - low):
            if paired:
                _horizontal_2(src, low + r - first_row, x0 // 2 - 2, weights, rows[r])
            else:
                _horizontal(src, low + r - first_row, x0, factor, base, weights, rows[r])
        for i in range(size):
            phase = ys[i] % factor
            r = ys[i] // factor + base[phase] - low
            _vertical(rows[r], rows[r + 1], rows[r + 2], rows[r + 3], weights[phase], gain, shift, out[k, plane, i])
