"""Rows of cells for a network on native pixels: windows as they were decoded, nothing is brought to 10 m.

Where a tile's windows, which reach `Group.halo` native pixels over its border, lie in the scene and have data in every
pixel, its answer is that of the whole bands at 10 m but for their rounding to whole DN. All other tiles (gaps,
saturated pixels, the scene's outermost cells, bands of other resolutions than the network's) are resampled as for any
network, gaps filled, and brought back to native pixels (`native_inputs.native_of`).

Means, spreads and clouds of the former are those of native pixels, each counted as often as it has pixels at 10 m.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skytrigger.eo.bands import RGB_WHITE_DN
from skytrigger.eo.scene.cells import Cells, mirrored
from skytrigger.eo.scene.clouds import SCREEN_BANDS, STEP
from skytrigger.eo.scene.engine import BATCH, Group, NativeTiles, block_means, native_of
from skytrigger.eo.scene.model import Scene
from skytrigger.eo.scene.native_rows import Chunk
from skytrigger.eo.scene.planes import MIN_SEEN, without_band
from skytrigger.eo.scene.results import CellRows
from skytrigger.eo.scene.tile_maker import Room, TileMaker
from skytrigger.eo.scene.tile_measures import picture_plane

Run = Callable[[Any], NDArray[np.float32]]


class NativeMaker(TileMaker):
    """See `TileMaker`; `groups` are the network's inputs."""

    def __init__(self, scene: Scene, cells: Cells, channels: tuple[str, ...], groups: tuple[Group, ...]) -> None:
        super().__init__(scene, cells, channels, "float32")
        self.groups = groups
        begin = (cells.stride, self.margin)  # tiles begin at whole multiples of the first, less the second
        self.fits = all(
            self.factors[channels[c]] == g.factor and not any(n % g.factor % g.step for n in begin)
            for g in groups for c in g.channels
        )  # fmt: skip

    def row(self, chunk: Chunk, row: int, run: Run, room: Room, out: CellRows) -> None:
        """Answers and measures of a row of cells into `out` (1, columns)."""
        plain = self._plain(chunk, row)
        for first, last in _runs(~plain):
            inputs = self.batch(chunk, row, first, last, room, out)
            out.seen[0, first:last][without_band(out.means[0, first:last], self.channels)] = 0
            enough = np.flatnonzero(out.seen[0, first:last] >= MIN_SEEN)
            if len(enough):
                out.logits[0, first + enough] = run(native_of(inputs[enough], self.groups))
        columns = np.flatnonzero(plain)
        if not len(columns):
            return
        self._measured(chunk, row, columns, out)
        for part, phase in self._phases(row, columns):
            windows = {g.input: self._windows(chunk, g, row, part) for g in self.groups}
            out.logits[0, part] = run(NativeTiles(windows, phase))

    def _starts(self, row: int) -> tuple[int, NDArray[np.int64]]:
        """First pixel of the tiles of a row of cells, and of each column's."""
        return int(self.cells.row_window(row)[0]), self.cells.column_windows()[:, 0]

    def _plain(self, chunk: Chunk, row: int) -> NDArray[np.bool_]:
        """(columns,) whose windows lie in the scene and have data, and no saturated pixel, everywhere."""
        top, lefts = self._starts(row)
        size, grid = self.cells.tile, self.cells.grid
        plain = (lefts >= 0) & (lefts + size <= grid.width)
        if not self.fits or top < 0 or top + size > grid.height:
            return np.zeros(len(lefts), np.bool_)
        margins = {self.planes[c]: g.margin for g in self.groups for c in g.channels}
        for name in self.planes:
            factor, rows = self.factors[name], chunk.rows[name]
            margin = margins.get(name, 0)
            y0, y1 = top // factor - margin, (top + size - 1) // factor + 1 + margin
            x0, x1 = lefts // factor - margin, (lefts + size - 1) // factor + 1 + margin
            height, width = self.scene.bands[name].grid.height, rows.pixels.shape[1]
            if y0 < 0 or y1 > height:
                return np.zeros(len(lefts), np.bool_)
            within = rows.pixels[y0 - rows.first : y1 - rows.first]
            # 0 is no data, 65535 saturated: one less, wrapped, both are at the top
            bad = np.concatenate([[0], np.cumsum(((within - np.uint16(1)) >= np.uint16(65_534)).any(axis=0))])
            plain &= (x0 >= 0) & (x1 <= width)
            plain &= bad[np.clip(x1, 0, width)] == bad[np.clip(x0, 0, width)]
        return plain

    def _phases(self, row: int, columns: NDArray[np.int64]) -> Iterator[tuple[Any, tuple[int, int] | None]]:
        """Columns that share a phase, and that phase."""
        phased = [g for g in self.groups if g.phases > 1]
        if not phased:
            yield columns, None
            return
        top, lefts = self._starts(row)
        down = phased[0].window(top)[2]
        across = lefts[columns] % phased[0].factor // phased[0].step
        for phase in np.unique(across):
            yield columns[across == phase], (down, int(phase))

    def _windows(self, chunk: Chunk, group: Group, row: int, columns: Any) -> NDArray[np.float32]:
        """(n, bands, side, side) model DN; means of blocks where the group has a grid."""
        if group.grid:
            return self._means(chunk, group, row, columns)
        top, lefts = self._starts(row)
        y0, y1, _ = group.window(top)
        x0 = lefts[columns] // group.factor - group.margin
        out = np.empty((len(columns), len(group.channels), group.side, group.side), np.float32)
        for k, c in enumerate(group.channels):
            rows = chunk.rows[self.planes[c]]
            # beyond the edge lie pixels that no weight meets
            lines = np.clip(np.arange(y0, y1) - rows.first, 0, len(rows.pixels) - 1)
            places = np.clip(x0[:, None] + np.arange(group.side), 0, rows.pixels.shape[1] - 1)
            out[:, k] = self._dn(rows.pixels[lines[None, :, None], places[:, None, :]], c)
        return out

    def _dn(self, pixels: Any, channel: int) -> Any:
        r = self.scene.bands[self.planes[channel]].radiometry
        return np.maximum(pixels.astype(np.float32) * np.float32(r.gain) + np.float32(r.shift), np.float32(1.0))

    def _means(self, chunk: Chunk, group: Group, row: int, columns: Any) -> NDArray[np.float32]:
        """Means of blocks of the upsampled tile, by weights of native pixels."""
        top, lefts = self._starts(row)
        out = np.empty((len(columns), len(group.channels), group.side, group.side), np.float32)
        down = block_means(group.factor, self.cells.tile, group.grid, top % group.factor)
        y0 = top // group.factor - group.margin
        starts = lefts[columns]
        for phase in np.unique(starts % group.factor):
            own = np.flatnonzero(starts % group.factor == phase)
            across = block_means(group.factor, self.cells.tile, group.grid, int(phase))
            x0 = starts[own] // group.factor - group.margin
            for k, c in enumerate(group.channels):
                rows = chunk.rows[self.planes[c]]
                lines = self._dn(rows.pixels[y0 - rows.first : y0 - rows.first + down.shape[1]], c)
                places = x0[:, None] + np.arange(across.shape[1])
                out[own, k] = np.einsum("gr,rnw,hw->ngh", down, lines[:, places], across, optimize=True)
        return out

    def _measured(self, chunk: Chunk, row: int, columns: NDArray[np.int64], out: CellRows) -> None:
        """Everything of plain tiles besides their answers."""
        top, lefts = self._starts(row)
        ys, xs = np.arange(top, top + self.cells.tile), self.columns[columns]
        out.seen[0, columns] = 1.0
        out.valid[0, columns] = 1.0 if self.margin == 0 else self.areas[row, columns]
        side = len(range(STEP // 2, self.cells.tile, STEP))
        samples = np.zeros((len(columns), len(SCREEN_BANDS), side, side), np.float32)
        for plane, name in enumerate(self.planes):
            rows, factor = chunk.rows[name], self.factors[name]
            lines = rows.pixels[ys // factor - rows.first]
            r = self.scene.bands[name].radiometry
            mean, spread = _sums(lines, np.repeat(np.arange(lines.shape[1]), factor), lefts[columns], self.cells.tile)
            out.means[0, columns, plane] = r.gain * mean + r.shift
            out.spreads[0, columns, plane] = r.gain * spread
            if name in self.screened:
                few = lines[STEP // 2 :: STEP][:, xs[:, STEP // 2 :: STEP] // factor]
                samples[:, SCREEN_BANDS.index(name)] = self._dn(few.transpose(1, 0, 2), plane)
            if name in self.colours:
                picture = out.picture[0, columns]
                tiles = self._dn(lines[:, xs // factor].transpose(1, 0, 2), plane)
                picture_plane(tiles, self.margin, RGB_WHITE_DN, picture, self.colours[name])
                out.picture[0, columns] = picture
        out.cloud[0, columns] = self._clouds(chunk, mirrored(ys, self.cells.grid.height), columns, samples)


def _sums(lines: Any, pixels: Any, lefts: Any, size: int) -> tuple[Any, Any]:
    """Means and standard deviations of tiles of (size, native columns); `pixels` are native columns of the scene's."""
    values = lines.astype(np.float64)
    found = []
    for power in (values.sum(axis=0), np.square(values).sum(axis=0)):
        total = np.concatenate([[0.0], np.cumsum(power[pixels])])
        found.append((total[lefts + size] - total[lefts]) / size**2)
    mean, square = found
    return mean, np.sqrt(np.maximum(square - mean**2, 0.0))


def _runs(wanted: NDArray[np.bool_]) -> Iterator[tuple[int, int]]:
    """Stretches of True, none longer than `BATCH`."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], wanted, [False]]).astype(np.int8)))
    for first, last in zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True):
        for start in range(first, last, BATCH):
            yield start, min(start + BATCH, last)
