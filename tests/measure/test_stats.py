"""Intervals and percentiles against SciPy and by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import binom, binomtest, bootstrap, norm, t

from skytrigger.measure.stats import (
    Interval,
    TooFewSamples,
    _inflation,
    bootstrap_interval,
    interval_of_stretches,
    mean_interval,
    median_interval,
    newcombe,
    normal_quantile,
    percentile,
    percentiles,
    smallest_n,
    wilson,
    wilson_bounds,
)


@pytest.mark.parametrize(("k", "n"), [(0, 1), (1, 1), (0, 10), (10, 10), (3, 10), (80, 81), (2500, 5400)])
@pytest.mark.parametrize("level", [0.9, 0.95])
def test_wilson_against_scipy(k: int, n: int, level: float) -> None:
    found = wilson(k, n, level)
    oracle = binomtest(k, n).proportion_ci(level, "wilson")
    assert (found.low, found.high) == pytest.approx((oracle.low, oracle.high), abs=1e-12)
    assert (found.estimate, found.level, found.n) == (k / n, level, n)
    assert wilson_bounds(k / n, n, level) == pytest.approx((oracle.low, oracle.high), abs=1e-12)
    assert found.known
    assert wilson(k, n).level == 0.95


def test_wilson_at_the_edges_is_exact_and_takes_no_nonsense() -> None:
    assert wilson(0, 7).low == 0.0
    assert wilson(7, 7).high == 1.0
    assert wilson_bounds(1.0, 2.5)[1] == 1.0
    assert wilson_bounds(0.0, 2.5)[0] == 0.0
    assert wilson_bounds(0.5, 0.1)[0] >= 0.0
    for k, n in ((-1, 5), (6, 5), (0, 0)):
        with pytest.raises(ValueError, match=f"{k} of {n} is no proportion"):
            wilson(k, n)


def test_newcombe_against_the_published_examples() -> None:
    """Newcombe 1998, table II, method 10: rows (a) and (c)."""
    found = newcombe(wilson(56, 70), wilson(48, 80))
    assert (found.low, found.high) == pytest.approx((0.0524, 0.3339), abs=5e-5)
    assert found.estimate == pytest.approx(0.2)
    assert found.n == 70
    found = newcombe(wilson(5, 56), wilson(0, 29))
    assert (found.low, found.high) == pytest.approx((-0.0381, 0.1926), abs=5e-5)


def test_an_interval_says_when_it_is_unknown() -> None:
    known, unknown = Interval(2.0, 1.0, 4.0, 0.9, 7), Interval(2.0, math.nan, math.nan)
    assert known.known
    assert not unknown.known
    assert not Interval(2.0, 1.0, math.inf).known
    assert known.scaled(10) == Interval(20.0, 10.0, 40.0, 0.9, 7)
    assert known.to_json() == {"estimate": 2.0, "low": 1.0, "high": 4.0, "level": 0.9, "n": 7}
    assert unknown.to_json() == {"estimate": 2.0, "low": None, "high": None, "level": 0.95, "n": 0}


def test_percentiles_only_with_ten_samples_beyond() -> None:
    assert [smallest_n(p) for p in (50, 90, 95, 99, 99.9, 10, 1)] == [20, 100, 200, 1000, 10_000, 100, 1000]
    values = np.arange(1000.0)
    assert percentile(values, 99) == pytest.approx(np.percentile(values, 99))
    with pytest.raises(TooFewSamples, match="p99 of 999 samples: needs at least 1000"):
        percentile(values[1:], 99)
    assert list(percentiles(values)) == ["p50", "p90", "p95", "p99"]
    assert list(percentiles(np.arange(10_000.0))) == ["p50", "p90", "p95", "p99", "p99.9"]
    assert percentiles(np.arange(100.0)) == {"p50": 49.5, "p90": pytest.approx(89.1)}
    assert percentiles(np.arange(19.0)) == {}
    for bad in (0, 100, -5):
        with pytest.raises(ValueError, match=r"outside 0\.\.100"):
            smallest_n(bad)


def test_normal_quantile() -> None:
    assert normal_quantile(0.975) == pytest.approx(norm.ppf(0.975))


def _spread_out(n: int) -> np.ndarray:
    """0 to n - 1 in an order without correlation between neighbours."""
    if n < 3:
        return np.arange(float(n))
    return min(
        (np.random.default_rng(s).permutation(n) * 1.0 for s in range(50)),
        key=lambda v: np.corrcoef(v[1:], v[:-1])[0, 1],
    )


def test_order_statistics_under_40_samples() -> None:
    values = _spread_out(39)
    found = median_interval(values)
    rank = int(found.low) + 1
    assert binom.cdf(rank - 1, 39, 0.5) <= 0.025 < binom.cdf(rank, 39, 0.5)
    assert (found.estimate, found.high, found.n) == (19.0, 39.0 - rank, 39)
    assert (median_interval(_spread_out(6)).low, median_interval(_spread_out(6)).high) == (0.0, 5.0)
    for few in (1, 5):
        assert not median_interval(_spread_out(few)).known
    with pytest.raises(TooFewSamples, match="median of no samples"):
        median_interval([])
    assert median_interval(np.full(30, 7.0)) == Interval(7.0, 7.0, 7.0, 0.95, 30)


def test_samples_that_follow_each_other_are_worth_fewer() -> None:
    rising = np.arange(39.0)
    assert not median_interval(rising).known  # a drift: worth one or two samples
    slow = np.repeat(_spread_out(13), 3)
    assert median_interval(slow).high > median_interval(_spread_out(39) / 3).high
    r = np.corrcoef(_away(slow)[1:], _away(slow)[:-1])[0, 1]
    assert r > 0.4


def _away(values: np.ndarray) -> np.ndarray:
    return values - values.mean()


def test_inflation_by_hand() -> None:
    v = np.array([1.0, 2.0, 4.0, 3.0, 5.0, 5.0, 7.0, 6.0])
    d = _away(v)
    r = (d[1:] * d[:-1]).sum() / (d**2).sum()
    r += (1 + 3 * r) / 8
    assert 0 < r < 0.98
    assert _inflation(v) == pytest.approx((1 + r) / (1 - r))
    assert _inflation(np.array([0.0, 1.0] * 4)) == 1.0  # alternating: never narrower
    assert _inflation(np.ones(5)) == 1.0
    assert _inflation(np.arange(1000.0)) == pytest.approx(1.98 / 0.02)


def test_medians_of_stretches_from_40_samples_on() -> None:
    values = np.random.default_rng(1).gamma(3, size=400)
    medians = np.median(values.reshape(20, 20), axis=1)
    wider = math.sqrt(_inflation(medians))
    half = wider * t.ppf(0.975, 19) * medians.std(ddof=1) / math.sqrt(20)
    centre = np.median(values)
    found = median_interval(values)
    assert (found.low, found.high, found.n) == pytest.approx((centre - half, centre + half, 400))
    logs = wider * t.ppf(0.975, 19) * np.log(medians).std(ddof=1) / math.sqrt(20)
    found = median_interval(values, positive=True)
    assert (found.low, found.high) == pytest.approx((centre * math.exp(-logs), centre * math.exp(logs)))
    assert median_interval(values, 0.5).high < found.high
    forty = _spread_out(40)
    parts = np.median(forty.reshape(5, 8), axis=1)
    half = t.ppf(0.975, 4) * parts.std(ddof=1) / math.sqrt(5) * math.sqrt(_inflation(parts))
    assert median_interval(forty).high == pytest.approx(19.5 + half)


def test_mean_of_skewed_values_reaches_further_up() -> None:
    x = np.random.default_rng(6).normal(size=400)
    found = mean_interval(x)
    half = t.ppf(0.975, 399) * x.std(ddof=1) / 20
    assert found.estimate == pytest.approx(x.mean())
    assert (found.low, found.high) == pytest.approx((x.mean() - half, x.mean() + half), abs=0.12 * half)
    skewed = np.exp(2 * np.random.default_rng(7).normal(size=100))
    found = mean_interval(skewed)
    assert found.high - found.estimate > 1.5 * (found.estimate - found.low) > 0
    assert found.n == 100
    assert mean_interval(skewed) == found
    assert mean_interval(skewed, 0.5).high < found.high
    assert mean_interval([2.0, 2.0]) == Interval(2.0, 2.0, 2.0, 0.95, 2)
    with pytest.raises(TooFewSamples, match="a bootstrap of 1 samples"):
        mean_interval([1.0])


def test_a_mean_of_which_a_third_of_the_draws_see_one_value_alone() -> None:
    """(3/4)^4 of them draw no 1 and say that the mean may be as large as it likes, 1/4^4 no 0: too few to count."""
    found = mean_interval([0.0, 0.0, 0.0, 1.0])
    assert found.high == math.inf
    assert -1.0 < found.low < found.estimate == 0.25


def test_positive_values_with_zeros_among_them_stay_positive() -> None:
    values = np.tile([0.0, 0.0, 0.0, 5.0, 9.0, 9.0], 10)
    values[:12] = 0.0
    found = median_interval(values, positive=True)
    assert found.low == 0.0
    assert found.high > found.estimate
    assert median_interval(values).low < 0.0


def test_stretches_of_power() -> None:
    means = [10.0, 11.0, 9.0, 10.5, 9.5]
    assert _inflation(np.array(means)) == 1.0
    half = t.ppf(0.975, 4) * np.std(means, ddof=1) / math.sqrt(5)
    found = interval_of_stretches(10.2, means)
    assert (found.estimate, found.low, found.high, found.n) == pytest.approx((10.2, 10.2 - half, 10.2 + half, 5))
    rising = np.arange(8.0)
    half = t.ppf(0.975, 7) * rising.std(ddof=1) / math.sqrt(8) * math.sqrt(_inflation(rising))
    assert interval_of_stretches(3.5, rising).high == pytest.approx(3.5 + half)
    assert _inflation(rising) > 4
    few = interval_of_stretches(10.2, means[:4])
    assert (few.known, few.n, few.estimate) == (False, 4, 10.2)
    assert interval_of_stretches(10.2, means, 0.5).high < found.high


def test_bootstrap_of_a_mean_against_theory() -> None:
    x = np.random.default_rng(2).normal(size=200)
    found = bootstrap_interval(x, resamples=4000)
    half = 1.959964 * x.std() / math.sqrt(200)
    assert found.estimate == pytest.approx(x.mean())
    assert (found.low, found.high) == pytest.approx((x.mean() - half, x.mean() + half), abs=0.15 * half)
    assert found.n == 200
    assert bootstrap_interval(x, resamples=500) == bootstrap_interval(x, resamples=500)
    assert bootstrap_interval(x, resamples=500, seed=1) != bootstrap_interval(x, resamples=500)
    with pytest.raises(TooFewSamples, match="a bootstrap of 1 samples"):
        bootstrap_interval([1.0])
    assert bootstrap_interval([1.0, 2.0]).n == 2


def test_bias_is_corrected_towards_the_right_side() -> None:
    """A statistic that resampling biases: the plug-in variance of few samples. SciPy's BCa without acceleration."""
    x = np.random.default_rng(3).normal(size=12)

    def variance(a: np.ndarray) -> np.ndarray:
        return np.asarray(a.var(axis=1))

    found = bootstrap_interval(x, variance, resamples=20_000)
    plain = bootstrap(
        (x,), np.var, vectorized=True, n_resamples=20_000, method="percentile", rng=np.random.default_rng(0)
    ).confidence_interval
    assert found.low > plain.low + 0.05 * (plain.high - plain.low)
    assert found.high > plain.high + 0.05 * (plain.high - plain.low)
    # by its definition (Efron 1987): quantiles at 2 z0 -+ 1.96
    rng = np.random.default_rng(0)
    spread = x[rng.integers(0, 12, (20_000, 12))].var(axis=1)
    z0 = norm.ppf((spread < x.var()).mean())
    expected = np.quantile(spread, norm.cdf([2 * z0 - 1.959964, 2 * z0 + 1.959964]))
    assert (found.low, found.high) == pytest.approx(tuple(expected), rel=0.02)


