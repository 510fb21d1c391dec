"""Compiled loops of the backend `cpu`: densities and nearest higher hits.

Hits lie sorted by tile in arrays padded by 16. A *block* is up to 8 hits that follow each other in a row of tiles; it
is compared with the runs of hits of the rows around, one candidate against 8 hits at a time (see `lanes`). The density
pass notes which candidates come near a block, so that the search for the nearest higher reads only those. It need not
look as far as that search (`Grid.near`): who has no higher hit so near is *lone* (the tops of clusters, mostly) and
searches by itself, 8 candidates at a time. So do the hits of blocks whose notes would not fit: memory stays linear.

Measured on a Zen 4, density pass of 60,000 hits on sparse layers: a ``range`` over the candidates 14.5 ns a hit, the
``while`` below 11.8 (see there). Two interleaved chains of `closer` gained 4 % of its pass and were left out; so were
rows as high as the layer (1.4 times the time at 3,000 hits a layer).
"""

# mypy: disable-error-code="no-untyped-def,no-untyped-call,assignment,no-any-return"
from __future__ import annotations

import numpy as np

from skytrigger.hep.clue.compiling import compiled
from skytrigger.hep.clue.cpu_labels import find_roots
from skytrigger.hep.clue.cpu_sort import F32, I32, round_densities
from skytrigger.hep.clue.cpu_window import (
    broadcast_or_none,
    closer,
    load_or_none,
    put,
    rows_around,
    squared,
    tiles_between,
)
from skytrigger.hep.clue.lanes import (
    WIDTH,
    bits,
    broadcast,
    except_lane,
    first_lanes,
    lane,
    largest,
    load,
    select,
    smallest,
    splat,
    zeros_like,
)
from skytrigger.hep.clue.rules import FACTOR_BITS, LN2_HIGH, LN2_LOW, LOG2_E, SERIES

NOBODY = I32(2147483647)
INFINITY = F32(np.inf)


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
def densities(hits, limits, sums, kernel, notes, rows):
    """Sums of q within dc for the hits of ``rows``, and notes of who comes within the near distance of a block.

    The notes of a block end with -1; ``fitted[b]`` is false where they did not fit, and nothing is noted of b.
    """
    xs, ys, zs, bounds, axes, period = hits
    q, nx, reach = sums.q, axes[0][2], limits.reach
    inner, outer = splat(limits.inner), splat(limits.noted)
    nothing = zeros_like(q)
    own = notes.own
    around = notes.around
    list_of, fitted = notes.noted, notes.fitted
    block, noted, room = 0, 0, len(list_of)
    i, limit = np.int64(bounds[rows[0] * nx]), np.int64(bounds[rows[1] * nx])
    for row in range(rows[0], rows[1]):
        end = np.int64(bounds[(row + 1) * nx])
        if i == end:
            continue
        n_rows = rows_around(row, axes, reach, period, around)
        while i < end:
            if notes.stop[0] != 0:
                return
            last = min(i + WIDTH, end) - 1
            xi, yi, zi = load(xs, i), load(ys, i), load_or_none(zs, i)
            total = nothing
            first_tile, last_tile = tiles_between(xs[i], xs[last], axes[0], reach)
            noted_before, fits = noted, True
            for k in range(n_rows):
                j, beyond = np.int64(bounds[around[k] + first_tile]), around[k] + last_tile
                fits = fits and noted + (np.int64(bounds[beyond]) - j) < room
                # read anew each time: LLVM would unroll by 4, and the remainder costs one more mispredicted branch
                while j < bounds[beyond]:
                    xj, yj, zj = broadcast(xs, j), broadcast(ys, j), broadcast_or_none(zs, j)
                    square = squared(xj, yj, zj, xi, yi, zi, period)
                    inside = square <= inner
                    if kernel is None:
                        total = total + select(inside, broadcast(q, j), nothing)
                    elif bits(inside) != 0:
                        add_factors(inside, square, q, j, kernel, own, i)
                    if fits:
                        list_of[noted] = j
                        noted += np.int64(bits(except_lane(square <= outer, j - i)) != 0)
                    j += 1
            fitted[block] = fits
            if fits:
                list_of[noted] = -1
                noted += 1
            else:
                noted = noted_before
            if kernel is None:
                put(sums.sums, i, total, limit)
            else:
                for k in range(last - i + 1):
                    sums.sums[i + k] = own[k]
                own[:] = 0
            block += 1
            i = last + 1


@compiled
def nearest(hits, limits, notes, links, rows):
    """Nearest higher among the notes, and the lone hits, for the hits of ``rows``; returns where those end."""
    xs, ys, zs, bounds, axes, period = hits
    rho, tie, lone, list_of = links.rho, links.tie, notes.lone, notes.noted
    near, infinite = splat(limits.near), splat(INFINITY)
    start = splat(np.nextafter(limits.near, INFINITY))
    nobody, none = splat(NOBODY), splat(I32(-1))
    wide, nx = limits.search > limits.near, axes[0][2]
    block, noted = 0, 0
    i, limit = np.int64(bounds[rows[0] * nx]), np.int64(bounds[rows[1] * nx])
    alone = i
    for row in range(rows[0], rows[1]):
        end = np.int64(bounds[(row + 1) * nx])
        while i < end:
            last = min(i + WIDTH, end) - 1
            best, best_tie = start, nobody
            if notes.fitted[block]:
                own = load(xs, i), load(ys, i), load_or_none(zs, i), load(rho, i), load(tie, i)
                j = np.int64(list_of[noted])
                while j >= 0:
                    xj, yj, zj = broadcast(xs, j), broadcast(ys, j), broadcast_or_none(zs, j)
                    them = xj, yj, zj, broadcast(rho, j), broadcast(tie, j)
                    best, best_tie = closer(them, own, period, best, best_tie)
                    noted += 1
                    j = np.int64(list_of[noted])
                noted += 1
            found = best <= near
            put(links.delta, i, select(found, best, infinite), limit)
            put(links.higher, i, select(found, best_tie, none), limit)
            if wide or not notes.fitted[block]:
                without = ~bits(found)
                for k in range(last - i + 1):
                    lone[alone] = i + k
                    alone += (without >> k) & 1
            block += 1
            i = last + 1
    return alone


