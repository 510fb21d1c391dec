"""The loop that measures: every figure for a call's time comes from here. Any callable can be measured."""

from __future__ import annotations

import contextlib
import gc
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from skytrigger.measure.clocks import DeviceClock
from skytrigger.measure.conditions import Watch
from skytrigger.measure.paired import Slot
from skytrigger.measure.records import Samples

Call = Callable[[], object]


def nothing() -> None:
    """For callables that are finished when they return."""


@dataclass(frozen=True)
class Measured:
    """What a scenario gave: raw samples, what the machine went through, and what else to keep."""

    samples: dict[str, Samples]
    conditions: dict[str, float | None]
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


def visit(
    call: Call,
    synchronize: Callable[[], object] = nothing,
    *,
    calls: int,
    offline: bool = False,
    lead_in: int = 0,
    limit_s: float = math.inf,
    between: Callable[[], object] | None = None,
    device_clock: DeviceClock | None = None,
) -> Slot:
    """One visit: `lead_in` untimed calls, then timed ones.

    Parameters
    ----------
    call, synchronize
        The call, and what waits until its work is done on the device.
    calls
        Timed calls. Single calls stop at `limit_s` all the same (one is always made): on a loaded machine the mean can
        be many times the median.
    offline
        All calls are issued back to back and synchronised once; their mean is the only sample. Otherwise each is
        synchronised and timed by itself.
    between
        Run, untimed, before each single call: e.g. `inputs.CacheFlush`.
    device_clock
        Adds seconds between events on the device's own stream.
    """
    clock = time.perf_counter_ns
    for _ in range(lead_in):
        call()
    synchronize()
    seconds: list[float] = []
    device: list[float] = []
    with no_collection():
        watch = Watch.begin()
        if offline:
            start = clock()
            for _ in range(calls):
                call()
            synchronize()
            seconds.append((clock() - start) / 1e9 / calls)
        else:
            until = clock() + limit_s * 1e9
            while len(seconds) < calls and (not seconds or clock() < until):
                if between is not None:
                    between()
                start = clock()
                if device_clock is not None:
                    device_clock.start()
                call()
                if device_clock is not None:
                    device_clock.stop()
                synchronize()
                seconds.append((clock() - start) / 1e9)
                if device_clock is not None:
                    device.append(device_clock.seconds())
        conditions = watch.taken()
    return Slot(tuple(seconds), conditions, tuple(device))
