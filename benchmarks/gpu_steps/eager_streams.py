"""Step: PyTorch eager on several streams, driven by one thread: a stream and an event each batch in turn.

cuDNN keeps what its search found for each thread by itself: threads that come and go, one a stream, search again every
time, which is what the step `doublets` timed (there the search is on). Here one thread deals the batches out, waits for
a stream's last batch by its event and queues the next. Beside it stands a thread a stream with the search off.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from gpu_steps.engines import Bench
from skytrigger.bench.streams import one_pass
from skytrigger.core.progress import say
from skytrigger.measure.records import Samples
from skytrigger.runtimes.cuda_lanes import page_locked
from skytrigger.runtimes.open import open_session

STREAMS = (1, 2, 4)
IMAGES = 30_000
KIND = "float16"  # as the images are stored


def run(out: Path, simulate: bool, data: Path | None = None) -> None:
    """Records of the step into `out`."""
    bench = Bench(out, simulate)
    for precision in ("fp16", "fp32", "tf32") if not simulate else ("fp32",):
        for batch in (6000, 1000) if not simulate else (8,):
            group(bench, precision, batch)


def group(bench: Bench, precision: str, batch: int) -> None:
    """Every number of streams and way to drive them, once a round in a new order."""
    model = bench.file("doublets_cnn", "fp16" if precision == "fp16" else "fp32", bench.size(20, 2))
    tiles = bench.tiles(model, bench.size(IMAGES, 32), KIND)
    if not bench.simulate:
        tiles = page_locked(tiles)
    session = open_session(
        model, "torch", precision, batch, 1, 1 if bench.simulate else max(STREAMS), bench.device, KIND
    )
    single = [open_session(model, "torch", precision, batch, 1, 1, bench.device, KIND) for _ in range(2)]
    cells: dict[tuple[str, str, int], Callable[[], None]] = {}
    for resident in (False, True):
        way = "without" if resident else "with"
        for streams in STREAMS:
            cells["one thread, events", way, streams] = lambda s=streams, r=resident: dealt(session, tiles, batch, s, r)
        for streams in (1, 2):
            cells["a thread a stream, no search", way, streams] = lambda s=streams, r=resident: threads(
                single[:s], tiles, batch, r and not bench.simulate
            )
    taken: dict[tuple[str, str, int], list[float]] = {cell: [] for cell in cells}
    names = list(cells)
    for turn in range(bench.size(5, 1) + 1):  # the first warms up
        for i in bench.rng.permutation(len(names)):
            before = torch.backends.cudnn.benchmark
            torch.backends.cudnn.benchmark = before and names[i][0] == "one thread, events"
            bench.synchronize()
            start = time.perf_counter()
            cells[names[i]]()
            bench.synchronize()
            if turn:
                taken[names[i]].append(time.perf_counter() - start)
            torch.backends.cudnn.benchmark = before
    for (driven, way, streams), seconds in taken.items():
        what = {"network": "doublets_cnn", "runtime": "torch", "precision": precision, "batch_size": batch,
                "streams": streams, "transfers": way, "driven": driven, "device": bench.device,
                "memory": "page-locked" if way == "with" else "device", "input_type": KIND}  # fmt: skip
        bench.keep("throughput", what, {"whole": Samples("s", tuple(seconds), len(tiles))})
        say(f"{precision} batch {batch}, {driven}, {way} transfers, {streams}: {1e3 * np.median(seconds):.2f} ms, "
            f"{len(tiles) / np.median(seconds):,.0f} images/s")  # fmt: skip
    for one in (session, *single):
        one.close()


def dealt(session: Any, tiles: np.ndarray, batch: int, streams: int, resident: bool) -> None:
    """All tiles once over the first `streams` lanes, from this thread."""
    if not hasattr(session, "_lanes"):  # the CPU in the card's place
        for start in range(0, len(tiles), batch):
            session.run(tiles[start : start + batch])
        return
    lanes, done = session._lanes[:streams], [None] * streams
    answers = []
    for number, start in enumerate(range(0, len(tiles), batch)):
        place = number % streams
        lane = lanes[place]
        if done[place] is not None:
            answers.append(taken_out(lane, done[place]))
        part = tiles[start : start + batch]
        with torch.cuda.stream(lane.stream):
            if not resident:
                lane.upload(part)
            lane.enqueue(len(part))
            for host, values in () if resident else zip(lane._host, lane._answers, strict=True):
                host[: len(part)].copy_(values, non_blocking=True)
            done[place] = torch.cuda.Event()
            done[place].record(lane.stream)
    answers += [taken_out(lane, event) for lane, event in zip(lanes, done, strict=True) if event is not None]
    if len(answers) != -(-len(tiles) // batch):
        raise RuntimeError(f"{len(answers)} batches of answers")


def taken_out(lane: Any, event: Any) -> list[np.ndarray]:
    """The answers of a lane's last batch."""
    event.synchronize()
    return [host.numpy().copy() for host in lane._host]


def threads(sessions: list[Any], tiles: np.ndarray, batch: int, resident: bool) -> None:
    """The same with a thread a stream."""
    one_pass(sessions, tiles, batch, 30.0, resident)
