"""Percentiles and intervals, against their definitions, coverage and a published example."""

from __future__ import annotations

import math

import numpy as np
import pytest

from skytrigger.measure.stats import (
    TooFewSamples,
    bootstrap_interval,
    mean_interval,
    median_interval,
    newcombe,
    percentile,
    percentiles,
    wilson,
)


def test_percentiles_are_refused_below_their_sample_size() -> None:
    values = np.arange(999.0)
    with pytest.raises(TooFewSamples, match="p99 of 999"):
        percentile(values, 99)
    assert percentile(np.arange(1000.0), 99) == pytest.approx(np.percentile(np.arange(1000.0), 99))
    assert set(percentiles(values)) == {"p50", "p90", "p95"}
    assert set(percentiles(np.arange(10_000.0))) == {"p50", "p90", "p95", "p99", "p99.9"}
    with pytest.raises(TooFewSamples, match="p1 of"):
        percentile(values, 1)
    assert percentiles(np.arange(5.0)) == {}


def test_median_interval_covers_under_autocorrelation() -> None:
    rng = np.random.default_rng(0)
    runs, n, phi = 400, 2000, 0.9
    steps = rng.standard_normal((runs, n))
    series = np.empty_like(steps)
    series[:, 0] = steps[:, 0] / np.sqrt(1 - phi**2)
    for i in range(1, n):
        series[:, i] = phi * series[:, i - 1] + steps[:, i]
    ours = np.mean([(iv := median_interval(row)).low <= 0 <= iv.high for row in series])
    ordered = np.sort(series, axis=1)
    half = int(1.96 * np.sqrt(n) / 2)
    naive = np.mean((ordered[:, n // 2 - half] <= 0) & (ordered[:, n // 2 + half] >= 0))
    assert 0.91 <= ours <= 0.98
    assert naive < 0.65


@pytest.mark.parametrize("n", [6, 8, 12, 20, 39])
def test_median_interval_of_few_samples_covers(n: int) -> None:
    rows = np.random.default_rng(n).exponential(size=(2000, n))
    known = [iv for iv in map(median_interval, rows) if iv.known]
    assert len(known) >= 0.5 * len(rows)  # where neighbours look alike so few samples give no interval
    assert np.mean([iv.low <= np.log(2) <= iv.high for iv in known]) >= 0.94


def test_median_interval_of_too_few_samples_is_unknown() -> None:
    found = median_interval([1.0, 2.0, 3.0])
    assert found.estimate == 2.0
    assert not found.known
    assert found.to_json()["low"] is None
    with pytest.raises(TooFewSamples):
        median_interval([])


def test_bootstrap_interval_covers_the_mean() -> None:
    rng = np.random.default_rng(1)
    hit = [(iv := bootstrap_interval(rng.exponential(size=60), resamples=400)).low <= 1 <= iv.high for _ in range(300)]
    assert 0.89 <= np.mean(hit) <= 0.98
    rows = np.column_stack([np.arange(1.0, 41.0), np.arange(2.0, 82.0, 2)])
    ratio = bootstrap_interval(rows, lambda a: a[..., 1].sum(axis=1) / a[..., 0].sum(axis=1))
    assert (ratio.low, ratio.high) == pytest.approx((2.0, 2.0))  # rows stay together
    with pytest.raises(TooFewSamples):
        bootstrap_interval([1.0])


def test_interval_of_times_stays_above_zero_and_covers() -> None:
    rng = np.random.default_rng(5)
    wild = rng.lognormal(0.0, 3.0, 40)  # a plain t interval of its stretches' medians goes below zero
    assert median_interval(wild).low < 0 < median_interval(wild, positive=True).low
    steps = [0.0, 0.0, 0.0, 90.0] * 3  # stretches of five with medians of 0, which have no logarithm
    assert median_interval(np.repeat(steps, 5), positive=True).low == 0.0
    rows = rng.lognormal(0.0, 0.5, (1000, 200))
    hit = [(iv := median_interval(row, positive=True)).low <= 1.0 <= iv.high for row in rows]
    assert 0.93 <= np.mean(hit) <= 0.975


def test_newcombe_matches_the_published_example() -> None:
    # Newcombe (1998), table II, example (a): 56/70 against 48/80, method 10
    found = newcombe(wilson(56, 70), wilson(48, 80))
    assert (found.estimate, found.low, found.high) == pytest.approx((0.2, 0.0524, 0.3339), abs=5e-5)


def test_draws_of_one_value_leave_the_mean_open_on_their_side() -> None:
    """Three zeros and a one: every third draw is zeros alone, which says nothing of how far up the mean may lie."""
    found = mean_interval([0.0, 0.0, 0.0, 1.0])
    assert found.high == math.inf
    assert -1.0 < found.low < found.estimate == 0.25
    mirrored = mean_interval([0.0, 0.0, 0.0, -1.0])
    assert mirrored.low == -math.inf
    assert -0.25 < mirrored.high < 1.0
