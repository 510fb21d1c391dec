"""The device's dead time against queueing theory; the battery by its own balance; the collider's preset."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skytrigger.core.seeds import generator
from skytrigger.onboard.device import dead_time_curve, live_share, server, work_off
from skytrigger.onboard.power import battery
from skytrigger.onboard.spec import Power


@pytest.mark.parametrize("load", [0.5, 0.9, 1.5])
@pytest.mark.parametrize("places", [1, 2, 5])
def test_exponential_work_loses_what_m_m_1_k_says(load, places):
    """Blocking of M/M/1/K: (1 - a) a^K / (1 - a^(K+1)) (Kleinrock 1975, eq. 3.43)."""
    n = 60_000
    rng = generator(1, load, places)
    share = server(np.cumsum(rng.exponential(1 / load, n)), rng.exponential(1.0, n), places)
    lost = (1 - load) * load**places / (1 - load ** (places + 1))
    assert 1 - share == pytest.approx(lost, abs=5 * math.sqrt(lost * (1 - lost) / n) * 3)


@pytest.mark.parametrize("load", [0.3, 1.0, 3.0])
def test_one_place_is_a_trigger_with_fixed_dead_time(load):
    """Non-paralysable: live share 1 / (1 + rate x dead time) (Knoll, "Radiation Detection", eq. 4.23)."""
    assert live_share(load, 1.0, 1, events=60_000) == pytest.approx(1 / (1 + load), abs=0.01)


def test_the_curve_keeps_all_at_low_load_and_the_devices_rate_beyond():
    curve = dead_time_curve(2e-4, 50, np.array([0.2, 0.5, 2.0]))
    assert [c["lost"] for c in curve[:2]] == pytest.approx([0, 0], abs=1e-3)
    assert curve[2]["live_hz"] == pytest.approx(1 / 2e-4, rel=0.02)


@given(
    st.lists(st.tuples(st.floats(0.1, 10), st.integers(0, 50)), min_size=1, max_size=20),
    st.floats(0, 2),
    st.integers(1, 100),
)
@settings(max_examples=60, deadline=None)
def test_batches_keep_within_the_buffer_and_in_order(batches, each, places):
    t = np.cumsum([b[0] for b in batches])
    n = np.array([b[1] for b in batches], np.int64)
    kept = work_off(t, n, each, places)
    assert (kept.live <= n).all()
    assert (kept.live >= 0).all()
    assert (np.diff(kept.ready_s) >= 0).all()
    assert (kept.ready_s >= t - 1e-9).all()
    if each == 0:
        assert (kept.live == n).all()
    else:  # what is in work never exceeds the places
        assert (kept.ready_s - t <= places * each * (1 + 1e-9) + 1e-9).all()


flags = st.lists(st.booleans(), min_size=40, max_size=40)


@given(flags, flags, flags, st.floats(0, 500), st.floats(0, 1))
@settings(max_examples=60, deadline=None)
def test_the_battery_balances(sunlit, imaging, sending, solar, start):
    power = Power(battery_J=5e4, solar_W=solar, base_W=50, imaging_W=100, transmitter_W=30, reserve=0.2, start=start)
    t = np.arange(40) * 10.0
    held = battery(power, 10.0, t, *(np.array(x) for x in (sunlit, imaging, sending)))
    assert (held.energy_J >= 0).all()
    assert (held.energy_J <= 5e4).all()
    gained = solar * 10.0 * sum(sunlit)
    balance = start * 5e4 + gained - held.used_J - held.spilled_J
    assert held.energy_J[-1] >= balance - 1e-6  # more only where it stood at empty
    if held.energy_J.min() > 0:
        assert held.energy_J[-1] == pytest.approx(balance, abs=1e-6)


@pytest.mark.parametrize("name", ["no sun", "sun", "some sun"])
def test_the_battery_agrees_with_basilisk(name):
    """Down to empty, up to full, and in between: levels that write_basilisk.py took from Basilisk's simple battery."""
    recorded = json.loads(Path(__file__).with_name("basilisk.json").read_text())
    watts, theirs = recorded["runs"][name]["watts"], recorded["runs"][name]["levels_J"]
    every, capacity_J = recorded["every"], recorded["capacity_J"]
    t = np.arange((len(theirs) - 1) * every) * recorded["step_s"]
    on = np.ones(len(t), bool)
    power = Power(
        battery_J=capacity_J, solar_W=max(watts[0], 0.0), base_W=3.0, imaging_W=4.0, transmitter_W=0.0,
        start=recorded["start_J"] / capacity_J, reserve=0.0,
    )  # fmt: skip
    assert watts[-3:] == [-3.0, -4.0, -3.0]  # base, imaging, classifier
    ours = battery(power, 3.0, t, on, on, ~on).energy_J
    assert theirs[0] == recorded["start_J"]
    assert ours[every - 1 :: every] == pytest.approx(theirs[1:], abs=1e-6)  # theirs begins at 0 s, ours ends a step
    assert theirs[-1] == {"no sun": 0.0, "sun": capacity_J, "some sun": 100_000.0 - 0.75 * 12_000}[name]


def test_the_colliders_preset_is_monotone_and_beats_a_prescale(tmp_path, monkeypatch):
    from skytrigger.onboard import level1
    from skytrigger.onboard.spec_file import spec_text

    text, _ = spec_text("l1")
    text = text.replace("crossings = 100_000", "crossings = 20_000").replace("really = 400", "really = 60")
    text = text.replace("[100e3, 250e3, 750e3, 2e6, 6e6]", "[750e3, 6e6]")
    monkeypatch.setattr(level1, "spec_text", lambda name: (text, "."))
    summary = level1.replay_level1(tmp_path)
    of = {(c["policy"], c["accept_hz"]): c for c in summary["curve"]}
    for policy in ("prescale", "menu", "age"):
        assert of[policy, 6e6]["efficiency"]["value"] >= of[policy, 750e3]["efficiency"]["value"]
        for rate in (750e3, 6e6):
            assert of[policy, rate]["accepted_hz"]["value"] <= rate * 1.06  # and the buffer's last events
    assert of["age", 6e6]["efficiency"]["value"] > 2 * of["prescale", 6e6]["efficiency"]["value"]
    assert of["menu", 6e6]["efficiency"]["value"] > 2 * of["prescale", 6e6]["efficiency"]["value"]
    assert (tmp_path / "summary.json").exists()
