"""Where things lie: rotated frames, parcels, lattices of houses or trees, roads and rivers."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from skytrigger.eo.synthetic.canvas import CELLS, EAST_M, EXTENT_M, SOUTH_M, Canvas, Codes, Field, Mask


def frame(angle: float, warp: Field | None = None, warp_m: float = 0.0) -> tuple[Field, Field]:
    """Coordinates along and across a direction, metres from the centre; optionally bent by a smooth field."""
    along = EAST_M * math.cos(angle) + SOUTH_M * math.sin(angle)
    across = SOUTH_M * math.cos(angle) - EAST_M * math.sin(angle)
    if warp is not None:
        along = along + warp_m * warp
        across = across + warp_m * np.roll(warp, CELLS // 3, 0)
    return along, across


def brick_parcels(canvas: Canvas, angle: float, width_m: float, length_m: float) -> Codes:
    """Parcels in strips, cut at different places in each strip: the usual pattern of consolidated fields."""
    along, across = frame(angle, canvas.noise(3.0, shortest_m=200), canvas.between(0, 10))
    strip = _cuts(canvas, width_m, across)
    label = np.zeros((CELLS, CELLS), np.intp)
    first = 0
    for number in range(int(strip.max()) + 1):
        inside = strip == number
        if inside.any():
            piece = _cuts(canvas, length_m, along[inside])
            label[inside] = piece + first
            first += int(piece.max()) + 1
    return label


def _cuts(canvas: Canvas, step_m: float, where: Field) -> Codes:
    step = step_m * canvas.rng.uniform(0.55, 1.45, math.ceil(3 * EXTENT_M / step_m))
    piece = np.searchsorted(np.cumsum(step) - EXTENT_M * canvas.between(0.9, 1.1), where)
    return np.asarray(piece - piece.min(), np.intp)


def voronoi_parcels(canvas: Canvas, count: int, warp_m: float = 25.0) -> Codes:
    """Parcels around random seeds, with slightly winding borders: grown landscapes."""
    seeds = canvas.rng.uniform(-EXTENT_M / 2, EXTENT_M / 2, (count, 2))
    bend = canvas.noise(2.0, shortest_m=120) * warp_m
    east, south = EAST_M + bend, SOUTH_M + np.roll(bend, CELLS // 3, 1)
    label = np.zeros((CELLS, CELLS), np.intp)
    nearest = np.full((CELLS, CELLS), np.inf)
    for number, (x, y) in enumerate(seeds):
        square = (east - x) ** 2 + (south - y) ** 2
        closer = square < nearest
        label[closer] = number
        nearest[closer] = square[closer]
    return label


def borders(label: Codes) -> Mask:
    """Cells that touch another parcel above or to the left: lines one cell (5 m) wide."""
    edge = np.zeros(label.shape, bool)
    edge[1:] |= label[1:] != label[:-1]
    edge[:, 1:] |= label[:, 1:] != label[:, :-1]
    return edge


def widen(mask: Mask, cells: int = 1) -> Mask:
    """Grow by `cells` downward and to the right."""
    for _ in range(cells):
        grown = mask.copy()
        grown[1:] |= mask[:-1]
        grown[:, 1:] |= mask[:, :-1]
        grown[1:, 1:] |= mask[:-1, :-1]
        mask = grown
    return mask


@dataclass(frozen=True)
class Lattice:
    """A grid of equal cells: the place in the cell, metres from its centre, and random numbers per cell."""

    along: Field
    across: Field
    column: Codes
    row: Codes

    @staticmethod
    def over(along: Field, across: Field, step_along_m: float, step_across_m: float) -> Lattice:
        """Cells of step_along x step_across metres in the given frame."""
        column, row = np.floor(along / step_along_m), np.floor(across / step_across_m)
        return Lattice(
            along - (column + 0.5) * step_along_m,
            across - (row + 0.5) * step_across_m,
            column.astype(np.intp),
            row.astype(np.intp),
        )

    def dice(self, canvas: Canvas) -> Field:
        """A uniform number for each lattice cell."""
        table: Field = canvas.rng.random((64, 64))
        return np.asarray(table[self.column & 63, self.row & 63])


def course(canvas: Canvas, bend_m: float, wave_m: float) -> tuple[Field, Field]:
    """Signed distance (metres) from a line that crosses near the centre and bends, and the way along it.

    A sum of two sines with wavelengths near `wave_m` and total swing `bend_m`. The distance is divided
    by the slope's length, so that a band keeps its width in bends.
    """
    along, across = frame(canvas.between(0, math.pi))
    middle = np.full_like(along, canvas.between(-90, 90))
    slope = np.zeros_like(along)
    for swing, length in ((bend_m, wave_m), (bend_m * 0.35, wave_m * 0.47)):
        wave = 2 * math.pi / (length * canvas.between(0.8, 1.25))
        phase = wave * along + canvas.between(0, 2 * math.pi)
        middle += swing * np.sin(phase)
        slope += swing * wave * np.cos(phase)
    return (across - middle) / np.sqrt(1 + slope**2), along
