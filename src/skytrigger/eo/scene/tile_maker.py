"""Tiles of a row of cells and what is measured on them, from the native rows of a chunk."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skytrigger.eo.bands import RGB_WHITE_DN
from skytrigger.eo.scene.cells import Cells, mirrored
from skytrigger.eo.scene.clouds import LIMITS_DN, SCREEN_BANDS, STEP, scl_share
from skytrigger.eo.scene.cubic import copy_band, phase_weights, resample_band
from skytrigger.eo.scene.engine import InputCodes
from skytrigger.eo.scene.model import Scene
from skytrigger.eo.scene.native_rows import Chunk
from skytrigger.eo.scene.plane_kernel import EMPTY, GAPS, WANTED, plane_of_tiles
from skytrigger.eo.scene.planes import planes_of
from skytrigger.eo.scene.results import CellRows
from skytrigger.eo.scene.tile_measures import measure_tiles, picture_plane, screen_clouds


@dataclass(frozen=True)
class Room:
    """A lane's own arrays, used again for every batch: new ones would cost a page fault every 4 kB."""

    inputs: NDArray[Any]
    spare: NDArray[Any]  # for a band that the network does not read
    samples: NDArray[np.float32]

    @property
    def batch(self) -> int:
        """Tiles that there is room for."""
        return len(self.inputs)


