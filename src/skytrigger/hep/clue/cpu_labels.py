"""Compiled loops of the backend `cpu`: whom each hit follows to cluster numbers, and back to the order of the hits."""

# mypy: disable-error-code="no-untyped-def,no-untyped-call,assignment,no-any-return"
from __future__ import annotations

import numpy as np

from skytrigger.hep.clue.cpu_sort import I32, compiled


@compiled
def begin_roots(follows, place, start, stop, root):
    """First step of every hit towards its seed or outlier, as a position."""
    for p in range(start, stop):
        to = follows[p]
        root[p] = place[np.uint32(to)] if to >= 0 else I32(p)


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
def pack(rho, delta, higher, seed, root, number, offset, start, stop, packed):
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
def give_back(packed, place, out_id, out_seed, out_rho, out_delta, out_higher):
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
