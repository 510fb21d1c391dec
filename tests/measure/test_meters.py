"""Meters against recorded traces with known answers, and sensors that misbehave."""

from __future__ import annotations

import random
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skytrigger.bench.power_window import energy_windows
from skytrigger.core.errors import InputError, UnavailableError
from skytrigger.measure.meters.external import CsvMeter
from skytrigger.measure.meters.found import open_meters
from skytrigger.measure.meters.hwmon import HwmonMeter
from skytrigger.measure.meters.nvml import NvmlMeter
from skytrigger.measure.meters.protocol import LiveMeter, MeterFacts, Reading, window_energy
from skytrigger.measure.meters.rapl import RaplMeter
from skytrigger.measure.meters.replay import ReplayMeter

FACTS = MeterFacts("replay", "trace", "recorded")


def trace(
    seconds: float, watts: float, step: float = 0.1, counter: bool = False, start_j: float = 0.0
) -> list[Reading]:
    n = round(seconds / step)
    return [
        Reading(i * step, start_j + watts * i * step if counter else None, watts + 0.01 * (i % 3 - 1))
        for i in range(n + 1)
    ]


def test_constant_power_integrates_exactly() -> None:
    found = window_energy([Reading(0.1 * i, watts=50.0 + i % 2) for i in range(101)], FACTS)
    assert found.joules == pytest.approx(505.0, rel=2e-3)
    assert found.flags == ()
    assert (found.watts_min, found.watts_max) == (50.0, 51.0)


@given(st.lists(st.tuples(st.floats(0.01, 1), st.floats(0, 500)), min_size=5, max_size=50))
def test_a_ramp_integrates_as_trapezoids(steps: list[tuple[float, float]]) -> None:
    readings, now = [], 0.0
    for i, (step, watts) in enumerate(steps):
        now += 1.0 + 0.001 * step
        readings.append(Reading(now, watts=watts + 1e-3 * i))
    import numpy as np

    found = window_energy(readings, FACTS)
    assert found.joules == pytest.approx(
        float(np.trapezoid([r.watts for r in readings], [r.time_s for r in readings])), abs=1e-6
    )


def test_counter_wraps_and_is_checked_against_power() -> None:
    facts = MeterFacts("replay", "trace", "recorded", counter_range_j=1000.0)
    readings = [Reading(r.time_s, (r.joules or 0) % 1000, r.watts) for r in trace(30, 100, counter=True, start_j=900)]
    found = window_energy(readings, facts)
    assert found.joules == pytest.approx(3000.0)
    assert found.flags == ()
    unknown = window_energy(readings, FACTS)
    assert unknown.joules == pytest.approx(3000.0, rel=1e-3)  # from power
    assert any("reset" in f for f in unknown.flags)


def test_counter_and_power_that_disagree_are_flagged() -> None:
    readings = [Reading(r.time_s, (r.joules or 0) * 0.9, r.watts) for r in trace(10, 100, counter=True)]
    found = window_energy(readings, FACTS)
    assert found.joules == pytest.approx(900.0)
    assert any("disagree by more than 5 %" in f for f in found.flags)


def test_lost_samples() -> None:
    whole = trace(20, 80)
    few = [r for r in whole if not 5.0 < r.time_s < 5.6]
    found = window_energy(few, FACTS)
    assert found.joules == pytest.approx(1600, rel=1e-3)
    assert any("missing" in f for f in found.flags)
    many = [r for r in whole if not 5.0 < r.time_s < 9.0]
    assert window_energy(many, FACTS).joules is None
    counted = [r for r in trace(20, 80, counter=True) if not 5.0 < r.time_s < 9.0]
    assert window_energy(counted, FACTS).joules == pytest.approx(1600, rel=1e-6)  # a counter misses nothing
    silent_end = [Reading(r.time_s, None, r.watts if r.time_s < 10 else None) for r in whole]
    assert window_energy(silent_end, FACTS).joules is None


def test_a_sensor_that_stands_still_gives_no_figure() -> None:
    still = window_energy([Reading(0.1 * i, watts=42.0) for i in range(60)], FACTS)
    assert still.joules is None
    assert any("stood still" in f for f in still.flags)
    counter = window_energy([Reading(0.1 * i, joules=7.0) for i in range(60)], FACTS)
    assert counter.joules is None


