"""Several streams side by side: what they do together, and what each of their calls waits."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Sequence

from skytrigger.measure.conditions import Watch
from skytrigger.measure.records import Samples
from skytrigger.measure.scenarios import Call, Measured, no_collection


def concurrent(calls: Sequence[Call], *, items: int = 1, duration_s: float = 1.0) -> Measured:
    """Run each of `calls` (synchronised, one per stream) in a loop of its own thread for `duration_s`.

    All streams start together; a call that is under way at the end is finished but not counted, so that no stream is
    measured while others have already stopped.

    Returns
    -------
    Measured
        Series ``call``: seconds of every call of all streams, stream after stream. ``extra`` has ``streams``,
        ``calls_per_stream`` and ``items_per_s`` of all together.
    """
    taken: list[list[float]] = [[] for _ in calls]
    errors: list[BaseException] = []
    gate = threading.Barrier(len(calls) + 1)

    def loop(call: Call, mine: list[float]) -> None:
        try:
            call()
            gate.wait()
            end = time.perf_counter() + duration_s
            start = time.perf_counter()
            while start < end:
                call()
                stop = time.perf_counter()
                if stop <= end:
                    mine.append(stop - start)
                start = stop
        except BaseException as error:  # handed to the caller below
            errors.append(error)
            gate.abort()

    threads = [threading.Thread(target=loop, args=pair) for pair in zip(calls, taken, strict=True)]
    with no_collection():
        watch = Watch.begin()
        for thread in threads:
            thread.start()
        with contextlib.suppress(threading.BrokenBarrierError):
            gate.wait()
        for thread in threads:
            thread.join()
        conditions = watch.taken()
    if errors:
        raise next((e for e in errors if not isinstance(e, threading.BrokenBarrierError)), errors[0])
    counts = [len(mine) for mine in taken]
    extra = {"streams": len(calls), "calls_per_stream": counts, "items_per_s": sum(counts) * items / duration_s}
    return Measured("streams", {"call": Samples("s", tuple(s for m in taken for s in m), items)}, {}, conditions, extra)
