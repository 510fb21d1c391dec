"""Frames that arrive at a fixed rate, whether the program is ready or not."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

from skytrigger.bench.loop import Call, Measured, no_collection, nothing
from skytrigger.measure.conditions import Watch
from skytrigger.measure.records import Samples
from skytrigger.runtimes.feed import Feed


def frame_rate(
    call: Call,
    synchronize: Callable[[], object] = nothing,
    *,
    rate_hz: float,
    duration_s: float = 5.0,
    deadline_s: float | None = None,
    items: int = 1,
    clock: Callable[[], float] = time.perf_counter,
    sleep: Callable[[float], object] = time.sleep,
) -> Measured:
    """Serve frames that arrive every ``1 / rate_hz`` seconds for `duration_s`.

    A frame's response time runs from its arrival by the schedule, not from when the program got round to it: a stall
    makes every frame behind it late, and each of them counts (no coordinated omission). A frame whose deadline has
    passed before it could start is dropped, and missed.

    Returns
    -------
    Measured
        Series ``response`` (arrival to finished) and ``call`` (start to finished) of the frames served; ``extra`` has
        ``frames``, ``missed`` (late or dropped), ``dropped``, ``rate_hz``, ``deadline_s``.
    """
    period_s = 1 / rate_hz
    limit_s = period_s if deadline_s is None else deadline_s
    frames = max(1, round(duration_s * rate_hz))
    response: list[float] = []
    service: list[float] = []

    def arrivals() -> Iterator[float]:
        begin = clock()
        for i in range(frames):
            arrival = begin + i * period_s
            ahead = arrival - clock()
            if ahead > 0:
                sleep(ahead)
            yield arrival

    def serve(arrival: float) -> None:
        start = clock()
        if start < arrival + limit_s:
            call()
            synchronize()
            stop = clock()
            response.append(stop - arrival)
            service.append(stop - start)

    with no_collection():
        watch = Watch.begin()
        Feed(arrivals(), [serve], preparers=0, clock=clock).run()
        conditions = watch.taken()
    dropped = frames - len(response)
    missed = dropped + sum(r > limit_s for r in response)
    extra = {"frames": frames, "missed": missed, "dropped": dropped, "rate_hz": rate_hz, "deadline_s": limit_s}
    samples = {"response": Samples("s", tuple(response), items), "call": Samples("s", tuple(service), items)}
    return Measured(samples, conditions, extra)
