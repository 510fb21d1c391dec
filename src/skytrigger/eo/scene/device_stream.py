"""A scene through a network on a device: decoding on CPU threads, all else there, at once.

Chunks of native rows are decoded into page-locked memory, copied on a stream of their own while the device works on the
chunk before, brought to 10 m there, cut, measured and classified; a few numbers a cell come back. At most `AHEAD` + 3
chunks lie in host memory and three on the device.
"""

from __future__ import annotations

import time
from collections import deque
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np

from skytrigger.core.host import cores_in_mask
from skytrigger.core.progress import Advance
from skytrigger.eo.scene.cells import Cells
from skytrigger.eo.scene.device_cubic import torch
from skytrigger.eo.scene.device_tiles import DeviceTiles, Measured
from skytrigger.eo.scene.engine import ResidentNetwork
from skytrigger.eo.scene.model import Scene
from skytrigger.eo.scene.native_rows import Chunk, ChunkReader, chunk_plan
from skytrigger.eo.scene.planes import MIN_SEEN, without_band
from skytrigger.eo.scene.results import CellRows, Parts, joined
from skytrigger.eo.scene.stages import Span, StageTimes, stretches

AHEAD = 3  # chunks that are decoded before they are asked for
FLYING = 2  # chunks on the device before the oldest one's results are waited for


@dataclass
class _Flight:
    """A chunk on the device: what comes back, and what must live until then."""

    span: Span
    results: list[Measured]
    done: Any
    held: Any


def classify_rows(
    scene: Scene, cells: Cells, channels: tuple[str, ...], network: ResidentNetwork, parts: Parts, advance: Advance,
    threads: int | None = None,
) -> tuple[CellRows, tuple[str, ...], StageTimes]:  # fmt: skip
    """See `stream.classify_rows`; `threads` decode."""
    tiles = DeviceTiles(scene, cells, channels, network)
    plan = chunk_plan(scene, tiles.planes.read, cells)
    kept = {span: parts.load(*span) for span in plan if parts.has(*span)}
    found = {span: rows for span, rows in kept.items() if rows is not None}
    for span in found:
        advance((span[1] - span[0]) * cells.columns)
    times, before = StageTimes(), time.process_time()
    for stretch in stretches([span for span in plan if span not in found]):
        run = _Run(scene, tiles, network, parts, found, advance)
        run.all(stretch, threads or cores_in_mask())
        times.decode += run.decode_s
    times.infer = time.process_time() - before - times.decode
    return joined([found[span] for span in plan]), tiles.planes.names, times


class _Run:
    """One stretch of chunks."""

    def __init__(
        self, scene: Scene, tiles: DeviceTiles, network: ResidentNetwork, parts: Parts, found: dict[Span, CellRows],
        advance: Advance,
    ) -> None:  # fmt: skip
        self.scene, self.tiles, self.network, self.parts = scene, tiles, network, parts
        self.found, self.advance, self.decode_s = found, advance, 0.0
        self.on_gpu = network.stream is not None
        self.uploads = torch.cuda.Stream(network.device) if self.on_gpu else None
        self.started, self.count = time.perf_counter(), 0

    def all(self, plan: list[Span], threads: int) -> None:
        """Every chunk in turn, the next ones on their way meanwhile."""
        reader = ChunkReader(
            self.scene, self.tiles.planes.read, self.tiles.cells, plan, threads, AHEAD,
            page_locked if self.on_gpu else np.empty,
        )  # fmt: skip
        flying: deque[_Flight] = deque()
        try:
            with torch.inference_mode(), torch.cuda.stream(self.network.stream) if self.on_gpu else nullcontext():
                for chunk in reader:
                    flying.append(self._start(chunk))
                    if len(flying) > FLYING:
                        self._land(flying.popleft())
                while flying:
                    self._land(flying.popleft())
        finally:
            if self.on_gpu:
                torch.cuda.synchronize(self.network.device)  # copies read the chunks' memory
            reader.close()
            self.decode_s = reader.seconds

    def _start(self, chunk: Chunk) -> _Flight:
        low, high = self.tiles.cells.needed_rows(chunk.first, chunk.last)
        if self.uploads is None:
            stored, compute = self.tiles.upload(chunk, low, high), None
        else:
            compute = torch.cuda.current_stream()
            with torch.cuda.stream(self.uploads):
                stored = self.tiles.upload(chunk, low, high)
            compute.wait_stream(self.uploads)
            for tensor in stored.values():
                tensor.record_stream(compute)
        results = [
            Measured(*(self._fetched(v) for v in vars(m).values()))
            for m in self.tiles.rows(stored, low, high, chunk.first, chunk.last)
        ]
        done = compute.record_event() if compute else None
        return _Flight((chunk.first, chunk.last), results, done, chunk)

    def _fetched(self, values: Any) -> Any:
        """On its way to the host."""
        if not self.on_gpu:
            return values
        host = torch.empty(values.shape, dtype=values.dtype, pin_memory=True)
        return host.copy_(values, non_blocking=True)

    def _land(self, flight: _Flight) -> None:
        if flight.done is not None:
            flight.done.synchronize()
        first, last = flight.span
        rows = _rows(flight, self.tiles.cells, self.tiles.planes.channels)
        self.found[flight.span] = rows
        self.parts.save(first, last, rows)
        self.count += rows.valid.size
        self.advance(rows.valid.size, f"{self.count / (time.perf_counter() - self.started):,.0f} tiles/s")


def _rows(flight: _Flight, cells: Cells, channels: int) -> CellRows:
    """As the CPU's way leaves them."""
    first, last = flight.span
    shape = last - first, cells.columns

    def all_of(name: str) -> Any:
        whole = np.concatenate([getattr(m, name).numpy() for m in flight.results])
        return whole.reshape(*shape, *whole.shape[1:])

    windows = np.stack([cells.row_window(row) for row in range(first, last)])
    inside_y = ((windows >= 0) & (windows < cells.grid.height)).sum(1)
    across = cells.column_windows()
    inside_x = ((across >= 0) & (across < cells.grid.width)).sum(1)
    valid = all_of("valid")
    seen = (valid / np.maximum(inside_y[:, None] * inside_x[None], 1)).astype(np.float32)
    whole = valid / cells.tile**2 if cells.tile == cells.stride else seen * cells.in_cell_area()[first:last]
    means = all_of("means")
    seen[without_band(means, channels)] = 0
    logits = all_of("logits").astype(np.float32, copy=False)
    logits[seen < MIN_SEEN] = 0
    cloud = all_of("cloudy").astype(np.float32, copy=False)
    return CellRows(logits, whole.astype(np.float32), seen, cloud, means, all_of("spreads"), all_of("picture"))


def page_locked(shape: tuple[int, int], dtype: Any) -> Any:
    """Memory that the GPU reads by itself; torch keeps what is freed for the next chunk."""
    return torch.empty(shape, dtype=torch.int16, pin_memory=True).numpy().view(dtype)