class TileMaker:
    """Tiles of a row of cells, from the native rows of a chunk.

    Parameters
    ----------
    channels
        Of the network, in its order; `planes` are these and what else is looked at.
    dtype
        Of the tiles that the network is given.
    codes
        The network's own, where it is given these; None: numbers (DN).
    """

    def __init__(
        self, scene: Scene, cells: Cells, channels: tuple[str, ...], dtype: str, codes: InputCodes | None = None
    ) -> None:
        self.scene, self.cells, self.dtype, self.codes = scene, cells, np.dtype(dtype), codes
        planes = planes_of(scene, channels)
        self.screened, self.every, self.colours = planes.screened, planes.every, planes.colours
        self.channels, self.planes, self.names = planes.channels, planes.names, planes.read
        self.index = {name: i for i, name in enumerate(self.planes)}
        self.references = np.array(planes.references, np.int64)
        self.factors = scene.factors()
        self.tables = {f: phase_weights(f) for f in set(self.factors.values())}
        self.margin = (cells.tile - cells.stride) // 2
        windows = cells.column_windows()
        self.columns = mirrored(windows, cells.grid.width)
        self.inside = (windows >= 0) & (windows < cells.grid.width)
        self.areas = cells.in_cell_area()

    def room(self, batch: int) -> Room:
        """For batches of so many tiles."""
        size = self.cells.tile
        side = len(range(STEP // 2, size, STEP))
        height = self.codes.height(size) if self.codes else size
        inputs = np.empty((batch, self.channels, height, size), self.dtype)
        spare = np.empty((batch, 1, size, size), self.dtype)
        return Room(inputs, spare, np.zeros((batch, len(SCREEN_BANDS), side, side), np.float32))

    def batch(self, chunk: Chunk, row: int, first: int, last: int, room: Room, out: CellRows) -> NDArray[Any]:
        """What the network reads of the cells [first, last) of a row; all else of them goes to `out` (1, columns).

        Returns
        -------
        array
            (n, channels, t, t) in `room`: numbers, or codes; band means where there is no data.
        """
        part, n = slice(first, last), last - first
        ys = mirrored(self.cells.row_window(row), self.cells.grid.height)
        window = self.cells.row_window(row)
        inside = (window >= 0) & (window < self.cells.grid.height), self.inside[part]
        in_scene = inside[0].sum() * inside[1].sum(axis=1)
        valid = in_scene.copy()
        todo = np.full(n, WANTED, np.int8)
        stops = self.references[: None if self.every else 1].tolist()
        for plane in (*stops, *(p for p in range(len(self.planes)) if p not in stops)):  # those that may stop it first
            self._plane(chunk, plane, ys, part, todo, int(plane in stops) + int(plane == stops[0]), room, out)
        empty, rest = todo == EMPTY, np.flatnonzero(todo == GAPS)
        valid[empty] = 0
        room.samples[:n][empty] = 0
        if len(rest):
            self._with_gaps(chunk, ys, first, rest, inside, room, out, valid)
        out.seen[0, part] = valid / np.maximum(in_scene, 1)
        shares = self.areas[row, part]
        out.valid[0, part] = valid / self.cells.tile**2 if self.margin == 0 else out.seen[0, part] * shares
        out.cloud[0, part] = self._clouds(chunk, ys, part, room.samples[:n])
        return room.inputs[:n]

    def _source(self, chunk: Chunk, name: str) -> tuple[Any, ...]:
        """Arguments that `cubic` and the plane kernel have in common."""
        rows, factor = chunk.rows[name], self.factors[name]
        band = self.scene.bands[name]
        gain, shift = np.float32(band.radiometry.gain), np.float32(band.radiometry.shift)
        return rows.pixels, rows.first, band.grid.height, factor, *self.tables[factor], gain, shift

    def _plane(
        self, chunk: Chunk, plane: int, ys: Any, part: slice, todo: Any, stops: int, room: Room, out: CellRows
    ) -> None:
        name, codes, read = self.planes[plane], self.codes, plane < self.channels
        gain, zero = (codes.gains[plane], codes.zeros[plane]) if codes and read else (0, 0)
        target, to = (room.inputs, plane) if read else (room.spare, 0)
        slot = SCREEN_BANDS.index(name) if name in self.screened else -1
        plane_of_tiles(
            *self._source(chunk, name), ys, self.columns[part], todo, stops, np.float32(gain), np.float32(zero),
            *(codes.rows if codes else (1, 1)), target, to, plane, out.means[0, part], out.spreads[0, part],
            room.samples, slot,
            out.picture[0, part], self.colours.get(name, -1), self.margin, RGB_WHITE_DN,
        )  # fmt: skip

    def numbers(self, chunk: Chunk, ys: Any, columns: Any) -> NDArray[np.float32]:
        """(n, planes, t, t) model DN of the cells in these columns; 0 is no data."""
        xs = self.columns[columns]
        out = np.empty((len(columns), len(self.planes), self.cells.tile, self.cells.tile), np.float32)
        for name, plane in self.index.items():
            pixels, first, height, factor, base, weights, gain, shift = self._source(chunk, name)
            if factor == 1:
                copy_band(pixels, first, gain, shift, ys, xs, out, plane)
            else:
                resample_band(pixels, first, height, factor, base, weights, gain, shift, ys, xs, out, plane)
        return out

    def _with_gaps(
        self, chunk: Chunk, ys: Any, first: int, rest: Any, inside: tuple[Any, Any], room: Room, out: CellRows,
        valid: Any,
    ) -> None:  # fmt: skip
        """Tiles `rest` (of the batch), which have pixels without data."""
        tiles = self.numbers(chunk, ys, first + rest)
        for name in self.screened:
            room.samples[rest, SCREEN_BANDS.index(name)] = tiles[
                :, self.index[name], STEP // 2 :: STEP, STEP // 2 :: STEP
            ]
        picture = np.zeros((len(rest), *out.picture.shape[2:]), np.uint8)
        for name, colour in self.colours.items():  # before the gaps are filled
            picture_plane(tiles[:, self.index[name]], self.margin, RGB_WHITE_DN, picture, colour)
        out.picture[0, first + rest] = picture
        counts = np.empty(len(rest), np.int64)
        means, spreads = (np.empty((len(rest), len(self.planes)), np.float32) for _ in range(2))
        measure_tiles(tiles, self.references, self.every, inside[0], inside[1][rest], counts, means, spreads)
        out.means[0, first + rest], out.spreads[0, first + rest], valid[rest] = means, spreads, counts
        inputs = tiles[:, : self.channels]
        room.inputs[rest] = self.codes.of(inputs) if self.codes else inputs

    def _clouds(self, chunk: Chunk, ys: Any, part: Any, samples: Any) -> Any:
        if "SCL" in self.scene.bands:
            rows, factor = chunk.rows["SCL"], self.factors["SCL"]
            # codes of the nearest pixel
            codes = rows.pixels[(ys // factor - rows.first)[None, :, None], (self.columns[part] // factor)[:, None, :]]
            return scl_share(codes)
        share = np.full(len(samples), np.nan, np.float32)
        if self.screened:
            b01, b02, b10, b11 = (samples[:, SCREEN_BANDS.index(n)] for n in ("B01", "B02", "B10", "B11"))
            if "B01" not in self.screened:
                b01 = b02
            screen_clouds(b01, b02, b10, b11, LIMITS_DN, share)  # samples of a band that is missing stay 0
        return share
