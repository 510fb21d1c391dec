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
from skytrigger.model.native_inputs import cubic_taps

compiled: Any = require("numba", why="scenes").njit(nogil=True, cache=True, error_model="numpy")
# In the loops arrays are indexed and not sliced: a slice counts a reference to its array up and down, atomically, and
# the rows of a chunk are shared by all lanes.
# a product and a sum may be one instruction; nothing is reordered, so that all tiles are computed alike
contracted: Any = require("numba", why="scenes").njit(
    nogil=True, cache=True, error_model="numpy", fastmath={"contract"}
)


def phase_weights(factor: int) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """For each of the `factor` positions in a native pixel: offset of the first of four taps, and their weights.

    Output pixel x has its centre at native (x + 1/2) / factor - 1/2; its taps start at x // factor + offset.
    """
    base, weights = cubic_taps(factor)
    return base, weights.astype(np.float32)


@compiled
def model_dn(value: Any, gain: Any, shift: Any) -> Any:
    """Rounded, at least 1 (0 is no data), at most 65534; 65535 stays what it is: saturated.

    Selections instead of branches, so that loops of it run in vectors.
    """
    low, high = np.float32(1.0), np.float32(65534.0)
    scaled = np.floor(value * gain + shift + np.float32(0.5))
    scaled = low if scaled < low else scaled
    scaled = high if scaled > high else scaled
    return np.float32(65535.0) if value >= np.float32(65534.5) else scaled


@compiled
def copy_band(src: Any, first_row: int, gain: float, shift: float, ys: Any, xs: Any, out: Any, plane: int) -> None:
    """Tiles of a band that is on the tiles' own grid; `ys` (t,), `xs` (n, t) are image rows and columns."""
    size = xs.shape[1]
    for k in range(xs.shape[0]):
        straight = xs[k, size - 1] == xs[k, 0] + size - 1
        left = np.uint64(xs[k, 0])  # unsigned: an index that may be negative is looked at twice
        for i in range(ys.shape[0]):
            y = ys[i] - first_row
            if straight:
                for j in range(np.uint64(size)):
                    value = np.float32(src[y, left + j])
                    scaled = model_dn(value, gain, shift)
                    out[k, plane, i, j] = np.float32(0.0) if value == np.float32(0.0) else scaled
            else:
                for j in range(size):
                    value = np.float32(src[y, xs[k, j]])
                    scaled = model_dn(value, gain, shift)
                    out[k, plane, i, j] = np.float32(0.0) if value == np.float32(0.0) else scaled


@compiled
def _window(src: Any, first_row: int, height: int, top: int, left: int, rows: int, columns: int, local: Any) -> Any:
    """Copy a window as float32, 0 outside the band; whether it has data in the band, and none of it saturated."""
    bad = np.int32(0)
    begin, end = max(left, 0), min(left + columns, src.shape[1])
    first, skip, count = np.uint64(begin), np.uint64(begin - left), np.uint64(max(end - begin, 0))
    for r in range(rows):
        y = top + r
        if count < np.uint64(columns) or y < 0 or y >= height:
            local[r, :columns] = np.float32(0.0)
        if 0 <= y < height:
            for x in range(count):
                value = np.int32(src[y - first_row, first + x])
                local[r, skip + x] = np.float32(value)
                bad += np.int32((value == 0) | (value == 65_535))
    return bad == 0


@compiled
def tap_scale(first: int, size: int, weights: Any, phase: int) -> Any:
    """1 / (sum of the weights of those of the taps first, first + 1, ... that lie in [0, size))."""
    total = np.float32(0.0)
    for a in range(4):
        if 0 <= first + a < size:
            total += weights[phase, a]
    return np.float32(1.0) / total


@compiled
def _scale_edges(rows: Any, count: int, x0: int, nx: int, width: int, factor: int, base: Any, weights: Any) -> None:
    """Columns with taps outside the band, which were taken for 0."""
    for j in range(nx):
        phase = (x0 + j) % factor
        first = (x0 + j) // factor + base[phase]
        if first < 0 or first + 4 > width:
            scale = tap_scale(first, width, weights, phase)
            for r in range(count):
                rows[r, j] *= scale


