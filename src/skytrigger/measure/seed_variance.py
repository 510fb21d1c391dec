"""Seeds as a variance component: what another training run would have changed, next to other test images."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from skytrigger.measure.stats import Interval, wilson


@dataclass(frozen=True)
class SeedVariance:
    """Accuracy over seeds and images.

    `seed_sd` and `image_se` are the standard deviation between seeds and the standard error from the choice of
    images, as fractions; `accuracy`'s interval holds both and stays within 0 and 1. With one seed `seed_sd` is NaN and
    the interval is Wilson's, about that one network.
    """

    seeds: int
    accuracy: Interval
    seed_sd: float
    image_se: float


def seed_variance(right: NDArray[np.bool_], level: float = 0.95) -> SeedVariance:
    """Two-way random effects without replication, seeds x images: ``Var(mean) = (MSs + MSi - MSe) / (S n)``.

    Parameters
    ----------
    right
        (seeds, images) whether each seed's network was right.
    """
    seeds, n = right.shape
    answers = right.astype(np.float64)
    mean = float(answers.mean())
    image_var, seed_var = _components(answers)
    image_se = math.sqrt(image_var / n)
    if seeds == 1:
        return SeedVariance(1, wilson(int(right.sum()), n, level), math.nan, image_se)
    half = _half_width(image_var / n, [(seed_var / seeds, seeds - 1)], level)
    accuracy = Interval(mean, max(0.0, mean - half), min(1.0, mean + half), level, n)
    return SeedVariance(seeds, accuracy, math.sqrt(seed_var), image_se)


def seed_difference(right_a: NDArray[np.bool_], right_b: NDArray[np.bool_], level: float = 0.95) -> Interval:
    """Accuracy of recipe B minus recipe A, each trained with several seeds, on the same images.

    The variance is that of the images' mean differences plus each side's seed component over its seeds; Student's t
    with Welch and Satterthwaite's degrees of freedom, so that three seeds are not taken for many.

    Parameters
    ----------
    right_a, right_b
        (seeds, images), at least two seeds each.
    """
    if min(len(right_a), len(right_b)) < 2:
        raise ValueError("a seed component needs at least two seeds on each side")
    a, b = right_a.astype(np.float64), right_b.astype(np.float64)
    n = a.shape[1]
    d = b.mean(axis=0) - a.mean(axis=0)
    parts = [(_components(x)[1] / len(x), len(x) - 1) for x in (a, b)]
    half = _half_width(float(d.var(ddof=1)) / n, parts, level)
    mean = float(d.mean())
    return Interval(mean, max(-1.0, mean - half), min(1.0, mean + half), level, n)


def _components(answers: NDArray[np.float64]) -> tuple[float, float]:
    """(variance of the images' means over seeds, variance between seeds) of (seeds, images)."""
    seeds, n = answers.shape
    of_images = float(answers.mean(axis=0).var(ddof=1))
    if seeds == 1:
        return of_images, math.nan
    by_seed, by_image = answers.mean(axis=1, keepdims=True), answers.mean(axis=0, keepdims=True)
    residual = answers - by_seed - by_image + answers.mean()
    error = float((residual**2).sum() / ((seeds - 1) * (n - 1)))
    return of_images, max(0.0, float(by_seed.var(ddof=1)) - error / n)


def _half_width(image_var: float, seed_vars: list[tuple[float, int]], level: float) -> float:
    from scipy.special import stdtrit

    total = image_var + sum(v for v, _ in seed_vars)
    if total == 0:
        return 0.0
    spread = sum(v * v / df for v, df in seed_vars)
    df = min(total * total / spread, 1e6) if spread > 0 else 1e6
    return float(stdtrit(df, 0.5 + level / 2) * math.sqrt(total))
