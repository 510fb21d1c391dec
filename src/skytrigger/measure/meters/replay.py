"""A recorded trace played back as a meter: tests of everything above a sensor, without one."""

from __future__ import annotations

from collections.abc import Sequence

from skytrigger.measure.meters.protocol import Meter, MeterFacts, Reading


class ReplayMeter:
    """Each window gives the next of the recorded traces."""

    def __init__(self, traces: Sequence[Sequence[Reading]], facts: MeterFacts | None = None) -> None:
        self.facts = facts or MeterFacts("replay", "a recorded trace", "as recorded")
        self._traces = list(traces)
        self._next = 0

    def start(self) -> None:
        """Nothing happens before the window ends."""

    def stop(self) -> list[Reading]:
        """The next trace; the last one again when all are used."""
        trace = self._traces[min(self._next, len(self._traces) - 1)]
        self._next += 1
        return list(trace)

    def close(self) -> None:
        """Nothing to give back."""


_conforms: type[Meter] = ReplayMeter
