"""CUDA kernels of CLUE, one thread a hit (or tile); they run in Numba's simulator too.

Tiles are filled by counting, scanning and filling, so they have no capacity to overflow. The order of the hits in a
tile is whatever the atomics make it; it does not show, since sums are exact and ties are broken by index. Everything
that differs between events is in ``plan`` (see `cuda_device`): grids of launches are as large as the memory allows.
"""

# mypy: disable-error-code="no-untyped-def,untyped-decorator,no-untyped-call"
from __future__ import annotations

import numpy as np
from numba import cuda

from skytrigger.hep.clue.cuda_device import (
    CHUNK,
    DENSITY_REACH,
    F32,
    FIRST_GROUP,
    HITS,
    I32,
    I64,
    INFINITY,
    OFFSET,
    SEARCH_REACH,
    SIZES,
    THRESHOLD,
    TILES,
    WINDOW,
    apart,
    around,
    below,
    bits_of,
    neighbour_factor,
    root,
    rows_around,
    scaled,
    tile_of,
)


@cuda.jit
def clear(counts, plan, facts):
    """Zero the tile counts and the facts (see `count_tiles`)."""
    i = cuda.grid(1)
    if i < I64(plan[TILES]):
        counts[i] = 0
    if i == 0:
        facts[0] = 127
        facts[1] = -200
        facts[2] = 0
        facts[3] = 0


@cuda.jit
def count_tiles(x, y, z, weight, group, plan, tile, rank, counts, facts):
    """Tile of each hit and its rank there.

    ``facts``: lowest set bit and leading bit over all weights, most hits in a tile, whether sums may overflow. A block
    finds its own first: a hundred thousand atomics on one word would take as long as all the rest.
    """
    mine = cuda.shared.array(3, np.int32)
    lane = cuda.threadIdx.x
    if lane == 0:
        mine[0] = 127
        mine[1] = -200
        mine[2] = 0
    cuda.syncthreads()
    i = cuda.grid(1)
    if i < I64(plan[HITS]):
        zi = F32(0)
        if len(z) > 0:
            zi = z[i]
        ix, iy, iz = tile_of(x[i], y[i], zi, plan)
        t = I64(0)
        if len(group) > 0:
            t = I64(group[i]) - I64(plan[FIRST_GROUP])
        t = ((t * I64(plan[SIZES + 2]) + iz) * I64(plan[SIZES + 1]) + iy) * I64(plan[SIZES]) + ix
        tile[i] = t
        before = cuda.atomic.add(counts, t, 1)
        rank[i] = before
        if before >= mine[2]:
            cuda.atomic.max(mine, 2, before + 1)
        if len(weight) > 0 and weight[i] > F32(0):
            raw = bits_of(weight[i])
            exponent = raw >> 23
            whole = raw & 0x7FFFFF
            if exponent > 0:
                whole |= 1 << 23
            else:
                exponent = 1
            low = exponent - 150 + (bits_of(F32(whole & -whole)) >> 23) - 127
            high = exponent - 150 + (bits_of(F32(whole)) >> 23) - 127
            if low < mine[0]:
                cuda.atomic.min(mine, 0, low)
            if high > mine[1]:
                cuda.atomic.max(mine, 1, high)
    cuda.syncthreads()
    if lane == 0:
        if mine[0] < facts[0]:
            cuda.atomic.min(facts, 0, mine[0])
        if mine[1] > facts[1]:
            cuda.atomic.max(facts, 1, mine[1])
        if mine[2] > facts[2]:
            cuda.atomic.max(facts, 2, mine[2])


@cuda.jit
def fill_tiles(x, y, z, weight, tile, rank, ends, plan, facts, xs, ys, zs, ws, q, index):
    """Hits to their tiles, ``ends[t]`` being where tile t ends; ``q``: weights in units of the lowest bit."""
    i = cuda.grid(1)
    if i >= I64(plan[HITS]):
        return
    t = tile[i]
    p = rank[i]
    if t > 0:
        p += ends[t - 1]
    xs[p] = x[i]
    ys[p] = y[i]
    if len(z) > 0:
        zs[p] = z[i]
    if len(weight) > 0:
        ws[p] = weight[i]
        q[p] = I64(min(below(scaled(weight[i], -facts[0])), scaled(1.0, 62)))  # beyond that: done over in limbs
    else:
        q[p] = 1
    index[p] = i


@cuda.jit
def take_limb(ws, plan, facts, room, limb, n_limbs, q):
    """Limb of each weight in units of the lowest bit, where one is not enough."""
    p = cuda.grid(1)
    if p >= I64(plan[HITS]):
        return
    value = below(scaled(ws[p], -facts[0] - limb * room))
    if limb + 1 < n_limbs:
        above = scaled(1.0, room)
        value -= below(value / above) * above
    q[p] = I64(min(value, scaled(1.0, 62)))


