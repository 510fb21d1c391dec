"""Intervals and percentiles of raw samples; what the sample size cannot carry is refused."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from skytrigger.core.errors import SkytriggerError

Vector = NDArray[np.float64]


class TooFewSamples(SkytriggerError):
    """A statistic that this many samples cannot support."""


@dataclass(frozen=True)
class Interval:
    """An estimate with its confidence interval; `low` and `high` are NaN where the samples allow none."""

    estimate: float
    low: float
    high: float
    level: float = 0.95
    n: int = 0

    @property
    def known(self) -> bool:
        """Whether there is an interval at all."""
        return math.isfinite(self.low) and math.isfinite(self.high)

    def scaled(self, factor: float) -> Interval:
        """The same in another unit, `factor` > 0."""
        return Interval(self.estimate * factor, self.low * factor, self.high * factor, self.level, self.n)

    def to_json(self) -> dict[str, float | int | None]:
        """For JSON: None in place of an unknown bound."""
        low, high = (self.low, self.high) if self.known else (None, None)
        return {"estimate": self.estimate, "low": low, "high": high, "level": self.level, "n": self.n}


def normal_quantile(p: float) -> float:
    """Inverse of the standard normal distribution function."""
    from scipy.special import ndtri

    return float(ndtri(p))


def wilson(k: int, n: int, level: float = 0.95) -> Interval:
    """Wilson score interval of a proportion of `k` in `n` (Wilson 1927, eq. 5)."""
    if not 0 <= k <= n or n < 1:
        raise ValueError(f"{k} of {n} is no proportion")
    low, high = wilson_bounds(k / n, n, level)
    return Interval(k / n, 0.0 if k == 0 else low, 1.0 if k == n else high, level, n)


def wilson_bounds(p: float, n: float, level: float = 0.95) -> tuple[float, float]:
    """Wilson's bounds of a share `p` of `n`, which need not be whole (an effective number of images)."""
    z = normal_quantile(0.5 + level / 2)
    centre = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    return max(0.0, centre - half), min(1.0, centre + half)


def newcombe(first: Interval, second: Interval) -> Interval:
    """Difference of two independent proportions from their own Wilson intervals (Newcombe 1998, method 10)."""
    d = first.estimate - second.estimate
    low = math.hypot(first.estimate - first.low, second.high - second.estimate)
    high = math.hypot(first.high - first.estimate, second.estimate - second.low)
    return Interval(d, d - low, d + high, first.level, min(first.n, second.n))


def smallest_n(percent: float) -> int:
    """Samples a percentile needs: ten beyond it on its thinner side (p50 20, p90 100, p95 200, p99 1,000)."""
    if not 0 < percent < 100:
        raise ValueError(f"percentile {percent} outside 0..100")
    return math.ceil(round(1000 / min(percent, 100 - percent), 6))


def percentile(values: ArrayLike, percent: float) -> float:
    """Percentile of `values`, refused (`TooFewSamples`) below `smallest_n(percent)` samples."""
    array = np.asarray(values, dtype=np.float64)
    if len(array) < smallest_n(percent):
        raise TooFewSamples(f"p{percent:g} of {len(array)} samples: needs at least {smallest_n(percent)}")
    return float(np.percentile(array, percent))


def percentiles(values: ArrayLike, wanted: Sequence[float] = (50, 90, 95, 99, 99.9)) -> dict[str, float]:
    """Those percentiles that the sample size supports, keyed ``p50``, ``p99.9``."""
    array = np.asarray(values, dtype=np.float64)
    return {f"p{p:g}": percentile(array, p) for p in wanted if len(array) >= smallest_n(p)}


