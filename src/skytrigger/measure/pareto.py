"""Which choices nothing beats on every count, and how sure that is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skytrigger.measure.stats import Interval, normal_quantile


@dataclass(frozen=True)
class Candidate:
    """A choice with intervals of what is wanted low (``ms_per_item``, ``joules``) or high (``accuracy``)."""

    name: str
    figures: Mapping[str, Interval]


def on_front(values: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Rows of (..., points, goals), all goals wanted low, that no other row equals or beats with one better."""
    a, b = values[..., :, None, :], values[..., None, :, :]
    beaten = ((b <= a).all(axis=-1) & (b < a).any(axis=-1)).any(axis=-1)
    return np.logical_not(np.asarray(beaten, dtype=np.bool_))


def front_probability(
    candidates: Sequence[Candidate], goals: Mapping[str, int], *, draws: int = 4000, seed: int = 0
) -> list[dict[str, Any]]:
    """For each candidate whether it is on the front by its estimates, and the probability that it truly is.

    Each figure is drawn from a normal distribution about its estimate whose width is its interval's, figures and
    candidates independent of each other. A figure without an interval is taken as exact, and ``uncertain`` says so.

    Parameters
    ----------
    goals
        Figure -> +1 (wanted high) or -1 (wanted low). Candidates that lack one of them are left out.
    """
    whole = [c for c in candidates if all(g in c.figures for g in goals)]
    if not whole:
        return []
    sign = -np.array(list(goals.values()), dtype=np.float64)
    estimates = np.array([[c.figures[g].estimate for g in goals] for c in whole])
    widths = np.array([[_sd(c.figures[g]) for g in goals] for c in whole])
    rng = np.random.default_rng(seed)
    noise = rng.standard_normal((draws, *estimates.shape))
    chances = np.zeros(len(whole))
    for part in np.array_split(noise, 20):
        chances += on_front((estimates + part * widths) * sign).sum(axis=0)
    front = on_front(estimates * sign)
    return [
        {
            "name": c.name,
            "on_front": bool(front[i]),
            "probability": float(chances[i] / draws),
            "uncertain": [g for g in goals if not c.figures[g].known],
            **{g: c.figures[g].to_json() for g in goals},
        }
        for i, c in enumerate(whole)
    ]


def _sd(interval: Interval) -> float:
    if not interval.known:
        return 0.0
    return (interval.high - interval.low) / 2 / normal_quantile(0.5 + interval.level / 2)
