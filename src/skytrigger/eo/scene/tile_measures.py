"""What is measured on each tile besides its class: valid pixels, band means and spreads, clouds, a small picture."""

# mypy: disable-error-code="untyped-decorator"
from __future__ import annotations

from typing import Any

import numpy as np

from skytrigger.core.extras import require

compiled: Any = require("numba", why="scenes").njit(nogil=True, cache=True, error_model="numpy")


@compiled
def _valid(tiles: Any, k: int, i: int, j: int, references: Any, every: bool) -> bool:
    """`every`: each reference band must have data, else any."""
    for r in references:
        if (tiles[k, r, i, j] != 0) != every:
            return not every
    return every


@compiled
def _whole(tile: Any, references: Any, every: bool) -> bool:
    """Whether all pixels are valid; without `every` only the first reference is looked at: it may say no too often."""
    for r in references:
        plane = tile[r]
        for i in range(plane.shape[0]):
            zeros = 0
            for j in range(plane.shape[1]):
                zeros += plane[i, j] == 0
            if zeros:
                return False
        if not every:
            break
    return True


@compiled
def _sums(plane: Any) -> Any:
    """Sum and sum of squares, exact: values are whole numbers below 2^16."""
    total, square = np.int64(0), np.uint64(0)
    for i in range(plane.shape[0]):
        row = plane[i]
        line, squares = np.int32(0), np.uint64(0)
        for j in range(row.shape[0]):
            value = np.uint32(row[j])
            line += np.int32(value)
            squares += np.uint64(value * value)
        total += line
        square += squares
    return total, square


@compiled
def measure_tiles(
    tiles: Any,
    references: Any,
    every: bool,
    inside_rows: Any,
    inside_columns: Any,
    valid: Any,
    means: Any,
    spreads: Any,
) -> None:
    """Count valid pixels, take band means and standard deviations over them, and put the mean where there is no data.

    Parameters
    ----------
    tiles
        (n, c, t, t) model DN, 0 is no data; changed in place.
    references
        Bands (indices) whose zeros mean no data.
    inside_rows, inside_columns
        (t,), (n, t): pixels in the scene, not mirrored.
    valid
        (n,) receives the count of valid pixels in the scene.
    means, spreads
        (n, c) receive mean and standard deviation, DN.
    """
    n, channels, size, _ = tiles.shape
    for k in range(n):
        whole = _whole(tiles[k], references, every)
        if whole:
            valid[k] = inside_rows.sum() * inside_columns[k].sum()
        else:
            count = 0
            for i in range(size):
                for j in range(size):
                    if inside_rows[i] and inside_columns[k, j] and _valid(tiles, k, i, j, references, every):
                        count += 1
            valid[k] = count
        if whole:
            for c in range(channels):
                total, square = _sums(tiles[k, c])
                mean = total / (size * size)
                means[k, c] = mean
                spreads[k, c] = np.sqrt(max(np.float64(square) / (size * size) - mean * mean, 0.0))
        else:
            _fill(tiles[k], tiles, k, references, every, means[k], spreads[k])


@compiled
def _fill(tile: Any, tiles: Any, k: int, references: Any, every: bool, means: Any, spreads: Any) -> None:
    channels, size, _ = tile.shape
    mask = np.empty((size, size), np.bool_)
    count = 0
    for i in range(size):
        for j in range(size):
            mask[i, j] = _valid(tiles, k, i, j, references, every)
            count += mask[i, j]
    for c in range(channels):
        total, square = 0.0, 0.0
        for i in range(size):
            for j in range(size):
                if mask[i, j]:
                    value = np.float64(tile[c, i, j])
                    total += value
                    square += value * value
        mean = total / count if count else 0.0
        means[c] = mean
        spreads[c] = np.sqrt(max(square / count - mean * mean, 0.0)) if count else 0.0
        for i in range(size):
            for j in range(size):
                if not mask[i, j]:
                    tile[c, i, j] = np.floor(mean + 0.5)


@compiled
def picture_plane(plane: Any, first: int, white: float, out: Any, colour: int) -> None:
    """One colour of (n, p, p, 3) uint8: means of blocks of the middle of each (n, t, t) tile.

    `first` pixels are left out on each side; of blocks of 4 pixels and more every second row and column is taken.
    """
    block = (plane.shape[1] - 2 * first) // out.shape[1]
    step = 2 if block >= 4 else 1
    count = ((block + step - 1) // step) ** 2
    scale = np.float32(255.0) / (np.float32(white) * count)
    for k in range(plane.shape[0]):
        for a in range(out.shape[1]):
            for b in range(out.shape[2]):
                total = np.float32(0.0)
                for i in range(first + a * block, first + (a + 1) * block, step):
                    row = plane[k, i]
                    for j in range(first + b * block, first + (b + 1) * block, step):
                        total += np.float32(row[j])
                value = total * scale
                out[k, a, b, colour] = np.uint8(value if value < np.float32(255.0) else np.float32(255.0))


@compiled
def screen_clouds(b01: Any, b02: Any, b10: Any, b11: Any, limits: Any, out: Any) -> None:
    """(n,) share of cloudy among (n, s, s) samples with data in B02; see `clouds` for the rule, `limits` in DN."""
    high, blue, aerosol, swir = limits
    for k in range(b02.shape[0]):
        seen, cloudy = 0, 0
        for i in range(b02.shape[1]):
            for j in range(b02.shape[2]):
                if b02[k, i, j] == 0:
                    continue
                seen += 1
                thick = b02[k, i, j] > blue and b01[k, i, j] > aerosol and b11[k, i, j] > swir
                if b10[k, i, j] > high or thick:
                    cloudy += 1
        out[k] = cloudy / seen if seen else 0.0
