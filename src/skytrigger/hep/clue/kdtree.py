"""Backend `kdtree`: the baseline that CLUE replaced.

SciPy's KD-tree gives the neighbours within dc of each layer; the nearest higher comes from a scan down the list of
hits sorted by density, O(n^2) a layer, as in Rodriguez and Laio (Science 344, 2014).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skytrigger.hep.clue.densities import bit_range, flat_bits, plan_fixed_point, round_sums
from skytrigger.hep.clue.hits import Hits
from skytrigger.hep.clue.reference import squares
from skytrigger.hep.clue.results import Clusters, assign
from skytrigger.hep.clue.rules import Cuts, neighbour_factors

PAIRS_AT_ONCE = 1 << 22


def members(hits: Hits) -> Iterator[NDArray[np.int64]]:
    """Hit indices of each group, rising."""
    if hits.group is None:
        yield np.arange(len(hits))
        return
    order = np.argsort(hits.group, kind="stable")
    starts = np.flatnonzero(np.diff(hits.group[order], prepend=-1))
    yield from np.split(order, starts[1:])


def _tree(hits: Hits, own: NDArray[np.int64]) -> tuple[Any, NDArray[np.float64]]:
    from scipy.spatial import KDTree

    axes = [hits.x[own], hits.y[own]] + ([] if hits.z is None else [hits.z[own]])
    points = np.stack(axes, axis=1).astype(np.float64)
    if hits.period is None:
        return KDTree(points), points
    box = np.zeros(len(axes))
    box[1] = float(hits.period)
    points[:, 1] = np.mod(points[:, 1] - points[:, 1].min(), box[1])
    return KDTree(points, boxsize=box), points


def neighbours(hits: Hits, own: NDArray[np.int64], radius: float) -> Iterator[tuple[NDArray[np.int64], ...]]:
    """Ordered pairs (i, j), i != j, of positions in `own` at most some `radius` apart, a bounded number at a time."""
    tree, points = _tree(hits, own)
    size = float(np.abs(points).max(initial=0.0))
    safe = radius * (1 + 1e-6) + size * 1e-6  # float32 rounding; the exact test comes after
    counts = tree.query_ball_point(points, safe, return_length=True)
    total = np.cumsum(counts)
    if total[-1] <= PAIRS_AT_ONCE:
        pairs = tree.query_pairs(safe, output_type="ndarray")
        yield np.concatenate([pairs[:, 0], pairs[:, 1]]), np.concatenate([pairs[:, 1], pairs[:, 0]])
        return
    start = 0
    while start < len(own):
        stop = max(start + 1, int(np.searchsorted(total, (total[start - 1] if start else 0) + PAIRS_AT_ONCE)))
        lists = tree.query_ball_point(points[start:stop], safe)
        i = np.repeat(np.arange(start, stop), counts[start:stop])
        j = np.concatenate([np.asarray(one, np.int64) for one in lists])
        yield i[i != j], j[i != j]
        start = stop


def densities(hits: Hits, cuts: Cuts) -> NDArray[np.float32]:
    """Exact sums over the trees' neighbours."""
    n = len(hits)
    weight = hits.weight if hits.weight is not None else np.ones(n, np.float32)
    fixed = plan_fixed_point(*bit_range(weight), n, cuts.kernel)
    limbs = [fixed.limb(weight, index) for index in range(fixed.n_limbs)]
    sums = [limb << fixed.factor_bits for limb in limbs]
    for own in members(hits):
        for a, b in neighbours(hits, own, float(cuts.dc)):
            i, j = own[a], own[b]
            square = squares(hits, i, j)
            near = square <= cuts.density_square
            i, j = i[near], j[near]
            if cuts.kernel.kind == "flat":
                factor: NDArray[np.int64] | int = flat_bits(cuts.kernel)[0]
            else:
                factor = neighbour_factors(cuts.kernel, np.sqrt(square[near]))
            for limb, total in zip(limbs, sums, strict=True):
                np.add.at(total, i, limb[j] * factor)
    return round_sums(sums, fixed)


def cluster(hits: Hits, cuts: Cuts) -> Clusters:
    """Time O(n^2) a layer for the nearest higher, memory O(n)."""
    n = len(hits)
    rho = densities(hits, cuts)
    delta = np.full(n, np.inf, np.float32)
    nearest = np.full(n, -1, np.int32)
    for own in members(hits):
        order = own[np.lexsort((own, rho[own]))[::-1]]  # densest first, of equals the highest index
        for place in range(1, len(order)):
            i = order[place]
            if not cuts.zero_ties and rho[i] == 0:
                higher = order[: int(np.searchsorted(-rho[order], 0.0))]
            else:
                higher = order[:place]
            distance = np.sqrt(squares(hits, i, higher))
            best = distance.min(initial=np.float32(np.inf))
            if best <= cuts.search:
                delta[i] = best
                nearest[i] = higher[distance == best].max()
    return assign(rho, delta, nearest, hits.rhoc, cuts)