def test_rows_are_drawn_in_runs() -> None:
    """Neighbours that are equal in tens: single draws make the interval sqrt(10) times too short."""
    x = np.repeat(np.random.default_rng(4).normal(size=300), 10)
    single = bootstrap_interval(x, resamples=1000)
    runs = bootstrap_interval(x, resamples=1000, block=60)
    ratio = (runs.high - runs.low) / (single.high - single.low)
    assert ratio == pytest.approx(math.sqrt(10), rel=0.15)
    # a run as long as the series: every resample is the whole series, turned
    whole = bootstrap_interval(x, resamples=50, block=3000)
    assert whole.high - whole.low < 1e-12


def test_rows_of_several_columns_stay_together() -> None:
    pairs = np.random.default_rng(5).normal(size=(50, 1)) + np.array([0.0, 3.0])
    found = bootstrap_interval(pairs, lambda a: np.asarray((a[..., 1] - a[..., 0]).mean(axis=1)), resamples=200)
    assert (found.low, found.high) == pytest.approx((3.0, 3.0))


@pytest.mark.parametrize("block", [1, 3])
def test_bootstrap_by_its_definition_with_ties(block: int) -> None:
    """Efron's bias correction counts a resample equal to the estimate as half below it."""
    x = np.array([0.0, 0, 1, 1, 0, 1, 0, 0, 1, 0])
    found = bootstrap_interval(x, resamples=500, block=block, seed=3)
    starts = np.random.default_rng(3).integers(0, 10, (500, math.ceil(10 / block)))
    means = []
    for row in starts:
        drawn = [x[(s + k) % 10] for s in row for k in range(block)][:10]
        means.append(np.mean(drawn))
    below = np.mean(np.array(means) < 0.4 - 1e-12) + 0.5 * np.mean(np.isclose(means, 0.4))
    z0 = norm.ppf(below)
    expected = np.quantile(means, norm.cdf([2 * z0 - 1.959964, 2 * z0 + 1.959964]))
    assert (found.low, found.high) == pytest.approx(tuple(expected), abs=1e-6)
    assert found.level == 0.95