def test_clock_jumps() -> None:
    back = [Reading(r.time_s - (3 if r.time_s > 5 else 0), watts=r.watts) for r in trace(10, 50)]
    assert window_energy(back, FACTS).joules is None
    ahead = [Reading(r.time_s + (100 if r.time_s > 5 else 0), watts=r.watts) for r in trace(10, 50)]
    found = window_energy(ahead, FACTS)
    assert found.joules is None
    assert any("missing" in f for f in found.flags)


def test_too_few_readings() -> None:
    assert window_energy([], FACTS).joules is None
    assert window_energy([Reading(0.0, watts=3.0)], FACTS).joules is None


def _windows(meters: list[Any], items: int = 100, work_s: float = 30.0) -> dict[str, Any]:
    return energy_windows(meters, lambda: (items, work_s), 30.0, wait=lambda s: None, phase=random.Random(0))


def test_gross_and_net_per_image() -> None:
    meter = ReplayMeter([trace(10, 20), trace(30, 100), trace(10, 20)])
    found = _windows([meter])
    assert found["label"] == "measured"
    assert found["joules_gross"] == pytest.approx(3000, rel=1e-3)
    assert found["joules_net"] == pytest.approx(2400, rel=1e-3)
    assert (found["items"], found["seconds"]) == (100, 30.0)
    assert found["source"] == "replay"
    assert found["flags"] == []


def test_idle_that_changed_and_sensors_that_notice_nothing() -> None:
    drifted = _windows([ReplayMeter([trace(10, 20), trace(30, 100), trace(10, 40)])])
    assert any("idle power before" in f for f in drifted["flags"])
    same = [Reading(i * 1.0, joules=50.0 * i) for i in range(31)]
    dead = _windows([ReplayMeter([same, same, same])])
    assert dead["label"] == "unavailable"
    assert any("same power loaded and idle" in f for f in dead["flags"])


def test_no_sensor_is_unavailable_never_a_guess() -> None:
    found = _windows([])
    assert found["label"] == "unavailable"
    assert "joules_gross" not in found
    with pytest.raises(InputError, match="at least 5 s"):
        energy_windows([ReplayMeter([trace(1, 1)])], lambda: (1, 1.0), 1.0)


def test_short_windows_are_estimates_and_other_meters_are_kept() -> None:
    one = ReplayMeter([trace(10, 20), trace(4, 100), trace(10, 20)])
    two = ReplayMeter([trace(10, 5), trace(4, 6), trace(10, 5)], MeterFacts("rapl", "CPU", "1 uJ"))
    found = energy_windows([one, two], lambda: (10, 4.0), 5.0, wait=lambda s: None)
    assert found["label"] == "estimated"
    assert found["others"][0]["source"] == "rapl"


def _zone(root: Path, name: str, label: str, energy: int, top: int) -> Path:
    zone = root / "sys/class/powercap" / name
    zone.mkdir(parents=True)
    for file, text in (("name", label), ("energy_uj", energy), ("max_energy_range_uj", top)):
        (zone / file).write_text(f"{text}\n")
    return zone


def test_rapl_counts_packages_once_and_wraps(tmp_path: Path) -> None:
    first = _zone(tmp_path, "intel-rapl:0", "package-0", 900_000, 1_000_000)
    second = _zone(tmp_path, "intel-rapl:1", "package-1", 0, 1_000_000)
    dram = _zone(tmp_path, "intel-rapl:0:1", "dram", 100, 1_000_000)
    _zone(tmp_path, "intel-rapl:0:0", "core", 5, 1_000_000)
    _zone(tmp_path, "intel-rapl:2", "psys", 5, 1_000_000)
    _zone(tmp_path, "intel-rapl-mmio:0", "package-0", 5, 1_000_000)
    meter = RaplMeter(tmp_path)
    assert meter.facts.scope == "2 CPU package(s) and DRAM"
    assert meter.read().joules == 0.0
    (first / "energy_uj").write_text("100000\n")  # wrapped: 100001 to the top and over, then 100000
    (second / "energy_uj").write_text("300000\n")
    (dram / "energy_uj").write_text("1100\n")
    assert meter.read().joules == pytest.approx((100_001 + 100_000 + 300_000 + 1_000) / 1e6)
    with pytest.raises(UnavailableError):
        RaplMeter(tmp_path / "empty")


