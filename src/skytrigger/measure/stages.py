"""Where the time of one call goes: named stages, each timed apart."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator

from skytrigger.measure.records import Samples
from skytrigger.measure.scenarios import nothing

STAGES = ("decode", "prepare", "h2d", "compute", "d2h", "post")


class Stages:
    """Recorder: ``with stages("decode"): ...`` adds one sample to that stage.

    `synchronize` is called at both ends of a stage, so that work left on a device is counted where it was issued.
    """

    def __init__(
        self, synchronize: Callable[[], object] = nothing, clock: Callable[[], float] = time.perf_counter
    ) -> None:
        self._synchronize, self._clock = synchronize, clock
        self.seconds: dict[str, list[float]] = {}

    @contextlib.contextmanager
    def __call__(self, name: str) -> Iterator[None]:
        self._synchronize()
        begin = self._clock()
        yield
        self._synchronize()
        self.seconds.setdefault(name, []).append(self._clock() - begin)

    def samples(self, items: int = 1) -> dict[str, Samples]:
        """Series of each stage, in the order of the data's way."""
        known = [s for s in STAGES if s in self.seconds] + [s for s in self.seconds if s not in STAGES]
        return {name: Samples("s", tuple(self.seconds[name]), items) for name in known}
