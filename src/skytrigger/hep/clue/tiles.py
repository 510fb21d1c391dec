"""The grid that hits are sorted into: rows of narrow tiles, so that a row's neighbouring tiles are one run of hits."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from skytrigger.hep.clue.hits import Hits
from skytrigger.hep.clue.rules import Cuts

MAX_TILES = 16384
"""Tiles along an axis: with these, the rounding of a float32 tile number stays below `SLACK`."""
SLACK = 0.01
SLACKS = 1.03
"""Rows and tiles of a whole part of this many reaches need no further neighbour for the slack."""
HEIGHTS = (0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 8.0)
NOTE_COST = 3.0
SAMPLE = 4096
BLOCK = 8
RUN_COST = 14.0
BLOCK_COST = 30.0
LONE_COST = 18.0
"""What a run, a block and a lone hit cost by themselves, in candidates: mispredicted branches, mostly. Measured."""


@dataclass(frozen=True)
class Axis:
    """Tiles of one axis: ``floor((v - low) * scale)`` in ``0..n-1``; within a reach R tiles differ by `reach(R)`."""

    low: np.float32
    scale: np.float32
    n: int

    def reach(self, radius: float) -> int:
        """Most tiles between two hits at most `radius` apart."""
        return min(self.n, math.floor(radius * (1 + 1e-6) * float(self.scale) + SLACK) + 1)


@dataclass(frozen=True)
class Grid:
    """Tile of a hit: ``((group * z.n + iz) * y.n + iy) * x.n + ix``.

    `near`: how far the density pass looks for higher hits too, for the backend `cpu`; the rules' search distance, or
    less where few hits are lone. `pairs`: comparisons that the densities take, about.
    """

    x: Axis
    y: Axis
    z: Axis
    near: np.float32
    pairs: float

    @property
    def rows(self) -> int:
        """Rows of tiles in a group."""
        return self.y.n * self.z.n

    @property
    def tiles(self) -> int:
        """Tiles in a group."""
        return self.x.n * self.rows


def _axis(low: float, high: float, size: float) -> Axis:
    """Tiles of about `size`, one more than needed so that the highest value needs no clipping."""
    extent = max(high - low, 0.0)
    size = max(size, extent / (MAX_TILES - 2))
    return Axis(np.float32(low), np.float32(1.0 / size), int(extent / size * (1 + 1e-6)) + 2)


def _periodic_axis(low: float, period: float, size: float) -> Axis:
    """Whole tiles around the circle."""
    n = max(1, min(int(period / size), MAX_TILES))
    return Axis(np.float32(low), np.float32(n / period), n)


def crowding(hits: Hits) -> float:
    """How much denser than the average is the place of an average hit, on a coarse grid over a sample of hits."""
    n = len(hits)
    if n < SAMPLE:
        return 2.0
    step = n // SAMPLE
    coarse = np.zeros(n // step + 1, np.int64)
    for axis, values in enumerate((hits.x, hits.y)):
        extent = max(hits.high[axis] - hits.low[axis], 1e-30)
        part = ((values[::step] - np.float32(hits.low[axis])) * np.float32(15.99 / extent)).astype(np.int64)
        coarse[: len(part)] = coarse[: len(part)] * 16 + part
    counts = np.bincount(coarse[: len(part)], minlength=256)
    return float((counts.astype(np.float64) ** 2).sum() / len(part) ** 2 * 256)


def plan_grid(hits: Hits, cuts: Cuts, tiles_per_hit: float = 2.0, row_height: float | None = None) -> Grid:
    """Grid with at most some `tiles_per_hit` tiles a hit, rows as high as makes the search cheapest.

    A block of 8 hits is compared with the hits of ``2 ceil(R / h) + 1`` rows, over its own length and R on both sides
    (R: search distance, h: height of a row). Neither choice shows in the result.
    """
    extents = [max(high - low, 1e-3 * cuts.reach) for low, high in zip(hits.low, hits.high, strict=True)]
    per_group = len(hits) / hits.n_groups
    depth = max(1.0, extents[2] / cuts.reach) if len(extents) > 2 else 1.0
    budget = max(1.0, tiles_per_hit * per_group)
    crowded = crowding(hits)
    density = per_group * crowded / (extents[0] * extents[1]) / depth
    seen = crowded * math.prod(min(1.0, 2 * float(cuts.dc) / extent) for extent in extents)
    near = cuts.search
    if row_height is None:
        choices = [
            (_cost(height, float(first), cuts, density, extents, budget / depth), height, first)
            for first in {cuts.search, min(cuts.dc, cuts.search)}
            for height in [SLACKS * max(float(cuts.dc), float(first)) * f for f in HEIGHTS] + [2 * extents[1]]
        ]
        _, row_height, near = min(choices)
    pairs = len(hits) * per_group * min(1.0, seen)
    grid = grid_of(per_group, hits.low, hits.high, hits.period, cuts, row_height, tiles_per_hit, near)
    return replace(grid, pairs=pairs)


def grid_of(per_group: float, low: Sequence[float], high: Sequence[float], period: np.float32 | None, cuts: Cuts,
            row_height: float, tiles_per_hit: float, near: np.float32 | None = None) -> Grid:  # fmt: skip
    """Grid with rows of `row_height` for groups of `per_group` hits from `low` to `high`, two or three coordinates."""
    near = cuts.search if near is None else near
    extents = [max(b - a, 1e-3 * cuts.reach) for a, b in zip(low, high, strict=True)]
    depth = max(1.0, extents[2] / cuts.reach) if len(extents) > 2 else 1.0
    budget = max(1.0, tiles_per_hit * per_group)
    reach = SLACKS * float(max(cuts.dc, near))
    height = max(row_height, extents[1] / budget)
    rows = max(1.0, extents[1] / height)
    layers = min(depth, max(1.0, budget / rows))
    width = max(reach / 8, extents[0] / max(1.0, budget / (rows * layers)))
    slabs = _axis(low[2], high[2], extents[2] / layers * 1.0001) if len(low) > 2 else None
    y = _axis(low[1], high[1], height) if period is None else _periodic_axis(low[1], float(period), height)
    x = _axis(low[0], high[0], width)
    return Grid(x, y, slabs or Axis(np.float32(0), np.float32(0), 1), near, 0.0)


def _cost(height: float, near: float, cuts: Cuts, density: float, extents: list[float], budget: float) -> float:
    """Candidates that a hit's share of a block is compared with, and what its share of lone hits reads.

    Blocks at the end of a row are half empty. A hit that finds none higher within `near` reads by itself, eight at a
    time; one in so many is lone as it has neighbours there.
    """
    reach, search = SLACKS * max(float(cuts.dc), near), float(cuts.search)
    n_rows = max(1.0, extents[1] / height)
    rows = min(2 * math.ceil(reach / height) + 1, math.ceil(n_rows))
    line = density * min(height, extents[1])  # hits per unit length of a row
    width = max(reach / 8, extents[0] * n_rows / budget)
    in_row = max(line * extents[0], 1.0)

    own = min(BLOCK, in_row)
    noted = 0.8 * density * (own / line + 2 * near) * (min(height, extents[1]) + 2 * near)
    block = rows * (own + line * 2 * (reach + width) + RUN_COST) + BLOCK_COST + NOTE_COST * noted
    cost = (1 / BLOCK + 0.5 / in_row) * block
    if near < search:
        rows = min(2 * math.ceil(search / height) + 1, math.ceil(n_rows))
        alone = rows * (line * 2 * (search + width) + RUN_COST) / BLOCK * 1.4 + LONE_COST
        cost += alone / (1 + density * math.pi * near**2)
    return cost
