"""Faults: missed passes, resets, clock jumps, full memory, and a replay that is stopped at any moment."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from onboard.made import MadeStream, Tile
from skytrigger.core.errors import InputError
from skytrigger.onboard import checkpoint, tally
from skytrigger.onboard.policies.found import BUILT_IN, policy_named
from skytrigger.onboard.replay import Replay
from skytrigger.onboard.spec import Choice, Fault, Spec

PASSES = [(8.0, 11.0), (20.0, 22.0), (33.0, 37.0)]
BASE = Spec(policy=Choice(passes_known=True), slice_s=1.0)


def many(seed: int, count: int = 40) -> list[Tile]:
    rng = np.random.default_rng(seed)
    return [
        Tile(float(t), float(v), count=int(c), kind=int(k), cloudy=bool(cloud), changed=bool(rng.random() < 0.5))
        for t, v, c, k, cloud in zip(
            rng.uniform(0, 36, count), rng.uniform(0, 5, count), rng.choice([1, 1, 4], count),
            rng.integers(0, 3, count), rng.random(count) < 0.3, strict=True,
        )
    ]  # fmt: skip


def day(seed: int, *faults: Fault, memory: float = 12.0, half_life: float = 30.0) -> MadeStream:
    return MadeStream(many(seed), PASSES, memory, half_life=half_life, spec=replace(BASE, fault=faults))


def same(a, b) -> bool:
    pairs = zip(a.state().values(), b.state().values(), strict=True)
    return all(np.array_equal(x, y, equal_nan=x.dtype.kind == "f") for x, y in pairs)


@given(st.sampled_from(sorted(BUILT_IN)), st.integers(0, 50), st.integers(0, 70))
@settings(max_examples=30, deadline=None)
def test_stopped_anywhere_and_resumed_is_as_undisturbed(name, seed, stop):
    faults = (Fault("reset", at_s=9.3, lasts_s=1.0), Fault("clock_jump", at_s=15.0, by_s=-7.0))
    whole = Replay(day(seed, *faults), policy_named(name)).run()
    first = Replay(day(seed, *faults), policy_named(name))
    for _ in range(min(stop, len(first.events))):
        first.step()
    state = checkpoint.unpack(checkpoint.pack(first.state()))
    second = Replay(day(seed, *faults), policy_named(name))
    second._restore(state)
    while second.next < len(second.events):
        second.step()
    tally.add(second.tally, "peak_bit", second.queue.peak_bit - tally.total(second.tally, "peak_bit"))
    assert same(whole, second.tally)


@given(st.integers(0, 1000), st.floats(0.0, 36.0), st.sampled_from(["value", "age", "fifo", "class"]))
@settings(max_examples=30, deadline=None)
def test_a_reset_keeps_the_queue_and_sends_nothing_twice(seed, at_s, name):
    """20 random moments and more: `count_sent` raises on a tile that was sent before; books balance."""
    stream = day(seed, Fault("reset", at_s=at_s, lasts_s=0.7))
    replay = Replay(stream, policy_named(name))
    done = replay.run()
    total = sum(t.count for t in stream.tiles)
    parts = (
        tally.total(done, "tiles") + tally.total(done, "evicted") + tally.total(done, "dropped") + replay.queue.tiles
    )
    assert parts == total
    assert done.t_ground_s[np.isfinite(done.t_ground_s)].size == (done.status == tally.SENT).sum()
    inside = (done.t_ground_s > at_s + 1e-6) & (done.t_ground_s < at_s + 0.7 - 1e-6)
    assert not inside.any()


def test_a_missed_pass_carries_nothing_and_the_next_takes_over():
    done = Replay(day(3, Fault("missed_pass", contact=1)), policy_named("value")).run()
    assert done.pass_bit[1] == 0
    assert done.pass_bit[2] > 0


@given(st.integers(0, 1000), st.integers(0, 2))
@settings(max_examples=25, deadline=None)
def test_with_a_missed_pass_what_is_lost_is_lowest(seed, number):
    seen = []

    def watch(what, taken, queue, keys):
        if what == "evicted" and len(taken.rows):
            left = queue.rows["key"][queue.rows["n"] > 0]
            seen.append((taken.rows["key"].max(), left.min() if len(left) else np.inf))

    Replay(day(seed, Fault("missed_pass", contact=number), memory=8.0), policy_named("value"), watch).run()
    assert all(gone <= left for gone, left in seen)


@given(st.integers(0, 1000), st.floats(0, 30), st.floats(-1000, 1000))
@settings(max_examples=30, deadline=None)
def test_a_clock_jump_is_put_right_at_the_next_pass(seed, at_s, by_s):
    stream = day(seed, Fault("clock_jump", at_s=at_s, by_s=by_s), memory=1e9)
    replay = Replay(stream, policy_named("fifo"))
    replay.run()
    rows = replay.queue.rows
    live = rows[rows["n"] > 0]
    before_last_pass = live["block"] < np.searchsorted(stream.plan.blocks.t_s, PASSES[-1][0])
    true = stream.plan.blocks.t_s[live["block"]]
    assert live["t_s"][before_last_pass] == pytest.approx(true[before_last_pass], abs=1e-6)


def test_a_clock_jump_with_room_for_all_changes_nothing_on_the_ground():
    plain = Replay(day(5, memory=1e9), policy_named("value")).run()
    jumped = Replay(day(5, Fault("clock_jump", at_s=12.0, by_s=500.0), memory=1e9), policy_named("value")).run()
    assert np.array_equal(plain.status, jumped.status)
    assert plain.totals == pytest.approx(jumped.totals)


def test_a_damaged_checkpoint_is_refused(tmp_path):
    path = tmp_path / "a.replay"
    checkpoint.save(path, {"x": np.arange(5)})
    assert checkpoint.load(path)["x"].tolist() == [0, 1, 2, 3, 4]
    data = bytearray(path.read_bytes())
    data[-3] ^= 1
    path.write_bytes(bytes(data))
    with pytest.raises(InputError, match="damaged"):
        checkpoint.load(path)
    assert checkpoint.load(tmp_path / "none") is None
