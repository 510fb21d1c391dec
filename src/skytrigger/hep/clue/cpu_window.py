"""Compiled parts of the backend `cpu`: where a hit's neighbours lie, and which of two is the nearer higher."""

# mypy: disable-error-code="no-untyped-def,no-untyped-call,assignment,no-any-return"
from __future__ import annotations

import numpy as np

from skytrigger.hep.clue.compiling import compiled
from skytrigger.hep.clue.lanes import WIDTH, absolute, broadcast, lane, load, select, splat, square_root, store


@compiled
def load_or_none(array, i):
    """`load`; None stays (here and below None must be an argument, so that Numba leaves the other branch out)."""
    return None if array is None else load(array, i)


@compiled
def broadcast_or_none(array, j):
    """`broadcast`; None stays."""
    return None if array is None else broadcast(array, j)


@compiled
def put(array, i, vector, limit):
    """Store a block, up to `limit`: beyond it another thread may be at work."""
    if i + WIDTH <= limit:
        store(array, i, vector)
    else:
        for k in range(limit - i):
            array[i + k] = lane(vector, k)


@compiled
def squared(xj, yj, zj, xi, yi, zi, period):
    """Squared distances, one hit to 8 either way; see `reference.squares`."""
    dx = xj - xi
    dy = yj - yi
    if period is not None:
        dy = absolute(dy)
        other_way = splat(period) - dy
        dy = select(other_way < dy, other_way, dy)
    square = dx * dx + dy * dy
    if zj is not None:
        dz = zj - zi
        square = square + dz * dz
    return square


@compiled
def closer(them, own, period, best, best_tie):
    """The better of the nearest higher so far and candidates: higher at all, then distance, then index. Both are
    vectors (x, y, z, rho, tie): one hit against 8, either way."""
    xj, yj, zj, rho_j, tie_j = them
    xi, yi, zi, rho_i, tie_i = own
    distance = square_root(squared(xj, yj, zj, xi, yi, zi, period))
    higher = (rho_j > rho_i) | ((rho_j == rho_i) & (tie_j > tie_i))
    take = higher & ((distance < best) | ((distance == best) & (tie_j > best_tie)))
    return select(take, distance, best), select(take, tie_j, best_tie)


@compiled
def rows_around(row, axes, reach, period, around):
    """First tiles of the rows that hits of `row` must look at, into `around`; returns how many. With a period the rows
    are taken modulo ny, each once."""
    nx, ny, nz = axes[0][2], axes[1][2], axes[2][2]
    slab = row // ny
    row_y, row_z = row - slab * ny, slab % nz
    first, last = max(0, row_y - reach[1]), min(ny - 1, row_y + reach[1])
    if period is not None:
        everything = 2 * reach[1] + 1 >= ny
        first, last = (0, ny - 1) if everything else (row_y - reach[1], row_y + reach[1])
    number = 0
    for slab_z in range(max(0, row_z - reach[2]), min(nz - 1, row_z + reach[2]) + 1):
        for step in range(first, last + 1):
            here = step + ny if step < 0 else step - ny if step >= ny else step
            around[number] = ((slab - row_z + slab_z) * ny + here) * nx
            number += 1
    return number


@compiled
def tiles_between(first_x, last_x, axis, reach):
    """First tile of a row that hits from first_x to last_x must look at, and the one after the last."""
    low, scale, n = axis
    begin, end = np.int64((first_x - low) * scale) - reach[0], np.int64((last_x - low) * scale) + reach[0] + 1
    return max(begin, 0), min(end, n)
