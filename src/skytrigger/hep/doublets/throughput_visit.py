"""One visit of the throughput study: sessions side by side, each with a thread of its own, over the same images."""

from __future__ import annotations

import sys
import threading
import time
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skytrigger.core.dataset import Dataset
from skytrigger.hep.doublets.throughput_plan import Cell
from skytrigger.model.file import ModelFile
from skytrigger.runtimes.cuda_lanes import page_locked
from skytrigger.runtimes.open import open_session

DIGITS = 4
QUANTILES = 101  # minimum, 1 %, ..., maximum
Call = tuple[float, float, int]  # begin, end, images


class Images:
    """The images of a visit, in each type and memory made once: the dataset's, repeated or cut to `count`."""

    def __init__(self, dataset: Dataset, count: int) -> None:
        self._dataset, self._count = dataset, count
        self._made: dict[tuple[str, str], NDArray[Any]] = {}

    def of(self, input_type: str, memory: str) -> NDArray[Any]:
        """(count, c, h, w). Images for the device's memory are copied there from pageable memory."""
        memory = memory if memory == "page-locked" else "pageable"
        if (input_type, memory) not in self._made:
            if memory == "page-locked":
                made = page_locked(self.of(input_type, "pageable"))
            else:
                index = np.arange(self._count) % len(self._dataset)
                made = np.ascontiguousarray(self._dataset.x[index], dtype=input_type)
            self._made[input_type, memory] = made
        return self._made[input_type, memory]


class Sessions:
    """Sessions of one runtime, precision, batch size and input type, opened when first needed and kept until `close`.

    A stream has a session of its own; sessions with other CPU threads are others.
    """

    def __init__(self, model: ModelFile) -> None:
        self._model = model
        self._opened: dict[int, list[Any]] = {}

    def __enter__(self) -> Sessions:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def take(self, cell: Cell, tiles: NDArray[Any]) -> list[Any]:
        """`cell.streams` sessions that have seen a whole batch and, where there is one, the last, smaller batch."""
        opened = self._opened.setdefault(cell.threads, [])
        while len(opened) < cell.streams:
            session = open_session(
                self._model,
                cell.runtime,
                cell.precision,
                cell.batch_size,
                threads=cell.threads,
                device=cell.device,
                input_type=cell.input_type,
            )
            opened.append(session)
            session.run(tiles[: cell.batch_size])
            if rest := len(tiles) % cell.batch_size:
                session.run(tiles[-rest:])
        return opened[: cell.streams]

    def close(self) -> None:
        """Close them all, and give torch's spare memory on a GPU back, so that the next ones find room."""
        opened = [session for sessions in self._opened.values() for session in sessions]
        on_gpu = any(session.spec.device.startswith("cuda") for session in opened)
        self._opened = {}
        while opened:
            opened.pop().close()
        torch = sys.modules.get("torch")
        if on_gpu and torch is not None and torch.cuda.is_available():
            torch.cuda.empty_cache()


def run_streams(
    sessions: list[Any], tiles: NDArray[Any], cell: Cell, seconds: float
) -> tuple[NDArray[np.float64], int, float]:
    """One pass over `tiles`, cut off after `seconds`; every session takes the next batch when done with its last.

    Without transfers the work is done again and again on the images that the last `run` left on the device.

    Returns
    -------
    times, done, wall_s
        Seconds of each batch; images done; seconds from the moment that all threads were ready to the end of the last
        batch: first copy to last logits.
    """
    starts = iter(range(0, len(tiles), cell.batch_size))
    calls: list[list[Call]] = [[] for _ in sessions]
    failures: list[BaseException] = []
    begin = 0.0

    def go() -> None:
        nonlocal begin
        begin = time.perf_counter()

    lock, ready = threading.Lock(), threading.Barrier(len(sessions), action=go)

    def work(number: int) -> None:
        session, mine = sessions[number], calls[number]
        resident = cell.transfers == "without"
        try:
            ready.wait()
            while True:
                with lock:
                    start = next(starts, None)
                if start is None:
                    return
                part = tiles[start : start + cell.batch_size]
                # engines of a fixed batch fill up the last one
                count = cell.batch_size if session.fixed_batch else len(part)
                before = time.perf_counter()
                if mine and before - begin > seconds:
                    return
                if resident:
                    session.enqueue(count)
                else:
                    session.run(part)
                session.synchronize()
                mine.append((before, time.perf_counter(), len(part)))
        except BaseException as error:
            failures.append(error)
            ready.abort()

    threads = [threading.Thread(target=work, args=(i,)) for i in range(len(sessions))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]
    done = [call for mine in calls for call in mine]
    times = np.array([end - before for before, end, _ in done])
    return times, sum(n for _, _, n in done), max(end for _, end, _ in done) - begin


def thinned(times: NDArray[np.float64]) -> tuple[float, ...]:
    """At most 101 of `times`, to 4 digits: of more, the order statistics at every whole percent, extremes included.

    So the median, p95 and p99 are those of all times; `restored` undoes it for the table.
    """
    if len(times) > QUANTILES:
        places = np.rint(np.linspace(0, len(times) - 1, QUANTILES)).astype(int)
        times = np.sort(times)[places]
    return tuple(float(f"{t:.{DIGITS}g}") for t in times)


def restored(kept: tuple[float, ...], calls: int) -> NDArray[np.float64]:
    """`calls` times with the quantiles that `thinned` kept, so that visits can be pooled by their numbers of calls."""
    if len(kept) >= calls:
        return np.array(kept)
    return np.interp(np.linspace(0, 1, calls), np.linspace(0, 1, len(kept)), kept)
