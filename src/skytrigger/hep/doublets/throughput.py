"""Do more streams help? Images per second of a filter over batch sizes, streams and precisions.

A stream is a session of its own with a thread of its own that takes the next batch as soon as it is
done with the last (on a GPU: with a CUDA stream of its own). Every cell is visited once a round, in a
new random order each round, so that slow stretches of the machine fall on all cells alike; streams
are compared with one stream within the round.
"""

from __future__ import annotations

import contextlib
import itertools
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skytrigger.core.dataset import Dataset
from skytrigger.core.errors import InputError, UnavailableError
from skytrigger.core.extras import require
from skytrigger.core.seeds import generator
from skytrigger.hep.doublets.metrics import curve, scores
from skytrigger.measure.conditions import Watch
from skytrigger.measure.host import cores_in_mask, host_facts
from skytrigger.measure.records import Record, Samples, append, read
from skytrigger.measure.scenarios import no_collection
from skytrigger.runtimes.model_file import ModelFile, read_model
from skytrigger.runtimes.open import open_session
from skytrigger.runtimes.session import Session

BATCHES = (1, 16, 64, 256, 1000, 6000, 30_000)
STREAMS = (1, 2, 4, 5, 8)
IMAGES = 30_000
KEPT_CALLS = 500  # per-batch times kept in a record; at batch 1 there are 30,000


@dataclass(frozen=True)
class Cell:
    """One combination. `threads` are of one stream: the cores shared among the streams, at least one."""

    runtime: str
    precision: str
    batch_size: int
    streams: int
    threads: int
    device: str = "cpu"


