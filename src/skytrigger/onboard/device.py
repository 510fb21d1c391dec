"""What rate a device sustains, and what is lost beyond it: dead time, as a trigger's people call it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from skytrigger.core.seeds import generator

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Kept:
    """Of each batch of a stream: how many were worked on, and when the last of them was done."""

    live: NDArray[np.int64]
    ready_s: Floats


def work_off(t_s: Floats, count: NDArray[np.int64], seconds_each: float, buffer_items: float) -> Kept:
    """Batches of items through one server with a bounded buffer.

    What finds the buffer full is lost. A batch arrives at its time as a whole; with no time of work all is live.
    """
    live, ready = np.empty(len(t_s), np.int64), np.empty(len(t_s))
    free = -np.inf
    for i, (t, n) in enumerate(zip(t_s, count, strict=True)):
        waiting = max(0.0, free - t) / seconds_each if seconds_each else 0.0
        # at least a batch of one fits where the buffer is empty, however small it is
        room = max(buffer_items - waiting, 1.0 if waiting == 0 else 0.0) if seconds_each else float(n)
        live[i] = min(n, int(room))
        free = max(free, t) + live[i] * seconds_each
        ready[i] = free
    return Kept(live, ready)


def live_share(rate_hz: float, seconds_each: float, buffer_items: int, events: int = 20_000, seed: int = 0) -> float:
    """Share of randomly arriving events that is worked on: M/D/1/K, simulated one event at a time.

    `buffer_items` counts the one in work.
    """
    gaps = generator(seed, "arrivals").exponential(1 / rate_hz, events)
    return server(np.cumsum(gaps), np.full(events, seconds_each), buffer_items)


def server(arrivals_s: Floats, work_s: Floats, places: int) -> float:
    """Share of events that find one of `places` free, the one in work included."""
    ends = np.full(places, -np.inf)  # of the accepted events that may still be there, in a ring
    last, accepted = -np.inf, 0
    for t, w in zip(arrivals_s, work_s, strict=True):
        if ends[accepted % places] <= t:  # the oldest of the last `places` accepted has gone
            last = max(last, t) + w
            ends[accepted % places] = last
            accepted += 1
    return accepted / len(arrivals_s)


def dead_time_curve(seconds_each: float, buffer_items: int, load: Floats, seed: int = 0) -> list[dict[str, float]]:
    """Rate, rate worked on and share lost for offered loads (1: as much as the device can do)."""
    rows = []
    for x in load:
        rate = float(x) / seconds_each
        share = live_share(rate, seconds_each, buffer_items, seed=seed)
        rows.append({"load": float(x), "rate_hz": rate, "live_hz": rate * share, "lost": 1 - share})
    return rows
