"""Is a network's confidence honest? The binned error, an interval that holds for it, and a test of no error at all.

Let ``g_b`` be a bin's true gap (accuracy minus confidence), ``w_b`` its share of the images, ``e_b`` the noise of the
observed gap. What is sought is ``E = sum w_b |g_b|``; what is seen, ``T = sum w_b |g_b + e_b|``, lies above it on
average: bins without any gap show one. Neither end of the interval takes the noise's distribution about ``T`` for
granted:

- ``T >= sum w_b sign(g_b) (g_b + e_b) = E + (a sum of as many terms as images, of mean 0)``: so ``E`` lies at most that
  sum's quantile above ``T``;
- ``T <= E + sum w_b |e_b|``: so ``E`` lies at least ``T`` minus the quantile of what noise alone would show.

Both hold for any gaps and bins, so the interval covers at least its level (simulated: tests/coverage). It is wider
than one that knew the gaps. Whether there is an error at all is asked more sharply by `calibrated_p`, which knows the
noise that the stated probabilities have: it may say no where the interval, which allows for more noise, begins at 0.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from skytrigger.measure.stats import Interval, normal_quantile, wilson

Flags = NDArray[np.bool_]
Vector = NDArray[np.float64]
BINS = 15
PRIOR = 2.0  # answers of either kind added to a bin before its accuracy is believed (Agresti & Coull 1998)


def calibration_error(confidence: Vector, right: Flags, bins: int = BINS) -> float:
    """Expected calibration error: mean absolute gap between confidence and accuracy (Guo et al. 2017, eq. 5).

    Bins of equal width over 0 to 1. As an estimate of the true error it is biased upwards, the more the fewer images.
    """
    gaps = np.bincount(_bin_of(confidence, bins), right - confidence, bins)
    return float(np.abs(gaps).sum() / len(right))


def calibration_interval(
    confidence: Vector, right: Flags, *, bins: int = BINS, level: float = 0.95, resamples: int = 2000
) -> Interval:
    """The true error of these bins, between bounds that hold whatever the gaps are (this module's docstring).

    `estimate` is `calibration_error`. A gap that changes its sign within a bin is not seen by binning: there the low
    end remains right for the unbinned error, the high end does not.

    Parameters
    ----------
    confidence, right
        (n,) probability that the network gave its answer, and whether it was right.
    """
    n = len(right)
    estimate = calibration_error(confidence, right, bins)
    return Interval(
        estimate,
        max(0.0, estimate - _noise_alone(confidence, right, bins, level, resamples)),
        min(1.0, estimate + _linear_margin(confidence, right, level)),
        level,
        n,
    )


def calibrated_p(confidence: Vector, right: Flags, *, bins: int = BINS, resamples: int = 1999) -> float:
    """p of the hypothesis that every confidence is the true probability of being right (Bröcker & Smith 2007).

    Answers are drawn with the stated probabilities, and p is how often `calibration_error` comes out as large: exact
    for any number of images.
    """
    rng = np.random.default_rng(0)
    place = _bin_of(confidence, bins)
    seen = np.abs(np.bincount(place, right - confidence, bins)).sum()
    drawn = np.array(
        [np.abs(np.bincount(place, (rng.random(len(right)) < confidence) - confidence, bins)).sum()
         for _ in range(resamples)]
    )  # fmt: skip
    return float((1 + np.count_nonzero(drawn >= seen * (1 - 1e-12))) / (1 + resamples))


def _bin_of(confidence: Vector, bins: int) -> NDArray[np.int64]:
    return np.minimum((confidence * bins).astype(np.int64), bins - 1)


def _noise_alone(confidence: Vector, right: Flags, bins: int, level: float, resamples: int) -> float:
    """Upper quantile of ``sum w_b |e_b|``: the larger of two, with accuracies as stated and as seen.

    Within a bin answers are drawn with one probability: no less variable than with several of that mean.
    """
    rng = np.random.default_rng(0)
    place = _bin_of(confidence, bins)
    held = np.bincount(place, minlength=bins)
    used = held > 0
    count = held[used]
    stated = np.bincount(place, confidence, bins)[used] / count
    seen = (np.bincount(place, right, bins)[used] + PRIOR) / (count + 2 * PRIOR)
    worst = 0.0
    for accuracy in (np.clip(stated, 0, 1), seen):
        drawn = rng.binomial(count, accuracy, (resamples, len(count))) - count * accuracy
        noise = np.abs(drawn).sum(axis=1) / len(right)
        worst = max(worst, float(np.quantile(noise, 0.5 + level / 2, method="higher")))
    return worst


def _linear_margin(confidence: Vector, right: Flags, level: float) -> float:
    """Upper margin of a sum of signed gaps: Wilson's on the wider side, or the normal one of the squared gaps.

    The squared gaps' mean bounds the variance for any signs; Wilson's margin is there for a handful of errors.
    """
    n = len(right)
    accuracy = wilson(int(right.sum()), n, level)
    normal = normal_quantile(0.5 + level / 2) * float(np.sqrt(np.mean((right - confidence) ** 2) / n))
    return max(accuracy.estimate - accuracy.low, accuracy.high - accuracy.estimate, normal)
