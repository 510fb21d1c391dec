"""Energy of a window at the bounds of its rules, and what is kept of a load between two idle windows."""

from __future__ import annotations

from typing import Any

import pytest

from skytrigger.measure.meters.protocol import (
    BESIDES,
    LiveMeter,
    MeterFacts,
    Reading,
    WindowEnergy,
    energy_entry,
    window_energy,
)
from skytrigger.measure.meters.replay import ReplayMeter

FACTS = MeterFacts("replay", "trace", "recorded")
WRAPS = MeterFacts("replay", "trace", "recorded", 100.0)


def counter(*joules: float | None) -> list[Reading]:
    return [Reading(float(i), j) for i, j in enumerate(joules)]


def power(times: list[float], watts: float = 50.0) -> list[Reading]:
    return [Reading(t, watts=watts + 0.001 * i) for i, t in enumerate(times)]


def test_a_window_of_two_readings() -> None:
    found = window_energy([Reading(3.0, watts=10.0), Reading(5.0, watts=20.0)], FACTS)
    assert (found.joules, found.seconds, found.watts_mean, found.flags) == (30.0, 2.0, 15.0, ())
    assert (found.watts_min, found.watts_max, found.stretches) == (10.0, 20.0, ())
    assert window_energy([Reading(3.0, 7.0), Reading(5.0, 8.0)], FACTS).joules == 1.0


@pytest.mark.parametrize("times", [[0.0], [], [0.0, 1.0, 1.0], [0.0, 2.0, 1.0], [5.0, 1.0]])
def test_times_that_are_no_window(times: list[float]) -> None:
    found = window_energy(power(times), FACTS)
    assert found.joules is None
    assert len(found.flags) == 1
    assert found.seconds == (max(0.0, times[-1] - times[0]) if len(times) > 1 else 0.0)
    assert ("two readings" if len(times) < 2 else "clock") in found.flags[0]


def test_a_counter_falls_by_its_range_or_was_reset() -> None:
    assert window_energy(counter(80.0, 95.0, 50.0), WRAPS).joules == 70.0  # half of the range: the furthest believed
    for readings, facts in ((counter(95.0, 51.0), WRAPS), (counter(80.0, 10.0), FACTS)):
        found = window_energy(readings, facts)
        assert found.joules is None
        assert any("reset" in flag for flag in found.flags)
    assert window_energy(counter(5.0, None, 8.0), FACTS).joules == 3.0
    still = window_energy(counter(5.0, 5.0, 5.0), FACTS)
    assert (still.joules, ["stood still" in f for f in still.flags]) == (None, [True])
    assert window_energy(counter(5.0, None, None), FACTS).joules is None


@pytest.mark.parametrize(("share", "flagged"), [(0.049, False), (0.051, True)])
def test_counter_and_power_may_differ_by_a_twentieth(share: float, flagged: bool) -> None:
    readings = [Reading(float(i), 100.0 * i, 100.0 * (1 + share) + 0.001 * (i % 2)) for i in range(21)]
    found = window_energy(readings, FACTS)
    assert found.joules == 2000.0
    assert any("disagree" in f for f in found.flags) == flagged


def with_a_gap(lost_s: int) -> list[Reading]:
    """100 s, a reading a second, but for `lost_s` of them in a row."""
    return power([float(i) for i in range(101) if not 50 < i <= 50 + lost_s])


@pytest.mark.parametrize(("lost_s", "known", "flags"), [(2, True, 0), (3, True, 1), (10, True, 1), (11, False, 1)])
def test_up_to_a_tenth_of_the_power_readings_may_be_missing(lost_s: int, known: bool, flags: int) -> None:
    """A step up to three times the usual one is none; longer ones have lost what they are longer."""
    found = window_energy(with_a_gap(lost_s), FACTS)
    assert (found.joules is not None) == known
    assert len(found.flags) == flags
    assert all(f.startswith(f"{lost_s}%") for f in found.flags)


@pytest.mark.parametrize(("silent_s", "known", "flags"), [(1, True, 0), (2, True, 1), (10, True, 1), (11, False, 1)])
def test_silence_at_either_end_is_missing(silent_s: int, known: bool, flags: int) -> None:
    whole = power([float(i) for i in range(101)])
    silent = [Reading(r.time_s) for r in whole]
    for readings in (silent[:silent_s] + whole[silent_s:], whole[: 101 - silent_s] + silent[101 - silent_s :]):
        found = window_energy(readings, FACTS)
        assert ((found.joules is not None), len(found.flags)) == (known, flags)
        assert all(f.startswith(f"{silent_s}%") for f in found.flags)


@pytest.mark.parametrize(("n", "known"), [(9, True), (10, False)])
def test_ten_equal_readings_are_a_sensor_that_stands_still(n: int, known: bool) -> None:
    found = window_energy([Reading(float(i), watts=50.0) for i in range(n)], FACTS)
    assert (found.joules == 50.0 * (n - 1)) == known
    assert any("stood still" in f for f in found.flags) != known


