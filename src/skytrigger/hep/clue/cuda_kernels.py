"""CUDA kernels of CLUE, one thread a hit (or tile); they run in Numba's simulator too.

Tiles are filled by counting, scanning and filling, so they have no capacity to overflow. The order of the hits in a
tile is whatever the atomics make it; it does not show, since sums are exact and ties are broken by index. Products and
sums of distances are rounded one by one (`__fmul_rn`, `__fadd_rn`): a fused multiply-add would differ from the other
backends in the last bit.
"""

# mypy: disable-error-code="no-untyped-def,untyped-decorator,no-untyped-call"
from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import config, cuda

from skytrigger.hep.clue.rules import FACTOR_BITS, LN2_HIGH, LN2_LOW, LOG2_E, SERIES

SIMULATED = bool(config.ENABLE_CUDASIM)
BLOCK = 8 if SIMULATED else 256
"""Threads of a block; the simulator starts a Python thread for each."""

F32 = np.float32
I32 = np.int32
I64 = np.int64
INFINITY = F32(np.inf)

if SIMULATED:

    def times(a: Any, b: Any) -> Any:
        """float32 product, rounded by itself."""
        return F32(a) * F32(b)

    def plus(a: Any, b: Any) -> Any:
        """float32 sum, rounded by itself."""
        return F32(a) + F32(b)

    def root(a: Any) -> Any:
        """float32 square root, correctly rounded."""
        return np.sqrt(F32(a))

    def nearest_whole(a: Any) -> Any:
        """float32 rounded to a whole number, halves to even."""
        return np.rint(F32(a))

    def bits_of(a: Any) -> Any:
        """Bits of a float32 as int32."""
        return F32(a).view(I32)

    def scaled(a: Any, exponent: Any) -> Any:
        """float64 ``a * 2^exponent``."""
        return np.ldexp(np.float64(a), int(exponent))

else:
    from numba.cuda import libdevice

    @cuda.jit(device=True)
    def times(a, b):
        """float32 product, rounded by itself."""
        return libdevice.fmul_rn(F32(a), F32(b))

    @cuda.jit(device=True)
    def plus(a, b):
        """float32 sum, rounded by itself."""
        return libdevice.fadd_rn(F32(a), F32(b))

    @cuda.jit(device=True)
    def root(a):
        """float32 square root, correctly rounded."""
        return libdevice.fsqrt_rn(F32(a))

    @cuda.jit(device=True)
    def nearest_whole(a):
        """float32 rounded to a whole number, halves to even."""
        return libdevice.rintf(F32(a))

    @cuda.jit(device=True)
    def bits_of(a):
        """Bits of a float32 as int32."""
        return libdevice.float_as_int(F32(a))

    @cuda.jit(device=True)
    def scaled(a, exponent):
        """float64 ``a * 2^exponent``."""
        return libdevice.ldexp(np.float64(a), I32(exponent))


@cuda.jit
def clear(counts, n, facts):
    """Zero the tile counts and the facts (see `count_tiles`)."""
    i = cuda.grid(1)
    if i < n:
        counts[i] = 0
    if i == 0:
        facts[0] = 127
        facts[1] = -200
        facts[2] = 0
        facts[3] = 0


@cuda.jit
def count_tiles(x, y, z, weight, group, first_group, scales, sizes, n, tile, rank, counts, facts):
    """Tile of each hit and its rank there.

    ``facts``: lowest set bit and leading bit over all weights, most hits in a tile, whether sums may overflow.
    """
    i = cuda.grid(1)
    if i >= n:
        return
    x_low, x_scale, y_low, y_scale, z_low, z_scale = scales
    nx, ny, nz = sizes
    t = I64(0)
    if len(group) > 0:
        t = I64(group[i] - first_group)
    if len(z) > 0:
        t = t * nz + I64((z[i] - z_low) * z_scale)
    t = t * ny + min(I64((y[i] - y_low) * y_scale), I64(ny - 1))
    t = t * nx + I64((x[i] - x_low) * x_scale)
    tile[i] = t
    mine = cuda.atomic.add(counts, t, 1)
    rank[i] = mine
    if mine >= facts[2]:
        cuda.atomic.max(facts, 2, mine + 1)
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
        if low < facts[0]:
            cuda.atomic.min(facts, 0, low)
        if high > facts[1]:
            cuda.atomic.max(facts, 1, high)


