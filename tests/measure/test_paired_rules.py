"""The paired comparison's fixed rules at their bounds, and that a result says what it rests on."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from skytrigger.measure import paired
from skytrigger.measure.paired import Slot, block_orders, compare_blocks, decide, log_intervals, rejected, run_blocks

STOLEN = {"wall_s": 0.1, "steal_s": 0.09}


def arm(rng: np.random.Generator, blocks: int, factor: float, sd: float = 0.01) -> list[Slot]:
    return [Slot((factor * math.exp(sd * rng.standard_normal()),)) for _ in range(2 * blocks)]


@pytest.mark.parametrize(
    ("conditions", "lost"),
    [
        ({"wall_s": 0.0, "thermal_throttles": 1.0}, False),  # nothing was measured
        ({"wall_s": 0.5, "thermal_throttles": 1.0}, True),
        ({"wall_s": 0.05, "steal_s": 0.011}, False),
        ({"wall_s": 0.05, "steal_s": 0.012}, True),
        ({"wall_s": 4.0, "steal_s": 0.4}, False),
        ({"wall_s": 4.0, "quota_throttled_s": 0.2}, False),
        ({"thermal_throttles": 1.0}, False),
        ({"wall_s": 1.0}, False),
    ],
)
def test_a_block_is_left_out_above_its_bounds_not_at_them(conditions: dict[str, float | None], lost: bool) -> None:
    assert bool(rejected([conditions])) == lost
    assert bool(rejected([{}, conditions])) == lost


def test_visits_follow_the_orders_of_the_seed() -> None:
    visited: list[str] = []
    advanced: list[int] = []

    def visit(name: str) -> Slot:
        visited.append(name)
        return Slot((1.0 + len(visited),))

    slots = run_blocks({n: lambda n=n: visit(n) for n in "abc"}, 3, 5, lambda: advanced.append(len(visited)))
    assert visited == list(itertools.chain(*block_orders(list("abc"), 3, 5)))
    assert visited != list(itertools.chain(*block_orders(list("abc"), 3, 6)))
    assert advanced == [6, 12, 18]
    assert [s.value_s - 2.0 for s in slots["b"]] == [i for i, name in enumerate(visited) if name == "b"]
    assert [len(arm) for arm in run_blocks({"a": lambda: visit("a")}).values()] == [60]  # 30 blocks


def test_a_slot_is_the_median_of_its_calls() -> None:
    assert Slot((3.0, 1.0, 2.0)).value_s == 2.0
    assert (Slot((1.0,)).conditions, Slot((1.0,)).device_seconds) == ({}, ())


@pytest.mark.parametrize("row", [[1.0, 1.0], [1.0, 3.0], [0.5, -2.0, 1.0], [1.0, 1.0, 1.0, 1.0], [2.0, -1.0, 0.3, 0.9]])
def test_random_signs_against_all_signs(row: list[float]) -> None:
    d = np.array(row)
    means = [abs(np.mean(d * signs)) for signs in itertools.product([-1, 1], repeat=len(d))]
    exact = np.mean(np.array(means) >= abs(d.mean()) - 1e-9)
    assert paired.sign_flip_p(d[None])[0] == pytest.approx(exact, abs=0.04)


def test_the_smallest_and_the_largest_p() -> None:
    found = paired.sign_flip_p(np.array([[1.0] * 40, [0.0] * 40]))
    assert found.tolist() == [1 / 2000, 1.0]
    assert paired.sign_flip_p(np.ones((1, 3)), 7)[0] != paired.sign_flip_p(np.ones((1, 3)), 8)[0]


def test_the_level_reaches_both_intervals_and_the_test() -> None:
    rng = np.random.default_rng(0)
    d, control = rng.standard_normal((200, 12)) + 0.5, 1e-3 * rng.standard_normal((200, 12))
    for level in (0.8, 0.95):
        claims, x = decide(d, control, level)
        for prefix, rows in (("", d), ("c_", control)):
            for name, values in zip(("estimate", "low", "high"), log_intervals(rows, level), strict=True):
                np.testing.assert_array_equal(x[prefix + name], values)
        clear = (x["low"] > 0) | (x["high"] < 0)
        np.testing.assert_array_equal(claims != 0, (x["p"] <= 1 - level) & clear)
    at_floor, _ = decide(d, d)  # as far off as the control itself: never a claim
    assert not at_floor.any()


def test_a_result_says_what_it_rests_on() -> None:
    rng = np.random.default_rng(1)
    a, b, c = arm(rng, 10, 1.0), arm(rng, 10, 1.3), arm(rng, 10, 1.01)
    found = compare_blocks(a, b, (a, c), 0.9)
    d, e = (np.array([math.log(y.value_s / x.value_s) for x, y in zip(a, z, strict=True)]) for z in (b, c))
    blocks = [x.reshape(1, -1, 2).mean(axis=2) for x in (d, e)]
    ratio, control = ([math.exp(v[0]) for v in log_intervals(x, 0.9)] for x in blocks)
    assert (found.ratio.estimate, found.ratio.low, found.ratio.high) == pytest.approx(ratio)
    assert found.control is not None
    assert (found.control.estimate, found.control.low, found.control.high) == pytest.approx(control)
    assert (found.ratio.level, found.ratio.n, found.control.level, found.control.n) == (0.9, 20, 0.9, 20)
    floor = max(abs(math.log(control[0])), math.log(control[2] / control[1]) / 2)
    assert found.floor == pytest.approx(math.exp(floor))
    assert (found.pairs, found.rejected_blocks, found.verdict, found.reasons) == (20, 0, "worse", ())
    assert found.to_json() == {
        "ratio": found.ratio.to_json(), "p_value": found.p_value, "noise_floor_ratio": found.floor,
        "control_ratio": found.control.to_json(), "pairs": 20, "rejected_blocks": 0, "verdict": "worse", "reasons": [],
    }  # fmt: skip


def test_a_refused_result_says_why_and_nothing_else() -> None:
    rng = np.random.default_rng(2)
    a, b, c = arm(rng, 20, 1.0), arm(rng, 20, 1.0), arm(rng, 20, 1.0)
    same = compare_blocks(a, b, (a, c))
    assert [next(w for w in ("signs", "holds 1", "floor") if w in r) for r in same.reasons] == [
        "signs", "holds 1", "floor",
    ]  # fmt: skip
    assert f"p = {same.p_value:.3f}" in same.reasons[0]
    assert f"x{same.floor:.3f}" in same.reasons[2]
    loud = compare_blocks(a, arm(rng, 20, 1.2), (a, arm(rng, 20, 1.5)))
    assert ["floor" in r for r in loud.reasons] == [True]
    alone = compare_blocks(a, arm(rng, 20, 1.2), None)
    assert ["no A/A control" in r for r in alone.reasons] == [True]
    assert (alone.control, math.isnan(alone.floor), alone.to_json()["noise_floor_ratio"]) == (None, True, None)
    hurt = [Slot(s.seconds, STOLEN) if i < 2 else s for i, s in enumerate(arm(rng, 20, 1.2))]
    lost = compare_blocks(a, hurt, (a, c))
    assert (lost.verdict, lost.pairs, lost.rejected_blocks, len(lost.reasons)) == ("worse", 38, 1, 1)
    assert "1 blocks left out" in lost.reasons[0]


def test_too_few_blocks_are_counted_and_nothing_is_made_of_them() -> None:
    rng = np.random.default_rng(3)
    few = compare_blocks(arm(rng, 9, 0.5), arm(rng, 9, 2.0), None, 0.9)
    assert few.ratio.estimate == pytest.approx(4.0, rel=0.02)
    assert (few.pairs, few.ratio.n, few.ratio.level, few.rejected_blocks, few.control) == (18, 18, 0.9, 0, None)
    assert all(map(math.isnan, (few.p_value, few.floor, few.ratio.low, few.ratio.high)))
    told = few.to_json()
    assert (told["p_value"], told["noise_floor_ratio"], told["control_ratio"]) == (None, None, None)
    assert told["reasons"] == list(few.reasons)
    assert "18 usable pairs of 18" in told["reasons"][0]
    none = compare_blocks(arm(rng, 9, 1.0), [Slot(s.seconds, STOLEN) for s in arm(rng, 9, 1.0)], None)
    assert math.isnan(none.ratio.estimate)
    assert (none.pairs, none.rejected_blocks) == (0, 9)
    assert compare_blocks(arm(rng, 10, 1.0), arm(rng, 10, 2.0), (arm(rng, 10, 1.0),) * 2).verdict == "worse"


def test_every_arm_can_lose_a_block() -> None:
    rng = np.random.default_rng(4)
    arms = [arm(rng, 12, f) for f in (1.0, 1.5, 1.0, 1.0)]
    for which in range(4):
        hurt = [list(a) for a in arms]
        hurt[which][23] = Slot((9.0,), STOLEN)  # the last visit
        a, b, c, d = hurt
        found = compare_blocks(a, b, (c, d))
        assert (found.rejected_blocks, found.pairs) == (1, 22)
        assert found.ratio.estimate == pytest.approx(1.5, rel=0.02)