@cuda.jit
def densities(xs, ys, zs, q, group, index, ends, plan, limit, period, kernel, factor, factor_bits, factor_size, facts,
              limb, sums, rho):  # fmt: skip
    """Exact density of each hit: the limb's sum to ``sums``, and, where all fits one limb, rounded to ``rho``."""
    p = cuda.grid(1)
    if p >= I64(plan[HITS]):
        return
    nx, ny, nz = I64(plan[SIZES]), I64(plan[SIZES + 1]), I64(plan[SIZES + 2])
    reach_x, reach_y, reach_z = I64(plan[DENSITY_REACH]), I64(plan[DENSITY_REACH + 1]), I64(plan[DENSITY_REACH + 2])
    flat = kernel[0] == 0
    deep = len(zs) > 0
    xi, yi, zi = xs[p], ys[p], F32(0)
    if deep:
        zi = zs[p]
    g = I64(0)
    if len(group) > 0:
        g = I64(group[index[p]]) - I64(plan[FIRST_GROUP])
    ix, iy, iz = tile_of(xi, yi, zi, plan)
    b0, b1 = max(ix - reach_x, I64(0)), min(ix + reach_x, nx - 1)
    first, count = rows_around(iy, ny, reach_y, period)
    total = I64(0)
    for jz in range(max(iz - reach_z, I64(0)), min(iz + reach_z, nz - 1) + 1):
        for step in range(first, first + count):
            row = ((g * nz + jz) * ny + around(step, ny)) * nx
            j = I64(0)
            if row + b0 > 0:
                j = I64(ends[row + b0 - 1])
            end = I64(ends[row + b1])
            while j < end:
                zj = zi
                if deep:
                    zj = zs[j]
                square = apart(xs[j], ys[j], zj, xi, yi, zi, period)
                if square <= limit and j != p:
                    if flat:
                        total += q[j]
                    else:
                        total += q[j] * neighbour_factor(square, kernel)
                j += 1
    if flat:
        total *= factor
    total += q[p] << factor_bits
    sums[p] = total
    if limb < 0:  # one limb, if it turns out that one is enough
        lowest, width = 0, 1
        if facts[1] >= facts[0]:
            lowest, width = facts[0], facts[1] - facts[0] + 1
        terms = I64(facts[2]) * I64(plan[WINDOW])
        spent = factor_size
        while terms > 0:
            spent += 1
            terms >>= 1
        if width + spent > 62:
            facts[3] = 1
        rho[p] = F32(np.float64(F32(total)) * scaled(1.0, lowest - factor_bits))


@cuda.jit
def nearest_higher(xs, ys, zs, rho, group, index, ends, plan, cuts, period, zero_ties, rhoc, follows, out_rho,
                   out_delta, out_higher, out_seed, flags):  # fmt: skip
    """Nearest higher, seed or not, and whom to follow (-1: nobody); results go to the hit's index at once."""
    p = cuda.grid(1)
    if p >= I64(plan[HITS]):
        return
    nx, ny, nz = I64(plan[SIZES]), I64(plan[SIZES + 1]), I64(plan[SIZES + 2])
    reach_x, reach_y, reach_z = I64(plan[SEARCH_REACH]), I64(plan[SEARCH_REACH + 1]), I64(plan[SEARCH_REACH + 2])
    search, seed_distance, outlier_distance = cuts
    deep = len(zs) > 0
    xi, yi, zi = xs[p], ys[p], F32(0)
    if deep:
        zi = zs[p]
    i = index[p]
    mine = rho[p]
    g = I64(0)
    if len(group) > 0:
        g = I64(group[i]) - I64(plan[FIRST_GROUP])
    ix, iy, iz = tile_of(xi, yi, zi, plan)
    b0, b1 = max(ix - reach_x, I64(0)), min(ix + reach_x, nx - 1)
    first, count = rows_around(iy, ny, reach_y, period)
    best = INFINITY
    higher = I32(-1)
    for jz in range(max(iz - reach_z, I64(0)), min(iz + reach_z, nz - 1) + 1):
        for step in range(first, first + count):
            row = ((g * nz + jz) * ny + around(step, ny)) * nx
            j = I64(0)
            if row + b0 > 0:
                j = I64(ends[row + b0 - 1])
            end = I64(ends[row + b1])
            while j < end:
                theirs = rho[j]
                if theirs > mine or (theirs == mine and index[j] > i and (zero_ties or theirs > F32(0))):
                    zj = zi
                    if deep:
                        zj = zs[j]
                    distance = root(apart(xs[j], ys[j], zj, xi, yi, zi, period))
                    if distance <= search and (distance < best or (distance == best and index[j] > higher)):
                        best = distance
                        higher = index[j]
                j += 1
    threshold = F32(plan[THRESHOLD])
    if len(rhoc) > 0:
        threshold = rhoc[i]
    seed = best > seed_distance and mine >= threshold
    outlier = best > outlier_distance and mine < threshold
    follows[i] = I32(-1) if seed or outlier else higher
    out_rho[i] = mine
    out_delta[i] = best
    out_higher[i] = higher if higher < 0 else I32(higher + I64(plan[OFFSET]))
    out_seed[i] = 1 if seed else 0
    flags[i] = 1 if seed else 0


@cuda.jit
def assign(follows, seed, numbers, totals, plan, out_id, facts):
    """Follow to the end; ``numbers`` are the inclusive sums of the seed flags within chunks, in index order.

    ``facts[4]``: the number of seeds.
    """
    i = cuda.grid(1)
    if i >= I64(plan[HITS]):
        return
    end = I64(i)
    while follows[end] >= 0:
        end = I64(follows[end])
    number = I32(-1)
    if seed[end]:
        number = numbers[end] - I32(1)
        if end >= CHUNK:
            number += totals[end // CHUNK - 1]
    out_id[i] = number
    if i == I64(plan[HITS]) - 1:
        all_seeds = numbers[i]
        if i >= CHUNK:
            all_seeds += totals[i // CHUNK - 1]
        facts[4] = all_seeds
