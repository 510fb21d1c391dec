"""Is B slower than A on a noisy machine? Counterbalanced blocks, an A/A control, and a fixed decision rule.

Design. A block visits every arm twice, in a random order and then in that order reversed (A B B A, with a control
arm A C B B C A). Each arm's two visits are centred on the same moment, so linear drift cancels inside a block. The
order is drawn anew for each block, so with no true difference the sign of a block's log ratio is a coin toss whatever
the noise looks like (drift, bursts, autocorrelation): a sign-flip test over blocks is exact.

Decision. A difference is established when all three hold: the sign-flip test gives p <= 1 - level; the
interval over blocks leaves out 1; and the ratio lies outside the noise floor, which the control arm (a second, separate
copy of A) gives in the same run.

The estimate is the 20 % trimmed mean of the blocks' log ratios. Its interval holds the centres that Wilcoxon's
signed-rank test does not reject (`measure.signed_rank`): exact for the same reason as the sign-flip test, with 10
blocks as with 30. A percentile bootstrap over 10 blocks misses in 6 to 8 %, Student's t of a trimmed mean in up to 11
% where the clock steps between two frequencies. Single pairs must not be used as if they were blocks: the two pairs
of a block share their noise.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skytrigger.core.errors import InputError
from skytrigger.measure.signed_rank import signed_rank_bounds
from skytrigger.measure.stats import Interval, Vector

DEFAULT_BLOCKS = 30
MIN_PAIRS = 20  # two pairs a block
TRIM = 0.2
RESAMPLES = 1999
# Rejection rules, fixed beforehand: share of a block's wall time, or events. Pressure stall is recorded but rejects
# nothing, because a program with more threads than cores causes it itself.
REJECT_STEAL_SHARE = 0.10
REJECT_THROTTLED_SHARE = 0.05
MAX_REJECTED_SHARE = 1 / 3


@dataclass(frozen=True)
class Slot:
    """One visit of one arm: seconds per call, what the machine went through, and seconds by the device's own clock."""

    seconds: tuple[float, ...]
    conditions: Mapping[str, float | None] = field(default_factory=dict)
    device_seconds: tuple[float, ...] = ()

    @property
    def value_s(self) -> float:
        """The visit's time: median over its calls."""
        return float(np.median(self.seconds))


@dataclass(frozen=True)
class Comparison:
    """Time of B relative to A.

    `verdict` is ``worse`` (B slower), ``better`` (B faster) or ``not established``; `reasons` says why in words.
    """

    ratio: Interval
    p_value: float
    control: Interval | None
    floor: float
    pairs: int
    rejected_blocks: int
    verdict: str
    reasons: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "ratio": self.ratio.to_json(), "p_value": _finite(self.p_value), "noise_floor_ratio": _finite(self.floor),
            "control_ratio": self.control.to_json() if self.control else None, "pairs": self.pairs,
            "rejected_blocks": self.rejected_blocks, "verdict": self.verdict, "reasons": list(self.reasons),
        }  # fmt: skip


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def block_orders(arms: Sequence[str], blocks: int, seed: int = 0) -> list[list[str]]:
    """The order of visits in each block: a random permutation followed by its reverse."""
    rng = np.random.default_rng(seed)
    orders = []
    for _ in range(blocks):
        half = [arms[i] for i in rng.permutation(len(arms))]
        orders.append(half + half[::-1])
    return orders


def run_blocks(
    visit: Mapping[str, Callable[[], Slot]],
    blocks: int = DEFAULT_BLOCKS,
    seed: int = 0,
    advance: Callable[[], object] = lambda: None,
) -> dict[str, list[Slot]]:
    """Visit every arm twice a block; slots 2 i and 2 i + 1 of an arm belong to block i."""
    slots: dict[str, list[Slot]] = {arm: [] for arm in visit}
    for order in block_orders(list(visit), blocks, seed):
        for arm in order:
            slots[arm].append(visit[arm]())
        advance()
    return slots


def rejected(conditions: Sequence[Mapping[str, float | None]]) -> str:
    """Why a block with these slots is left out by the fixed rules, or an empty string."""

    def total(name: str) -> float:
        return sum(c.get(name) or 0.0 for c in conditions)

    wall_s = total("wall_s")
    if wall_s <= 0:
        return ""
    if total("thermal_throttles") > 0:
        return "thermal throttling"
    # Steal is counted in ticks of 10 ms over all CPUs: one tick never rejects a block.
    if total("steal_s") > max(REJECT_STEAL_SHARE * wall_s, 0.011):
        return f"steal over {REJECT_STEAL_SHARE:.0%}"
    if total("quota_throttled_s") > REJECT_THROTTLED_SHARE * wall_s:
        return f"CPU quota throttling over {REJECT_THROTTLED_SHARE:.0%}"
    return ""


def block_log_times(slot_s: Sequence[float] | Vector) -> Vector:
    """(blocks,) mean log time of the two visits of each block, from (2 * blocks,) seconds."""
    array = np.asarray(slot_s, dtype=np.float64)
    if array.size % 2 or not array.size or not (array > 0).all():
        raise InputError(f"{array.size} slot times", expected="two positive times for each block")
    means: Vector = np.log(array).reshape(-1, 2).mean(axis=1)
    return means


def trimmed_mean(values: NDArray[np.float64], trim: float = TRIM) -> NDArray[np.float64]:
    """Mean over the last axis without the `trim` smallest and largest shares."""
    n = values.shape[-1]
    cut = int(trim * n)
    return np.asarray(np.sort(values, axis=-1)[..., cut : n - cut].mean(axis=-1), dtype=np.float64)


