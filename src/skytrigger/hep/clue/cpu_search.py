"""Compiled loops of the backend `cpu`: densities and nearest higher hits.

Hits lie sorted by tile in arrays padded by 8. A *block* is up to 8 hits that follow each other in a row of tiles; it is
compared with the runs of hits of the rows around, one candidate against 8 hits at a time (see `lanes`). The density
pass notes which candidates come within the search distance of a block, so that the search for the nearest higher reads
only those; where the notes would not fit, it looks through the runs again, so memory stays linear.

Measured on a Zen 4, density pass of 60,000 hits on sparse layers: a ``range`` over the candidates 14.5 ns a hit, the
``while`` below 11.8 (see there). Two interleaved chains of `closer` gained 4 % of its pass and were left out; so were
rows as high as the layer (1.4 times the time at 3,000 hits a layer).
"""

# mypy: disable-error-code="no-untyped-def,no-untyped-call,assignment,no-any-return"
from __future__ import annotations

import numpy as np

from skytrigger.hep.clue.cpu_labels import begin_roots, find_roots
from skytrigger.hep.clue.cpu_sort import F32, I32, compiled, round_densities
from skytrigger.hep.clue.lanes import (
    WIDTH,
    absolute,
    bits,
    broadcast,
    except_lane,
    lane,
    load,
    select,
    splat,
    square_root,
    store,
    zeros_like,
)
from skytrigger.hep.clue.rules import FACTOR_BITS, LN2_HIGH, LN2_LOW, LOG2_E, SERIES

NOBODY = I32(2147483647)
INFINITY = F32(np.inf)


@compiled
def squared(xj, yj, xi, yi, period):
    """Squared distance of one candidate to a block in the plane; see `reference.squares`."""
    dx = xj - xi
    dy = yj - yi
    if period is not None:
        dy = absolute(dy)
        other_way = splat(period) - dy
        dy = select(other_way < dy, other_way, dy)
    return dx * dx + dy * dy


@compiled
def row_window(row_y, reach_y, ny, period):
    """First row and number of rows to look at; with a period the rows are taken modulo ny, each once."""
    if period is not None:
        return (0, ny) if 2 * reach_y + 1 >= ny else (row_y - reach_y, 2 * reach_y + 1)
    first = max(0, row_y - reach_y)
    return first, min(ny - 1, row_y + reach_y) - first + 1


@compiled
def around(step, ny, period):
    """Row of a window that may stick out of a periodic axis."""
    if period is None:
        return step
    return step + ny if step < 0 else step - ny if step >= ny else step


@compiled
def tile_window(first_x, last_x, x_low, x_scale, reach_x, nx):
    """First and last tile of a row that a block from first_x to last_x must look at."""
    b0 = np.int64((first_x - x_low) * x_scale) - reach_x
    b1 = np.int64((last_x - x_low) * x_scale) + reach_x
    return max(b0, 0), min(b1, nx - 1)


@compiled
def begin_of(ends, row, nx):
    """Position of the first hit of a row."""
    return np.int64(ends[row * nx - 1]) if row > 0 else np.int64(0)


@compiled
def run_of(ends, row, b0, b1, nx):
    """First position of the hits in tiles b0..b1 of a row, and the tile that ends them."""
    first = row * nx + b0
    return np.int64(ends[first - 1]) if first > 0 else np.int64(0), row * nx + b1


@compiled
def put(array, i, vector, limit):
    """Store a block, up to `limit`: beyond it another thread may be at work."""
    if i + WIDTH <= limit:
        store(array, i, vector)
    else:
        for k in range(limit - i):
            array[i + k] = lane(vector, k)


@compiled
def neighbour_factor(distance, kernel):
    """`rules.neighbour_factors` of one distance; a kernel that is not flat."""
    gaussian, a, b, c = kernel
    if gaussian:
        away = distance - a
        factor = c * exponential((away * away) * (F32(0.5) / (b * b)))
    else:
        factor = b * exponential(a * distance)
    return np.int64(np.rint(factor * F32(1 << FACTOR_BITS)))


@compiled
def exponential(t):
    """`rules.exponential` of one value."""
    t = min(t, F32(80))
    k = np.rint(t * LOG2_E)
    r = (t - k * LN2_HIGH) - k * LN2_LOW
    p = SERIES[0]
    for coefficient in SERIES[1:]:
        p = p * r + coefficient
    return F32(np.ldexp(np.float64(p), -I32(k)))


