"""The compiled loops of the backend `cpu`.

Hits lie sorted by tile in arrays padded by 8. A *block* is up to 8 hits that follow each other in a row of tiles; it is
compared with the runs of hits of the rows around, one candidate against 8 hits at a time (see `lanes`). The density
pass notes which candidates come within the search distance of a block, so that the search for the nearest higher reads
only those; where the notes would not fit, it looks through the runs again, so memory stays linear.

What did not help: storing pairs of hits (their extraction is scalar: one mispredicted branch a pair), visiting each
pair once (adding to both sides needs a store per candidate), widening the search ring by ring (a second look at the
same run costs more than comparing the rest of it), 16 lanes.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from skytrigger.hep.clue.lanes import absolute, bits, broadcast, lane, load, select, splat, square_root, store, zeros_like
from skytrigger.hep.clue.rules import FACTOR_BITS, LN2_HIGH, LN2_LOW, LOG2_E, SERIES

compiled: Any = njit(nogil=True, cache=True, error_model="numpy", boundscheck=False)

F32 = np.float32
I32 = np.int32
NOBODY = I32(2147483647)
INFINITY = F32(np.inf)


@compiled
def tile_numbers(x, y, z, group, grid, first_group, tile):  # type: ignore[no-untyped-def]
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
def count(tile, ends):  # type: ignore[no-untyped-def]
    """Hits per tile, into ``ends[tile]``."""
    for i in range(len(tile)):
        ends[np.uint32(tile[i])] += I32(1)


@compiled
def begins(ends, n_tiles, parts):  # type: ignore[no-untyped-def]
    """Counts (parts, tiles) to first positions, tile after tile and within a tile part after part."""
    position = I32(0)
    if parts == 1:
        for t in range(n_tiles):
            here = ends[t]
            ends[t] = position
            position += here
        return
    for t in range(n_tiles):
        for part in range(parts):
            here = ends[part * n_tiles + t]
            ends[part * n_tiles + t] = position
            position += here


@compiled
def sort_hits(x, y, z, weight, tile, start, stop, ends, xs, ys, zs, ws, index, place):  # type: ignore[no-untyped-def]
    """Hits to their tiles, in index order; afterwards ``ends[tile]`` is where the tile ends."""
    for i in range(start, stop):
        t = np.uint32(tile[i])
        p = ends[t]
        ends[t] = p + I32(1)
        place[i] = p
        u = np.uint32(p)
        xs[u] = x[i]
        ys[u] = y[i]
        if z is not None:
            zs[u] = z[i]
        if weight is not None:
            ws[u] = weight[i]
        index[u] = i


@compiled
def lowest_and_highest_bit(weight):  # type: ignore[no-untyped-def]
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
def take_limb(ws, n, scale, above, last, out):  # type: ignore[no-untyped-def]
    """Limb of each weight: ``floor(w * scale) mod above`` (not reduced for the last limb)."""
    for p in range(n):
        value = np.floor(np.float64(ws[p]) * scale)
        if not last:
            value -= np.floor(value / above) * above
        out[p] = value


@compiled
def squared(xj, yj, xi, yi, period):  # type: ignore[no-untyped-def]
    """Squared distance of one candidate to a block in the plane; see `reference.squares`."""
    dx = xj - xi
    dy = yj - yi
    if period is not None:
        dy = absolute(dy)
        other_way = splat(period) - dy
        dy = select(other_way < dy, other_way, dy)
    return dx * dx + dy * dy


@compiled
def row_window(row_y, reach_y, ny, period):  # type: ignore[no-untyped-def]
    """First row and number of rows to look at; with a period the rows are taken modulo ny, each once."""
    if period is not None:
        return (0, ny) if 2 * reach_y + 1 >= ny else (row_y - reach_y, 2 * reach_y + 1)
    first = max(0, row_y - reach_y)
    return first, min(ny - 1, row_y + reach_y) - first + 1


@compiled
def around(step, ny, period):  # type: ignore[no-untyped-def]
    """Row of a window that may stick out of a periodic axis."""
    if period is None:
        return step
    return step + ny if step < 0 else step - ny if step >= ny else step


@compiled
def tile_window(first_x, last_x, x_low, x_scale, reach_x, nx):  # type: ignore[no-untyped-def]
    """First and last tile of a row that a block from first_x to last_x must look at."""
    b0 = np.int64((first_x - x_low) * x_scale) - reach_x
    b1 = np.int64((last_x - x_low) * x_scale) + reach_x
    return max(b0, 0), min(b1, nx - 1)


@compiled
def begin_of(ends, row, nx):  # type: ignore[no-untyped-def]
    """Position of the first hit of a row."""
    return np.int64(ends[row * nx - 1]) if row > 0 else np.int64(0)


@compiled
def run_of(ends, row, b0, b1, nx):  # type: ignore[no-untyped-def]
    """First position of the hits in tiles b0..b1 of a row, and the tile that ends them."""
    first = row * nx + b0
    return np.int64(ends[first - 1]) if first > 0 else np.int64(0), row * nx + b1


@compiled
def put(array, i, vector, limit):  # type: ignore[no-untyped-def]
    """Store a block, up to `limit`: beyond it another thread may be at work."""
    if i + 8 <= limit:
        store(array, i, vector)
    else:
        for k in range(limit - i):
            array[i + k] = lane(vector, k)


@compiled
def neighbour_factor(distance, kernel):  # type: ignore[no-untyped-def]
    """`rules.neighbour_factors` of one distance; a kernel that is not flat."""
    gaussian, a, b, c = kernel
    if gaussian:
        away = distance - a
        factor = c * exponential((away * away) * (F32(0.5) / (b * b)))
    else:
        factor = b * exponential(a * distance)
    return np.int64(np.rint(factor * F32(1 << FACTOR_BITS)))


@compiled
def exponential(t):  # type: ignore[no-untyped-def]
    """`rules.exponential` of one value."""
    t = min(t, F32(80))
    k = np.rint(t * LOG2_E)
    r = (t - k * LN2_HIGH) - k * LN2_LOW
    p = SERIES[0]
    for coefficient in SERIES[1:]:
        p = p * r + coefficient
    return F32(np.ldexp(np.float64(p), -I32(k)))


@compiled
def add_factors(inside, square, q, j, kernel, own, i):  # type: ignore[no-untyped-def]
    """Kernels that are not flat: one hit of the block after the other."""
    for k in range(8):
        if lane(inside, k) and i + k != j:
            own[k] += q[j] * neighbour_factor(np.sqrt(lane(square, k)), kernel)


@compiled
def densities(  # type: ignore[no-untyped-def]
    xs, ys, zs, q, grid, reach, thresholds, ends, rows, period, kernel, sums, notes, is_noted
):
    """Sums of q within dc for the hits of ``rows``, and notes of who comes within the search distance of a block.

    The notes of a block end with -1; ``is_noted[b]`` is false where they did not fit, and nothing is noted of b.
    """
    (x_low, x_scale, nx), (_, _, ny), (_, _, nz) = grid
    reach_x, reach_y, reach_z = reach
    inner, outer = splat(thresholds[0]), splat(thresholds[1])
    nothing = zeros_like(q)
    own = np.zeros(8, np.int64)
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
            last = min(i + 8, end) - 1
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
                            noted += np.int64(bits(square <= outer) != 0)
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
def round_densities(q, sums, factor, factor_bits, scale, flat, rho):  # type: ignore[no-untyped-def]
    """Sums to float32 densities: self whole, neighbours by their factor; see `densities.round_sums`."""
    if flat and factor == 1 and factor_bits == 0:
        for p in range(len(rho)):
            rho[p] = F32(np.float64(F32(sums[p])) * scale)
        return
    for p in range(len(rho)):
        rho[p] = F32(np.float64(F32(exact_sum(q[p], sums[p], factor, factor_bits, flat))) * scale)


@compiled
def exact_sum(q, total, factor, factor_bits, flat):  # type: ignore[no-untyped-def]
    """Density in units of 2^-factor_bits from the sum of the pass above (with the hit itself where it is flat)."""
    itself = np.int64(q) << factor_bits
    if flat:
        return itself + (np.int64(total) - np.int64(q)) * factor
    return itself + np.int64(total)


@compiled
def complete_sums(q, sums, n, factor, factor_bits, flat, out):  # type: ignore[no-untyped-def]
    """`exact_sum` of one limb, for `densities.round_sums`."""
    for p in range(n):
        out[p] = exact_sum(q[p], sums[p], factor, factor_bits, flat)


@compiled
def nearest(  # type: ignore[no-untyped-def]
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
            last = min(i + 8, end) - 1
            xi, yi = load(xs, i), load(ys, i)
            zi = None if zs is None else load(zs, i)
            rho_i, tie_i = load(rho, i), load(tie, i)
            best, best_tie = start, nobody
            if is_noted[block]:
                j = np.int64(notes[noted])
                while j >= 0:
                    best, best_tie = closer(
                        xs, ys, zs, rho, tie, j, xi, yi, zi, rho_i, tie_i, period, best, best_tie
                    )
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
def closer(xs, ys, zs, rho, tie, j, xi, yi, zi, rho_i, tie_i, period, best, best_tie):  # type: ignore[no-untyped-def]
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
def begin_roots(follows, place, start, stop, root):  # type: ignore[no-untyped-def]
    """First step of every hit towards its seed or outlier, as a position."""
    for p in range(start, stop):
        to = follows[p]
        root[p] = place[np.uint32(to)] if to >= 0 else I32(p)


@compiled
def find_roots(root, start, stop):  # type: ignore[no-untyped-def]
    """Halve the way to the end until nothing moves. Other threads may do so in their range at the same time: what is
    read is always some hit further on, and only an end points at itself."""
    moved = I32(1)
    while moved != 0:
        moved = I32(0)
        for p in range(start, stop):
            once = root[p]
            twice = root[np.uint32(once)]
            root[p] = twice
            moved |= once ^ twice


@compiled
def list_seeds(seed, place, start, stop, seeds):  # type: ignore[no-untyped-def]
    """Positions of the seeds among hits start..stop, in index order, to ``seeds[start:]``; returns how many.

    Every position is written and the cursor moves on behind a seed: no branch to mispredict.
    """
    found = start
    for i in range(start, stop):
        p = place[i]
        seeds[found] = p
        found += np.int64(seed[np.uint32(p)])
    return found - start


@compiled
def number_seeds(seeds, first, n_seeds, first_number, number):  # type: ignore[no-untyped-def]
    """Cluster numbers at the positions of the seeds; `number` holds -1 before."""
    for k in range(n_seeds):
        number[np.uint32(seeds[first + k])] = I32(first_number + k)


@compiled
def pack(rho, delta, higher, seed, root, number, offset, start, stop, packed):  # type: ignore[no-untyped-def]
    """Results of a hit side by side, 16 bytes: one cache line a hit for `give_back`, not five."""
    rho_bits, delta_bits = rho.view(np.int32), delta.view(np.int32)
    for p in range(start, stop):
        end = np.uint32(root[p])
        to = higher[p]
        packed[p, 0] = rho_bits[p]
        packed[p, 1] = delta_bits[p]
        packed[p, 2] = to + offset if to >= 0 else to
        packed[p, 3] = 2 * number[end] + I32(seed[p])


@compiled
def give_back(packed, place, out_id, out_seed, out_rho, out_delta, out_higher):  # type: ignore[no-untyped-def]
    """Results by position into results by hit."""
    rho_bits, delta_bits = out_rho.view(np.int32), out_delta.view(np.int32)
    for i in range(len(place)):
        p = np.uint32(place[i])
        rho_bits[i] = packed[p, 0]
        delta_bits[i] = packed[p, 1]
        out_higher[i] = packed[p, 2]
        both = packed[p, 3]
        out_seed[i] = both & 1
        out_id[i] = both >> 1


@compiled
def ties(rho, index, start, stop, tie):  # type: ignore[no-untyped-def]
    """Index, or -1 where the density is 0 (`Rules.zero_ties`)."""
    for p in range(start, stop):
        tie[p] = index[p] if rho[p] > 0 else I32(-1)


@compiled
def gather(values, index, n, out):  # type: ignore[no-untyped-def]
    """``out[p] = values[index[p]]``."""
    for p in range(n):
        out[p] = values[np.uint32(index[p])]


@compiled
def cluster_groups(  # type: ignore[no-untyped-def]
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