@compiled
def widen(hits, limits, notes, links, row, first, beyond):
    """Nearest higher within the search distance for the lone hits ``first`` to ``beyond``, none before ``row``."""
    xs, ys, zs, bounds, axes, period = hits
    rho, tie, nx, reach = links.rho, links.tie, axes[0][2], limits.wide_reach
    start, nobody, none = splat(np.nextafter(limits.search, INFINITY)), splat(NOBODY), splat(I32(-1))
    around = notes.around
    n_rows, end = rows_around(row, axes, reach, period, around), np.int64(bounds[(row + 1) * nx])
    for at in range(first, beyond):
        p = np.int64(notes.lone[at])
        if p >= end:
            while p >= end:
                row += 1
                end = np.int64(bounds[(row + 1) * nx])
            n_rows = rows_around(row, axes, reach, period, around)
        if notes.stop[0] != 0:
            return
        zi = broadcast_or_none(zs, p)
        own = broadcast(xs, p), broadcast(ys, p), zi, broadcast(rho, p), broadcast(tie, p)
        best, best_tie = start, nobody
        first_tile, last_tile = tiles_between(xs[p], xs[p], axes[0], reach)
        for k in range(n_rows):
            j, beyond_run = np.int64(bounds[around[k] + first_tile]), around[k] + last_tile
            while j < bounds[beyond_run]:
                them = load(xs, j), load(ys, j), load_or_none(zs, j), load(rho, j), load(tie, j)
                closest, closest_tie = closer(them, own, period, best, best_tie)
                inside = first_lanes(best, bounds[beyond_run] - j)
                best, best_tie = select(inside, closest, best), select(inside, closest_tie, best_tie)
                j += WIDTH
        distance = smallest(best)
        found = distance <= limits.search
        links.delta[p] = distance if found else INFINITY
        links.higher[p] = largest(select(best == splat(distance), best_tie, none)) if found else I32(-1)


@compiled
def settle(limits, links, start, stop):
    """Seeds among hits start..stop, and each one's first step to its seed or outlier, as a position.

    Seed: delta > seed distance and rho >= rhoc. Outlier: delta > outlier distance and rho < rhoc.
    """
    rhoc, none = limits.rhoc, splat(I32(-1))
    seed_distance, outlier_distance = splat(limits.seed_distance), splat(limits.outlier_distance)
    threshold = splat(rhoc[0])
    for i in range(start, stop, WIDTH):
        if len(rhoc) > 1:
            threshold = load(rhoc, i)
        rho, delta = load(links.rho, i), load(links.delta, i)
        is_seed = (delta > seed_distance) & (rho >= threshold)
        is_root = is_seed | ((delta > outlier_distance) & (rho < threshold))
        put(links.seed, i, is_seed, stop)
        put(links.root, i, select(is_root, none, load(links.higher, i)), stop)
    for p in range(start, stop):
        to = links.root[p]
        at = links.place[np.uint32(max(to, I32(0)))]  # read in any case: a branch would be mispredicted
        links.root[p] = at if to >= 0 else I32(p)


@compiled
def ties(rho, index, start, stop, tie):
    """Index, or -1 where the density is 0: such a hit is nobody's higher at equal density (`Rules.zero_ties`)."""
    for p in range(start, stop):
        tie[p] = index[p] if rho[p] > 0 else I32(-1)


@compiled
def follow(hits, limits, notes, links, rows):
    """Nearest higher, seeds and the first step to them, for the hits of ``rows``, whose notes are there."""
    nx = hits.axes[0][2]
    start, stop = np.int64(hits.bounds[rows[0] * nx]), np.int64(hits.bounds[rows[1] * nx])
    beyond = nearest(hits, limits, notes, links, rows)
    if beyond > start:
        widen(hits, limits, notes, links, rows[0], start, beyond)
    settle(limits, links, start, stop)


@compiled
def cluster_groups(hits, limits, sums, notes, links, groups):
    """Everything of groups ``groups[0]..groups[1]`` that needs no other group, one after the other: cache-sized."""
    nx, rows = hits.axes[0][2], hits.axes[1][2] * hits.axes[2][2]
    for g in range(groups[0], groups[1]):
        of = g * rows, (g + 1) * rows
        start, stop = np.int64(hits.bounds[of[0] * nx]), np.int64(hits.bounds[of[1] * nx])
        if start == stop or notes.stop[0] != 0:
            continue
        densities(hits, limits, sums, sums.kernel, notes, of)
        if notes.stop[0] != 0:
            return
        round_densities(sums, start, stop, links.rho)
        if not limits.zero_ties:
            ties(links.rho, links.index, start, stop, links.tie)
        follow(hits, limits, notes, links, of)
        find_roots(links.root, start, stop)
