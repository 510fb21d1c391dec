"""Is an accuracy difference real? Everything is paired: both networks saw the same images."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skytrigger.measure.stats import Interval, normal_quantile

Labels = NDArray[np.int64]
Flags = NDArray[np.bool_]


@dataclass(frozen=True)
class McNemar:
    """Paired right and wrong of A and B on `n` images; `p` is the exact two-sided test of equal accuracy.

    `difference` is accuracy B minus A with Tango's score interval.
    """

    n: int
    a_only: int
    b_only: int
    p: float
    difference: Interval

    @property
    def discordant(self) -> int:
        """Images on which exactly one of them is right."""
        return self.a_only + self.b_only


def mcnemar(right_a: Flags, right_b: Flags, level: float = 0.95) -> McNemar:
    """Exact McNemar test: under equal accuracy the discordant images fall to either side like coin tosses."""
    if right_a.shape != right_b.shape or right_a.ndim != 1 or not len(right_a):
        raise ValueError(f"answers of shape {right_a.shape} and {right_b.shape} cannot be paired")
    a_only = int((right_a & ~right_b).sum())
    b_only = int((right_b & ~right_a).sum())
    n = len(right_a)
    return McNemar(n, a_only, b_only, float(sign_test(a_only, b_only)), tango(b_only, a_only, n, level))


def sign_test(first: Any, second: Any) -> NDArray[np.float64]:
    """Exact two-sided p that `first` and `second` counts come from a fair coin; 1 where both are zero."""
    from scipy.special import bdtr

    low, total = np.minimum(first, second), np.asarray(first) + np.asarray(second)
    p: NDArray[np.float64] = np.minimum(1.0, 2 * bdtr(low.astype(float), total.astype(np.int64), 0.5))
    return p


def tango(gained: float, lost: float, n: int, level: float = 0.95) -> Interval:
    """Score interval of a difference of paired proportions, (gained - lost) / n (Tango 1998, eq. 6).

    Wald's interval is empty when nothing changed and too short when little did. `gained` and `lost` need not be whole.
    """
    z = normal_quantile(0.5 + level / 2)
    estimate = (gained - lost) / n

    def score(delta: float) -> float:
        """Standardised distance of the data from a true difference `delta`; falls as `delta` grows."""
        a, c = 2.0 * n, -lost * delta * (1 - delta)
        b = -gained - lost + (2 * n - gained + lost) * delta
        q = (math.sqrt(max(0.0, b * b - 4 * a * c)) - b) / (2 * a)
        variance = n * (2 * q + delta * (1 - delta))
        distance = gained - lost - n * delta
        if variance <= 1e-12:
            return math.copysign(math.inf, distance) if abs(distance) > 1e-9 else 0.0
        return distance / math.sqrt(variance)

    return Interval(estimate, _root(score, -1.0, estimate, z), _root(score, estimate, 1.0, -z), level, n)


def _root(score: Any, low: float, high: float, target: float) -> float:
    """Where the falling function `score` passes `target`, by bisection."""
    for _ in range(60):
        middle = (low + high) / 2
        if score(middle) > target:
            low = middle
        else:
            high = middle
    return (low + high) / 2


def non_inferior(test: McNemar, margin: float) -> bool:
    """Whether B is shown to be at most `margin` (a fraction) less accurate than A: the interval's low end says so."""
    return test.difference.low > -margin


def smallest_difference(n: int, discordant: int, level: float = 0.95, power: float = 0.8) -> float:
    """Smallest accuracy difference that `n` images with this many discordant ones would show with `power`.

    NaN where not even all discordant images on one side would be significant (under 6 at 95 %).
    """
    from scipy.stats import binom

    side = int(binom.ppf((1 - level) / 2, discordant, 0.5)) - 1  # significant with at most this many on the minor side
    while side + 1 <= discordant // 2 and sign_test(side + 1, discordant - side - 1) <= 1 - level:
        side += 1
    if discordant == 0 or side < 0:
        return math.nan
    low, high = 0.5, 1.0
    for _ in range(50):
        p = (low + high) / 2
        low, high = (p, high) if binom.cdf(side, discordant, 1 - p) < power else (low, p)
    return (2 * high - 1) * discordant / n


@dataclass(frozen=True)
class ConfusionChange:
    """Change of each confusion-matrix cell from A to B; all arrays (classes, classes), row = true class.

    `gained` and `lost` count images that came into and left a cell. `change`, `low` and `high` are fractions of the
    true class, the interval Tango's of the images of that class. `p` is the exact paired test of the
    cell, `p_holm` corrected for all cells that any image is in.
    """

    counts_a: Labels
    counts_b: Labels
    gained: Labels
    lost: Labels
    change: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    p: NDArray[np.float64]
    p_holm: NDArray[np.float64]
    level: float

    def established(self) -> list[tuple[int, int]]:
        """(true, predicted) of the cells whose change survives the correction."""
        return [(int(i), int(j)) for i, j in np.argwhere(self.p_holm <= 1 - self.level)]


def confusion_change(
    true: Labels,
    predicted_a: Labels,
    predicted_b: Labels,
    classes: int,
    *,
    level: float = 0.95,
) -> ConfusionChange:
    """Paired change of every cell, stratified by true class, with Holm's correction.

    Whether a cell changed is decided by the exact sign test of the images that moved in or out; Tango's interval says
    by how much. A percentile bootstrap can do neither: 9 images in and none out never resample to zero (p about e^-9),
    while a fair coin does that once in 256 times, and after a correction for 90 cells it is such tails that count
    (false claims in 8 %, the sign test in 1 %); of 30 images and one or two moved, its interval covers 71 %.
    """
    moves = np.zeros((classes, classes, classes), dtype=np.int64)  # true, predicted by A, predicted by B
    np.add.at(moves, (true, predicted_a, predicted_b), 1)
    counts_a, counts_b = moves.sum(axis=2), moves.sum(axis=1)
    stay = np.einsum("ijj->ij", moves)
    gained, lost = counts_b - stay, counts_a - stay
    p = sign_test(gained, lost)
    used = (counts_a + counts_b) > 0
    p_holm = np.ones_like(p)
    p_holm[used] = holm(p[used])
    size = np.maximum(1, moves.sum(axis=(1, 2)))[:, None]
    low, high = np.zeros_like(p), np.zeros_like(p)
    for i, j in np.argwhere(used):
        interval = tango(int(gained[i, j]), int(lost[i, j]), int(size[i, 0]), level)
        low[i, j], high[i, j] = interval.low, interval.high
    return ConfusionChange(counts_a, counts_b, gained, lost, (counts_b - counts_a) / size, low, high, p, p_holm, level)


def holm(p: NDArray[np.float64]) -> NDArray[np.float64]:
    """Holm's step-down correction (1979): family-wise error holds whatever the dependence."""
    order = np.argsort(p)
    steps = (len(p) - np.arange(len(p))) * p[order]
    corrected = np.empty_like(p)
    corrected[order] = np.minimum(1.0, np.maximum.accumulate(steps))
    return corrected


def flips(true: Labels, predicted_a: Labels, predicted_b: Labels) -> dict[str, int]:
    """How many decisions changed, and which way."""
    changed = predicted_a != predicted_b
    was, now = predicted_a == true, predicted_b == true
    return {
        "changed": int(changed.sum()),
        "right_to_wrong": int((was & ~now).sum()),
        "wrong_to_right": int((~was & now).sum()),
        "wrong_to_other_wrong": int((changed & ~was & ~now).sum()),
    }
