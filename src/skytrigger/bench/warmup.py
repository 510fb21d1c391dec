"""Warm-up until successive windows agree, not for a fixed count."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class WarmUp:
    """The rule.

    A window is at least `window_s` seconds and `window_calls` calls. Warm-up ends when the medians of the last three
    windows lie within `tolerance` of each other (largest / smallest - 1), or after `max_s` seconds, or at once after
    three calls if one call takes longer than `max_s`. Whether the windows agreed is kept in the record.
    """

    window_s: float = 0.1
    window_calls: int = 3
    tolerance: float = 0.05
    max_s: float = 5.0

    def run(self, step: Callable[[], None]) -> dict[str, Any]:
        """Call `step` (one synchronised call) until the rule is met.

        Returns
        -------
        dict
            ``calls``, ``seconds``, ``agreed``, ``first_s`` (the first call), ``window_medians_s``.
        """
        begin = now = time.perf_counter()
        medians: list[float] = []
        first_s = 0.0
        calls = 0
        while True:
            window: list[float] = []
            opened = now
            while len(window) < self.window_calls or now - opened < self.window_s:
                step()
                later = time.perf_counter()
                window.append(later - now)
                now = later
                if calls == 0:
                    first_s = window[0]
                calls += 1
            medians.append(statistics.median(window))
            last = medians[-3:]
            agreed = len(last) == 3 and max(last) <= min(last) * (1 + self.tolerance)
            if agreed or now - begin >= self.max_s:
                return {
                    "calls": calls,
                    "seconds": round(now - begin, 6),
                    "agreed": agreed,
                    "first_s": round(first_s, 9),
                    "window_medians_s": [round(m, 9) for m in medians],
                    "rule": f"medians of 3 windows of {self.window_s:g} s within {self.tolerance:.0%}",
                }
