"""What must not drop: a figure of merit with its interval, and the paired gain of one network over another."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skytrigger.core.dataset import Dataset
from skytrigger.core.errors import InputError
from skytrigger.core.heads import CLASSES, VALUES, Head
from skytrigger.measure.accuracy import mcnemar, tango
from skytrigger.measure.stats import Interval, wilson

Answer = NDArray[np.float32]  # (n, outputs) of one head
Answers = dict[str, Answer]  # of all heads
Rows = NDArray[np.int64]
Targets = NDArray[Any]
RESAMPLES = 1000


@dataclass(frozen=True)
class Difference:
    """Paired gain of the candidate over the given network, as a fraction: above 0 is better.

    `smallest_margin` is the smallest margin (a fraction) that these images would have established for two equally good
    networks that differ on as many of them; `discordant` how many that are, where the metric counts them.
    """

    change: Interval
    smallest_margin: float
    discordant: int | None = None


@dataclass(frozen=True)
class Metric:
    """A figure of merit of one head.

    Attributes
    ----------
    value
        ``value(answer, true, rows) -> Interval``; `rows` are the images' places in the dataset.
    difference
        ``difference(given, candidate, true, rows) -> Difference`` of two networks' answers on the same images.
    lower
        Whether a lower value is the better one.
    """

    name: str
    value: Callable[[Answer, Targets, Rows], Interval]
    difference: Callable[[Answer, Answer, Targets, Rows], Difference]
    lower: bool = False

    def score(self, answer: Answer, true: Targets, rows: Rows) -> float:
        """The value's estimate, turned so that higher is better."""
        estimate = self.value(answer, true, rows).estimate
        return -estimate if self.lower else estimate


def _accuracy(answer: Answer, true: Targets, rows: Rows) -> Interval:
    return wilson(int((answer.argmax(1) == true).sum()), len(true))


def _accuracy_difference(given: Answer, candidate: Answer, true: Targets, rows: Rows) -> Difference:
    test = mcnemar(given.argmax(1) == true, candidate.argmax(1) == true)
    half = (test.discordant + 1) // 2
    return Difference(test.difference, -tango(half, half, test.n).low, test.discordant)


ACCURACY = Metric("accuracy", _accuracy, _accuracy_difference)


def bootstrapped(
    name: str, value: Callable[[Any, Any, Any], Interval], paired: Callable[..., Interval], lower: bool = False
) -> Metric:
    """A metric whose gain has only an interval: what it could show follows from that interval's own width."""

    def difference(given: Answer, candidate: Answer, true: Targets, rows: Rows) -> Difference:
        change = paired(given, candidate, true, rows)
        return Difference(change, change.estimate - change.low)

    return Metric(name, value, difference, lower)


def resolution(answer: Answer, true: Targets) -> NDArray[np.float64]:
    """(n,) relative deviations of the first value (of a gaussian head: the mean), NaN where the truth is NaN or 0."""
    wanted = np.asarray(true, np.float64).reshape(len(true), -1)[:, 0]
    known = np.isfinite(wanted) & (wanted != 0)
    return np.asarray(np.where(known, answer[:, 0] / np.where(known, wanted, 1) - 1, np.nan))


def sigma68(deviations: NDArray[np.float64]) -> float:
    """Half the width of the central 68.3 %."""
    low, high = np.quantile(deviations, [0.15865, 0.84135])
    return float(high - low) / 2


def _draws(n: int) -> NDArray[np.int64]:
    return np.random.default_rng(0).integers(0, n, (RESAMPLES, n))


def _sigma68(answer: Answer, true: Targets, rows: Rows) -> Interval:
    own = _known(resolution(answer, true))
    drawn = [sigma68(own[d]) for d in _draws(len(own))]
    low, high = np.quantile(drawn, [0.025, 0.975])
    return Interval(sigma68(own), float(low), float(high), 0.95, len(own))


def _sigma68_gain(given: Answer, candidate: Answer, true: Targets, rows: Rows) -> Interval:
    a, b = (_known(resolution(x, true)) for x in (given, candidate))
    drawn = [sigma68(a[d]) - sigma68(b[d]) for d in _draws(len(a))]
    low, high = np.quantile(drawn, [0.025, 0.975])
    return Interval(sigma68(a) - sigma68(b), float(low), float(high), 0.95, len(a))


def _known(deviations: NDArray[np.float64]) -> NDArray[np.float64]:
    own = deviations[np.isfinite(deviations)]
    if len(own) < 2:
        raise InputError(f"{len(own)} images have a known value", expected="at least 2 to speak of a resolution")
    return own


RESOLUTION = bootstrapped("resolution", _sigma68, _sigma68_gain, lower=True)
OF_KIND = {CLASSES: {"accuracy": ACCURACY}, VALUES: {"resolution": RESOLUTION}}


def metric_of(head: Head, name: str | None, dataset: Dataset, own: Mapping[str, Callable[[Dataset], Metric]]) -> Metric:
    """The metric of a head by name: one of the application's `own`, made from the data, or one of the head's kind.

    Raises
    ------
    InputError
        No such metric for this kind of head.
    """
    known = OF_KIND[head.kind]
    name = name or next(iter(known))
    if name in own and head.kind == CLASSES:
        return own[name](dataset)
    if name not in known:
        expected = ", ".join([*known, *(own if head.kind == CLASSES else ())])
        raise InputError(f"metric {name!r} for the head {head.name!r} of {head.kind}", expected=expected)
    return known[name]
