"""Queue, policies and oracle on tiny cases: against enumeration, and by properties."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from onboard.made import MadeStream, Tile
from skytrigger.core.errors import InputError
from skytrigger.onboard import oracle, tally
from skytrigger.onboard.oracle import Offers, best
from skytrigger.onboard.policies.base import Policy
from skytrigger.onboard.policies.found import BUILT_IN, policy_named
from skytrigger.onboard.replay import Replay


def run(stream: MadeStream, name: str = "value"):
    return Replay(stream, policy_named(name)).run()


def value_of(stream: MadeStream, name: str) -> float:
    return tally.total(run(stream, name), "value")


def offers(tiles: list[Tile], half_life=np.inf, deadline=np.inf) -> Offers:
    n = len(tiles)
    t = np.array([x.t_s for x in tiles], float)
    return Offers(
        t, t, np.array([x.count for x in tiles], float), np.array([x.bits for x in tiles], float),
        np.array([x.value for x in tiles], float), np.full(n, half_life), np.full(n, deadline),
    )  # fmt: skip


def brute_force(tiles: list[Tile], passes, memory: float, rate: float = 1.0) -> float:
    """All assignments of tiles to passes (or none), each within its bits and the memory before it."""
    top = 0.0
    for where in product(range(-1, len(passes)), repeat=len(tiles)):
        if any(p >= 0 and passes[p][1] <= t.t_s for p, t in zip(where, tiles, strict=True)):
            continue
        bits = np.zeros(len(passes))
        held = np.zeros(len(passes))
        for p, t in zip(where, tiles, strict=True):
            if p >= 0:
                bits[p] += t.bits
                for q in range(p + 1):
                    held[q] += t.bits * (t.t_s <= passes[q][0])
        if all(b <= (e - s) * rate + 1e-9 for b, (s, e) in zip(bits, passes, strict=True)) and (held <= memory).all():
            top = max(top, sum(t.value for p, t in zip(where, tiles, strict=True) if p >= 0))
    return top


tile = st.builds(
    Tile,
    t_s=st.integers(0, 30).map(float),
    value=st.integers(0, 9).map(float),
    bits=st.integers(1, 3).map(float),
    kind=st.integers(0, 2),
    cloudy=st.booleans(),
    changed=st.booleans(),
)
RANKED = ["value", "class", "age", "deadline", "fifo"]
PASSES = [(8.0, 11.0), (20.0, 22.0), (33.0, 37.0)]


@given(st.lists(tile, min_size=1, max_size=4), st.integers(2, 12))
@settings(max_examples=40, deadline=None)
def test_the_oracle_is_what_enumeration_finds(tiles, memory):
    from skytrigger.onboard.contacts import Pass

    passes = [Pass("p", a, b) for a, b in PASSES]
    found = best(offers(tiles), passes, 1.0, float(memory))
    assert found.kind == "exact"
    assert found.value == pytest.approx(brute_force(tiles, PASSES, memory))


@given(st.lists(tile, min_size=1, max_size=12), st.integers(3, 20), st.sampled_from(sorted(BUILT_IN)))
@settings(max_examples=40, deadline=None)
def test_no_policy_beats_the_oracle_and_books_balance(tiles, memory, name):
    stream = MadeStream(tiles, PASSES, float(memory))
    if name == "tiers":
        return  # other tiers than whole tiles
    done = run(stream, name)
    from skytrigger.onboard.contacts import Pass

    top = best(offers(tiles), [Pass("p", a, b) for a, b in PASSES], 1.0, float(memory))
    assert tally.total(done, "value") <= top.value + 1e-6
    assert tally.total(done, "peak_bit") <= memory + 1e-9
    assert (done.pass_bit <= np.array([b - a for a, b in PASSES]) + 1e-9).all()
    counts = np.bincount(done.status, minlength=5)
    assert counts[tally.SENT] == tally.total(done, "tiles")
    assert counts[tally.EVICTED] == tally.total(done, "evicted")
    assert counts.sum() == len(tiles)


@given(
    st.lists(tile, min_size=2, max_size=14),
    st.integers(2, 9),
    st.sampled_from(["value", "class", "age", "deadline", "fifo"]),
)
@settings(max_examples=40, deadline=None)
def test_nothing_of_higher_rank_is_lost_before_lower(tiles, memory, name):
    lost = []

    def watch(what, taken, queue, keys):
        if what == "evicted":
            left = keys[queue.rows["n"] > 0]
            gone = [k for k, before in zip(keys, queue.rows, strict=True) if before["n"] == 0 and len(taken.rows)]
            lost.append((taken, left, gone))
            evicted = policy_keys(taken.rows)
            if len(left) and len(evicted):
                assert evicted.max() <= left.min() + 1e-9

    stream = MadeStream(tiles, PASSES, float(memory))
    replay = Replay(stream, policy_named(name), watch)

    def policy_keys(rows):
        now = replay.events[replay.next - 1].t_s
        return np.asarray(replay._keys(rows, now, replay._outlook(now)))

    replay.run()


@given(st.lists(tile, min_size=1, max_size=14), st.integers(2, 30))
@settings(max_examples=40, deadline=None)
def test_value_per_bit_is_optimal_for_equal_tiles_and_one_pass(tiles, memory):
    """All sensed before the only pass, equal sizes: the fractional knapsack's greedy rule is the optimum."""
    for one in tiles:
        one.bits, one.cloudy, one.t_s = 1.0, False, min(one.t_s, 7.0)
    room = min(memory, 3)
    expected = sum(sorted((t.value for t in tiles), reverse=True)[:room])
    assert value_of(MadeStream(tiles, PASSES[:1], float(memory)), "value") == pytest.approx(expected)