@compiled
def add_factors(inside, square, q, j, kernel, own, i):
    """Kernels that are not flat: one hit of the block after the other."""
    for k in range(WIDTH):
        if lane(inside, k) and i + k != j:
            own[k] += q[j] * neighbour_factor(np.sqrt(lane(square, k)), kernel)


@compiled
def densities(xs, ys, zs, q, grid, reach, thresholds, ends, rows, period, kernel, sums, notes, is_noted):
    """Sums of q within dc for the hits of ``rows``, and notes of who comes within the search distance of a block.

    The notes of a block end with -1; ``is_noted[b]`` is false where they did not fit, and nothing is noted of b.
    """
    (x_low, x_scale, nx), (_, _, ny), (_, _, nz) = grid
    reach_x, reach_y, reach_z = reach
    inner, outer = splat(thresholds[0]), splat(thresholds[1])
    nothing = zeros_like(q)
    own = np.zeros(WIDTH, np.int64)
    block, noted, room = 0, 0, len(notes)
    i, limit = begin_of(ends, rows[0], nx), begin_of(ends, rows[1], nx)
    for row in range(rows[0], rows[1]):
        end = np.int64(ends[row * nx + nx - 1])
        if i == end:
            continue
        slab = row // ny
        row_y, row_z = row - slab * ny, slab % nz
        y_first, y_count = row_window(row_y, reach_y, ny, period)
        z_first, z_last = max(0, row_z - reach_z), min(nz - 1, row_z + reach_z)
        base = (slab - row_z) * ny
        while i < end:
            last = min(i + WIDTH, end) - 1
            b0, b1 = tile_window(xs[i], xs[last], x_low, x_scale, reach_x, nx)
            xi, yi = load(xs, i), load(ys, i)
            zi = None if zs is None else load(zs, i)
            total = nothing
            noted_before, fits = noted, True
            for step in range(y_first, y_first + y_count):
                row_here = base + around(step, ny, period)
                for slab_z in range(z_first, z_last + 1):
                    j, beyond = run_of(ends, row_here + slab_z * ny, b0, b1, nx)
                    fits = fits and noted + (np.int64(ends[beyond]) - j) < room
                    # not a range: LLVM would unroll by 4, and the remainder costs one more mispredicted branch
                    while j < ends[beyond]:
                        square = squared(broadcast(xs, j), broadcast(ys, j), xi, yi, period)
                        if zs is not None:
                            dz = broadcast(zs, j) - zi
                            square = square + dz * dz
                        inside = square <= inner
                        if kernel is None:
                            total = total + select(inside, broadcast(q, j), nothing)
                        elif bits(inside) != 0:
                            add_factors(inside, square, q, j, kernel, own, i)
                        if fits:
                            notes[noted] = j
                            noted += np.int64(bits(except_lane(square <= outer, j - i)) != 0)
                        j += 1
            is_noted[block] = fits
            if fits:
                notes[noted] = -1
                noted += 1
            else:
                noted = noted_before
            if kernel is None:
                put(sums, i, total, limit)
            else:
                for k in range(last - i + 1):
                    sums[i + k] = own[k]
                own[:] = 0
            block += 1
            i = last + 1