@cuda.jit
def scan_blocks(values, n, totals):
    """Inclusive sums within each block of `BLOCK` values, and the blocks' totals."""
    shared = cuda.shared.array(BLOCK, np.int32)
    i = cuda.grid(1)
    lane = cuda.threadIdx.x
    shared[lane] = values[i] if i < n else 0
    cuda.syncthreads()
    step = 1
    while step < BLOCK:
        add = shared[lane - step] if lane >= step else 0
        cuda.syncthreads()
        shared[lane] += add
        cuda.syncthreads()
        step *= 2
    if i < n:
        values[i] = shared[lane]
    if lane == BLOCK - 1:
        totals[cuda.blockIdx.x] = shared[lane]


@cuda.jit
def add_totals(values, n, totals):
    """Add the (scanned) totals of the blocks before."""
    i = cuda.grid(1)
    if i < n and cuda.blockIdx.x > 0:
        values[i] += totals[cuda.blockIdx.x - 1]


@cuda.jit
def fill_tiles(x, y, z, weight, tile, rank, ends, n, xs, ys, zs, ws, index, place):
    """Hits to their tiles; ``ends[t]`` is where tile t ends."""
    i = cuda.grid(1)
    if i >= n:
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
    index[p] = i
    place[i] = p


@cuda.jit
def take_limb(ws, n, facts, room, limb, n_limbs, q):
    """Limb of each weight in units of the lowest bit; whole weights where n_limbs is 1."""
    p = cuda.grid(1)
    if p >= n:
        return
    if len(ws) == 0:
        q[p] = 1
        return
    value = math.floor(scaled(ws[p], -facts[0] - limb * room))
    if limb + 1 < n_limbs:
        above = scaled(1.0, room)
        value -= math.floor(value / above) * above
    q[p] = I64(min(value, scaled(1.0, 62)))  # beyond that the call is done over in limbs


@cuda.jit(device=True)
def apart(xj, yj, zj, xi, yi, zi, period):
    """float32 squared distance, see `reference.squares`; period 0 for none."""
    dx = xj - xi
    dy = yj - yi
    dz = zj - zi
    if period > F32(0):
        dy = abs(dy)
        dy = min(dy, period - dy)
    return plus(plus(times(dx, dx), times(dy, dy)), times(dz, dz))


@cuda.jit(device=True)
def exponential(t):
    """`rules.exponential` of one value."""
    t = min(F32(t), F32(80))
    k = nearest_whole(times(t, LOG2_E))
    r = plus(plus(t, -times(k, LN2_HIGH)), -times(k, LN2_LOW))
    p = F32(SERIES[0])
    for place in range(1, len(SERIES)):
        p = plus(times(p, r), SERIES[place])
    return F32(scaled(p, -I32(k)))


@cuda.jit(device=True)
def neighbour_factor(square, kernel):
    """`rules.neighbour_factors` of one squared distance; a kernel that is not flat."""
    kind, a, b, c = kernel
    distance = root(square)
    if kind == 2:
        away = distance - a
        factor = times(c, exponential(times(times(away, away), F32(0.5) / times(b, b))))
    else:
        factor = times(b, exponential(times(a, distance)))
    return I64(nearest_whole(times(factor, F32(1 << FACTOR_BITS))))


@cuda.jit(device=True)
def tile_of(xi, yi, zi, scales, sizes):
    """Tile coordinates of a hit."""
    x_low, x_scale, y_low, y_scale, z_low, z_scale = scales
    iy = min(I64((yi - y_low) * y_scale), I64(sizes[1] - 1))
    return I64((xi - x_low) * x_scale), iy, I64((zi - z_low) * z_scale)


@cuda.jit(device=True)
def rows_around(iy, ny, reach_y, period):
    """First row and number of rows to look at, as `cpu_search.row_window`."""
    if period > F32(0):
        if 2 * reach_y + 1 >= ny:
            return I64(0), I64(ny)
        return I64(iy - reach_y), I64(2 * reach_y + 1)
    first = max(I64(0), iy - reach_y)
    return first, min(I64(ny - 1), iy + reach_y) - first + 1


