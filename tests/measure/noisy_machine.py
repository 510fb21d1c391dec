"""A machine with drift, bursts and autocorrelated noise, for many runs at once."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def log_noise(
    rng: np.random.Generator,
    runs: int,
    slots: int,
    *,
    white: float = 0.05,
    drift: float = 0.1,
    ar: float = 0.03,
    phi: float = 0.9,
    burst_chance: float = 0.01,
    burst_slots: int = 5,
    burst: float = 0.5,
) -> Array:
    """(runs, slots) additive noise of the log time.

    White noise; a linear and a sinusoidal drift; AR(1) with coefficient `phi`; bursts that begin with `burst_chance` at
    each slot, last `burst_slots` and slow things by an exponentially distributed factor.
    """
    t = np.linspace(0, 1, slots)
    noise = white * rng.standard_normal((runs, slots)) + drift * rng.standard_normal((runs, 1)) * t
    period = rng.uniform(0.3, 3, (runs, 1))
    noise += drift * rng.standard_normal((runs, 1)) * np.sin(2 * np.pi * (period * t + rng.random((runs, 1))))
    steps = ar * np.sqrt(1 - phi**2) * rng.standard_normal((runs, slots))
    state = ar * rng.standard_normal(runs)
    for i in range(slots):
        state = phi * state + steps[:, i]
        noise[:, i] += state
    begins = rng.random((runs, slots)) < burst_chance
    slow = np.where(begins, rng.exponential(burst, (runs, slots)), 0.0)
    worst = slow.copy()
    for lag in range(1, burst_slots):
        worst[:, lag:] = np.maximum(worst[:, lag:], slow[:, :-lag])
    return noise + worst


def palindromic(rng: np.random.Generator, runs: int, blocks: int, arms: int) -> NDArray[np.int64]:
    """(runs, blocks, 2 arms) which arm each slot visits: a random order and its reverse."""
    order = np.argsort(rng.random((runs, blocks, arms)), axis=2)
    return np.concatenate([order, order[:, :, ::-1]], axis=2)


def simulate(rng: np.random.Generator, runs: int, blocks: int, effect: float, **noise: float) -> tuple[Array, Array]:
    """(runs, blocks) log ratios B / A with a true effect, and of the control C / A."""
    order = palindromic(rng, runs, blocks, 3)
    times = log_noise(rng, runs, blocks * 6, **noise).reshape(runs, blocks, 6)  # type: ignore[arg-type]
    a, c, b = (np.where(order == arm, times, 0).sum(axis=2) / 2 for arm in range(3))
    return b + effect - a, c - a