@compiled
def nearest(
    xs, ys, zs, rho, tie, grid, reach, cuts, rhoc, ends, rows, period, notes, is_noted, delta, higher, follows, seed
):
    """Nearest higher of the hits of ``rows``; ``follows`` is the hit itself for seeds and outliers.

    ``tie`` is the hit's index, or -1 for a hit that is nobody's higher at equal density.
    """
    (x_low, x_scale, nx), (_, _, ny), (_, _, nz) = grid
    reach_x, reach_y, reach_z = reach
    search, seed_distance, outlier_distance = splat(cuts[0]), splat(cuts[1]), splat(cuts[2])
    start, infinite = splat(np.nextafter(cuts[0], INFINITY)), splat(INFINITY)
    nobody, none = splat(NOBODY), splat(I32(-1))
    threshold = splat(rhoc[0])
    block, noted = 0, 0
    i, limit = begin_of(ends, rows[0], nx), begin_of(ends, rows[1], nx)
    for row in range(rows[0], rows[1]):
        end = np.int64(ends[row * nx + nx - 1])
        if i == end:
            continue
        slab = row // ny
        row_y, row_z = row - slab * ny, slab % nz
        y_first, y_count = row_window(row_y, reach_y, ny, period)
        z_first, z_last = max(0, row_z - reach_z), min(nz - 1, row_z + reach_z)
        base = (slab - row_z) * ny
        while i < end:
            last = min(i + WIDTH, end) - 1
            xi, yi = load(xs, i), load(ys, i)
            zi = None if zs is None else load(zs, i)
            rho_i, tie_i = load(rho, i), load(tie, i)
            best, best_tie = start, nobody
            if is_noted[block]:
                j = np.int64(notes[noted])
                while j >= 0:
                    best, best_tie = closer(xs, ys, zs, rho, tie, j, xi, yi, zi, rho_i, tie_i, period, best, best_tie)
                    noted += 1
                    j = np.int64(notes[noted])
                noted += 1
            else:
                b0, b1 = tile_window(xs[i], xs[last], x_low, x_scale, reach_x, nx)
                for step in range(y_first, y_first + y_count):
                    row_here = base + around(step, ny, period)
                    for slab_z in range(z_first, z_last + 1):
                        j0, beyond = run_of(ends, row_here + slab_z * ny, b0, b1, nx)
                        for j in range(j0, np.int64(ends[beyond])):
                            best, best_tie = closer(
                                xs, ys, zs, rho, tie, j, xi, yi, zi, rho_i, tie_i, period, best, best_tie
                            )
            found = best <= search
            distance = select(found, best, infinite)
            if len(rhoc) > 1:
                threshold = load(rhoc, i)
            is_seed = (distance > seed_distance) & (rho_i >= threshold)
            is_root = is_seed | ((distance > outlier_distance) & (rho_i < threshold))
            put(delta, i, distance, limit)
            put(higher, i, select(found, best_tie, none), limit)
            put(follows, i, select(is_root, none, best_tie), limit)
            put(seed, i, is_seed, limit)
            block += 1
            i = last + 1


@compiled
def closer(xs, ys, zs, rho, tie, j, xi, yi, zi, rho_i, tie_i, period, best, best_tie):
    """The better of the nearest higher so far and candidate j: higher at all, then distance, then index."""
    square = squared(broadcast(xs, j), broadcast(ys, j), xi, yi, period)
    if zs is not None:
        dz = broadcast(zs, j) - zi
        square = square + dz * dz
    distance = square_root(square)
    rho_j, tie_j = broadcast(rho, j), broadcast(tie, j)
    higher = (rho_j > rho_i) | ((rho_j == rho_i) & (tie_j > tie_i))
    take = higher & ((distance < best) | ((distance == best) & (tie_j > best_tie)))
    return select(take, distance, best), select(take, tie_j, best_tie)


@compiled
def ties(rho, index, start, stop, tie):
    """Index, or -1 where the density is 0 (`Rules.zero_ties`)."""
    for p in range(start, stop):
        tie[p] = index[p] if rho[p] > 0 else I32(-1)


@compiled
def cluster_groups(
    xs, ys, zs, q, grid, reach, thresholds, ends, groups, period, kernel, sums, notes, is_noted,
    factor, factor_bits, scale, rho, index, tie, zero_ties, cuts, rhoc, delta, higher, follows, seed, place, root
):  # fmt: skip
    """Everything of groups ``groups[0]..groups[1]`` that needs no other group, one after the other: cache-sized."""
    nx, rows = grid[0][2], grid[1][2] * grid[2][2]
    for g in range(groups[0], groups[1]):
        first, last = g * rows, (g + 1) * rows
        start, stop = begin_of(ends, first, nx), begin_of(ends, last, nx)
        if start == stop:
            continue
        densities(xs, ys, zs, q, grid, reach, thresholds, ends, (first, last), period, kernel, sums, notes, is_noted)
        round_densities(q[start:stop], sums[start:stop], factor, factor_bits, scale, kernel is None, rho[start:stop])
        if not zero_ties:
            ties(rho, index, start, stop, tie)
        nearest(
            xs, ys, zs, rho, tie, grid, reach, cuts, rhoc, ends, (first, last), period, notes, is_noted,
            delta, higher, follows, seed
        )  # fmt: skip
        begin_roots(follows, place, start, stop, root)
        find_roots(root, start, stop)
