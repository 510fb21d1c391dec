"""Rows of all bands, decoded in chunks ahead of their use, each block once, in bounded memory."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from skytrigger.core.extras import require
from skytrigger.eo.scene.cells import Cells
from skytrigger.eo.scene.model import Scene
from skytrigger.eo.scene.raster_band import GDAL_OPTIONS, Pixels

CHUNK_ROWS = (256, 1024)  # image rows of a chunk: a block of the finest bands, within these
_TASK_PIXELS = 1 << 19  # a decoding task is whole blocks of about this many pixels, or one block


@dataclass(frozen=True)
class Rows:
    """Rows [first, first + len(pixels)) of a band."""

    first: int
    pixels: Pixels


@dataclass
class Chunk:
    """What the rows of cells [first, last) need, of every band."""

    first: int
    last: int
    rows: dict[str, Rows]
    _tasks: list[Future[None]] = field(default_factory=list)
    _tails: list[tuple[Pixels, int, Rows, int]] = field(default_factory=list)


def chunk_plan(scene: Scene, names: tuple[str, ...], cells: Cells) -> list[tuple[int, int]]:
    """Rows of cells [first, last) of each chunk: as many image rows as the finest bands' blocks have."""
    factors = scene.factors()
    block = max(scene.bands[n].reader.block[0] * factors[n] for n in names if factors[n] == min(factors.values()))
    low, high = CHUNK_ROWS
    step = max(1, min(max(block, low), high) // cells.stride)
    return [(r, min(r + step, cells.rows)) for r in range(0, cells.rows, step)]


class ChunkReader:
    """Gives the chunks of a plan in order, the next one being decoded meanwhile.

    A band's rows are decoded by whole blocks, each once; rows that the next chunk needs again are copied over. At most
    `ahead` + 2 chunks' rows are alive: one of them with those who still use it.

    Parameters
    ----------
    threads
        Decoding threads; each has its own file handles.
    ahead
        Chunks that are decoded while one is used.
    empty
        (shape, dtype) -> array that a band's rows are decoded to.
    """

    def __init__(
        self, scene: Scene, names: tuple[str, ...], cells: Cells, plan: list[tuple[int, int]], threads: int,
        ahead: int = 1, empty: Callable[[tuple[int, int], Any], Pixels] = np.empty,
    ) -> None:  # fmt: skip
        self._scene, self._names, self._cells, self._plan = scene, names, cells, plan
        self._ahead, self._empty = ahead, empty
        self._factors = scene.factors()
        self._decoded: dict[str, int] = {}
        self._previous: Chunk | None = None
        self._pool = ThreadPoolExecutor(threads, "decode", initializer=enter_gdal)
        self._lock = threading.Lock()
        self.seconds = 0.0  # of CPU time, decoding

    def __iter__(self) -> Iterator[Chunk]:
        begun: deque[Chunk] = deque()
        for span in self._plan:
            begun.append(self._begin(*span))
            if len(begun) > self._ahead:
                yield self._next(begun)
        while begun:
            yield self._next(begun)

    def _next(self, begun: deque[Chunk]) -> Chunk:
        chunk = begun.popleft()
        self._finish(chunk)
        return chunk

    def close(self) -> None:
        """Stop decoding; what runs is waited for."""
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _begin(self, first: int, last: int) -> Chunk:
        chunk = Chunk(first, last, {})
        low, high = self._cells.needed_rows(first, last)
        for name in self._names:
            self._begin_band(chunk, name, low, high)
        self._previous = chunk
        return chunk

    def _begin_band(self, chunk: Chunk, name: str, low: int, high: int) -> None:
        band, factor = self._scene.bands[name], self._factors[name]
        block, height = band.reader.block[0], band.grid.height
        margin = 0 if factor == 1 else 2
        start = max(0, low // factor - margin)
        stop = min(height, (high - 1) // factor + 1 + margin)
        decoded = self._decoded.get(name, start // block * block)
        until = max(decoded, min(height, -(-stop // block) * block)) if stop > decoded else decoded
        begin = min(start, decoded)
        before = self._previous.rows[name] if self._previous else None
        if before is not None and until == decoded:  # all of it was decoded for the chunk before
            chunk.rows[name] = before
            return
        pixels = self._empty((until - begin, band.grid.width), np.uint16)
        chunk.rows[name] = Rows(begin, pixels)
        if before is not None and decoded > begin:
            chunk._tails.append((pixels, begin, before, decoded))
        for rows, columns in blocks(decoded, until, band.grid.width, band.reader.block):
            chunk._tasks.append(self._pool.submit(self._decode, name, rows, columns, pixels, begin))
        self._decoded[name] = until

    def _decode(self, name: str, rows: tuple[int, int], columns: tuple[int, int], target: Pixels, begin: int) -> None:
        start = time.thread_time()
        part = target[rows[0] - begin : rows[1] - begin, columns[0] : columns[1]]
        self._scene.bands[name].reader.read_into(rows, columns, part)
        with self._lock:
            self.seconds += time.thread_time() - start

    def _finish(self, chunk: Chunk) -> None:
        """Wait for the decoding, then copy the rows that the chunk before had decoded already (it is whole by now)."""
        for task in chunk._tasks:
            task.result()
        for pixels, begin, before, decoded in chunk._tails:
            pixels[: decoded - begin] = before.pixels[begin - before.first : decoded - before.first]
        chunk._tasks.clear()
        chunk._tails.clear()


def blocks(
    first: int, last: int, width: int, block: tuple[int, int]
) -> Iterator[tuple[tuple[int, int], tuple[int, int]]]:
    """Windows of whole blocks that cover rows [first, last), each of about `_TASK_PIXELS` pixels or one block."""
    tall, wide = block
    across = max(1, _TASK_PIXELS // max(1, tall * wide))
    step_x = min(width, wide * across)
    step_y = tall * max(1, _TASK_PIXELS // max(1, tall * step_x))
    for top in range(first, last, step_y):
        for left in range(0, width, step_x):
            yield (top, min(top + step_y, last)), (left, min(left + step_x, width))


def enter_gdal() -> None:
    """GDAL's options hold for a thread."""
    require("rasterio", why="scenes").Env(**GDAL_OPTIONS).__enter__()
