"""Compiled loops of the backend `cpu`: whom each hit follows to cluster numbers, and back to the order of the hits."""

# mypy: disable-error-code="no-untyped-def,no-untyped-call,assignment,no-any-return"
from __future__ import annotations

import numpy as np

from skytrigger.hep.clue.compiling import compiled
from skytrigger.hep.clue.cpu_sort import I32


@compiled
def find_roots(root, start, stop):
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
def list_seeds(seed, place, start, stop, seeds):
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
def number_seeds(seeds, first, n_seeds, first_number, number):
    """Cluster numbers at the positions of the seeds; `number` holds -1 before."""
    for k in range(n_seeds):
        number[np.uint32(seeds[first + k])] = I32(first_number + k)


@compiled
def gather_hits(higher, place, offset, out):
    """`gather` of hit indices, which count from `offset`; -1 stays."""
    for i in range(len(place)):
        to = higher[np.uint32(place[i])]
        out[i] = to + offset if to >= 0 else to


@compiled
def gather_numbers(number, root, place, out):
    """Cluster number of each hit: that of where its way ends."""
    for i in range(len(place)):
        out[i] = number[np.uint32(root[np.uint32(place[i])])]
