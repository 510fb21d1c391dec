"""What a clairvoyant could have sent: true values, all passes and all that is yet to come known.

The day is cut at the passes and every hour: tiles of one true kind that were sensed within a cut are one variable for
each later pass. A linear programme over these (solved by HiGHS through SciPy) keeps to the passes' bits and to the
memory before each pass. Tiles may be split and a value fades from the latest moment that the group allows, so that its
optimum is never below what any policy can reach: a bound. Where there are few tiles the same programme in whole
numbers, one tile a variable, is the optimum itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skytrigger.core.errors import SkytriggerError
from skytrigger.onboard.contacts import Pass
from skytrigger.onboard.rows import fading

Floats = NDArray[np.float64]
EXACT_TILES = 60
CUT_S = 3600.0


@dataclass(frozen=True)
class Offers:
    """Groups of alike tiles; arrays (n,): when they can be sent from, when sensed, how many, bits and value of one."""

    ready_s: Floats
    t_s: Floats
    count: Floats
    bits: Floats
    value: Floats
    half_life_s: Floats
    deadline_s: Floats


@dataclass(frozen=True)
class Best:
    """`kind`: ``exact`` or ``bound``; the value, and the bits that it takes."""

    kind: str
    value: float
    bits: float


def best(offers: Offers, passes: list[Pass], rate_bit_s: float, memory_bit: float) -> Best:
    """The most value that the passes can bring down.

    Raises
    ------
    SkytriggerError
        The solver gave up.
    """
    exact = float(offers.count.sum()) <= EXACT_TILES
    offers = _split(offers) if exact else _grouped(offers, passes)
    if not passes or not len(offers.count):
        return Best("exact" if exact else "bound", 0.0, 0.0)
    first = np.searchsorted([p.end_s for p in passes], offers.ready_s, side="right")
    group, number = np.nonzero(np.arange(len(passes))[None, :] >= first[:, None])
    at = np.maximum(np.array([p.start_s for p in passes])[number], offers.ready_s[group])
    left = fading(offers.half_life_s[group], offers.deadline_s[group], at - offers.t_s[group])
    gain = offers.value[group] * left
    useful = gain > 0
    group, number, gain = group[useful], number[useful], gain[useful]
    if not len(gain):
        return Best("exact" if exact else "bound", 0.0, 0.0)
    return _solve(offers, passes, rate_bit_s, memory_bit, group, number, gain, exact)


def _split(offers: Offers) -> Offers:
    """One tile each."""
    index = np.repeat(np.arange(len(offers.count)), offers.count.astype(np.int64))
    parts = {k: getattr(offers, k)[index] for k in Offers.__dataclass_fields__}
    return Offers(**{**parts, "count": np.ones(len(index))})


def _grouped(offers: Offers, passes: list[Pass]) -> Offers:
    """Alike in all but time, between the same passes: one group, as fresh as its latest and as early as its first."""
    cuts = np.array([x for p in passes for x in (p.start_s, p.end_s)])
    hours = np.arange(0.0, float(offers.ready_s.max(initial=0.0)), CUT_S)
    cuts = np.sort(np.concatenate([cuts, hours]))
    interval = np.searchsorted(cuts, offers.ready_s).astype(np.float64)
    keys = np.stack([interval, offers.bits, offers.value, offers.half_life_s, offers.deadline_s], axis=1)
    some = (offers.count > 0) & (offers.value > 0)
    unique, of = np.unique(keys[some], axis=0, return_inverse=True)
    of = of.ravel()
    count = np.bincount(of, offers.count[some], len(unique)).astype(np.float64)
    ready, latest = np.full(len(unique), np.inf), np.full(len(unique), -np.inf)
    np.minimum.at(ready, of, offers.ready_s[some])
    np.maximum.at(latest, of, offers.t_s[some])
    return Offers(ready, latest, count, unique[:, 1], unique[:, 2], unique[:, 3], unique[:, 4])


def _solve(
    offers: Offers, passes: list[Pass], rate_bit_s: float, memory_bit: float,
    group: NDArray[np.int64], number: NDArray[np.int64], gain: Floats, exact: bool,
) -> Best:  # fmt: skip
    from scipy.optimize import Bounds, LinearConstraint, milp
    from scipy.sparse import coo_matrix, vstack

    n, variables = len(offers.count), np.arange(len(group))
    bits = offers.bits[group]
    shape = (len(passes), len(group))
    by_group = coo_matrix((np.ones(len(group)), (group, variables)), (n, len(group)))
    by_pass = coo_matrix((bits, (number, variables)), shape)
    capacity = np.array([(p.end_s - p.start_s) * rate_bit_s for p in passes])
    rows = [by_group, by_pass]
    limits = [offers.count, capacity]
    if offers.count @ offers.bits > memory_bit:
        rows.append(_held(offers, passes, group, number, bits))
        limits.append(np.full(len(passes), memory_bit))
    scale = float(np.max(offers.bits))
    matrix: Any = vstack(rows).tocsc()
    limit = np.concatenate(limits)
    bits_row = np.arange(len(limit)) >= n  # in tiles, not bits: numbers near 1 solve better
    factor = np.where(bits_row, 1 / scale, 1.0)
    matrix = matrix.multiply(factor[:, None]).tocsc()
    result = milp(
        -gain,
        constraints=LinearConstraint(matrix, -np.inf, limit * factor),
        bounds=Bounds(0, offers.count[group]),
        integrality=np.ones(len(group)) if exact else None,
        options={"time_limit": 120.0},
    )
    if result.x is None:
        raise SkytriggerError(f"the oracle's programme was not solved: {result.message}")
    value = float(gain @ result.x)
    if exact is False and result.status != 0:
        raise SkytriggerError(f"the oracle's bound was not reached in time: {result.message}")
    return Best("exact" if exact else "bound", value, float(bits @ result.x))


def _held(offers: Offers, passes: list[Pass], group: Any, number: Any, bits: Floats) -> Any:
    """Bits in memory when each pass begins: what is ready by then and goes in it or later."""
    from scipy.sparse import coo_matrix

    r, c = [], []
    for p, one in enumerate(passes):
        inside = np.flatnonzero((offers.ready_s[group] <= one.start_s) & (number >= p))
        r.append(np.full(len(inside), p))
        c.append(inside)
    row, column = np.concatenate(r), np.concatenate(c)
    return coo_matrix((bits[column], (row, column)), (len(passes), len(group)))
