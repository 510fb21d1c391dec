"""The paired comparison on a simulated noisy machine, and its rules."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from noisy_machine import log_noise, simulate

from skytrigger.core.errors import InputError
from skytrigger.measure import paired
from skytrigger.measure.paired import DEFAULT_BLOCKS, Slot, block_orders, compare_blocks, decide, rejected, run_blocks

NOISES = {
    "5 % white noise": {"drift": 0.0, "ar": 0.0, "burst_chance": 0.0},
    "all kinds": {},
    "strong autocorrelation": {"phi": 0.97, "ar": 0.15, "burst_chance": 0.0},
    "many bursts": {"burst_chance": 0.08, "burst": 1.0},
}


@pytest.mark.parametrize("noise", NOISES.values(), ids=NOISES)
def test_false_claims_at_most_5_percent_in_1000_comparisons(noise: dict[str, float]) -> None:
    d, control = simulate(np.random.default_rng(1), 1000, DEFAULT_BLOCKS, 0.0, **noise)
    claims, _ = decide(d, control)
    assert np.mean(claims != 0) <= 0.05


@pytest.mark.parametrize("noise", ["5 % white noise", "all kinds"])
def test_a_true_5_percent_difference_is_found_in_90_percent(noise: str) -> None:
    d, control = simulate(np.random.default_rng(2), 1000, DEFAULT_BLOCKS, math.log(1.05), **NOISES[noise])
    claims, _ = decide(d, control)
    assert np.mean(claims == 1) >= 0.90
    assert np.mean(claims == -1) <= 0.01


@pytest.mark.parametrize("noise", NOISES.values(), ids=NOISES)
def test_the_interval_covers_the_true_ratio(noise: dict[str, float]) -> None:
    true = math.log(1.2)
    d, control = simulate(np.random.default_rng(3), 1000, DEFAULT_BLOCKS, true, **noise)
    _, x = decide(d, control)
    assert 0.92 <= np.mean((x["low"] <= true) & (true <= x["high"])) <= 0.985


def test_unpaired_comparison_would_claim_falsely() -> None:
    """Why pairing is needed: the same noise, one run after the other, fools a t-test most of the time."""
    from scipy.stats import ttest_ind

    noise = log_noise(np.random.default_rng(4), 300, 120)
    p = ttest_ind(noise[:, :60], noise[:, 60:], axis=1).pvalue
    assert np.mean(p <= 0.05) > 0.5


def test_orders_are_palindromes_and_drift_cancels() -> None:
    orders = block_orders(["a", "b", "c"], 50, seed=3)
    assert all(order == order[::-1] and sorted(order[:3]) == ["a", "b", "c"] for order in orders)
    assert len({tuple(o) for o in orders}) == 6
    clock = itertools.count()

    def visit(factor: float) -> Slot:
        return Slot((factor * math.exp(0.02 * next(clock)),))  # 2 % slower with every slot

    slots = run_blocks({"a": lambda: visit(1.0), "b": lambda: visit(1.0), "c": lambda: visit(1.03)}, 20)
    result = compare_blocks(slots["a"], slots["c"], (slots["a"], slots["b"]))
    assert result.ratio.estimate == pytest.approx(1.03, rel=1e-9)
    assert result.verdict == "worse"
    assert result.control is not None
    assert result.control.estimate == pytest.approx(1.0, rel=1e-9)


def _arm(rng: np.random.Generator, blocks: int, factor: float, sd: float = 0.01) -> list[Slot]:
    return [Slot((factor * math.exp(sd * rng.standard_normal()),)) for _ in range(2 * blocks)]


def test_no_claim_below_20_pairs_without_control_or_under_the_floor() -> None:
    rng = np.random.default_rng(5)
    a, b, c = _arm(rng, 9, 1.0), _arm(rng, 9, 2.0), _arm(rng, 9, 1.0)
    few = compare_blocks(a, b, (a, c))
    assert few.verdict == "not established"
    assert "18 usable pairs" in few.reasons[0]
    assert few.ratio.estimate == pytest.approx(2.0, rel=0.02)
    a, b, c = _arm(rng, 20, 1.0), _arm(rng, 20, 2.0), _arm(rng, 20, 1.5)
    assert compare_blocks(a, b, (a, c)).verdict == "worse"
    assert compare_blocks(b, a, (b, b)).verdict == "better"
    alone = compare_blocks(a, b, None)
    assert alone.verdict == "not established"
    assert any("no A/A control" in r for r in alone.reasons)
    near = compare_blocks(a, _arm(rng, 20, 1.4), (a, c))  # the control itself is 50 % off
    assert near.verdict == "not established"
    assert any("noise floor" in r for r in near.reasons)


def test_blocks_are_rejected_by_the_fixed_rules_only() -> None:
    quiet = {"wall_s": 1.0, "steal_s": 0.0, "quota_throttled_s": 0.0, "thermal_throttles": 0.0, "stall_cpu_some_s": 0.9}
    assert rejected([quiet]) == ""
    assert "steal" in rejected([quiet, {**quiet, "steal_s": 0.5}])
    assert "quota" in rejected([{**quiet, "quota_throttled_s": 0.2}])
    assert "thermal" in rejected([{**quiet, "thermal_throttles": 1.0}])
    assert rejected([{"wall_s": 0.05, "steal_s": 0.01}]) == ""  # one tick of the steal counter
    assert rejected([{"wall_s": 1.0, "steal_s": None}]) == ""
    rng = np.random.default_rng(6)
    a, b, c = (_arm(rng, 30, f) for f in (1.0, 1.5, 1.0))
    stolen = {"wall_s": 0.1, "steal_s": 0.09}
    hurt = [Slot((9.0,), stolen) if i < 8 else s for i, s in enumerate(b)]  # four blocks
    result = compare_blocks(a, hurt, (a, c))
    assert result.rejected_blocks == 4
    assert result.pairs == 52
    assert result.ratio.estimate == pytest.approx(1.5, rel=0.02)
    most = [Slot(s.seconds, stolen) for s in b]
    assert compare_blocks(a, most, (a, c)).verdict == "not established"


def test_arms_of_different_length_are_refused() -> None:
    rng = np.random.default_rng(7)
    with pytest.raises(InputError, match="equally often"):
        compare_blocks(_arm(rng, 20, 1.0), _arm(rng, 19, 1.0), None)
    with pytest.raises(InputError, match="positive"):
        paired.block_log_times([1.0, 0.0])


def test_trimmed_mean_and_sign_flip_against_scipy() -> None:
    from scipy.stats import permutation_test, trim_mean

    rng = np.random.default_rng(8)
    d = rng.standard_normal((3, 12)) + 0.4
    assert np.allclose(paired.trimmed_mean(d), [trim_mean(row, 0.2) for row in d])
    for row, p in zip(d, paired.sign_flip_p(d), strict=True):
        oracle = permutation_test(
            (row,),
            lambda x: trim_mean(x, 0.2),
            permutation_type="samples",
            n_resamples=5_000,  # more than the 4,096 there are: exact
            alternative="two-sided",
        )
        assert p == pytest.approx(oracle.pvalue, abs=0.04)
