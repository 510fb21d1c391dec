"""Seeds and images: parts by hand, edges; coverage is simulated in tests/coverage."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import t

from skytrigger.measure.accuracy import tango
from skytrigger.measure.seed_variance import seed_difference, seed_variance
from skytrigger.measure.stats import wilson, wilson_bounds


def _right(seeds: int, images: int, seed: int = 0, spread: float = 0.3) -> np.ndarray:
    rng = np.random.default_rng(seed)
    hard = rng.standard_normal(images)
    return hard + spread * rng.standard_normal((seeds, 1)) + 0.5 * rng.standard_normal((seeds, images)) < 1.3


def test_accuracy_of_three_seeds_by_hand() -> None:
    right = _right(3, 300)
    found = seed_variance(right)
    x = right.astype(float)
    mean, by_seed, by_image = x.mean(), x.mean(axis=1), x.mean(axis=0)
    residual = x - by_seed[:, None] - by_image + mean
    rest = (residual**2).sum() / (2 * 299) / 300
    assert found.seeds == 3
    assert found.accuracy.estimate == pytest.approx(mean)
    assert found.accuracy.n == 300
    assert found.image_se == pytest.approx(by_image.std(ddof=1) / math.sqrt(300))
    assert found.seed_sd == pytest.approx(math.sqrt(by_seed.var(ddof=1) - rest))
    seeds = t.ppf(0.975, 2) * by_seed.std(ddof=1) / math.sqrt(3)
    known = np.append(by_image, [0, 0, 1, 1])
    held = 300 * known.mean() * (1 - known.mean()) / known.var()
    assert held > 300
    low, high = wilson_bounds(mean, held)
    share = 1 - rest / 3 / (known.var() / 300)
    assert 0 < share < 1
    assert found.accuracy.low == pytest.approx(mean - math.sqrt(share * (mean - low) ** 2 + seeds**2))
    assert found.accuracy.high == pytest.approx(mean + math.sqrt(share * (high - mean) ** 2 + seeds**2))


def test_difference_of_recipes_by_hand() -> None:
    a, b = _right(3, 200, 1), _right(4, 200, 2)
    found = seed_difference(a, b)
    d = b.mean(axis=0) - a.mean(axis=0)
    seeds_squared, rest = 0.0, 0.0
    for right in (a.astype(float), b.astype(float)):
        count, by_seed = len(right), right.mean(axis=1)
        residual = right - by_seed[:, None] - right.mean(axis=0) + right.mean()
        rest += (residual**2).sum() / ((count - 1) * 199) / 200 / count
        seeds_squared += t.ppf(0.975, count - 1) ** 2 * by_seed.var(ddof=1) / count
    square = (d**2).mean()
    paired = tango((square + d.mean()) / 2 * 200, (square - d.mean()) / 2 * 200, 200)
    share = 1 - rest / (d.var(ddof=1) / 200)
    assert 0 < share < 1
    assert found.estimate == pytest.approx(d.mean())
    assert found.low == pytest.approx(d.mean() - math.sqrt(share * (d.mean() - paired.low) ** 2 + seeds_squared))
    assert found.high == pytest.approx(d.mean() + math.sqrt(share * (paired.high - d.mean()) ** 2 + seeds_squared))
    assert found.n == 200
    mirrored = seed_difference(b, a)
    assert (mirrored.low, mirrored.high) == pytest.approx((-found.high, -found.low))


def test_one_seed_is_wilsons_about_that_network() -> None:
    right = _right(1, 120)
    found = seed_variance(right)
    assert found.accuracy == wilson(int(right.sum()), 120)
    assert math.isnan(found.seed_sd)
    assert found.image_se == pytest.approx(right[0].std(ddof=1) / math.sqrt(120))


def test_equal_seeds_leave_the_images() -> None:
    """Five copies of one network: nothing between them, and no more than one network knows."""
    right = np.repeat(_right(1, 120), 5, axis=0)
    found = seed_variance(right)
    one = wilson(int(right[0].sum()), 120)
    assert found.seed_sd == 0.0
    assert (found.accuracy.low, found.accuracy.high) == pytest.approx((one.low, one.high), abs=0.002)
    assert found.accuracy.high - found.accuracy.low >= 0.99 * (one.high - one.low)
    nothing = seed_difference(right, right)
    assert (nothing.low, nothing.high) == pytest.approx((tango(0, 0, 120).low, tango(0, 0, 120).high))


def test_all_right_and_all_wrong_have_wilsons_width() -> None:
    right = np.ones((3, 50), bool)
    assert seed_variance(right).accuracy.low == pytest.approx(wilson(50, 50).low, abs=1e-9)
    assert seed_variance(right).accuracy.high == 1.0
    assert seed_variance(~right).accuracy.low == 0.0
    assert seed_variance(~right).accuracy.high == pytest.approx(wilson(0, 50).high, abs=1e-9)
    found = seed_difference(~right, right)
    assert (found.estimate, found.high) == (1.0, 1.0)
    assert found.low < 1.0


def test_two_seeds_say_little() -> None:
    """One degree of freedom: t is 12.7, three times that of three seeds."""
    rng = np.random.default_rng(5)
    widths = {
        seeds: np.median([
            (i := seed_variance(rng.random((seeds, 5000)) < 0.9 + 0.02 * rng.standard_normal((seeds, 1))).accuracy).high
            - i.low for _ in range(100)
        ])
        for seeds in (2, 3, 5, 10)
    }  # fmt: skip
    assert widths[2] > 1.8 * widths[3] > 1.8 * 1.3 * widths[5] > 1.8 * 1.3 * 1.3 * widths[10]


def test_level_moves_the_ends() -> None:
    right = _right(3, 300)
    assert seed_variance(right, 0.8).accuracy.high < seed_variance(right).accuracy.high
    assert seed_difference(right, ~right, 0.8).high < seed_difference(right, ~right).high
    with pytest.raises(ValueError, match="at least two seeds"):
        seed_difference(right, right[:1])


def test_what_is_told_beside_the_interval() -> None:
    right = _right(3, 300)
    assert seed_variance(right, 0.8).accuracy.level == 0.8
    assert seed_variance(right[:1], 0.8).accuracy == wilson(int(right[0].sum()), 300, 0.8)
    assert seed_variance(right[:1]).seeds == 1
    assert seed_difference(right, right[::-1], 0.8).level == 0.8
    assert seed_difference(right[:2], right[1:]).known  # two on each side are enough
    with pytest.raises(ValueError, match=r"^a seed component needs at least two seeds on each side$"):
        seed_difference(right[:1], right)


def test_levels_reach_every_part() -> None:
    """Equal seeds leave only the images', equal images only the seeds' part: both follow the level."""
    same = np.repeat(_right(1, 120), 3, axis=0)
    one = wilson(int(same[0].sum()), 120, 0.8)
    found = seed_variance(same, 0.8).accuracy
    assert found.high - found.low == pytest.approx(one.high - one.low, rel=0.02)
    pair = seed_difference(same, same, 0.8)
    assert (pair.low, pair.high) == pytest.approx((tango(0, 0, 120, 0.8).low, tango(0, 0, 120, 0.8).high))


def test_differences_stay_within_one() -> None:
    rng = np.random.default_rng(0)
    bad, good = rng.random((2, 30)) < np.array([[0.02], [0.4]]), rng.random((2, 30)) < np.array([[0.98], [0.6]])
    assert seed_difference(bad, good).high == 1.0
    assert seed_difference(good, bad).low == -1.0
    assert seed_variance(good).accuracy.high == 1.0
    assert seed_variance(bad).accuracy.low == 0.0
