"""Paired accuracy statistics against brute force, SciPy and simulation."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import brentq, minimize_scalar
from scipy.stats import binom, binomtest, skellam

from skytrigger.learn import metrics
from skytrigger.measure.accuracy import (
    confusion_change,
    flips,
    holm,
    mcnemar,
    non_inferior,
    sign_test,
    smallest_difference,
    tango,
)
from skytrigger.measure.calibration import calibrated_p, calibration_error, calibration_interval
from skytrigger.measure.stats import wilson


def _two_networks(
    rng: np.random.Generator, classes: int, per_class: int, gain: float = 0.0
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """True classes and two networks' answers; hard images are hard for both, B repairs a share `gain` of its errors."""
    true = np.repeat(np.arange(classes), per_class)
    hard = rng.random(len(true)) < 0.25

    def answers() -> np.ndarray:
        wrong = hard & (rng.random(len(true)) < 0.4)
        return np.where(wrong, (true + rng.integers(1, classes, len(true))) % classes, true)

    a, b = answers(), answers()
    repaired = (b != true) & (rng.random(len(true)) < gain)
    return true, a, np.where(repaired, true, b)


@given(st.integers(0, 40), st.integers(0, 40))
def test_mcnemar_is_the_exact_binomial_test(a_only: int, b_only: int) -> None:
    right_a = np.array([True] * (a_only + 5) + [False] * b_only)
    right_b = np.array([False] * a_only + [True] * (5 + b_only))
    test = mcnemar(right_a, right_b)
    assert (test.a_only, test.b_only, test.n) == (a_only, b_only, a_only + b_only + 5)
    oracle = binomtest(a_only, a_only + b_only).pvalue if a_only + b_only else 1.0
    assert test.p == pytest.approx(oracle, abs=1e-9)
    assert test.difference.estimate == pytest.approx((b_only - a_only) / test.n)
    assert test.difference.low <= test.difference.estimate <= test.difference.high


def test_mcnemar_claims_at_most_5_percent_of_1000_equal_pairs_and_finds_real_ones() -> None:
    rng = np.random.default_rng(0)
    false = found = covered = 0
    for _ in range(1000):
        true, a, b = _two_networks(rng, 10, 100)
        test = mcnemar(a == true, b == true)
        false += test.p <= 0.05
        covered += test.difference.low <= 0 <= test.difference.high
        true, a, b = _two_networks(rng, 10, 100, gain=0.5)  # 10 % wrong against 5 %
        found += mcnemar(a == true, b == true).p <= 0.05
    assert false <= 50
    assert found >= 900
    assert 930 <= covered <= 975


def _score_by_likelihood(gained: int, lost: int, n: int, delta: float) -> float:
    """Tango's score from a numeric constrained maximum likelihood: no formula in common with the code under test."""
    same = n - gained - lost

    def loss(q: float) -> float:
        cells = (gained, q + delta), (lost, q), (same, 1 - 2 * q - delta)
        return -sum(k * math.log(p) for k, p in cells if k and p > 0) + (1e9 if min(p for _, p in cells) < 0 else 0)

    q = minimize_scalar(loss, bounds=(max(0, -delta), (1 - delta) / 2), method="bounded", options={"xatol": 1e-12}).x
    return (gained - lost - n * delta) / math.sqrt(n * (2 * q + delta - delta**2))


@pytest.mark.parametrize(("gained", "lost", "n"), [(20, 12, 1000), (7, 25, 60), (1, 0, 50), (3, 3, 30), (0, 9, 40)])
def test_tango_against_numeric_likelihood(gained: int, lost: int, n: int) -> None:
    interval = tango(gained, lost, n)
    edge = 1e-4
    estimate = (gained - lost) / n
    high = brentq(lambda d: _score_by_likelihood(gained, lost, n, d) + 1.959964, estimate + edge, 1 - edge)
    low = brentq(lambda d: _score_by_likelihood(gained, lost, n, d) - 1.959964, -1 + edge, estimate - edge)
    assert interval.low == pytest.approx(low, abs=2e-4)
    assert interval.high == pytest.approx(high, abs=2e-4)


def test_no_change_at_all_still_has_an_interval() -> None:
    interval = tango(0, 0, 100)
    assert interval.low < 0 < interval.high
    assert interval.high == pytest.approx(-interval.low, abs=1e-6)
    assert interval.high == pytest.approx(3.84 / 103.84, abs=1e-3)


def test_non_inferiority_follows_the_interval() -> None:
    right = np.ones(1000, bool)
    worse = right.copy()
    worse[:10] = False
    test = mcnemar(right, worse)
    assert not non_inferior(test, 0.01)
    assert non_inferior(test, 0.03)