@cuda.jit
def densities(xs, ys, zs, q, group, first_group, index, ends, scales, sizes, reach, window, n, limit, period, kernel,
              factor, factor_bits, factor_size, facts, limb, sums, rho):  # fmt: skip
    """Exact density of each hit: the limb's sum to ``sums``, and, where all fits one limb, rounded to ``rho``."""
    p = cuda.grid(1)
    if p >= n:
        return
    nx, ny, nz = sizes
    flat = kernel[0] == 0
    deep = len(zs) > 0
    xi, yi, zi = xs[p], ys[p], F32(0)
    if deep:
        zi = zs[p]
    g = I64(0)
    if len(group) > 0:
        g = I64(group[index[p]] - first_group)
    ix, iy, iz = tile_of(xi, yi, zi, scales, sizes)
    b0, b1 = max(ix - reach[0], I64(0)), min(ix + reach[0], I64(nx - 1))
    first, count = rows_around(iy, ny, reach[1], period)
    total = I64(0)
    for jz in range(max(iz - reach[2], I64(0)), min(iz + reach[2], I64(nz - 1)) + 1):
        for step in range(first, first + count):
            row = ((g * nz + jz) * ny + (step + ny) % ny) * nx
            j = I64(0)
            if row + b0 > 0:
                j = I64(ends[row + b0 - 1])
            while j < ends[row + b1]:
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
        terms = I64(facts[2]) * window
        spent = factor_size
        while terms > 0:
            spent += 1
            terms >>= 1
        if width + spent > 62:
            facts[3] = 1
        rho[p] = F32(np.float64(F32(total)) * scaled(1.0, lowest - factor_bits))


@cuda.jit
def nearest_higher(xs, ys, zs, rho, group, first_group, index, ends, scales, sizes, reach, n, cuts, period, zero_ties,
                   rhoc, follows, out_rho, out_delta, out_higher, out_seed, flags):  # fmt: skip
    """Nearest higher, seed or not, and whom to follow (-1: nobody); results go to the hit's index at once."""
    p = cuda.grid(1)
    if p >= n:
        return
    nx, ny, nz = sizes
    search, seed_distance, outlier_distance = cuts
    deep = len(zs) > 0
    xi, yi, zi = xs[p], ys[p], F32(0)
    if deep:
        zi = zs[p]
    i = index[p]
    mine = rho[p]
    g = I64(0)
    if len(group) > 0:
        g = I64(group[i] - first_group)
    ix, iy, iz = tile_of(xi, yi, zi, scales, sizes)
    b0, b1 = max(ix - reach[0], I64(0)), min(ix + reach[0], I64(nx - 1))
    first, count = rows_around(iy, ny, reach[1], period)
    best = INFINITY
    higher = I32(-1)
    for jz in range(max(iz - reach[2], I64(0)), min(iz + reach[2], I64(nz - 1)) + 1):
        for step in range(first, first + count):
            row = ((g * nz + jz) * ny + (step + ny) % ny) * nx
            j = I64(0)
            if row + b0 > 0:
                j = I64(ends[row + b0 - 1])
            while j < ends[row + b1]:
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
    threshold = rhoc[0]
    if len(rhoc) > 1:
        threshold = rhoc[i]
    seed = best > seed_distance and mine >= threshold
    outlier = best > outlier_distance and mine < threshold
    follows[i] = I32(-1) if seed or outlier else higher
    out_rho[i] = mine
    out_delta[i] = best
    out_higher[i] = higher
    out_seed[i] = seed
    flags[i] = 1 if seed else 0


@cuda.jit
def assign(follows, seed, numbers, n, out_id):
    """Follow to the end; ``numbers`` are the inclusive sums of the seed flags in index order."""
    i = cuda.grid(1)
    if i >= n:
        return
    end = I64(i)
    while follows[end] >= 0:
        end = I64(follows[end])
    out_id[i] = numbers[end] - 1 if seed[end] else -1
