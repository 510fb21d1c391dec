"""A scene through a network: decode, resample, infer and keep, all at once."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from skytrigger.core.host import cores_in_mask
from skytrigger.core.progress import Advance
from skytrigger.eo.scene.cells import Cells
from skytrigger.eo.scene.engine import Lanes
from skytrigger.eo.scene.model import Scene
from skytrigger.eo.scene.native_rows import Chunk, ChunkReader, chunk_plan
from skytrigger.eo.scene.native_tiles import NativeMaker
from skytrigger.eo.scene.planes import MIN_SEEN, without_band
from skytrigger.eo.scene.results import CellRows, Parts, empty_rows, joined
from skytrigger.eo.scene.stages import StageTimes, stretches
from skytrigger.eo.scene.tile_maker import Room, TileMaker
from skytrigger.runtimes.feed import Feed


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
    maker = (
        NativeMaker(scene, cells, channels, lanes.native)
        if lanes.native
        else TileMaker(scene, cells, channels, lanes.input_type, lanes.codes)
    )
    plan = chunk_plan(scene, maker.names, cells)
    kept = {span: parts.load(*span) for span in plan if parts.has(*span)}
    done: dict[tuple[int, int], CellRows] = {span: rows for span, rows in kept.items() if rows is not None}
    for span in done:
        advance((span[1] - span[0]) * cells.columns)
    times, before = StageTimes(), time.process_time()
    for stretch in stretches([span for span in plan if span not in done]):
        _run_stretch(maker, stretch, classes, lanes, parts, done, times, advance)
    times.infer = time.process_time() - before - times.decode - times.prepare
    return joined([done[span] for span in plan]), maker.planes, times


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
        logits, room = lanes.logits(number), maker.room(lanes.batch)
        return lambda job: _classify_row(maker, *job, classes, logits, room, times)

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


def _classify_row(
    maker: TileMaker, chunk: Chunk, row: int, classes: int, logits: Any, room: Room, times: StageTimes
) -> CellRows:
    """One row of cells, a batch of tiles at a time: a batch stays in the core's cache from making to inference."""
    columns = maker.cells.columns
    out = empty_rows(1, columns, classes, len(maker.planes), maker.cells.picture)
    if isinstance(maker, NativeMaker):
        maker.row(chunk, row, logits, room, out)
        return out
    for first in range(0, columns, room.batch):
        last = min(first + room.batch, columns)
        start = time.thread_time()
        inputs = maker.batch(chunk, row, first, last, room, out)
        out.seen[0, first:last][without_band(out.means[0, first:last], maker.channels)] = 0
        enough = np.flatnonzero(out.seen[0, first:last] >= MIN_SEEN)
        if len(enough) < len(inputs):
            inputs = inputs[enough]
        times.add(time.thread_time() - start)
        if len(enough):
            out.logits[0, first + enough] = logits(inputs)
    return out
