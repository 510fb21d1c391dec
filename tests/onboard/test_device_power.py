"""The device's dead time against queueing theory; the battery by its own balance; the collider's preset."""

from __future__ import annotations

import math

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


def test_the_battery_agrees_with_basilisk():
    """One scenario through Basilisk's simple battery and power sinks: bsk on PyPI, not installed by default (70 MB)."""
    pytest.importorskip("Basilisk.utilities.SimulationBaseClass", reason="pip install bsk: Basilisk checks the battery")
    from Basilisk.simulation import simpleBattery, simplePowerSink
    from Basilisk.utilities import SimulationBaseClass, macros

    sim = SimulationBaseClass.SimBaseClass()
    sim.CreateNewProcess("p").addTask(sim.CreateNewTask("t", macros.sec2nano(10.0)))
    store = simpleBattery.SimpleBattery()
    store.storageCapacity, store.storedCharge_Init = 144_000.0, 100_000.0
    for watts in (10.0, -3.0, -4.0, -3.0):
        sink = simplePowerSink.SimplePowerSink()
        sink.nodePowerOut, sink.powerStatus = watts, 1
        sim.AddModelToTask("t", sink)
        store.addPowerNodeToModel(sink.nodePowerOutMsg)
    sim.AddModelToTask("t", store)
    log = store.batPowerOutMsg.recorder()
    sim.AddModelToTask("t", log)
    sim.InitializeSimulation()
    sim.ConfigureStopTime(macros.sec2nano(6000.0))
    sim.ExecuteSimulation()
    theirs = np.asarray(log.storageLevel)
    t = np.arange(len(theirs)) * 10.0
    on = np.ones(len(t), bool)
    power = Power(
        battery_J=144_000.0, solar_W=10.0, base_W=3.0, imaging_W=4.0, transmitter_W=0.0, start=100 / 144, reserve=0.0
    )
    ours = battery(power, 3.0, t, on, on, ~on).energy_J
    assert ours[:-1] == pytest.approx(theirs[1:], abs=1e-6)  # theirs begins at 0 s, ours ends its first step


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