def median_interval(values: ArrayLike, level: float = 0.95, *, positive: bool = False) -> Interval:
    """Median of a time series with an interval that allows for autocorrelation.

    From 40 samples on the series is cut into up to 20 stretches of at least 8 in order; the interval is Student's t
    over their medians, widened by the correlation that is left between neighbouring stretches. Under 40 samples it is
    the order-statistic interval of as many independent samples as these are worth; where those are fewer than 6,
    there is none. Coverage is simulated (tests/coverage): as stated where neighbours are related over a tenth of the
    series or less; a series shorter than its own memory cannot show it, and there the interval is too short.

    `positive`: the values are times, rates or the like: the stretches' spread is taken in logarithms, so that the
    interval cannot reach below zero.
    """
    from scipy.stats import binom

    array = np.asarray(values, dtype=np.float64)
    n = len(array)
    if n == 0:
        raise TooFewSamples("median of no samples")
    centre = float(np.median(array))
    if n >= 40:
        medians = np.array([np.median(part) for part in np.array_split(array, min(20, n // 8))])
        logs = positive and float(medians.min()) > 0
        half = _half(np.log(medians) if logs else medians, level) * math.sqrt(_inflation(medians))
        if logs:
            return Interval(centre, centre * math.exp(-half), centre * math.exp(half), level, n)
        low = max(0.0, centre - half) if positive else centre - half
        return Interval(centre, low, centre + half, level, n)
    ordered = np.sort(array)
    worth = math.floor(n / _inflation(np.searchsorted(ordered, array).astype(np.float64)) + 1e-9)
    # largest r with P(B < r) <= (1 - level) / 2, of the samples' worth, as a rank of the samples
    rank = int(binom.ppf((1 - level) / 2, worth, 0.5) * n / worth) if worth else 0
    if rank < 1:
        return Interval(centre, math.nan, math.nan, level, n)
    return Interval(centre, float(ordered[rank - 1]), float(ordered[n - rank]), level, n)


def _inflation(series: Vector) -> float:
    """How many times the variance of a mean is what independent values would give: ``(1 + r) / (1 - r)`` for AR(1).

    `r` is the lag-1 autocorrelation, its bias of ``-(1 + 3 r) / n`` taken off (Kendall 1954), at least 0.
    """
    away = series - series.mean()
    total = float(away @ away)
    if total == 0:
        return 1.0
    r = float(away[1:] @ away[:-1]) / total
    r = min(0.98, max(0.0, r + (1 + 3 * max(r, 0.0)) / len(series)))
    return (1 + r) / (1 - r)


def _half(parts: Vector, level: float) -> float:
    """Half the width of Student's t interval of the mean of nearly independent `parts`."""
    from scipy.special import stdtrit

    return float(stdtrit(len(parts) - 1, 0.5 + level / 2) * parts.std(ddof=1) / math.sqrt(len(parts)))


def interval_of_stretches(estimate: float, means: ArrayLike, level: float = 0.95) -> Interval:
    """An estimate with the t interval that the means of its stretches give, widened where neighbours are related.

    None with fewer than five of them.
    """
    array = np.asarray(means, dtype=np.float64)
    half = _half(array, level) * math.sqrt(_inflation(array)) if len(array) >= 5 else math.nan
    return Interval(estimate, estimate - half, estimate + half, level, len(array))


def mean_interval(values: ArrayLike, level: float = 0.95, *, resamples: int = 2000, seed: int = 0) -> Interval:
    """Mean of independent, perhaps very skewed values (losses): studentised bootstrap (Efron 1981).

    A percentile bootstrap of few skewed values is far too short at its upper end.
    """
    array = np.asarray(values, dtype=np.float64)
    n = len(array)
    if n < 2:
        raise TooFewSamples(f"a bootstrap of {n} samples")
    mean, error = float(array.mean()), float(array.std(ddof=1)) / math.sqrt(n)
    if error == 0:
        return Interval(mean, mean, mean, level, n)
    rng = np.random.default_rng(seed)
    t = np.empty(resamples)
    for i in range(resamples):  # one at a time: thousands of images
        drawn = array[rng.integers(0, n, n)]
        spread = float(drawn.std(ddof=1)) / math.sqrt(n)
        t[i] = (drawn.mean() - mean) / spread if spread > 0 else math.copysign(math.inf, drawn.mean() - mean)
    low, high = np.quantile(t, [0.5 - level / 2, 0.5 + level / 2], method="inverted_cdf")
    return Interval(mean, mean - float(high) * error, mean - float(low) * error, level, n)


def bootstrap_interval(
    samples: ArrayLike,
    statistic: Callable[[Vector], Vector] | None = None,
    *,
    level: float = 0.95,
    resamples: int = 2000,
    block: int = 1,
    seed: int = 0,
) -> Interval:
    """Bootstrap interval of `statistic` (default: the mean), bias-corrected percentiles (Efron 1987, without `a`).

    Parameters
    ----------
    samples
        (n,) or (n, k): rows are resampled together.
    statistic
        Maps (resamples, n[, k]) to (resamples,): reduces axis 1.
    block
        Rows resampled in circular runs of this length (Politis & Romano 1992) where neighbours are related.
    """
    from scipy.special import ndtr

    array = np.asarray(samples, dtype=np.float64)
    n = len(array)
    if n < 2:
        raise TooFewSamples(f"a bootstrap of {n} samples")
    reduce = statistic or (lambda a: np.asarray(a.mean(axis=1), dtype=np.float64))
    estimate = float(reduce(array[None])[0])
    rng = np.random.default_rng(seed)
    starts = rng.integers(0, n, (resamples, math.ceil(n / block)))
    rows = ((starts[:, :, None] + np.arange(block)) % n).reshape(resamples, -1)[:, :n]
    spread = np.sort(reduce(array[rows]))
    below = float(np.mean(spread < estimate) + 0.5 * np.mean(spread == estimate))
    bias = normal_quantile(min(max(below, 0.5 / resamples), 1 - 0.5 / resamples))
    tail = normal_quantile(0.5 + level / 2)
    low, high = np.quantile(spread, [ndtr(2 * bias - tail), ndtr(2 * bias + tail)])
    return Interval(estimate, float(low), float(high), level, n)
