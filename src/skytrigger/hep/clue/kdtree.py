"""Backend `kdtree`: what a user would write with SciPy, as a baseline; nothing in it is a Python loop over hits.

SciPy's compiled k-d tree gives all pairs within dc of each group; densities and the nearest higher come from them in
vector operations. Hits without a higher one so near (few) ask the tree again, within the search distance.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skytrigger.hep.clue.densities import bit_range, flat_bits, plan_fixed_point, round_sums
from skytrigger.hep.clue.hits import Hits
from skytrigger.hep.clue.reference import is_higher, squares
from skytrigger.hep.clue.results import Clusters, assign
from skytrigger.hep.clue.rules import Cuts, neighbour_factors

PAIRS_AT_ONCE = 1 << 24
Pairs = tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]]


def members(hits: Hits) -> Iterator[NDArray[np.int64]]:
    """Hit indices of each group, rising."""
    if hits.group is None:
        yield np.arange(len(hits))
        return
    order = np.argsort(hits.group, kind="stable")
    starts = np.flatnonzero(np.diff(hits.group[order], prepend=-1))
    yield from np.split(order, starts[1:])


class _Tree:
    """The tree of one group."""

    def __init__(self, hits: Hits, own: NDArray[np.int64]) -> None:
        from scipy.spatial import cKDTree

        axes = [hits.x[own], hits.y[own]] + ([] if hits.z is None else [hits.z[own]])
        points = np.stack(axes, axis=1).astype(np.float64)
        box = None
        if hits.period is not None:
            box = np.zeros(len(axes))
            box[1] = float(hits.period)
            points[:, 1] = np.mod(points[:, 1] - points[:, 1].min(), box[1])
        self.hits, self.own, self.points = hits, own, points
        self.tree: Any = cKDTree(points, boxsize=box)
        self.size = float(np.abs(points).max(initial=0.0))

    def pairs(self, radius: float, asked: NDArray[np.int64] | None = None) -> Iterator[Pairs]:
        """(i, j, squared distance) of ordered pairs, i != j, at most some `radius` apart, a bounded number at a time;
        of the positions `asked`, or all."""
        safe = radius * (1 + 1e-6) + self.size * 1e-6  # float32 rounding; the exact test comes after
        if asked is None and self.tree.count_neighbors(self.tree, safe) <= PAIRS_AT_ONCE:
            one, other = self.tree.query_pairs(safe, output_type="ndarray").T
            yield self._measured(np.concatenate([one, other]), np.concatenate([other, one]))
            return
        who = np.arange(len(self.own)) if asked is None else asked
        counts = self.tree.query_ball_point(self.points[who], safe, return_length=True)
        total = np.cumsum(counts)
        start = 0
        while start < len(who):
            stop = max(start + 1, int(np.searchsorted(total, (total[start - 1] if start else 0) + PAIRS_AT_ONCE)))
            lists = self.tree.query_ball_point(self.points[who[start:stop]], safe)
            i, j = np.repeat(who[start:stop], counts[start:stop]), np.concatenate(lists).astype(np.int64)
            yield self._measured(i[i != j], j[i != j])
            start = stop

    def _measured(self, i: NDArray[np.int64], j: NDArray[np.int64]) -> Pairs:
        i, j = self.own[i], self.own[j]
        return i, j, squares(self.hits, i, j)


def cluster(hits: Hits, cuts: Cuts) -> Clusters:
    """Time in proportion to the pairs; memory to the hits, and to a bounded number of pairs."""
    n = len(hits)
    weight = hits.weight if hits.weight is not None else np.ones(n, np.float32)
    fixed = plan_fixed_point(*bit_range(weight), n, cuts.kernel)
    limbs = [fixed.limb(weight, index) for index in range(fixed.n_limbs)]
    sums = [limb << fixed.factor_bits for limb in limbs]
    rho, delta = np.empty(n, np.float32), np.full(n, np.inf, np.float32)
    nearest = np.full(n, -1, np.int32)
    for own in members(hits):
        tree = _Tree(hits, own)
        kept: list[Pairs] = []
        for pairs in tree.pairs(float(cuts.dc)):
            _add(sums, limbs, pairs, cuts)
            kept = [pairs] if not kept else [pairs, pairs]
        rho[own] = round_sums([total[own] for total in sums], fixed)
        for pairs in kept if len(kept) < 2 else tree.pairs(float(cuts.dc)):
            _follow(rho, delta, nearest, pairs, cuts)
        if cuts.search > cuts.dc and len(lone := np.flatnonzero(nearest[own] < 0)):
            few = len(lone) < 0.1 * len(own)  # the tree gives lists of neighbours at a tenth of the rate of all pairs
            for pairs in tree.pairs(float(cuts.search), lone if few else None):
                _follow(rho, delta, nearest, pairs, cuts)
    return assign(rho, delta, nearest, hits.rhoc, cuts)


def _add(sums: list[NDArray[np.int64]], limbs: list[NDArray[np.int64]], pairs: Pairs, cuts: Cuts) -> None:
    """Neighbours' weights to the exact sums."""
    near = pairs[2] <= cuts.density_square
    i, j, square = pairs[0][near], pairs[1][near], pairs[2][near]
    factor: NDArray[np.int64] | int
    if cuts.kernel.kind == "flat":
        factor = flat_bits(cuts.kernel)[0]
    else:
        factor = neighbour_factors(cuts.kernel, np.sqrt(square))
    for limb, total in zip(limbs, sums, strict=True):
        np.add.at(total, i, limb[j] * factor)


def _follow(rho: NDArray[Any], delta: NDArray[Any], nearest: NDArray[Any], pairs: Pairs, cuts: Cuts) -> None:
    """Nearest higher so far, of those at one distance the highest index. Pairs of one hit come together."""
    i, j, square = pairs
    higher = is_higher(rho, i, j, cuts)
    i, j, distance = i[higher], j[higher], np.sqrt(square[higher])
    near = distance <= cuts.search
    i, j, distance = i[near], j[near], distance[near]
    np.minimum.at(delta, i, distance)
    best = distance == delta[i]
    np.maximum.at(nearest, i[best], j[best].astype(np.int32))