def log_intervals(
    d: NDArray[np.float64], level: float = 0.95
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """(estimate, low, high) of the centre of each row of `d` (rows, blocks): trimmed mean, signed-rank bounds.

    The bounds are exact for log ratios of counterbalanced blocks. For times of one arm they ask for blocks that are
    independent and symmetric on the log scale, which drift and bursts are not: those intervals are approximate.
    Under 6 blocks there is none at 95 %: NaN.
    """
    estimate = trimmed_mean(d)
    low, high = signed_rank_bounds(d, level)
    return estimate, np.minimum(low, estimate), np.maximum(high, estimate)


def sign_flip_p(d: NDArray[np.float64], seed: int = 0) -> NDArray[np.float64]:
    """Two-sided p of each row of `d` (rows, blocks): how often random signs give a trimmed mean as far from zero."""
    signs = np.random.default_rng(seed + 1).choice([-1.0, 1.0], (RESAMPLES, d.shape[-1]))
    seen = np.abs(trimmed_mean(d))
    return np.array(
        [
            (1 + np.count_nonzero(np.abs(trimmed_mean(row * signs)) >= s * (1 - 1e-12))) / (1 + RESAMPLES)
            for row, s in zip(d, seen, strict=True)
        ]
    )


def noise_floor(
    estimate: NDArray[np.float64], low: NDArray[np.float64], high: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Log-ratio below which nothing is claimed: the control's own ratio or half its interval, whichever is larger."""
    floor: NDArray[np.float64] = np.maximum(np.abs(estimate), (high - low) / 2)
    return floor


def decide(
    d: NDArray[np.float64], control: NDArray[np.float64] | None, level: float = 0.95
) -> tuple[NDArray[np.int64], dict[str, NDArray[np.float64]]]:
    """Claims for many comparisons at once.

    Parameters
    ----------
    d, control
        (rows, blocks) log ratios of B to A, and of the two copies of one arm. Without a control nothing is claimed.

    Returns
    -------
    claims, parts
        (rows,) 1 where B is slower, -1 where faster, 0 where not established; and what they rest on.
    """
    estimate, low, high = log_intervals(d, level)
    p = sign_flip_p(d)
    parts = {"estimate": estimate, "low": low, "high": high, "p": p}
    floor = np.full(len(d), np.inf)
    if control is not None:
        c_estimate, c_low, c_high = log_intervals(control, level)
        floor = noise_floor(c_estimate, c_low, c_high)
        parts |= {"c_estimate": c_estimate, "c_low": c_low, "c_high": c_high}
    parts["floor"] = floor
    established = (p <= 1 - level) & ((low > 0) | (high < 0)) & (np.abs(estimate) > floor)
    return np.where(established, np.sign(estimate), 0).astype(np.int64), parts


def compare_blocks(
    a: Sequence[Slot], b: Sequence[Slot], control: tuple[Sequence[Slot], Sequence[Slot]] | None, level: float = 0.95
) -> Comparison:
    """Compare two arms of one run; `control` is two copies of one arm of that run."""
    arms = [a, b, *(control or ())]
    if len({len(arm) for arm in arms}) != 1:
        raise InputError(f"{[len(arm) for arm in arms]} slots", expected="arms of one run, equally often visited")
    blocks = len(a) // 2
    keep = [i for i in range(blocks) if not rejected([s.conditions for arm in arms for s in arm[2 * i : 2 * i + 2]])]
    lost = blocks - len(keep)

    def logs(arm: Sequence[Slot]) -> Vector:
        return block_log_times([arm[2 * i + k].value_s for i in keep for k in (0, 1)])

    if 2 * len(keep) < MIN_PAIRS or lost > MAX_REJECTED_SHARE * blocks:
        estimate = math.exp(float(trimmed_mean(logs(b) - logs(a)))) if keep else math.nan
        ratio = Interval(estimate, math.nan, math.nan, level, 2 * len(keep))
        why = f"{2 * len(keep)} usable pairs of {2 * blocks}; a claim needs {MIN_PAIRS} and two thirds of the blocks"
        return Comparison(ratio, math.nan, None, math.nan, 2 * len(keep), lost, "not established", (why,))
    d = (logs(b) - logs(a))[None]
    c = (logs(control[1]) - logs(control[0]))[None] if control is not None else None
    claim, parts = decide(d, c, level)
    return _worded(int(claim[0]), {k: float(v[0]) for k, v in parts.items()}, 2 * len(keep), lost, level)


def _worded(claim: int, x: Mapping[str, float], pairs: int, lost: int, level: float) -> Comparison:
    ratio = Interval(math.exp(x["estimate"]), math.exp(x["low"]), math.exp(x["high"]), level, pairs)
    control = None
    reasons = []
    if "c_low" in x:
        control = Interval(math.exp(x["c_estimate"]), math.exp(x["c_low"]), math.exp(x["c_high"]), level, pairs)
    else:
        reasons.append("this run has no A/A control, so its noise floor is unknown")
    if x["p"] > 1 - level:
        reasons.append(f"random signs do as much with p = {x['p']:.3f}")
    if ratio.low <= 1 <= ratio.high:
        reasons.append(f"the {level:.0%} interval of the ratio holds 1")
    if control is not None and abs(x["estimate"]) <= x["floor"]:
        reasons.append(f"the ratio lies within the noise floor of this run (x{math.exp(x['floor']):.3f} either way)")
    if lost:
        reasons.append(f"{lost} blocks left out by the fixed rules")
    verdict = {1: "worse", -1: "better", 0: "not established"}[claim]
    floor = math.exp(x["floor"]) if control is not None else math.nan
    return Comparison(ratio, x["p"], control, floor, pairs, lost, verdict, tuple(reasons))