@contracted
def _horizontal(
    local: Any, rows: int, x0: int, size: int, left: int, factor: int, base: Any, weights: Any, out: Any
) -> None:
    """Native rows at the output's `size` columns from x0 on; column 0 of `local` is native column `left`."""
    for phase in range(factor):
        first = (phase - x0) % factor
        w0, w1, w2, w3 = weights[phase, 0], weights[phase, 1], weights[phase, 2], weights[phase, 3]
        n = (x0 + first) // factor + base[phase] - left
        count = (size - first + factor - 1) // factor
        for r in range(rows):
            for m in range(count):
                out[r, first + m * factor] = (
                    w0 * local[r, n + m]
                    + w1 * local[r, n + m + 1]
                    + w2 * local[r, n + m + 2]
                    + w3 * local[r, n + m + 3]
                )


@contracted
def _horizontal_2(local: Any, rows: int, size: int, weights: Any, out: Any) -> None:
    """The same for factor 2, even size and first column: both phases at once, so that stores are whole vectors."""
    e0, e1, e2, e3 = weights[0, 0], weights[0, 1], weights[0, 2], weights[0, 3]
    o0, o1, o2, o3 = weights[1, 0], weights[1, 1], weights[1, 2], weights[1, 3]
    for r in range(rows):
        for m in range(size // 2):
            a, b, c = local[r, m], local[r, m + 1], local[r, m + 2]
            d, e = local[r, m + 3], local[r, m + 4]
            out[r, 2 * m] = e0 * a + e1 * b + e2 * c + e3 * d
            out[r, 2 * m + 1] = o0 * b + o1 * c + o2 * d + o3 * e


@contracted
def vertical(rows: Any, r: int, j: int, w0: Any, w1: Any, w2: Any, w3: Any, gain: Any, shift: Any) -> Any:
    """One output pixel from four lines."""
    value = w0 * rows[r, j] + w1 * rows[r + 1, j] + w2 * rows[r + 2, j] + w3 * rows[r + 3, j]
    return model_dn(value, gain, shift)


@compiled
def cubic_lines(
    src: Any, first_row: int, height: int, factor: int, base: Any, weights: Any, y0: int, x0: int, ny: int, nx: int,
    local: Any, rows: Any,
) -> bool:  # fmt: skip
    """Native rows at the columns of ny x nx pixels from (y0, x0) on, where all they read in the band has data.

    Returns
    -------
    bool
        False: something is missing or saturated; `masked_pixels` does such a tile.
    """
    low, left = y0 // factor + base[y0 % factor], x0 // factor + base[x0 % factor]
    high = (y0 + ny - 1) // factor + base[(y0 + ny - 1) % factor] + 4
    right = (x0 + nx - 1) // factor + base[(x0 + nx - 1) % factor] + 4
    if not _window(src, first_row, height, low, left, high - low, right - left, local):
        return False
    if factor == 2 and x0 % 2 == 0 and nx % 2 == 0:
        _horizontal_2(local, high - low, nx, weights, rows)
    else:
        _horizontal(local, high - low, x0, nx, left, factor, base, weights, rows)
    if left < 0 or right > src.shape[1]:
        _scale_edges(rows, high - low, x0, nx, src.shape[1], factor, base, weights)
    return True


@contracted
def cubic_pixels(
    rows: Any, y0: int, ny: int, nx: int, height: int, factor: int, base: Any, weights: Any, gain: Any, shift: Any,
    out: Any, k: int, plane: int,
) -> None:  # fmt: skip
    """ny x nx pixels of (n, planes, t, t) from their lines (`cubic_lines`)."""
    low = y0 // factor + base[y0 % factor]
    for i in range(ny):
        phase = (y0 + i) % factor
        first = (y0 + i) // factor + base[phase]
        w0, w1, w2, w3 = weights[phase, 0], weights[phase, 1], weights[phase, 2], weights[phase, 3]
        if first < 0 or first + 4 > height:  # lines outside the band are 0
            scale = tap_scale(first, height, weights, phase)
            w0, w1, w2, w3 = w0 * scale, w1 * scale, w2 * scale, w3 * scale
        r = first - low
        for j in range(nx):
            out[k, plane, i, j] = vertical(rows, r, j, w0, w1, w2, w3, gain, shift)


@compiled
def _masked(
    src: Any, first_row: int, height: int, top: int, left: int, rows: int, columns: int, local: Any, data: Any
) -> None:
    """A window as float32 and where it has data; outside the band there is none."""
    for r in range(rows):
        for x in range(columns):
            y, c = top + r, left + x
            value = src[y - first_row, c] if 0 <= y < height and 0 <= c < src.shape[1] else src.dtype.type(0)
            local[r, x] = np.float32(value)
            data[r, x] = np.float32(value != 0)


@compiled
def masked_pixels(
    src: Any, first_row: int, height: int, factor: int, base: Any, weights: Any, gain: Any, shift: Any,
    y0: int, x0: int, ny: int, nx: int, local: Any, rows: Any, out: Any, k: int, plane: int,
) -> None:  # fmt: skip
    """As `cubic_lines` and `cubic_pixels`, whatever is missing: the sum over taps with data by that of their weights.

    Both are sums over rows of sums over columns, since a tap that is missing counts 0 in each (normalised convolution:
    Knutsson and Westin 1993).
    """
    low, left = y0 // factor + base[y0 % factor], x0 // factor + base[x0 % factor]
    count = (y0 + ny - 1) // factor + base[(y0 + ny - 1) % factor] + 4 - low
    columns = (x0 + nx - 1) // factor + base[(x0 + nx - 1) % factor] + 4 - left
    data, shares = np.empty_like(local), np.empty_like(rows)
    _masked(src, first_row, height, low, left, count, columns, local, data)
    _horizontal(local, count, x0, nx, left, factor, base, weights, rows)
    _horizontal(data, count, x0, nx, left, factor, base, weights, shares)
    for i in range(ny):
        phase = (y0 + i) % factor
        r = (y0 + i) // factor + base[phase] - low
        w0, w1, w2, w3 = weights[phase, 0], weights[phase, 1], weights[phase, 2], weights[phase, 3]
        native = (y0 + i) // factor
        for j in range(nx):
            if src[native - first_row, (x0 + j) // factor] == 0:
                out[k, plane, i, j] = 0
            else:
                total = w0 * rows[r, j] + w1 * rows[r + 1, j] + w2 * rows[r + 2, j] + w3 * rows[r + 3, j]
                share = w0 * shares[r, j] + w1 * shares[r + 1, j] + w2 * shares[r + 2, j] + w3 * shares[r + 3, j]
                out[k, plane, i, j] = model_dn(total / share, gain, shift)


@compiled
def _own_pixels(
    src: Any, first_row: int, height: int, factor: int, base: Any, weights: Any, gain: Any, shift: Any,
    y0: int, x0: int, ny: int, nx: int, local: Any, rows: Any, out: Any, k: int, plane: int,
) -> None:  # fmt: skip
    """ny x nx of the scene's own pixels from (y0, x0) on."""
    if cubic_lines(src, first_row, height, factor, base, weights, y0, x0, ny, nx, local, rows):
        cubic_pixels(rows, y0, ny, nx, height, factor, base, weights, gain, shift, out, k, plane)
    else:
        masked_pixels(src, first_row, height, factor, base, weights, gain, shift, y0, x0, ny, nx, local, rows, out, k,
                      plane)  # fmt: skip


@compiled
def resample_tile(
    src: Any, first_row: int, height: int, factor: int, base: Any, weights: Any, gain: Any, shift: Any,
    ys: Any, xs: Any, local: Any, rows: Any, part: Any, out: Any, k: int, plane: int,
) -> None:  # fmt: skip
    """One tile, `xs` (t,); where it sticks out, the scene's own pixels of it, mirrored."""
    y0, x0 = ys.min(), xs.min()
    ny, nx = ys.max() - y0 + 1, xs.max() - x0 + 1
    last = ys.shape[0] - 1, xs.shape[0] - 1
    if ys[last[0]] - ys[0] == last[0] and xs[last[1]] - xs[0] == last[1]:
        _own_pixels(src, first_row, height, factor, base, weights, gain, shift, y0, x0, ny, nx, local, rows, out, k,
                    plane)  # fmt: skip
        return
    _own_pixels(src, first_row, height, factor, base, weights, gain, shift, y0, x0, ny, nx, local, rows, part, 0, 0)
    for i in range(ys.shape[0]):
        for j in range(xs.shape[0]):
            out[k, plane, i, j] = part[0, 0, ys[i] - y0, xs[j] - x0]


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
    size, wide = ys.shape[0], xs.shape[1]
    rows = np.empty((size // factor + 6, wide), np.float32)
    local = np.empty((size // factor + 6, wide // factor + 8), np.float32)
    part = np.empty((1, 1, size, wide), np.float32)
    for k in range(xs.shape[0]):
        resample_tile(src, first_row, height, factor, base, weights, gain, shift, ys, xs[k], local, rows, part, out, k,
                      plane)  # fmt: skip