def test_hwmon_takes_the_whole_board_rail_alone(tmp_path: Path) -> None:
    chip = tmp_path / "sys/class/hwmon/hwmon3"
    chip.mkdir(parents=True)
    (chip / "name").write_text("ina3221\n")
    for n, (label, millivolts, milliamperes) in enumerate([("VDD_IN", 5000, 3000), ("VDD_CPU", 5000, 1000)], 1):
        (chip / f"in{n}_label").write_text(label)
        (chip / f"in{n}_input").write_text(str(millivolts))
        (chip / f"curr{n}_input").write_text(str(milliamperes))
    assert HwmonMeter(tmp_path).read().watts == pytest.approx(15.0)
    (chip / "in1_label").write_text("VDD_GPU")
    assert HwmonMeter(tmp_path).read().watts == pytest.approx(20.0)
    other = tmp_path / "sys/class/hwmon/hwmon4"
    other.mkdir()
    (other / "name").write_text("nvme")
    (other / "power1_input").write_text("9000000")
    assert HwmonMeter(tmp_path).read().watts == pytest.approx(20.0)
    with pytest.raises(UnavailableError):
        HwmonMeter(tmp_path / "none")


class FakeNvml:
    """The part of NVML that is used; `counter=False` is a card older than Volta."""

    class NVMLError(Exception):
        pass

    NVML_TEMPERATURE_GPU, NVML_CLOCK_SM = 0, 1

    def __init__(self, counter: bool = True) -> None:
        self.millijoules = 5000
        self.closed = False
        if counter:
            self.nvmlDeviceGetTotalEnergyConsumption = lambda handle: self.millijoules

    def nvmlInit(self) -> None: ...

    def nvmlDeviceGetHandleByIndex(self, index: int) -> int:
        if index:
            raise self.NVMLError("not found")
        return index

    def nvmlDeviceGetName(self, handle: int) -> bytes:
        return b"Card"

    def nvmlDeviceGetPowerUsage(self, handle: int) -> int:
        return 250_000

    def nvmlDeviceGetUtilizationRates(self, handle: int) -> Any:
        return SimpleNamespace(gpu=80)

    def nvmlDeviceGetTemperature(self, handle: int, kind: int) -> int:
        return 61

    def nvmlDeviceGetClockInfo(self, handle: int, kind: int) -> int:
        raise self.NVMLError("not supported")

    def nvmlShutdown(self) -> None:
        self.closed = True


def test_nvml_readings_are_in_si_units() -> None:
    nvml = FakeNvml()
    meter = NvmlMeter(0, nvml=nvml)
    reading = meter.read()
    assert (reading.joules, reading.watts, reading.utilisation, reading.temperature_c) == (5.0, 250.0, 0.8, 61)
    assert reading.clock_mhz is None
    assert "counter" in meter.facts.resolution
    meter.close()
    assert nvml.closed
    old = NvmlMeter(0, nvml=FakeNvml(counter=False))
    assert old.read().joules is None
    assert "counter" not in old.facts.resolution
    with pytest.raises(UnavailableError, match="GPU 1"):
        NvmlMeter(1, nvml=FakeNvml())


def test_a_live_meter_reads_at_both_ends_and_between() -> None:
    class Steady(LiveMeter):
        facts = FACTS

        def read(self) -> Reading:
            return Reading(time.monotonic(), watts=1.0)

    meter = Steady(interval_s=0.01)
    meter.start()
    time.sleep(0.1)
    readings = meter.stop()
    assert len(readings) >= 3
    assert readings[-1].time_s - readings[0].time_s >= 0.1
    meter.start()
    assert len(meter.stop()) >= 2


