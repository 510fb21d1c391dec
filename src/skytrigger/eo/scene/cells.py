"""The cells of a map and the window of pixels that each is decided from."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from skytrigger.core.errors import InputError
from skytrigger.eo.scene.grid import Grid

Indices = NDArray[np.int64]
PICTURE_SIDE = 1600  # pixels of a scene's true-colour picture, about


def mirrored(index: Indices, size: int) -> Indices:
    """Indices outside [0, size) reflected at its edges, edge pixels repeated: ... 1 0 | 0 1 2 ... n-1 | n-1 n-2 ..."""
    wrapped = index % (2 * size)
    return np.where(wrapped < size, wrapped, 2 * size - 1 - wrapped)


@dataclass(frozen=True)
class Cells:
    """Cells of `stride` pixels, ceil(size / stride) a side; each is decided from the `tile` pixels around its middle.

    With stride = tile the windows are the cells. Pixels outside the scene are its own, mirrored; they count as no data
    in the valid fraction.

    Attributes
    ----------
    grid
        Of the scene's pixels.
    tile, stride
        Pixels; stride divides tile.
    """

    grid: Grid
    tile: int
    stride: int

    def __post_init__(self) -> None:
        if not 1 <= self.stride <= self.tile or self.tile % self.stride or (self.tile - self.stride) % 2:
            raise InputError(f"--stride {self.stride}", expected=f"{self.tile}, {self.tile // 2} or {self.tile // 4}")

    @property
    def rows(self) -> int:
        """Rows of cells."""
        return math.ceil(self.grid.height / self.stride)

    @property
    def columns(self) -> int:
        """Cells a row."""
        return math.ceil(self.grid.width / self.stride)

    @property
    def picture(self) -> int:
        """Pixels a side of a cell's true-colour picture: a power of two that divides the stride."""
        side = 2
        while self.stride % (2 * side) == 0 and 2 * side * max(self.rows, self.columns) <= PICTURE_SIDE:
            side *= 2
        return side if self.stride % side == 0 else 1

    @property
    def map_grid(self) -> Grid:
        """Grid whose pixels are the cells."""
        return self.grid.coarser(self.stride)

    def row_window(self, row: int) -> Indices:
        """(tile,) image rows of a row of cells, as they lie: also outside the scene."""
        return np.arange(self.tile) + row * self.stride - (self.tile - self.stride) // 2

    def column_windows(self) -> Indices:
        """(columns, tile) image columns, also outside the scene."""
        first = np.arange(self.columns) * self.stride - (self.tile - self.stride) // 2
        return first[:, None] + np.arange(self.tile)

    def needed_rows(self, first: int, last: int) -> tuple[int, int]:
        """Image rows [low, high) that the rows of cells [first, last) look at, mirrored ones included."""
        rows = mirrored(np.concatenate([self.row_window(first), self.row_window(last - 1)]), self.grid.height)
        return int(rows.min()), int(rows.max()) + 1

    def in_cell_area(self) -> NDArray[np.float64]:
        """(rows, columns) share of each cell that lies in the scene."""

        def shares(size: int, count: int) -> NDArray[np.float64]:
            return np.clip(size - np.arange(count) * self.stride, 0, self.stride) / self.stride

        return shares(self.grid.height, self.rows)[:, None] * shares(self.grid.width, self.columns)
