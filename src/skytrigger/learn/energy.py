"""Energy of training: one meter window an epoch, over its training and its validation."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from skytrigger.measure.meters.found import open_meters
from skytrigger.measure.meters.protocol import Meter, WindowEnergy, window_energy


class EpochMeter:
    """Keeps a window for each epoch that is trained while it watches; without a meter it keeps none."""

    def __init__(self, meter: Meter | None = None) -> None:
        self.meter = meter
        self.windows: list[WindowEnergy] = []

    def start(self) -> None:
        """An epoch begins."""
        if self.meter:
            self.meter.start()

    def stop(self) -> dict[str, Any]:
        """The epoch has been validated: its entries in history, none where the readings give no figure.

        ``joules`` is gross, of the meter's whole scope, over ``joules_seconds``: training and validation.
        """
        if not self.meter:
            return {}
        window = window_energy(self.meter.stop(), self.meter.facts)
        self.windows.append(window)
        if window.joules is None:
            return {}
        scope = self.meter.facts.scope
        return {"joules": window.joules, "joules_seconds": window.seconds, "joules_scope": scope}


@contextlib.contextmanager
def watching(meter: Meter | EpochMeter | None, device: str) -> Iterator[EpochMeter]:
    """`meter`, or the first sensor of `device` that works here, closed afterwards."""
    if isinstance(meter, EpochMeter):
        yield meter
        return
    if meter is not None:
        yield EpochMeter(meter)
        return
    found = open_meters(device)
    try:
        yield EpochMeter(found[0] if found else None)
    finally:
        for one in found:
            one.close()
