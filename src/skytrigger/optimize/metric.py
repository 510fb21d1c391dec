"""What must not drop: a figure of merit with its interval, and the paired difference of two networks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skytrigger.measure.accuracy import mcnemar, tango
from skytrigger.measure.stats import Interval, wilson

Logits = NDArray[np.float32]
Rows = NDArray[np.int64]


@dataclass(frozen=True)
class Difference:
    """Paired difference, candidate minus given, as a fraction.

    `smallest_margin` is the smallest margin (a fraction) that these images would have established for two equally good
    networks that differ on as many of them; `discordant` how many that are, where the metric counts them.
    """

    change: Interval
    smallest_margin: float
    discordant: int | None = None


@dataclass(frozen=True)
class Metric:
    """A figure of merit, higher is better.

    Attributes
    ----------
    value
        ``value(logits, true, rows) -> Interval``; `rows` are the images' places in the dataset.
    difference
        ``difference(given, candidate, true, rows) -> Difference`` of two networks' logits on the same images.
    """

    name: str
    value: Callable[[Logits, Rows, Rows], Interval]
    difference: Callable[[Logits, Logits, Rows, Rows], Difference]


def _accuracy(logits: Logits, true: Rows, rows: Rows) -> Interval:
    return wilson(int((logits.argmax(1) == true).sum()), len(true))


def _accuracy_difference(given: Logits, candidate: Logits, true: Rows, rows: Rows) -> Difference:
    test = mcnemar(given.argmax(1) == true, candidate.argmax(1) == true)
    half = (test.discordant + 1) // 2
    return Difference(test.difference, -tango(half, half, test.n).low, test.discordant)


ACCURACY = Metric("accuracy", _accuracy, _accuracy_difference)


def bootstrapped(name: str, value: Callable[[Any, Any, Any], Interval], paired: Callable[..., Interval]) -> Metric:
    """A metric whose difference has only an interval: what it could show follows from that interval's own width."""

    def difference(given: Logits, candidate: Logits, true: Rows, rows: Rows) -> Difference:
        change = paired(given, candidate, true, rows)
        return Difference(change, change.estimate - change.low)

    return Metric(name, value, difference)
