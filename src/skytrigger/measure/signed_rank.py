"""Where is the centre of a symmetric distribution? An interval that holds for any such distribution and any n.

Wilcoxon's signed-rank test of "the centre is c" draws random signs for the ranks of ``|d - c|``; the values of c that
it does not reject lie between two of the ordered means of pairs (Walsh averages; Tukey 1949, Hodges & Lehmann 1963).
A block of counterbalanced visits in random order gives log ratios whose signs about the true one are coin tosses
given the noise, whatever that noise is: drift, steps and bursts change nothing.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

Rows = NDArray[np.float64]


@lru_cache(maxsize=64)
def critical_rank(n: int, level: float = 0.95) -> int:
    """Largest k with ``P(W < k) <= (1 - level) / 2`` for the signed-rank sum W of n signs; 0 where there is none."""
    chance = np.zeros(n * (n + 1) // 2 + 1)
    chance[0] = 1.0
    for rank in range(1, n + 1):
        moved = chance.copy()
        moved[rank:] += chance[:-rank]
        chance = moved / 2
    return int(np.searchsorted(np.cumsum(chance), (1 - level) / 2 + 1e-12, side="right"))


def signed_rank_bounds(d: Rows, level: float = 0.95) -> tuple[Rows, Rows]:
    """(low, high) of the centre of each row of `d` (rows, n); NaN where n carries no such level (under 6 at 95 %)."""
    n = d.shape[-1]
    rank = critical_rank(n, level)
    if rank == 0:
        nothing = np.full(d.shape[:-1], np.nan)
        return nothing, nothing.copy()
    first, second = np.triu_indices(n)
    walsh = np.sort((d[..., first] + d[..., second]) / 2, axis=-1)
    return walsh[..., rank - 1], walsh[..., -rank]
