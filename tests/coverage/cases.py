"""One interval under one kind of noise."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from skytrigger.measure.stats import Interval

Array = np.ndarray
Draw = Callable[[np.random.Generator], bool]


@dataclass(frozen=True)
class Case:
    """One interval under one kind of noise.

    `draw` says whether one simulated interval held the truth; `effort` is its cost, about in milliseconds. `least`
    is what the test asks for: the level less what the method is known to lack there (stated in `what`).
    """

    method: str
    what: str
    n: str
    draw: Draw
    effort: float = 1.0
    nominal: float = 0.95
    least: float = 0.945


def holds(interval: Interval, truth: float) -> bool:
    return interval.low - 1e-12 <= truth <= interval.high + 1e-12


def within(ends: Sequence[float] | None, truth: float) -> bool:
    """As `holds`, of a pair; none given claims nothing."""
    return ends is None or ends[0] - 1e-12 <= truth <= ends[1] + 1e-12
