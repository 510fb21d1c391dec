"""Energy of a measured program: idle before, loaded, idle after, with its context in memory all the while."""

from __future__ import annotations

import contextlib
import random
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from skytrigger.core.errors import InputError
from skytrigger.measure.meters.protocol import MIN_WINDOW_S, Meter, Reading, WindowEnergy, energy_entry
from skytrigger.measure.meters.protocol import window_energy as energy_of
from skytrigger.measure.records import NO_ENERGY

PHASE_S = 0.2  # longest sensor period known; windows start at a random phase of it


def energy_windows(
    meters: Sequence[Meter],
    work: Callable[[], tuple[int, float]],
    seconds: float,
    *,
    wait: Callable[[float], object] = time.sleep,
    phase: random.Random | None = None,
) -> dict[str, Any]:
    """The `energy` of a record.

    Parameters
    ----------
    meters
        The first is the record's own; what the others said is kept under ``others``.
    work
        Works for about `seconds` and returns (items done, seconds).
    seconds
        Length of the loaded window; each idle window is a third of it, at least 5 s.
    """
    if not meters:
        return {**NO_ENERGY, "why_not": "no power sensor that this machine lets us read"}
    if seconds < MIN_WINDOW_S:
        raise InputError(f"a power window of {seconds:g} s", expected=f"at least {MIN_WINDOW_S:g} s, better 30 s")
    draw = phase or random.Random()
    idle_s = max(MIN_WINDOW_S, seconds / 3)
    windows: list[list[list[Reading]]] = []
    items, work_s = 0, 0.0
    for loaded in (False, True, False):
        wait(draw.uniform(0, PHASE_S))
        with _window(meters) as readings:
            if loaded:
                items, work_s = work()
            else:
                wait(idle_s)
        windows.append(readings)
    entries = []
    for i, meter in enumerate(meters):
        before, busy, after = (energy_of(w[i], meter.facts) for w in windows)
        entries.append(energy_entry(meter.facts, _alive(busy, before, after), (before, after), items, work_s))
    return {**entries[0], **({"others": entries[1:]} if len(entries) > 1 else {})}


def _alive(busy: WindowEnergy, *idle: WindowEnergy) -> WindowEnergy:
    """The loaded window, judged useless where its sensor shows exactly the same power as idle."""
    same = busy.watts_mean is not None and all(w.watts_mean == busy.watts_mean for w in idle)
    return busy.without("the sensor shows the same power loaded and idle") if same else busy


@contextlib.contextmanager
def _window(meters: Sequence[Meter]) -> Iterator[list[list[Reading]]]:
    readings: list[list[Reading]] = []
    for meter in meters:
        meter.start()
    try:
        yield readings
    finally:
        readings.extend(meter.stop() for meter in meters)
