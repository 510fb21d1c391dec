"""The battery, and what it allows: sunlight in, loads out, nothing sensed below the reserve."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from skytrigger.onboard.spec import Power

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]


@dataclass(frozen=True)
class Battery:
    """Arrays on the flight's grid of time: energy held (J) at each step's end, whether the payload may work."""

    energy_J: Floats
    allowed: Flags
    used_J: float
    spilled_J: float


def battery(power: Power, device_W: float, t_s: Floats, sunlit: Flags, imaging: Flags, sending: Flags) -> Battery:
    """Energy through the day. Held energy lies between 0 and the battery's capacity.

    The payload (instrument and classifier) goes off where less than the reserve is left and on again 5 % above it, so
    that it does not flutter.
    """
    step = np.diff(t_s, append=2 * t_s[-1] - t_s[-2])
    energy, allowed = np.empty(len(t_s)), np.zeros(len(t_s), bool)
    held, on, used, spilled = power.start * power.battery_J, True, 0.0, 0.0
    low = power.reserve * power.battery_J
    resume = min(power.battery_J, low + 0.05 * power.battery_J)
    for i in range(len(t_s)):
        on = held > low if on else held >= resume
        allowed[i] = on
        load = power.base_W + power.transmitter_W * sending[i] + (power.imaging_W + device_W) * (imaging[i] and on)
        new = held + (power.solar_W * sunlit[i] - load) * step[i]
        used += load * step[i]
        spilled += max(0.0, new - power.battery_J)
        held = energy[i] = min(max(new, 0.0), power.battery_J)
    return Battery(energy, allowed, float(used), float(spilled))
