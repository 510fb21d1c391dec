"""Backend `reference`: every hit against every other, the oracle of all other backends."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from skytrigger.hep.clue.densities import bit_range, flat_bits, plan_fixed_point, round_sums
from skytrigger.hep.clue.hits import Hits
from skytrigger.hep.clue.results import Clusters, assign
from skytrigger.hep.clue.rules import Cuts, neighbour_factors

PAIRS_AT_ONCE = 1 << 22
"""Bounds the memory of one block of rows to some 100 MB."""


def squares(hits: Hits, i: NDArray[np.int64] | slice, j: NDArray[np.int64] | slice) -> NDArray[np.float32]:
    """float32 squared distances between hits i and j (broadcast), each operation rounded by itself.

    ``(dx * dx + dy * dy) + dz * dz``; with a period P of y, ``dy = min(|dy|, P - |dy|)``. Symmetric in i and j.
    """
    dx = hits.x[i] - hits.x[j]
    dy = hits.y[i] - hits.y[j]
    if hits.period is not None:
        dy = np.abs(dy)
        dy = np.minimum(dy, hits.period - dy)
    square = dx * dx + dy * dy
    if hits.z is not None:
        dz = hits.z[i] - hits.z[j]
        square = square + dz * dz
    return np.asarray(square, np.float32)


def densities(hits: Hits, cuts: Cuts) -> NDArray[np.float32]:
    """Exact sums over all hits within dc (see `densities`), a block of rows at a time."""
    n, every = len(hits), np.arange(len(hits))
    weight = hits.weight if hits.weight is not None else np.ones(n, np.float32)
    fixed = plan_fixed_point(*bit_range(weight), n, cuts.kernel)
    limbs = [fixed.limb(weight, index) for index in range(fixed.n_limbs)]
    sums = [limb << fixed.factor_bits for limb in limbs]
    for rows in _blocks(n):
        square = squares(hits, rows[:, None], every[None, :])
        near = (square <= cuts.density_square) & same_group(hits, rows) & (rows[:, None] != every)
        if cuts.kernel.kind == "flat":
            factor = near * np.int64(flat_bits(cuts.kernel)[0])
        else:
            factor = near * neighbour_factors(cuts.kernel, np.sqrt(square))
        for limb, total in zip(limbs, sums, strict=True):
            total[rows] += factor @ limb
    return round_sums(sums, fixed)


def same_group(hits: Hits, rows: NDArray[np.int64]) -> NDArray[np.bool_] | np.bool_:
    """(len(rows), n): whether hits share event and layer."""
    return np.True_ if hits.group is None else np.asarray(hits.group[rows][:, None] == hits.group)


def is_higher(rho: NDArray[np.float32], i: NDArray[np.int64], j: NDArray[np.int64], cuts: Cuts) -> NDArray[np.bool_]:
    """Whether j counts as higher than i: denser, or as dense with a higher index."""
    tie = (rho[j] == rho[i]) & (j > i)
    if not cuts.zero_ties:
        tie &= rho[j] > 0
    return np.asarray((rho[j] > rho[i]) | tie)


def _blocks(n: int) -> list[NDArray[np.int64]]:
    step = max(1, PAIRS_AT_ONCE // max(n, 1))
    return [np.arange(start, min(start + step, n)) for start in range(0, n, step)]


def cluster(hits: Hits, cuts: Cuts) -> Clusters:
    """Time O(n^2), memory O(n)."""
    n, every = len(hits), np.arange(len(hits))
    rho = densities(hits, cuts)
    delta = np.full(n, np.inf, np.float32)
    nearest = np.full(n, -1, np.int32)
    for rows in _blocks(n):
        distance = np.sqrt(squares(hits, rows[:, None], every[None, :]))
        candidate = (distance <= cuts.search) & same_group(hits, rows)
        candidate &= is_higher(rho, rows[:, None], every[None, :], cuts)
        distance = np.where(candidate, distance, np.float32(np.inf))
        best = distance.min(axis=1)
        last = n - 1 - np.argmin(distance[:, ::-1], axis=1)  # the highest index among equals
        delta[rows] = best
        nearest[rows] = np.where(np.isfinite(best), last, -1)
    return assign(rho, delta, nearest, hits.rhoc, cuts)