@pytest.mark.parametrize("discordant", [6, 7, 8, 9, 12, 17, 30, 31, 100, 550, 1189])
@pytest.mark.parametrize("power", [0.5, 0.8])
def test_smallest_difference_has_its_power(discordant: int, power: float) -> None:
    """The share on one side at which the exact test rejects, in that direction, with just this power."""
    counts = np.arange(discordant + 1)
    rejects = np.array([binomtest(int(k), discordant).pvalue <= 0.05 for k in counts]) & (counts > discordant / 2)
    share = brentq(lambda p: binom.pmf(counts, discordant, p)[rejects].sum() - power, 0.5, 1 - 1e-12)
    shown = smallest_difference(5000, discordant, power=power)
    assert shown == pytest.approx((2 * share - 1) * discordant / 5000, rel=1e-9)
    assert smallest_difference(5000, discordant, 0.8, power) <= shown


def test_smallest_difference_defaults() -> None:
    assert smallest_difference(5000, 30) == smallest_difference(5000, 30, 0.95, 0.8)
    assert math.isnan(smallest_difference(5000, 1))
    assert not math.isnan(smallest_difference(5000, 1, level=0.0))


def test_smallest_difference_is_unknown_below_six_discordant_images() -> None:
    assert math.isnan(smallest_difference(1000, 5))
    assert math.isnan(smallest_difference(1000, 0))
    assert 0 < smallest_difference(1000, 6) <= 0.006


def test_confusion_cells_claim_at_most_5_percent_of_1000_equal_pairs() -> None:
    rng = np.random.default_rng(1)
    claimed = sum(bool(confusion_change(*_two_networks(rng, 6, 100), 6).established()) for _ in range(1000))
    assert claimed <= 50


def test_confusion_cell_that_changed_is_found_and_its_size_covered() -> None:
    rng = np.random.default_rng(2)
    found = covered = 0
    for _ in range(200):
        true, a, b = _two_networks(rng, 6, 200)
        moved = (true == 2) & (b == 2) & (rng.random(len(true)) < 0.16)
        b = np.where(moved, 4, b)
        change = confusion_change(true, a, b, 6)
        found += (2, 4) in change.established()
        covered += change.low[2, 4] <= 0.16 * 0.9 <= change.high[2, 4]
    assert found >= 180
    assert covered >= 180


def test_a_percentile_bootstrap_may_not_decide_about_cells() -> None:
    """The rejected alternative: its limit for many resamples makes too many false claims, the sign test does not."""
    rng = np.random.default_rng(3)
    moved = rng.poisson(12, (1000, 90))
    gained = rng.binomial(moved, 0.5)
    lost = moved - gained
    low, high = np.minimum(gained, lost), np.maximum(gained, lost)
    bootstrap = np.where(moved == 0, 1.0, np.minimum(1, 2 * skellam.cdf(0, high + 1e-12, low + 1e-12)))
    claims = {
        name: np.mean([holm(row).min() <= 0.05 for row in p])
        for name, p in (("bootstrap", bootstrap), ("sign", sign_test(gained, lost)))
    }
    assert claims["bootstrap"] > 0.05
    assert claims["sign"] <= 0.03


def test_confusion_change_by_hand() -> None:
    true = np.array([0, 0, 0, 1, 1])
    a = np.array([0, 0, 1, 1, 1])
    b = np.array([0, 1, 1, 1, 0])
    change = confusion_change(true, a, b, 2)
    assert change.counts_a.tolist() == [[2, 1], [0, 2]]
    assert change.counts_b.tolist() == [[1, 2], [1, 1]]
    assert change.gained.tolist() == [[0, 1], [1, 0]]
    assert change.lost.tolist() == [[1, 0], [0, 1]]
    assert change.change[0, 1] == pytest.approx(1 / 3)
    assert (change.low[0, 1], change.high[0, 1]) == (tango(1, 0, 3).low, tango(1, 0, 3).high)
    assert (change.low[1, 1], change.high[1, 1]) == (tango(0, 1, 2).low, tango(0, 1, 2).high)
    assert change.p[0, 1] == 1.0
    assert change.level == 0.95
    assert flips(true, a, b) == {"changed": 2, "right_to_wrong": 2, "wrong_to_right": 0, "wrong_to_other_wrong": 0}


@given(st.lists(st.floats(0, 1), min_size=1, max_size=20))
def test_holm_against_its_definition(p: list[float]) -> None:
    corrected = holm(np.array(p))
    order = sorted(range(len(p)), key=lambda i: p[i])
    running = 0.0
    for rank, i in enumerate(order):
        running = max(running, min(1.0, (len(p) - rank) * p[i]))
        assert corrected[i] == pytest.approx(running)


@pytest.mark.parametrize("images", [276, 3000])
def test_calibrated_networks_are_called_so_and_boastful_ones_are_not(images: int) -> None:
    """Over many networks: one sample could be lucky. (All true errors and sizes: tests/coverage.)"""
    rng = np.random.default_rng(4)
    holds_zero = covered = rejected = p_low = 0
    for _ in range(200):
        confidence = rng.uniform(0.5, 1, images)
        honest = calibration_interval(confidence, rng.random(images) < confidence)
        holds_zero += honest.low == 0.0
        right = rng.random(images) < confidence - 0.2
        boastful = calibration_interval(confidence, right)
        covered += boastful.low <= 0.2 <= boastful.high
        rejected += boastful.low > 0
    for _ in range(60):
        confidence = rng.uniform(0.5, 1, images)
        p_low += calibrated_p(confidence, rng.random(images) < confidence, resamples=199) <= 0.05
        assert calibrated_p(confidence, rng.random(images) < confidence - 0.2, resamples=199) <= 0.05
    assert holds_zero >= 190
    assert covered >= 190
    assert rejected >= 190
    assert p_low <= 8  # 3 expected; more than 8 in 1 % of such tests


