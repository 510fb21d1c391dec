"""Every interval that is printed holds the truth as often as it says."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
from scipy.stats import binom

sys.path.insert(0, str(Path(__file__).parent))

from intervals import Case, all_cases, found

CASES = all_cases()
IDS = [f"{c.method}; {c.what}; n = {c.n}" for c in CASES]
FAST = [c for c in CASES if c.effort <= 2]


def _allowed(case: Case, replicates: int) -> float:
    """Share that an interval with just `least` falls short of once in 10,000 such tests."""
    return float(binom.ppf(1e-4, replicates, case.least)) / replicates


@pytest.mark.parametrize("method", sorted({c.method for c in FAST}))
def test_intervals_cover(method: str) -> None:
    """Few replicates, all kinds of noise of a method together: an interval that is much too short fails."""
    cases = [c for c in FAST if c.method == method]
    replicates = max(20, 400 // len(cases))
    held = sum(found(c, replicates) * replicates for c in cases)
    least = sum(c.least for c in cases) / len(cases)
    assert held >= binom.ppf(1e-4, replicates * len(cases), least)


@pytest.mark.slow
@pytest.mark.skipif(not os.environ.get("SKYTRIGGER_SLOW"), reason="a quarter of an hour: set SKYTRIGGER_SLOW=1")
@pytest.mark.parametrize("case", CASES, ids=IDS)
def test_every_interval_covers(case: Case) -> None:
    replicates = max(200, min(1000, int(4000 / case.effort)))
    assert found(case, replicates) >= _allowed(case, replicates)


def test_an_interval_that_is_too_short_fails() -> None:
    """The simulation itself can say no: half of the blocks' interval."""
    import math

    import numpy as np

    from skytrigger.measure.signed_rank import signed_rank_bounds

    def draw(rng: np.random.Generator) -> bool:
        d = rng.standard_normal((1, 10))
        low, high = signed_rank_bounds(d)
        centre, half = (low + high) / 2, (high - low) / 4
        return bool(abs(centre[0]) <= half[0]) and math.isfinite(half[0])

    short = Case("half an interval", "normal", "10", draw)
    assert found(short, 400) < _allowed(short, 400)
