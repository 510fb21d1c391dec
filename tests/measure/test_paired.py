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


@pytest.mark.parametrize("blocks", [10, 12, 20])
def test_each_of_the_three_conditions_can_refuse_alone(blocks: int) -> None:
    """Samples for which two of p, interval and noise floor would claim and the third does not."""
    rng = np.random.default_rng(9)
    d = rng.standard_t(2, (4000, blocks)) + rng.uniform(0.2, 1.5, (4000, 1))
    claims, x = decide(d, 1e-3 * rng.standard_normal((4000, blocks)))
    small_p, leaves_out, above = x["p"] <= 0.05, (x["low"] > 0) | (x["high"] < 0), np.abs(x["estimate"]) > x["floor"]
    for by_p, by_interval in ((True, False), (False, True)):
        alone = (small_p == by_p) & (leaves_out == by_interval) & above
        assert alone.any()
        assert not claims[alone].any()
    claimed = small_p & leaves_out & above
    assert (claims[claimed] == np.sign(x["estimate"][claimed])).all()
    loud, _ = decide(d, rng.standard_normal((4000, blocks)) * 100)
    assert not loud[np.abs(x["estimate"]) < 1].any()
    assert not decide(d, None)[0].any()


def test_the_interval_holds_its_estimate_and_needs_six_blocks() -> None:
    d = np.random.default_rng(10).standard_cauchy((500, 10))
    estimate, low, high = paired.log_intervals(d)
    assert (low <= estimate).all()
    assert (estimate <= high).all()
    assert np.isnan(paired.log_intervals(d[:, :5])[1]).all()
    estimate, low, high = paired.log_intervals(d, 0.5)
    assert np.mean((low <= 0) & (high >= 0)) == pytest.approx(0.5, abs=0.1)


def test_noise_floor_is_the_larger_of_ratio_and_half_width() -> None:
    floor = paired.noise_floor(np.array([-0.5, 0.01]), np.array([-0.6, -0.1]), np.array([-0.4, 0.3]))
    assert floor == pytest.approx([0.5, 0.2])


@pytest.mark.parametrize(("share", "why"), [(0.099, ""), (0.101, "steal")])
def test_steal_is_allowed_up_to_a_tenth(share: float, why: str) -> None:
    assert why in rejected([{"wall_s": 2.0, "steal_s": 2.0 * share}])
    assert bool(rejected([{"wall_s": 2.0, "steal_s": 2.0 * share}])) == bool(why)


@pytest.mark.parametrize(("share", "lost"), [(0.049, False), (0.051, True)])
def test_quota_throttling_is_allowed_up_to_a_twentieth(share: float, lost: bool) -> None:
    assert bool(rejected([{"wall_s": 2.0, "quota_throttled_s": 2.0 * share}])) == lost


@pytest.mark.parametrize(("hurt_blocks", "verdict"), [(10, "worse"), (11, "not established")])
def test_up_to_a_third_of_the_blocks_may_be_lost(hurt_blocks: int, verdict: str) -> None:
    rng = np.random.default_rng(11)
    a, b, c = (_arm(rng, 30, f) for f in (1.0, 1.5, 1.0))
    stolen = {"wall_s": 0.1, "steal_s": 0.09}
    hurt = [Slot(s.seconds, stolen) if i < 2 * hurt_blocks else s for i, s in enumerate(b)]
    result = compare_blocks(a, hurt, (a, c))
    assert (result.verdict, result.rejected_blocks) == (verdict, hurt_blocks)
