"""The signed-rank interval against all signs, SciPy and its own test."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy.stats import wilcoxon

from skytrigger.measure.signed_rank import critical_rank, signed_rank_bounds


@pytest.mark.parametrize("n", [1, 5, 6, 7, 10, 12])
@pytest.mark.parametrize("level", [0.8, 0.95])
def test_critical_rank_by_all_signs(n: int, level: float) -> None:
    sums = np.array([sum(r for r, s in enumerate(signs, 1) if s) for signs in itertools.product((0, 1), repeat=n)])
    k = critical_rank(n, level)
    tail = (1 - level) / 2 + 1e-12
    assert k == 0 or np.mean(sums < k) <= tail
    assert np.mean(sums < k + 1) > tail


def test_published_critical_values() -> None:
    """Wilcoxon's table, two-sided 5 %: largest rejecting sum 8 for 10, 52 for 20, 137 for 30."""
    assert [critical_rank(n) - 1 for n in (6, 10, 20, 30)] == [0, 8, 52, 137]


@pytest.mark.parametrize("n", [6, 10, 17])
def test_the_interval_is_what_the_test_does_not_reject(n: int) -> None:
    rng = np.random.default_rng(n)
    for _ in range(5):
        d = rng.standard_t(2, n) + 0.3
        low, high = (v[0] for v in signed_rank_bounds(d[None]))
        width = high - low
        for centre, inside in (
            (low + 1e-6 * width, True), (low - 1e-6 * width, False), (high - 1e-6 * width, True),
            (high + 1e-6 * width, False), ((low + high) / 2, True),
        ):  # fmt: skip
            assert (wilcoxon(d - centre, method="exact").pvalue > 0.05) == inside


def test_too_few_have_no_interval() -> None:
    low, high = signed_rank_bounds(np.ones((3, 5)))
    assert np.isnan(low).all()
    assert np.isnan(high).all()
    assert low.shape == (3,)
    assert np.isfinite(signed_rank_bounds(np.ones((3, 6)))[0]).all()


def test_rows_are_apart_and_shift_with_their_values() -> None:
    d = np.random.default_rng(0).normal(size=(4, 15))
    low, high = signed_rank_bounds(d)
    shifted = signed_rank_bounds(2 * d + 5)
    assert shifted[0] == pytest.approx(2 * low + 5)
    assert shifted[1] == pytest.approx(2 * high + 5)
    flipped = signed_rank_bounds(-d)
    assert flipped[0] == pytest.approx(-high)
    assert flipped[1] == pytest.approx(-low)
    assert signed_rank_bounds(d, 0.5)[1] == pytest.approx([signed_rank_bounds(row[None], 0.5)[1][0] for row in d])


def test_one_row_alone_and_its_level() -> None:
    d = np.random.default_rng(2).normal(size=14)
    for level in (0.5, 0.8, 0.95):
        low, high = signed_rank_bounds(d, level)
        both = signed_rank_bounds(np.stack([d, -d]), level)
        assert (float(low), float(high)) == (both[0][0], both[1][0])
    spans = [float(np.diff(signed_rank_bounds(d, level))[0]) for level in (0.5, 0.8, 0.95)]
    assert spans == sorted(spans)
    assert len(set(spans)) == 3
    assert signed_rank_bounds(np.ones(3))[0].shape == ()
