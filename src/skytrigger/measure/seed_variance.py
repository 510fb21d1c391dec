"""Seeds as a variance component: what another training run would have changed, next to other test images.

All seeds are judged on the same images, so their accuracies share the images' luck: the mean over seeds and images
has variance ``V_images / n + V_seeds / S + V_rest / (S n)``. The variance between the seeds' accuracies estimates
``V_seeds + V_rest / n`` with only ``S - 1`` degrees of freedom. Subtracting the rest and cutting at zero, as analysis
of variance does, forgets that the estimate may be small by chance (it covered 71 to 91 % with two and three seeds).
Nothing is subtracted here: the half widths of Student's t of the seeds and of the images are added in squares, which
covers at least the level whatever the components are (Banerjee 1960). With two seeds (one degree of freedom, t =
12.7) that is wide, because two seeds say little about a third; from five on it is hardly wider than if the spread
were known.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from skytrigger.measure.accuracy import tango
from skytrigger.measure.stats import Interval, wilson, wilson_bounds


@dataclass(frozen=True)
class SeedVariance:
    """Accuracy over seeds and images.

    `seed_sd` and `image_se` are estimates of the standard deviation between seeds (by moments, cut at 0: for
    description, the interval does not rest on it) and of the standard error from the choice of images, as fractions;
    `accuracy`'s interval holds both and stays within 0 and 1. With one seed `seed_sd` is NaN and the interval is
    Wilson's, about that one network.
    """

    seeds: int
    accuracy: Interval
    seed_sd: float
    image_se: float


@dataclass(frozen=True)
class _Parts:
    """Variances of (seeds, images): of the images' means, between seeds as seen, and of the rest within one seed."""

    of_images: float
    between: float
    rest: float
    seeds: int

    @staticmethod
    def of(answers: NDArray[np.float64]) -> _Parts:
        seeds, n = answers.shape
        of_images = float(answers.mean(axis=0).var(ddof=1)) / n
        if seeds == 1:
            return _Parts(of_images, math.nan, math.nan, 1)
        by_seed, by_image = answers.mean(axis=1, keepdims=True), answers.mean(axis=0, keepdims=True)
        residual = answers - by_seed - by_image + answers.mean()
        rest = float((residual**2).sum() / ((seeds - 1) * (n - 1))) / n
        return _Parts(of_images, float(by_seed.var(ddof=1)), rest, seeds)

    def seeds_half(self, level: float) -> float:
        """Half width of Student's t interval over the seeds, whose spread holds the rest."""
        from scipy.special import stdtrit

        return float(stdtrit(self.seeds - 1, 0.5 + level / 2)) * math.sqrt(self.between / self.seeds)


def seed_variance(right: NDArray[np.bool_], level: float = 0.95) -> SeedVariance:
    """Mean accuracy of a recipe, over seeds and images like these.

    Parameters
    ----------
    right
        (seeds, images) whether each seed's network was right.
    """
    seeds, n = right.shape
    mean = float(right.mean())
    parts = _Parts.of(right.astype(np.float64))
    image_se = math.sqrt(parts.of_images)
    if seeds == 1:
        return SeedVariance(1, wilson(int(right.sum()), n, level), math.nan, image_se)
    held, share = _independent_images(right.mean(axis=0), parts.rest / seeds)
    low, high = wilson_bounds(mean, held, level)
    half = parts.seeds_half(level)
    below, above = (_added(margin, share, half) for margin in (mean - low, high - mean))
    accuracy = Interval(mean, max(0.0, mean - below), min(1.0, mean + above), level, n)
    return SeedVariance(seeds, accuracy, math.sqrt(max(0.0, parts.between - parts.rest)), image_se)


def seed_difference(right_a: NDArray[np.bool_], right_b: NDArray[np.bool_], level: float = 0.95) -> Interval:
    """Accuracy of recipe B minus recipe A, each trained with several seeds, on the same images.

    Three half widths added in squares: Student's t over either side's seeds, and Tango's over the images' differences.

    Parameters
    ----------
    right_a, right_b
        (seeds, images), at least two seeds each.
    """
    if min(len(right_a), len(right_b)) < 2:
        raise ValueError("a seed component needs at least two seeds on each side")
    a, b = right_a.astype(np.float64), right_b.astype(np.float64)
    d = b.mean(axis=0) - a.mean(axis=0)
    n = len(d)
    mean, square = float(d.mean()), float((d**2).mean())
    # a table of pairs with this mean and variance
    paired = tango((square + mean) / 2 * n, (square - mean) / 2 * n, n, level)
    sides = [_Parts.of(a), _Parts.of(b)]
    variance = float(d.var(ddof=1)) / n
    rest = sum(side.rest / side.seeds for side in sides)
    share = max(0.0, 1 - rest / variance) if variance > 0 else 1.0
    half = math.hypot(*(side.seeds_half(level) for side in sides))
    below, above = (_added(margin, share, half) for margin in (mean - paired.low, paired.high - mean))
    return Interval(mean, max(-1.0, mean - below), min(1.0, mean + above), level, n)


def _independent_images(by_image: NDArray[np.float64], rest: float) -> tuple[float, float]:
    """How many images, judged once and independently, would vary as these means over seeds do; and what share of that
    variance is the images' own (`rest` is not).

    Two images that all get wrong and two that all get right are added (Agresti & Coull 1998), so that images too hard
    for any seed count although these tiles may hold none by luck. Never fewer than there are: more seeds are no loss.
    """
    n = len(by_image)
    known = np.concatenate([by_image, [0.0, 0.0, 1.0, 1.0]])
    mean, variance = float(known.mean()), float(known.var())
    return max(float(n), n * mean * (1 - mean) / variance), max(0.0, 1 - rest / (variance / n))


def _added(images: float, share: float, seeds: float) -> float:
    """Half widths in squares; the seeds' holds what is not the images' own `share`. Never narrower than the images'."""
    return max(images, math.hypot(math.sqrt(share) * images, seeds))