def test_earliest_deadline_sends_what_is_due_first():
    tiles = [Tile(0, 5.0, kind=0), Tile(0.5, 1.0, kind=1)]
    stream = MadeStream(tiles, [(5, 6), (50, 51)], 10, deadline=[1000.0, 20.0, np.inf])
    assert value_of(stream, "deadline") == 6.0
    assert value_of(stream, "value") == 5.0  # the other is too late by then


def test_age_lets_what_has_expired_go_last():
    tiles = [Tile(0, 9.0, kind=0), Tile(1, 1.0, kind=1)]
    stream = MadeStream(tiles, [(50, 51)], 10, deadline=[10.0, 1000.0, np.inf])
    assert value_of(stream, "age") == 1.0
    assert value_of(stream, "value") == 0.0


def test_first_in_first_out_drops_what_comes_last_where_memory_is_full():
    done = run(MadeStream([Tile(t, 1.0) for t in (0, 1, 2, 3)], [(10, 12)], 3), "fifo")
    assert [tally.STATUS[s] for s in done.status] == ["sent", "sent", "waiting", "evicted"]


def test_filters_keep_what_they_say():
    tiles = [
        Tile(0, 1.0, cloudy=True), Tile(1, 1.0, kind=0), Tile(2, 1.0, kind=1, confidence=0.4),
        Tile(3, 1.0, kind=2, changed=False), Tile(4, 1.0, kind=1),
    ]  # fmt: skip
    kept = {n: (run(MadeStream(tiles, [(10, 20)], 99), n).status == tally.SENT).tolist() for n in BUILT_IN}
    assert kept["fifo"] == [True] * 5
    assert kept["cloud-drop"] == [False, True, True, True, True]
    assert kept["tile-filter"] == [False, False, False, True, True]
    assert kept["change"] == [False, True, True, False, True]


def test_a_row_of_many_is_sent_in_part():
    done = run(MadeStream([Tile(0, 1.0, count=10)], [(5, 8), (20, 24)], 99))
    assert done.pass_items.tolist() == [3, 4]


def test_a_tile_larger_than_a_slice_goes_down_over_several():
    done = run(MadeStream([Tile(0, 1.0, bits=2.5), Tile(1, 0.9, bits=2.5)], [(5, 8)], 99))
    assert done.pass_items.tolist() == [1]
    assert done.t_ground_s[0] == pytest.approx(7.5)


def test_quotas_bound_a_class():
    tiles = [Tile(i / 10, 3.0, kind=0) for i in range(6)] + [Tile(i / 10, 1.0, kind=1) for i in range(6)]
    done = run(MadeStream(tiles, [(5, 9)], 99, quota=[0.5, np.inf, np.inf]))
    assert done.sent_true.tolist() == [2, 2, 0, 0]


def test_alerts_go_first():
    tiles = [Tile(0, 5.0), Tile(1, 0.1, alert=True)]
    done = run(MadeStream(tiles, [(5, 6)], 99))
    assert [tally.STATUS[s] for s in done.status] == ["waiting", "sent"]


def test_the_bound_is_never_below_the_optimum_of_few():
    rng = np.random.default_rng(1)
    from skytrigger.onboard.contacts import Pass

    passes = [Pass("p", a, b) for a, b in PASSES]
    for _ in range(10):
        tiles = [Tile(float(rng.integers(0, 30)), float(rng.integers(1, 9))) for _ in range(12)]
        few = best(offers(tiles, half_life=20.0), passes, 1.0, 6.0)
        old, oracle.EXACT_TILES = oracle.EXACT_TILES, 0
        try:
            bound = best(offers(tiles, half_life=20.0), passes, 1.0, 6.0)
        finally:
            oracle.EXACT_TILES = old
        assert (few.kind, bound.kind) == ("exact", "bound")
        assert bound.value >= few.value - 1e-6
        assert bound.value <= 1.5 * few.value + 1e-6


def test_unknown_policies_are_named(tmp_path):
    with pytest.raises(InputError, match="value"):
        policy_named("best")
    (tmp_path / "broken.py").write_text("1 / 0\n")
    with pytest.raises(InputError, match="ZeroDivisionError"):
        policy_named("broken.py:Mine", tmp_path)
    (tmp_path / "empty.py").write_text("Mine = 3\n")
    with pytest.raises(InputError, match="derives from"):
        policy_named("empty.py:Mine", tmp_path)
    with pytest.raises(InputError, match="no file"):
        policy_named("none.py:Mine", tmp_path)


def test_a_base_policy_is_first_in_first_out():
    assert Policy().name == "fifo"