def test_a_statistic_beyond_all_its_resamples_still_has_an_interval() -> None:
    x = np.arange(9.0)
    low = bootstrap_interval(x, lambda a: np.where(a.shape[0] == 1, -1.0, a.mean(axis=1)), resamples=200)
    high = bootstrap_interval(x, lambda a: np.where(a.shape[0] == 1, 99.0, a.mean(axis=1)), resamples=200)
    assert math.isfinite(low.low)
    assert math.isfinite(high.high)
    means = x[np.random.default_rng(0).integers(0, 9, (200, 9))].mean(axis=1)
    z0 = norm.ppf(0.5 / 200)
    for found, sign in ((low, 1), (high, -1)):
        ends = norm.cdf([2 * sign * z0 - 1.959964, 2 * sign * z0 + 1.959964])
        assert (found.low, found.high) == pytest.approx(tuple(np.quantile(means, ends)))


def test_levels_are_told() -> None:
    assert newcombe(wilson(5, 9, 0.8), wilson(3, 9, 0.8)).level == 0.8
    assert interval_of_stretches(1.0, [1.0, 2, 3, 4, 5], 0.8).level == 0.8
    assert bootstrap_interval([1.0, 2, 4], level=0.8, resamples=20).level == 0.8
    assert median_interval(np.arange(50.0), 0.8).level == 0.8
    assert median_interval(np.arange(50.0), 0.8, positive=True).level == 0.8
    assert median_interval(_spread_out(20), 0.8).level == median_interval([1.0], 0.8).level == 0.8
