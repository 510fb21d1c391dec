"""One band of many tiles in one pass: from native pixels to what the network reads, its sums, a picture, samples.

Resampled pixels live in the core's first cache only: they are made, summed and written as the network's own codes
(or as numbers) a tile at a time, and never lie in memory at 10 m. Values are those of `cubic`: whole bands, no seams.
"""

# mypy: disable-error-code="untyped-decorator"
from __future__ import annotations

from typing import Any

import numpy as np

from skytrigger.core.extras import require
from skytrigger.eo.scene.clouds import STEP
from skytrigger.eo.scene.cubic import compiled, copy_band, model_dn, resample_tile
from skytrigger.eo.scene.tile_measures import picture_plane

WANTED, GAPS, EMPTY = 1, 0, -1
# sums in any order: each lane of a vector has its own
summing: Any = require("numba", why="scenes").njit(
    nogil=True, cache=True, error_model="numpy", fastmath={"contract", "reassoc"}
)


# Three plain loops over a tile in the first cache: as one they do not become vectors, and take twice as long.
@compiled
def _copied(src: Any, top: int, left: int, gain: Any, shift: Any, dn: Any) -> None:
    first = np.uint64(left)  # unsigned: an index that may be negative is looked at twice
    for i in range(dn.shape[2]):
        for j in range(np.uint64(dn.shape[3])):
            value = np.float32(src[top + i, first + j])
            scaled = model_dn(value, gain, shift)
            dn[0, 0, i, j] = np.float32(0.0) if value == np.float32(0.0) else scaled


@summing
def _sums(dn: Any, near: Any) -> Any:
    """Sums of (value - near) and of its square, and the number of zeros."""
    total: Any = 0.0
    square: Any = 0.0
    zeros: Any = 0
    for i in range(dn.shape[2]):
        line, squares, none = np.float32(0.0), np.float32(0.0), np.int32(0)
        for j in range(dn.shape[3]):
            value = dn[0, 0, i, j]
            d = value - near
            line += d
            squares += d * d
            none += np.int32(1) if value == np.float32(0.0) else np.int32(0)
        total += line
        square += squares
        zeros += none
    return total, square, zeros


@compiled
def _codes(dn: Any, gain: Any, zero: Any, kept: int, step: int, out: Any, k: int, plane: int) -> None:
    """See `model.input_codes`; adding and taking 1.5 x 2^23 rounds to whole numbers, halves to even."""
    magic = np.float32(12_582_912.0)
    low, high = np.float32(0.0), np.float32(255.0)
    for i in range(out.shape[2]):
        row = np.uint64(i // kept * step + i % kept)
        for j in range(dn.shape[3]):
            value = dn[0, 0, row, j] * gain
            value = np.float32(512.0) if value > np.float32(512.0) else value
            value = ((value + magic) - magic) + zero
            value = low if value < low else value
            value = high if value > high else value
            out[k, plane, i, j] = np.int32(value)


@compiled
def _numbers(dn: Any, out: Any, k: int, plane: int) -> None:
    for i in range(dn.shape[2]):
        for j in range(dn.shape[3]):
            out[k, plane, i, j] = dn[0, 0, i, j]


@compiled
def _empty(src: Any, first_row: int, factor: int, ys: Any, xs: Any) -> bool:
    """Whether a tile has no pixel with data; the first one with data ends the search."""
    left, right = xs.min() // factor, xs.max() // factor + 1
    for y in range(ys.min() // factor - first_row, ys.max() // factor + 1 - first_row):
        for x in range(left, right):
            if src[y, x] != 0:
                return False
    return True


@compiled
def _touch(src: Any, top: int, bottom: int, left: int, right: int) -> Any:
    """Read a pixel of each cache line: a row of many tiles lies together, the rows of one tile do not."""
    seen = np.uint64(0)
    for y in range(max(top, 0), min(bottom, src.shape[0])):
        for x in range(max(left, 0), min(right, src.shape[1]), 32):
            seen += np.uint64(src[y, x])
    return seen


@compiled
def plane_of_tiles(
    src: Any, first_row: int, height: int, factor: int, base: Any, weights: Any, gain: float, shift: float,
    ys: Any, xs: Any, todo: Any, stops: int, code_gain: float, code_zero: float, kept: int, step: int,
    out: Any, target: int,
    plane: int, means: Any, spreads: Any, samples: Any, slot: int, picture: Any, colour: int, margin: int, white: float,
) -> None:  # fmt: skip
    """One band of the tiles that are still to do.

    Parameters
    ----------
    src, first_row, height, factor, base, weights, gain, shift, ys, xs
        See `cubic.resample_band`.
    todo
        (n,) `WANTED`, or why a tile has no result: `GAPS`, or `EMPTY` in all planes until now.
    stops
        1: a pixel without data makes a tile one with `GAPS`; 2: the same, in the first plane, which tells `EMPTY` ones.
    code_gain, code_zero, kept, step
        Of the network's codes in this band, and which rows it reads; gain 0: `out` takes the numbers themselves.
    out, target
        (n, channels, t, t); `target` is written.
    plane, means, spreads
        (n, planes) of all pixels, DN; `plane` is written.
    samples, slot
        (n, s, t / STEP, t / STEP), every STEP-th pixel goes to [:, slot]; slot -1: nowhere.
    picture, colour, margin, white
        See `tile_measures.picture_plane`; colour -1: none.
    """
    size = ys.shape[0]
    dn = np.empty((1, 1, size, size), np.float32)
    part = np.empty((1, 1, size, size), np.float32)
    local = np.empty((size // factor + 6, size // factor + 8), np.float32)
    rows = np.empty((size // factor + 6, size), np.float32)
    straight_y = ys[size - 1] == ys[0] + size - 1
    n = xs.shape[0]
    top = ys[0] // factor - first_row
    _touch(src, top, top + size // factor + 2, xs[0, 0] // factor, xs[n - 1, size - 1] // factor)
    for k in range(n):
        if todo[k] == EMPTY and not _empty(src, first_row, factor, ys, xs[k]):
            todo[k] = GAPS
        elif todo[k] == WANTED and stops == 2 and _empty(src, first_row, factor, ys, xs[k]):
            todo[k] = EMPTY
        if todo[k] != WANTED:
            continue
        if factor == 1 and straight_y and xs[k, size - 1] == xs[k, 0] + size - 1:
            _copied(src, ys[0] - first_row, xs[k, 0], gain, shift, dn)
        elif factor == 1:
            copy_band(src, first_row, gain, shift, ys, xs[k : k + 1], dn, 0)
        else:
            resample_tile(
                src, first_row, height, factor, base, weights, gain, shift, ys, xs[k], local, rows, part, dn, 0, 0
            )
        near = dn[0, 0, size // 2, size // 2]
        total, square, zeros = _sums(dn, near)
        if stops and zeros:
            todo[k] = GAPS
            continue
        mean = total / (size * size)
        means[k, plane] = near + mean
        spreads[k, plane] = np.sqrt(max(square / (size * size) - mean * mean, 0.0))
        if code_gain > 0:
            _codes(dn, code_gain, code_zero, kept, step, out, k, target)
        else:
            _numbers(dn, out, k, target)
        if slot >= 0:
            for i in range(samples.shape[2]):
                for j in range(samples.shape[3]):
                    samples[k, slot, i, j] = dn[0, 0, STEP // 2 + i * STEP, STEP // 2 + j * STEP]
        if colour >= 0:
            picture_plane(dn[:, 0], margin, white, picture[k : k + 1], colour)