def test_calibration_error_by_hand() -> None:
    confidence, right = np.array([0.9, 0.9, 0.6, 0.6]), np.array([True, False, True, True])
    found = calibration_interval(confidence, right, bins=10)
    assert found.estimate == pytest.approx((2 * 0.4 + 2 * 0.4) / 4)
    assert found.n == 4
    assert found.low == 0.0
    assert found.high == pytest.approx(
        0.4 + max(0.75 - wilson(3, 4).low, 1.959964 * math.sqrt((0.01 + 0.81 + 0.32) / 16))
    )
    assert calibration_interval(np.array([1.0]), np.array([True])).estimate == 0.0
    assert calibration_interval(confidence, right, level=0.5).high < found.high


def test_the_low_end_is_what_noise_alone_would_show() -> None:
    """One bin, 0.9 said and 0.6 right of 1,000: the noise is a binomial's, whose quantile SciPy knows."""
    confidence, right = np.full(1000, 0.9), np.arange(1000) < 600
    found = calibration_interval(confidence, right, resamples=20_000)
    quantile = binom.ppf(0.9875, 1000, 602 / 1004) / 1000 - 602 / 1004  # two-sided: absolute noise
    assert 0.3 - found.low == pytest.approx(quantile, abs=0.003)


def test_calibrated_p_of_one_sure_image() -> None:
    assert calibrated_p(np.full(50, 0.5), np.arange(50) < 25, resamples=99) == 1.0
    assert calibrated_p(np.full(50, 0.99), np.arange(50) < 25, resamples=99) == pytest.approx(0.01)


def test_metrics_and_comparison_share_one_calibration_rule(monkeypatch: pytest.MonkeyPatch) -> None:
    logits = np.random.default_rng(5).normal(size=(200, 4))
    true = np.arange(200) % 4
    probability = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    ours = calibration_error(probability.max(axis=1), probability.argmax(axis=1) == true)
    assert metrics.expected_calibration_error(logits, true) == pytest.approx(ours)
    monkeypatch.setattr(metrics, "calibration_error", lambda *_: 0.125)
    assert metrics.expected_calibration_error(logits, true) == 0.125


def test_mcnemar_refuses_what_is_not_paired() -> None:
    for a, b in ((np.ones(3, bool), np.ones(4, bool)), (np.ones((2, 2), bool), np.ones((2, 2), bool)),
                 (np.ones(0, bool), np.ones(0, bool))):  # fmt: skip
        with pytest.raises(ValueError, match=r"answers of shape \(.*\) and \(.*\) cannot be paired"):
            mcnemar(a, b)


def test_mcnemar_passes_its_level_on() -> None:
    right, other = np.arange(50) < 40, np.arange(50) % 3 > 0
    test = mcnemar(right, other, 0.8)
    assert test.difference == tango(test.b_only, test.a_only, 50, 0.8)
    assert (test.difference.level, test.difference.n) == (0.8, 50)
    assert mcnemar(right, other).difference.level == 0.95


@pytest.mark.parametrize("n", [1, 7, 300])
def test_tango_where_all_images_changed(n: int) -> None:
    """At a difference of 1 nothing is left to vary; the low end is where n gains in n are just believable."""
    gained, lost = tango(n, 0, n), tango(0, n, n)
    assert gained.estimate == 1.0
    assert gained.high == pytest.approx(1.0, abs=1e-6)
    assert (lost.low, lost.high) == pytest.approx((-gained.high, -gained.low), abs=1e-6)
    # the constrained likelihood has no image unchanged: n (1 - d)^2 / ((1 - d) (1 + d)) = z^2
    z2 = 1.959964**2
    assert gained.low == pytest.approx((n - z2) / (n + z2), abs=1e-5)
    assert tango(3.5, 1.25, 40).estimate == pytest.approx(2.25 / 40)


def test_flips_of_every_kind() -> None:
    true = np.array([0, 0, 0, 0, 1, 1, 2, 2, 2, 2])
    a = np.array([0, 0, 1, 1, 0, 1, 0, 0, 0, 1])
    b = np.array([0, 1, 0, 1, 1, 2, 1, 1, 1, 1])
    found = flips(true, a, b)
    assert found == {"changed": 7, "right_to_wrong": 2, "wrong_to_right": 2, "wrong_to_other_wrong": 3}


def test_a_margin_just_reached_is_not_excluded() -> None:
    test = mcnemar(np.arange(100) < 90, np.arange(100) < 88)
    assert not non_inferior(test, -test.difference.low)
    assert non_inferior(test, -test.difference.low + 1e-9)