def test_stretches_are_means_of_whole_steps_in_order() -> None:
    uneven = [0.0, 1.0, 3.0, 4.0, 8.0, 9.0]  # five steps: two stretches, of two and three
    found = window_energy([Reading(t, 10.0 * t * t) for t in uneven], FACTS)
    assert found.stretches == pytest.approx((90 / 3, (810 - 90) / 6))
    assert (found.watts_min, found.watts_max) == (min(found.stretches), max(found.stretches))
    wrapped = window_energy([Reading(t, (j + 90) % 100) for t, j in ((0, 0), (1, 5), (2, 20), (3, 30))], WRAPS)
    assert wrapped.stretches == pytest.approx([30 / 3])
    assert window_energy(counter(1.0, 3.0), FACTS).stretches == ()
    ramp = window_energy(power([0.0, 1.0, 3.0, 4.0, 8.0]), FACTS)
    assert ramp.stretches == pytest.approx((50.0 + (0.5 + 2 * 1.5) / 3 / 1e3, 50.0 + (2.5 + 4 * 3.5) / 5 / 1e3))


def test_what_else_a_reading_tells() -> None:
    told = [{}, *(dict.fromkeys(BESIDES, 1.0 + i) for i in range(1, 4))]
    readings = [Reading(float(i), watts=50.0 + i, **more) for i, more in enumerate(told)]
    found = window_energy(readings, FACTS)
    assert (found.utilisation, found.temperature_c, found.clock_mhz) == (3.0, 3.0, 3.0)
    assert found.ranges == dict.fromkeys(("utilisation", "temperature_c", "clock_mhz"), (2.0, 4.0))
    bare = window_energy(power([0.0, 1.0]), FACTS)
    assert (bare.utilisation, bare.ranges) == (None, {})
    judged = found.without("useless")
    assert (judged.joules, judged.flags, judged.watts_mean) == (None, ("useless",), found.watts_mean)


def window(watts: float | None, joules: float | None = 1.0, **more: Any) -> WindowEnergy:
    return WindowEnergy(joules, 30.0, ("warm",), watts, **more)


def test_the_entry_of_a_load_between_two_idle_windows() -> None:
    work = window(100.0, watts_min=90.0, watts_max=110.0, utilisation=0.5, stretches=(99.0, 101.00000049),
                  ranges={"utilisation": (0.25, 0.75)})  # fmt: skip
    found = energy_entry(FACTS, work, [window(20.0), window(21.0)], 300, 60.0)
    assert found == {
        "label": "measured", "source": "replay", "scope": "trace", "resolution": "recorded", "flags": ["warm"],
        "joules_gross": 6000.0, "joules_net": 4770.0, "seconds": 60.0, "items": 300, "idle_watts": [20.0, 21.0],
        "watts_stretches": [99.0, 101.0], "watts_mean": 100.0, "watts_min": 90.0, "watts_max": 110.0,
        "utilisation": 0.5, "temperature_c": None, "clock_mhz": None, "utilisation_min": 0.25, "utilisation_max": 0.75,
    }  # fmt: skip


@pytest.mark.parametrize(("work_s", "label"), [(4.9, "estimated"), (5.0, "measured")])
def test_a_window_under_five_seconds_is_an_estimate(work_s: float, label: str) -> None:
    found = energy_entry(FACTS, window(100.0), [], 1, work_s)
    assert (found["label"], len(found["flags"])) == (label, 1 + (label == "estimated"))
    assert (found["joules_net"], found["idle_watts"]) == (None, [])


@pytest.mark.parametrize(("after", "flagged"), [(19.1, False), (18.9, True), (21.0, False), (21.2, True)])
def test_idle_may_change_by_a_twentieth(after: float, flagged: bool) -> None:
    found = energy_entry(FACTS, window(100.0), [window(20.0), window(after)], 1, 10.0)
    assert any("idle power" in f for f in found["flags"]) == flagged
    assert found["joules_net"] == pytest.approx((100 - (20 + after) / 2) * 10)


def test_windows_that_tell_nothing_count_nowhere() -> None:
    for idle in ([window(20.0), window(90.0, None)], [window(None), window(20.0)]):
        assert energy_entry(FACTS, window(100.0), idle, 1, 10.0)["idle_watts"] == [20.0]
    for work in (window(100.0, None), window(None)):
        found = energy_entry(FACTS, work, [], 1, 10.0)
        assert set(found) == {"label", "source", "scope", "resolution", "flags"}
    assert energy_entry(FACTS, window(100.0, None), [], 1, 10.0)["label"] == "unavailable"


def test_a_replayed_meter_gives_its_traces_in_turn() -> None:
    first, second = power([0.0, 1.0]), power([5.0, 6.0])
    meter = ReplayMeter([first, second])
    assert meter.facts == MeterFacts("replay", "a recorded trace", "as recorded")
    assert [meter.stop(), meter.stop(), meter.stop()] == [first, second, second]


def test_a_live_meter_begins_anew_and_can_be_stopped_unstarted() -> None:
    class Count(LiveMeter):
        facts = FACTS
        asked = 0

        def read(self) -> Reading:
            self.asked += 1
            return Reading(float(self.asked))

    meter = Count(interval_s=60.0)
    assert [r.time_s for r in meter.stop()] == [1.0]
    meter.start()
    thread = meter._thread
    assert thread is not None
    assert thread.daemon  # a program that fails does not wait for its meter
    assert [r.time_s for r in meter.stop()] == [2.0, 3.0]
    assert not thread.is_alive()
    meter.start()
    assert [r.time_s for r in meter.stop()] == [4.0, 5.0]
    assert Count().interval_s == 0.1
