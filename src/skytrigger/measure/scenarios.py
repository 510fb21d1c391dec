"""Single stream and offline: how long a call takes, and how much goes through. Any callable can be measured."""

from __future__ import annotations

import contextlib
import gc
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from skytrigger.measure.conditions import Watch
from skytrigger.measure.records import Samples
from skytrigger.measure.warmup import WarmUp

Call = Callable[[], object]


def nothing() -> None:
    """For callables that are finished when they return."""


@dataclass(frozen=True)
class Measured:
    """What one scenario gave: raw samples, how it warmed up, what the machine went through."""

    scenario: str
    samples: dict[str, Samples]
    warmup: dict[str, Any]
    conditions: dict[str, Any]
    extra: dict[str, Any] = field(default_factory=dict)


@contextlib.contextmanager
def no_collection() -> Iterator[None]:
    """Collect garbage now and hold the collector until the end: its pauses are Python's, not the call's."""
    gc.collect()
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def single_stream(
    call: Call,
    synchronize: Callable[[], object] = nothing,
    *,
    items: int = 1,
    duration_s: float = 1.0,
    min_samples: int = 20,
    max_samples: int = 200_000,
    max_s: float | None = None,
    warmup: WarmUp | None = None,
    between: Callable[[], object] | None = None,
    device_clock: Any = None,
) -> Measured:
    """Latency: one call at a time, synchronised, each timed with ``perf_counter_ns``.

    Parameters
    ----------
    call, synchronize
        The call, and what waits until its work is done on the device.
    items
        Images (events) one call works on.
    duration_s, min_samples, max_samples, max_s
        Goes on until both `duration_s` and `min_samples` are reached, or `max_samples`, or `max_s` seconds
        (default: ten times `duration_s`, at least 1).
    between
        Run, untimed, before each timed call: e.g. `inputs.CacheFlush`.
    device_clock
        `clocks.DeviceClock`; adds the series ``device`` (seconds between events on the device's own stream).

    Returns
    -------
    Measured
        Series ``call``: seconds per call, in order.
    """
    ceiling_s = max(1.0, 10 * duration_s) if max_s is None else max_s

    def step() -> None:
        if between is not None:
            between()
        call()
        synchronize()

    report = (warmup or WarmUp()).run(step)
    clock = time.perf_counter_ns
    nanoseconds: list[int] = []
    device_s: list[float] = []
    with no_collection():
        watch = Watch.begin()
        begin = clock()
        while True:
            if between is not None:
                between()
            synchronize()
            start = clock()
            if device_clock is None:
                call()
                synchronize()
                stop = clock()
            else:
                device_clock.start()
                call()
                device_clock.stop()
                synchronize()
                stop = clock()
                device_s.append(device_clock.seconds())
            nanoseconds.append(stop - start)
            elapsed_s = (stop - begin) / 1e9
            enough = elapsed_s >= duration_s and len(nanoseconds) >= min_samples
            if enough or len(nanoseconds) >= max_samples or elapsed_s >= ceiling_s:
                break
        conditions = watch.taken()
    samples = {"call": Samples("s", tuple(n / 1e9 for n in nanoseconds), items)}
    if device_s:
        samples["device"] = Samples("s", tuple(device_s), items)
    return Measured("single-stream", samples, report, conditions, {"flushed": between is not None})


def offline(
    call: Call,
    synchronize: Callable[[], object] = nothing,
    *,
    items: int = 1,
    duration_s: float = 1.0,
    windows: int = 10,
    warmup: WarmUp | None = None,
) -> Measured:
    """Throughput: calls issued back to back, synchronised once per window.

    The calls per window are set from the warmed-up call time so that `windows` windows fill `duration_s` (at least one
    call a window).

    Returns
    -------
    Measured
        Series ``call``: for each window its seconds divided by its calls. ``extra["calls_per_window"]`` tells how many.
    """

    def step() -> None:
        call()
        synchronize()

    report = (warmup or WarmUp()).run(step)
    typical_s = max(report["window_medians_s"][-1], 1e-9)
    calls = max(1, round(duration_s / windows / typical_s))
    clock = time.perf_counter_ns
    seconds: list[float] = []
    with no_collection():
        watch = Watch.begin()
        for _ in range(windows):
            start = clock()
            for _ in range(calls):
                call()
            synchronize()
            seconds.append((clock() - start) / 1e9 / calls)
        conditions = watch.taken()
    samples = {"call": Samples("s", tuple(seconds), items)}
    return Measured("offline", samples, report, conditions, {"calls_per_window": calls})
