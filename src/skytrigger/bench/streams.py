"""Several streams side by side: what they do together, and what each of their calls waits."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skytrigger.bench.loop import Call, Measured, no_collection
from skytrigger.measure.conditions import Watch
from skytrigger.measure.records import Samples
from skytrigger.runtimes.feed import Feed


def concurrent(calls: Sequence[Call], *, items: int = 1, duration_s: float = 1.0) -> Measured:
    """Run each of `calls` (synchronised, one per stream) in a loop of its own thread for `duration_s`.

    All streams start together, after one untimed call each; a call that is under way at the end is finished but not
    counted, so that no stream is measured while others have already stopped.

    Returns
    -------
    Measured
        Series ``call``: seconds of every call of all streams, stream after stream. ``extra`` has ``streams``,
        ``calls_per_stream`` and ``items_per_s`` of all together.
    """
    taken: list[list[float]] = [[] for _ in calls]
    end = math.inf

    def go() -> None:
        nonlocal end
        end = time.perf_counter() + duration_s

    gate = threading.Barrier(len(calls), action=go)

    def lane(call: Call, mine: list[float], _: int) -> None:
        """The whole stretch is one item: nothing stands between a stream's calls."""
        try:
            call()
            gate.wait()
            start = time.perf_counter()
            while start < end:
                call()
                stop = time.perf_counter()
                if stop <= end:
                    mine.append(stop - start)
                start = stop
        except BaseException:
            gate.abort()
            raise

    with no_collection():
        watch = Watch.begin()
        lanes = [partial(lane, *pair) for pair in zip(calls, taken, strict=True)]
        Feed(range(len(calls)), lanes, preparers=0).run()
        conditions = watch.taken()
    counts = [len(mine) for mine in taken]
    extra = {"streams": len(calls), "calls_per_stream": counts, "items_per_s": sum(counts) * items / duration_s}
    return Measured({"call": Samples("s", tuple(s for m in taken for s in m), items)}, conditions, extra)


@dataclass(frozen=True)
class Pass:
    """Seconds of each batch, images done, and seconds from the moment that all streams were ready to the last's end."""

    times: NDArray[np.float64]
    done: int
    wall_s: float


def one_pass(
    sessions: Sequence[Any], tiles: NDArray[Any], batch_size: int, limit_s: float, resident: bool = False
) -> Pass:
    """All of `tiles` once, each session taking the next batch when it is done with its last.

    Parameters
    ----------
    limit_s
        Seconds after which no other batch is begun; every session has one.
    resident
        Without transfers: work again and again on the images that the last `run` left on the device.
    """
    calls: list[list[tuple[float, float, int]]] = [[] for _ in sessions]
    begin: list[float] = []

    def parts() -> Iterator[NDArray[Any]]:
        begin.append(time.perf_counter())
        for number, start in enumerate(range(0, len(tiles), batch_size)):
            if number >= len(sessions) and time.perf_counter() - begin[0] > limit_s:
                return
            yield tiles[start : start + batch_size]

    def work(session: Any, mine: list[tuple[float, float, int]], part: NDArray[Any]) -> None:
        # engines of a fixed batch fill up the last one
        count = batch_size if session.fixed_batch else len(part)
        before = time.perf_counter()
        if resident:
            session.enqueue(count)
        else:
            session.run(part)
        session.synchronize()
        mine.append((before, time.perf_counter(), len(part)))

    Feed(parts(), [partial(work, *pair) for pair in zip(sessions, calls, strict=True)], preparers=0).run()
    done = [call for mine in calls for call in mine]
    times = np.array([end - before for before, end, _ in done])
    return Pass(times, sum(n for _, _, n in done), max(end for _, end, _ in done) - begin[0])
