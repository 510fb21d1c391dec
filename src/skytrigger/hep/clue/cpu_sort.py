"""Compiled loops of the backend `cpu`: hits to tiles by a counting sort, weights to whole numbers and back."""

# mypy: disable-error-code="no-untyped-def,no-untyped-call,assignment,no-any-return"
from __future__ import annotations

import numpy as np

from skytrigger.hep.clue.compiling import compiled

F32 = np.float32
I32 = np.int32


@compiled
def tile_numbers(x, y, z, group, grid, first_group, tile):
    """Tile of every hit, counted from `first_group`; `group` is empty where there is one group.

    Loops like this one run over whole arrays: LLVM vectorises no loop that begins elsewhere than at 0.
    """
    (x_low, x_scale, nx), (y_low, y_scale, ny), (z_low, z_scale, nz) = grid
    for i in range(len(tile)):
        ix = I32((x[i] - x_low) * x_scale)
        iy = I32((y[i] - y_low) * y_scale)
        iy = iy if iy < ny else I32(ny - 1)  # the end of a period
        tile[i] = iy * nx + ix
    if z is not None:
        for i in range(len(tile)):
            tile[i] += I32((z[i] - z_low) * z_scale) * ny * nx
    if len(group) > 0:
        per_group = nz * ny * nx
        for i in range(len(tile)):
            tile[i] += (group[i] - first_group) * per_group


@compiled
def count(tile, ends):
    """Hits per tile, into ``ends[tile]``."""
    for i in range(len(tile)):
        ends[np.uint32(tile[i])] += I32(1)


@compiled
def begins(tables):
    """Counts (parts, 1 + tiles) to first positions, tile after tile and within a tile part after part; the first column
    stays 0."""
    position = I32(0)
    parts, n = tables.shape
    if parts == 1:
        for t in range(1, n):
            here = tables[0, t]
            tables[0, t] = position
            position += here
        return
    for t in range(1, n):
        for part in range(parts):
            here = tables[part, t]
            tables[part, t] = position
            position += here


@compiled
def sort_hits(tile, start, stop, ends, index, place):
    """Hits to their tiles, in index order; afterwards ``ends[tile]`` is where the tile ends.

    Only the index is scattered; everything else follows by `gather`, an array at a time: with x, y and weight
    scattered along, random reads and writes spread over six arrays took twice as long.
    """
    for i in range(start, stop):
        t = np.uint32(tile[i])
        p = ends[t]
        ends[t] = p + I32(1)
        place[i] = p
        index[np.uint32(p)] = i


@compiled
def gather(values, index, out):
    """``out[i] = values[index[i]]``."""
    for i in range(len(index)):
        out[i] = values[np.uint32(index[i])]


@compiled
def lowest_and_highest_bit(weight):
    """Exponents of the lowest set bit and of the leading bit over all weights above 0; (127, -200) if there is none."""
    raw = weight.view(np.int32)
    lowest, highest = I32(127), I32(-200)
    for i in range(len(raw)):
        exponent = raw[i] >> I32(23)
        mantissa = raw[i] & I32(0x7FFFFF)
        whole = mantissa | (I32(1 << 23) if exponent > 0 else I32(0))
        # the lowest set bit as a float32 has its place in the exponent
        trailing = (F32(whole & -whole).view(np.int32) >> I32(23)) - I32(127)
        real = max(exponent, I32(1)) - I32(150)
        lowest = min(lowest, real + trailing if whole > 0 else I32(127))
        leading = (F32(whole).view(np.int32) >> I32(23)) - I32(127)
        highest = max(highest, real + leading if whole > 0 else I32(-200))
    return lowest, highest


@compiled
def take_limb(ws, scale, above, last, out):
    """Limb of each weight: ``floor(w * scale) mod above`` (not reduced for the last limb)."""
    for p in range(len(ws)):
        value = np.floor(np.float64(ws[p]) * scale)
        if not last:
            value -= np.floor(value / above) * above
        out[p] = value


@compiled
def round_densities(sums, start, stop, rho):
    """Sums to float32 densities: self whole, neighbours by their factor; see `densities.round_sums`."""
    q, total, out = sums.q[start:stop], sums.sums[start:stop], rho[start:stop]
    factor, factor_bits, flat = sums.factor, sums.factor_bits, sums.kernel is None
    if flat and factor == 1 and factor_bits == 0:
        for p in range(len(out)):
            out[p] = F32(np.float64(F32(total[p])) * sums.scale)
        return
    for p in range(len(out)):
        out[p] = F32(np.float64(F32(exact_sum(q[p], total[p], factor, factor_bits, flat))) * sums.scale)


@compiled
def exact_sum(q, total, factor, factor_bits, flat):
    """Density in units of 2^-factor_bits from the sum of the pass above (with the hit itself where it is flat)."""
    itself = np.int64(q) << factor_bits
    if flat:
        return itself + (np.int64(total) - np.int64(q)) * factor
    return itself + np.int64(total)


@compiled
def complete_sums(sums, n, out):
    """`exact_sum` of one limb, for `densities.round_sums`."""
    for p in range(n):
        out[p] = exact_sum(sums.q[p], sums.sums[p], sums.factor, sums.factor_bits, sums.kernel is None)
