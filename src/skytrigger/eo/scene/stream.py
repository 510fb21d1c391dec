"""A scene through a network: decode, resample, infer and keep, all at once."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from skytrigger.core.host import cores_in_mask
from skytrigger.core.progress import Advance
from skytrigger.eo.bands import RGB, RGB_WHITE_DN
from skytrigger.eo.scene.cells import Cells, mirrored
from skytrigger.eo.scene.clouds import LIMITS_DN, SCREEN_BANDS, scl_share
from skytrigger.eo.scene.cubic import copy_band, phase_weights, resample_band
from skytrigger.eo.scene.engine import BATCH, Lanes
from skytrigger.eo.scene.model import Scene
from skytrigger.eo.scene.native_rows import Chunk, ChunkReader, chunk_plan
from skytrigger.eo.scene.results import CellRows, Parts, empty_rows, joined
from skytrigger.eo.scene.tile_measures import measure_tiles, picture_plane, screen_clouds
from skytrigger.runtimes.feed import Feed

# Where one of these is 0 there is no data: light scattered by the air keeps them above 0 over lit ground, while far
# infrared over water may be 0; the first and last bands on the focal plane are among them, so swath edges are found.
DATA_BANDS = ("B01", "B02", "B03")
MIN_SEEN = 0.5  # a cell has a class where at least this share of its window's pixels in the scene has data


@dataclass
class StageTimes:
    """Thread seconds of each stage; they overlap, so that their sum exceeds the elapsed time."""

    decode: float = 0.0
    prepare: float = 0.0
    infer: float = 0.0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, prepare: float, infer: float) -> None:
        """From any lane."""
        with self._lock:
            self.prepare += prepare
            self.infer += infer


class TileMaker:
    """Tiles of a row of cells, from the native rows of a chunk.

    Parameters
    ----------
    channels
        Of the network, in its order; `planes` are these and what else is looked at.
    """

    def __init__(self, scene: Scene, cells: Cells, channels: tuple[str, ...], dtype: str) -> None:
        self.scene, self.cells, self.dtype = scene, cells, np.dtype(dtype)
        more = [n for n in (*RGB, *DATA_BANDS, *self._screen_bands(scene)) if n in scene.bands and n not in channels]
        self.channels = len(channels)
        self.planes = (*channels, *dict.fromkeys(more))
        self.index = {name: i for i, name in enumerate(self.planes)}
        self.names = (*self.planes, "SCL") if "SCL" in scene.bands else self.planes
        self.factors = scene.factors()
        self.tables = {f: phase_weights(f) for f in set(self.factors.values())}
        data = [self.index[n] for n in DATA_BANDS if n in self.index]
        self.every = bool(data)
        self.references = np.array(data or range(len(self.planes)), np.int64)
        windows = cells.column_windows()
        self.columns = mirrored(windows, cells.grid.width)
        self.inside = (windows >= 0) & (windows < cells.grid.width)

    @staticmethod
    def _screen_bands(scene: Scene) -> tuple[str, ...]:
        return () if "SCL" in scene.bands else SCREEN_BANDS

    def tiles(self, chunk: Chunk, row: int, first: int, last: int) -> Any:
        """(n, planes, t, t) model DN of the cells [first, last) of a row; 0 is no data."""
        ys = mirrored(self.cells.row_window(row), self.cells.grid.height)
        out = np.empty((last - first, len(self.planes), self.cells.tile, self.cells.tile), self.dtype)
        for name, plane in self.index.items():
            self._fill(chunk, name, ys, self.columns[first:last], out, plane)
        return out

    def _fill(self, chunk: Chunk, name: str, ys: Any, xs: Any, out: Any, plane: int) -> None:
        rows, factor = chunk.rows[name], self.factors[name]
        r = self.scene.bands[name].radiometry
        gain, shift = np.float32(r.gain), np.float32(r.shift)
        if factor == 1:
            copy_band(rows.pixels, rows.first, gain, shift, ys, xs, out, plane)
            return
        base, weights = self.tables[factor]
        height = self.scene.bands[name].grid.height
        resample_band(rows.pixels, rows.first, height, factor, base, weights, gain, shift, ys, xs, out, plane)

    def measure(self, chunk: Chunk, row: int, first: int, last: int, tiles: Any, out: CellRows) -> None:
        """Fill the row `out` (1, columns) in [first, last) with what is no logit, and `tiles` where it has no data."""
        cells = self.cells
        window = cells.row_window(row)
        inside_rows, inside = (window >= 0) & (window < cells.grid.height), self.inside[first:last]
        part = slice(first, last)
        margin = (cells.tile - cells.stride) // 2
        out.cloud[0, part] = self._clouds(chunk, row, first, last, tiles)
        if all(n in self.index for n in RGB):  # before the gaps are filled
            for colour, name in enumerate(RGB):
                picture_plane(tiles[:, self.index[name]], margin, RGB_WHITE_DN, out.picture[0, part], colour)
        valid = np.empty(last - first, np.int64)
        measure_tiles(
            tiles, self.references, self.every, inside_rows, inside, valid, out.means[0, part], out.spreads[0, part]
        )
        in_scene = inside_rows.sum() * inside.sum(axis=1)
        out.seen[0, part] = valid / np.maximum(in_scene, 1)
        shares = cells.in_cell_area()[row, part]
        out.valid[0, part] = valid / cells.tile**2 if margin == 0 else out.seen[0, part] * shares

    def _clouds(self, chunk: Chunk, row: int, first: int, last: int, tiles: Any) -> Any:
        if "SCL" in self.scene.bands:
            return scl_share(self._scl(chunk, row, first, last))
        if any(n not in self.index for n in ("B02", "B11")):
            return np.full(last - first, np.nan, np.float32)
        b02, b11 = tiles[:, self.index["B02"]], tiles[:, self.index["B11"]]
        b01 = tiles[:, self.index["B01"]] if "B01" in self.index else b02
        b10 = tiles[:, self.index["B10"]] if "B10" in self.index else np.zeros_like(b02)
        share = np.empty(last - first, np.float32)
        screen_clouds(b01, b02, b10, b11, LIMITS_DN, share)
        return share

    def _scl(self, chunk: Chunk, row: int, first: int, last: int) -> Any:
        """(n, t, t) codes of the nearest pixel."""
        rows, factor = chunk.rows["SCL"], self.factors["SCL"]
        ys = mirrored(self.cells.row_window(row), self.cells.grid.height) // factor - rows.first
        return rows.pixels[ys[None, :, None], (self.columns[first:last] // factor)[:, None, :]]


def classify_rows(
    scene: Scene, cells: Cells, channels: tuple[str, ...], classes: int, lanes: Lanes, parts: Parts, advance: Advance
) -> tuple[CellRows, tuple[str, ...], StageTimes]:
    """All cells of a scene, the chunks that `parts` has taken from there, the others classified and kept.

    Returns
    -------
    CellRows
        All rows.
    tuple of str
        Bands of its means and spreads.
    StageTimes
        Of what was done now.
    """
    maker = TileMaker(scene, cells, channels, lanes.input_type)
    plan = chunk_plan(scene, maker.names, cells)
    kept = {span: parts.load(*span) for span in plan if parts.has(*span)}
    done: dict[tuple[int, int], CellRows] = {span: rows for span, rows in kept.items() if rows is not None}
    for span in done:
        advance((span[1] - span[0]) * cells.columns)
    times = StageTimes()
    for stretch in _stretches([span for span in plan if span not in done]):
        _run_stretch(maker, stretch, classes, lanes, parts, done, times, advance)
    return joined([done[span] for span in plan]), maker.planes, times


def _stretches(plan: list[tuple[int, int]]) -> list[list[tuple[int, int]]]:
    """Chunks that follow one another."""
    groups: list[list[tuple[int, int]]] = []
    for span in plan:
        if groups and groups[-1][-1][1] == span[0]:
            groups[-1].append(span)
        else:
            groups.append([span])
    return groups


def _run_stretch(
    maker: TileMaker,
    plan: list[tuple[int, int]],
    classes: int,
    lanes: Lanes,
    parts: Parts,
    done: dict[tuple[int, int], CellRows],
    times: StageTimes,
    advance: Advance,
) -> None:
    reader = ChunkReader(maker.scene, maker.names, maker.cells, plan, cores_in_mask())
    started = time.perf_counter()
    finished: list[CellRows] = []
    spans = iter(plan)
    span = next(spans)
    count = 0

    def jobs() -> Iterator[tuple[Chunk, int]]:
        for chunk in reader:
            for row in range(chunk.first, chunk.last):
                yield chunk, row

    def lane(number: int) -> Callable[[tuple[Chunk, int]], CellRows]:
        logits = lanes.logits(number)
        return lambda job: _classify_row(maker, *job, classes, logits, times)

    def keep(_: tuple[Chunk, int], row: CellRows) -> None:
        nonlocal span, count
        finished.append(row)
        count += row.valid.size
        advance(row.valid.size, f"{count / (time.perf_counter() - started):,.0f} tiles/s")
        if len(finished) == span[1] - span[0]:
            done[span] = joined(finished)
            parts.save(*span, done[span])
            finished.clear()
            span = next(spans, span)

    try:
        # few rows ahead: each holds on to its chunk, which is what takes memory
        Feed(jobs(), [lane(k) for k in range(len(lanes))], keep, ahead_items=2 * len(lanes) + 2).run()
    finally:
        reader.close()
        times.decode += reader.seconds


def _classify_row(maker: TileMaker, chunk: Chunk, row: int, classes: int, logits: Any, times: StageTimes) -> CellRows:
    """One row of cells, a batch of tiles at a time: a batch stays in the core's cache from making to inference."""
    columns = maker.cells.columns
    out = empty_rows(1, columns, classes, len(maker.planes), maker.cells.picture)
    for first in range(0, columns, BATCH):
        last = min(first + BATCH, columns)
        start = time.perf_counter()
        tiles = maker.tiles(chunk, row, first, last)
        maker.measure(chunk, row, first, last, tiles, out)
        enough = np.flatnonzero(out.seen[0, first:last] >= MIN_SEEN)
        inputs = tiles[:, : maker.channels] if len(enough) == len(tiles) else tiles[enough, : maker.channels]
        inputs = np.ascontiguousarray(inputs)
        middle = time.perf_counter()
        if len(enough):
            out.logits[0, first + enough] = logits(inputs)
        times.add(middle - start, time.perf_counter() - middle)
    return out
