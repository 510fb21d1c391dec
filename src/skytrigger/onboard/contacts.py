"""When a station is heard, and when the instrument is on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from skytrigger.onboard.orbit import Ephemeris

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Pass:
    """One contact; there is one transmitter, so that contacts of several stations never overlap."""

    station: str
    start_s: float
    end_s: float


def crossings(t_s: Floats, values: Floats) -> list[tuple[float, float]]:
    """Stretches where `values` is above 0, their ends interpolated between the samples."""
    above = values > 0
    edges = np.flatnonzero(above[1:] != above[:-1])
    share = values[edges] / (values[edges] - values[edges + 1])
    times = list(t_s[edges] + share * (t_s[edges + 1] - t_s[edges]))
    if above[0]:
        times.insert(0, float(t_s[0]))
    if above[-1]:
        times.append(float(t_s[-1]))
    return [(float(a), float(b)) for a, b in zip(times[::2], times[1::2], strict=True)]


def contacts(flight: Ephemeris, mask_deg: float, least_s: float = 0.0) -> list[Pass]:
    """Passes over `mask_deg`, in order of time; where two stations see the satellite the earlier one keeps it."""
    seen = [
        Pass(name, a, b)
        for name, elevation in flight.elevation_deg.items()
        for a, b in crossings(flight.t_s, elevation - mask_deg)
    ]
    passes: list[Pass] = []
    free = -np.inf
    for one in sorted(seen, key=lambda p: (p.start_s, p.station)):
        start = max(one.start_s, free)
        if one.end_s - start > least_s:
            passes.append(Pass(one.station, start, one.end_s))
            free = one.end_s
    return passes


def contact_s(passes: Sequence[Pass]) -> float:
    """Seconds of contact."""
    return sum(p.end_s - p.start_s for p in passes)


def imaging(flight: Ephemeris, seconds_an_orbit: float) -> list[tuple[float, float]]:
    """One stretch an orbit, centred where the sun stands highest below the satellite, cut at the flight's ends.

    The instrument's real plan follows coasts and orders; only its length an orbit is taken from the mission.
    """
    elevation = flight.sun_deg
    peaks = np.flatnonzero((elevation[1:-1] >= elevation[:-2]) & (elevation[1:-1] > elevation[2:])) + 1
    half = seconds_an_orbit / 2
    first, last = float(flight.t_s[0]), float(flight.t_s[-1])
    stretches: list[tuple[float, float]] = []
    for middle in flight.t_s[peaks[elevation[peaks] > 0]]:
        a, b = max(first, float(middle) - half), min(last, float(middle) + half)
        if b > a:
            stretches.append((max(a, stretches[-1][1]) if stretches else a, b))
    return stretches