@dataclass(frozen=True)
class Plan:
    """What to measure: `images` per visit, or as many whole batches as start within `seconds`."""

    runtimes: tuple[str, ...] = ("onnxruntime",)
    batches: tuple[int, ...] = BATCHES
    streams: tuple[int, ...] = STREAMS
    images: int = IMAGES
    seconds: float = 3.0
    rounds: int = 3
    device: str = "cpu"

    def __post_init__(self) -> None:
        numbers = {"images": self.images, "rounds": self.rounds, "seconds": self.seconds}
        numbers |= {"batch size": min(self.batches, default=0), "streams": min(self.streams, default=0)}
        for name, value in numbers.items():
            if not value > 0:
                raise InputError(f"{name} = {value}", expected="more than 0")

    def cells(self, precision: str, cores: int) -> list[Cell]:
        """All combinations in which every stream has a batch."""
        return [
            Cell(runtime, precision, batch, streams, max(1, cores // streams), self.device)
            for runtime, batch, streams in itertools.product(self.runtimes, self.batches, self.streams)
            if batch <= self.images and streams <= max(1, self.images // batch)
        ]


def throughput(
    files: dict[str, Path],
    dataset: Dataset,
    plan: Plan,
    out: str | Path,
    *,
    judged: NDArray[np.int64] | None = None,
    advance: Callable[..., None] = lambda *_: None,
    seed: int = 0,
) -> tuple[list[Record], dict[str, str]]:
    """Measure every cell into ``records.jsonl`` of the folder `out`; visits already there are not repeated.

    Parameters
    ----------
    files
        Precision -> model file.
    dataset
        Images (repeated or cut to the plan's number).
    judged
        Rows that the AUC is of; default: all.

    Returns
    -------
    records, refused
        Of this call and of those before it; and for each runtime and precision that this machine does
        not offer, why.
    """
    path = Path(out) / "records.jsonl"
    done = {(tuple(r.what[k] for k in KEY), r.extra["round"]) for r in _existing(path)}
    images = _images(dataset, plan.images)
    models = {precision: read_model(file) for precision, file in files.items()}
    where, refused, aucs = host_facts(), {}, {}
    cells = []
    for precision, model in models.items():
        for runtime in plan.runtimes:
            try:
                aucs[runtime, precision] = _auc(model, runtime, precision, plan.device, dataset, judged)
            except UnavailableError as error:
                refused[f"{runtime} {precision}"] = error.problem
        offered = [c for c in plan.cells(precision, cores_in_mask()) if (c.runtime, precision) in aucs]
        cells += offered
    for turn in range(plan.rounds):
        for number in generator(seed, "throughput", turn).permutation(len(cells)):
            cell = cells[number]
            model = models[cell.precision]
            what = _what(cell, model, dataset, plan.images)
            if (tuple(what[k] for k in KEY), turn) not in done:
                accuracy = aucs[cell.runtime, cell.precision]
                reference = aucs.get((cell.runtime, "fp32"))
                extra = {"round": turn, "auc": accuracy, "data": dataset.source}
                extra["auc_change"] = None if reference is None else accuracy - reference
                append(path, _visit(cell, model, images, plan.seconds, what, where, extra))
            advance(1, f"{cell.precision} batch {cell.batch_size} x {cell.streams} streams")
    return _existing(path), refused


KEY = ("model_hash", "data_hash", "runtime", "precision", "batch_size", "threads", "streams", "device", "images")


def _existing(path: Path) -> list[Record]:
    return read(path) if path.is_file() else []


def _images(dataset: Dataset, count: int) -> NDArray[np.float32]:
    index = np.arange(count) % len(dataset)
    return np.ascontiguousarray(dataset.x[index], dtype=np.float32)


def _auc(
    model: ModelFile, runtime: str, precision: str, device: str, dataset: Dataset, judged: NDArray[np.int64] | None
) -> float:
    index = np.arange(len(dataset)) if judged is None else judged
    session = open_session(model, runtime, precision, min(1000, len(index)), device=device)
    try:
        logits = session.run(dataset.x[index].astype(np.float32))
    finally:
        session.close()
    return curve(scores(logits), dataset.y[index]).auc


def _what(cell: Cell, model: ModelFile, dataset: Dataset, images: int) -> dict[str, Any]:
    return {
        "network": model.card.name,
        "runtime": cell.runtime,
        "precision": cell.precision,
        "batch_size": cell.batch_size,
        "threads": cell.threads,
        "streams": cell.streams,
        "device": cell.device,
        "scenario": "streams",
        # the images lie in ordinary memory and the logits come back to it: on a GPU both transfers are inside
        "transfers": "with",
        "memory": "pageable",
        "data_hash": dataset.content_hash,
        "model_hash": model.sha256,
        "engine_hash": None,
        "images": images,
    }


def _visit(
    cell: Cell,
    model: ModelFile,
    images: NDArray[np.float32],
    seconds: float,
    what: dict[str, Any],
    where: dict[str, Any],
    extra: dict[str, Any],
) -> Record:
    with _sessions(cell, model) as sessions:
        first = images[: cell.batch_size]
        for session in sessions:
            session.run(first)
            session.run(first)
        with no_collection():
            watch = Watch.begin()
            calls, done, wall_s = _run(sessions, images, cell, seconds)
            conditions = watch.taken()
        facts = sessions[0].facts
    kept = calls if len(calls) <= KEPT_CALLS else calls[np.linspace(0, len(calls) - 1, KEPT_CALLS).astype(int)]
    samples = {
        "call": Samples("s", tuple(kept.tolist()), cell.batch_size),
        "whole": Samples("s", (wall_s,), done),
    }
    extra = {**extra, "calls": len(calls), "engine": {k: facts[k] for k in ("version", "provider", "engine_hash")}}
    return Record("streams", what, where, samples, conditions=conditions, extra=extra)


@contextlib.contextmanager
def _sessions(cell: Cell, model: ModelFile) -> Iterator[list[Session]]:
    opened: list[Session] = []
    try:
        while len(opened) < cell.streams:
            one = open_session(
                model, cell.runtime, cell.precision, cell.batch_size, threads=cell.threads, device=cell.device
            )
            opened.append(one)
        yield opened
    finally:
        for session in opened:
            session.close()


def _run(
    sessions: list[Session], images: NDArray[np.float32], cell: Cell, seconds: float
) -> tuple[NDArray[np.float64], int, float]:
    """(seconds of each batch, images done, wall seconds) of one pass over `images`, cut off after `seconds`."""
    starts = iter(range(0, len(images), cell.batch_size))
    lock, ready = threading.Lock(), threading.Barrier(len(sessions) + 1)
    times: list[list[tuple[float, int]]] = [[] for _ in sessions]
    failures: list[BaseException] = []
    begin = 0.0

    def work(number: int) -> None:
        session, mine = sessions[number], times[number]
        try:
            with _own_stream(cell.device):
                ready.wait()
                while True:
                    with lock:
                        start = next(starts, None)
                    if start is None:
                        return
                    part = images[start : start + cell.batch_size]
                    before = time.perf_counter()
                    if mine and before - begin > seconds:
                        return
                    session.run(part)
                    session.synchronize()
                    mine.append((time.perf_counter() - before, len(part)))
        except BaseException as error:
            failures.append(error)
            ready.abort()

    threads = [threading.Thread(target=work, args=(i,)) for i in range(len(sessions))]
    for thread in threads:
        thread.start()
    begin = time.perf_counter()
    with contextlib.suppress(threading.BrokenBarrierError):
        ready.wait()
    for thread in threads:
        thread.join()
    wall_s = time.perf_counter() - begin
    if failures:
        raise failures[0]
    done = [entry for mine in times for entry in mine]
    return np.array([s for s, _ in done]), sum(n for _, n in done), wall_s


def _own_stream(device: str) -> contextlib.AbstractContextManager[Any]:
    """A CUDA stream for this thread, where there is CUDA."""
    if not device.startswith("cuda"):
        return contextlib.nullcontext()
    cuda = require("torch", why="CUDA streams").cuda
    stream: contextlib.AbstractContextManager[Any] = cuda.stream(cuda.Stream(device))
    return stream
