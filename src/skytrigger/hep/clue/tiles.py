"""The grid that hits are sorted into: rows of narrow tiles, so that a row's neighbouring tiles are one run of hits."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from skytrigger.hep.clue.hits import Hits
from skytrigger.hep.clue.rules import Cuts

MAX_TILES = 16384
"""Tiles along an axis: with these, the rounding of a float32 tile number stays below `SLACK`."""
SLACK = 0.01
SAMPLE = 4096
BLOCK = 8
RUN_COST = 14.0
BLOCK_COST = 30.0
"""What a run and a block cost by themselves, in candidates: mispredicted branches, mostly. Measured."""


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
    """Tile of a hit: ``((group * z.n + iz) * y.n + iy) * x.n + ix``."""

    x: Axis
    y: Axis
    z: Axis

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
    reach = cuts.reach * 1.03  # rows and tiles of a whole part of it then need no further neighbour for the slack
    extents = [max(high - low, 1e-3 * reach) for low, high in zip(hits.low, hits.high, strict=True)]
    per_group = len(hits) / hits.n_groups
    depth = max(1.0, extents[2] / reach) if len(extents) > 2 else 1.0
    budget = max(1.0, tiles_per_hit * per_group)
    density = per_group * crowding(hits) / (extents[0] * extents[1]) / depth
    if row_height is None:
        heights = [reach * factor for factor in (0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 8.0)] + [2 * extents[1]]
        row_height = min(heights, key=lambda h: _cost(h, reach, density, extents, budget / depth))
    height = max(row_height, extents[1] / budget)
    rows = max(1.0, extents[1] / height)
    layers = min(depth, max(1.0, budget / rows))
    width = max(reach / 8, extents[0] / max(1.0, budget / (rows * layers)))
    slabs = _axis(hits.low[2], hits.high[2], extents[2] / layers * 1.0001) if hits.z is not None else None
    if hits.period is not None:
        y = _periodic_axis(hits.low[1], float(hits.period), height)
    else:
        y = _axis(hits.low[1], hits.high[1], height)
    x = _axis(hits.low[0], hits.high[0], width)
    return Grid(x, y, slabs or Axis(np.float32(0), np.float32(0), 1))


def _cost(height: float, reach: float, density: float, extents: list[float], budget: float) -> float:
    """Candidates that a hit's share of a block is compared with; blocks at the end of a row are half empty."""
    n_rows = max(1.0, extents[1] / height)
    rows = min(2 * math.ceil(reach / height) + 1, math.ceil(n_rows))
    line = density * min(height, extents[1])  # hits per unit length of a row
    width = max(reach / 8, extents[0] * n_rows / budget)
    in_row = max(line * extents[0], 1.0)
    return (1 / BLOCK + 0.5 / in_row) * (
        rows * (min(BLOCK, in_row) + line * 2 * (reach + width) + RUN_COST) + BLOCK_COST
    )