def test_external_csv(tmp_path: Path) -> None:
    file = tmp_path / "meter.csv"
    now = time.time()
    rows = [f"{now - 5 + i},{40 + i % 2}" for i in range(1000)]
    file.write_text("time_s,power_w\n" + "\n".join(rows[:5]) + "\n")
    meter = CsvMeter(file)
    meter.start()
    with open(file, "a") as stream:
        stream.write(f"{time.time()},41\n{time.time() + 1e-4},43\n{time.time() + 500},99\n{now + 3},4")
    time.sleep(0.01)
    assert [r.watts for r in meter.stop()] == [41.0, 43.0]


@pytest.mark.parametrize(
    "text", ["a,b\n1,2\n", "time_s,power_w\n1,x\n", "time_s,power_w\n,3\n", "time_s,power_w\n1,nan\n", ""]
)
def test_external_csv_that_is_none(tmp_path: Path, text: str) -> None:
    file = tmp_path / "meter.csv"
    file.write_text(text)
    with pytest.raises(InputError, match=r"meter\.csv"):
        CsvMeter(file)
    with pytest.raises(InputError, match="cannot read"):
        CsvMeter(tmp_path / "none.csv")


def test_open_meters_prefers_the_external_one(tmp_path: Path) -> None:
    file = tmp_path / "meter.csv"
    file.write_text("time_s,power_w\n1,2\n")
    _zone(tmp_path, "intel-rapl:0", "package-0", 1, 1000)
    assert [m.facts.source for m in open_meters("cpu", str(file), tmp_path)][:2] == ["external", "rapl"]
    assert open_meters("cpu", None, tmp_path / "none") == []


def test_no_meter_stands_in_for_another_device(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _zone(tmp_path, "intel-rapl:0", "package-0", 1, 1000)
    absent: list[int] = []

    def board(index: int) -> ReplayMeter:
        if index in absent:
            raise UnavailableError("no such GPU")
        return ReplayMeter([trace(1, 50)], MeterFacts("nvml", f"GPU board {index}", "1 mJ"))

    monkeypatch.setattr("skytrigger.measure.meters.found.NvmlMeter", board)
    assert [m.facts.source for m in open_meters("cpu", None, tmp_path)] == ["rapl"]
    assert [m.facts.source for m in open_meters("cuda:1", None, tmp_path)] == ["nvml", "rapl"]
    absent.append(1)
    assert open_meters("cuda:1", None, tmp_path) == []


def test_stretches_of_a_window_hold_its_energy() -> None:
    facts = MeterFacts("replay", "trace", "recorded", counter_range_j=1000.0)
    wrapped = [Reading(r.time_s, (r.joules or 0) % 1000) for r in trace(30, 100, counter=True, start_j=900)]
    for readings in (trace(30, 100), wrapped):
        found = window_energy(readings, facts)
        assert len(found.stretches) == 20
        assert found.stretches == pytest.approx([100.0] * 20, abs=0.01)
    ramp = window_energy([Reading(float(i), watts=10.0 + i) for i in range(41)], FACTS)
    assert ramp.joules == pytest.approx(sum(w * 2.0 for w in ramp.stretches))
    assert window_energy(trace(30, 100)[:3], FACTS).stretches == (pytest.approx(100, abs=0.01),)
    still = window_energy([Reading(0.1 * i, watts=50.0) for i in range(50)], FACTS)
    assert (still.joules, still.stretches) == (None, ())


def test_smallest_and_largest_reading_are_kept() -> None:
    readings = [Reading(float(i), watts=50.0 + i % 3, utilisation=0.5 + 0.1 * (i % 2), temperature_c=40.0 + i)
                for i in range(12)]  # fmt: skip
    idle = trace(10, 20)
    meter = ReplayMeter([idle, readings, idle], FACTS)
    entry = energy_windows([meter], lambda: (100, 11.0), 30.0, wait=lambda _: None)
    assert (entry["utilisation_min"], entry["utilisation_max"]) == pytest.approx((0.5, 0.6))
    assert (entry["temperature_c_min"], entry["temperature_c"], entry["temperature_c_max"]) == (40.0, 45.5, 51.0)
    assert "clock_mhz_min" not in entry
