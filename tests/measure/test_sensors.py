"""What `doctor` says of each kind of power sensor, and rails and zones that are not as usual."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from skytrigger.core.errors import InputError, UnavailableError
from skytrigger.measure.meters import found as sensors
from skytrigger.measure.meters.external import CsvMeter
from skytrigger.measure.meters.found import METERS, open_meters, power_sensors
from skytrigger.measure.meters.hwmon import HwmonMeter, Rail, hwmon_rails
from skytrigger.measure.meters.nvml import NvmlMeter
from skytrigger.measure.meters.rapl import RaplMeter, rapl_domains


def write(folder: Path, **files: object) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name).write_text(f"{text}\n")
    return folder


def zone(root: Path, name: str, label: str, energy: object = 0, top: object = 1000) -> Path:
    return write(root / "sys/class/powercap" / name, name=label, energy_uj=energy, max_energy_range_uj=top)


def chip(root: Path, number: int, kind: str, **files: object) -> Path:
    return write(root / f"sys/class/hwmon/hwmon{number}", name=kind, **files)


def offers(root: Path) -> dict[str, dict[str, Any]]:
    return {offer["source"]: offer for offer in power_sensors(root)}


def test_a_machine_without_sensors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sensors, "nvml_gpus", list)
    monkeypatch.setattr(sensors, "find", lambda name: None)
    told = offers(tmp_path)
    assert list(told) == [*METERS, "external"]
    for name in METERS:
        assert set(told[name]) == {"source", "available", "why_not", "remedy"}
        assert told[name]["available"] is False
        assert told[name]["why_not"]
    assert "pip install" in told["nvml"]["remedy"]
    assert "powercap" in told["rapl"]["why_not"]
    assert "hwmon" in told["hwmon"]["why_not"]
    assert told["external"]["available"] is True
    assert "--meter-csv" in told["external"]["remedy"]
    assert told["external"]["scope"]
    monkeypatch.setattr(sensors, "find", lambda name: object() if name == "pynvml" else None)
    assert "no GPU" in offers(tmp_path)["nvml"]["why_not"]
    assert offers(tmp_path)["nvml"]["remedy"] == ""


def test_a_machine_with_all_of_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sensors, "nvml_gpus", lambda: [{}, {}])
    zone(tmp_path, "intel-rapl:0", "package-0")
    zone(tmp_path, "intel-rapl:0:0", "dram")
    chip(tmp_path, 0, "ina226", power1_input=1, power1_label="VIN", power2_input=1)
    told = offers(tmp_path)
    assert told["nvml"] == {"source": "nvml", "available": True, "scope": "2 GPU board(s)"}
    assert told["rapl"] == {"source": "rapl", "available": True, "scope": "package-0, dram"}
    assert told["hwmon"] == {"source": "hwmon", "available": True, "scope": "VIN, hwmon0 rail 2"}


def test_counters_that_only_root_may_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    zone(tmp_path, "intel-rapl:0", "package-0")
    shut = zone(tmp_path, "intel-rapl:1", "package-1") / "energy_uj"
    monkeypatch.setattr(os, "access", lambda path, mode: not (path == shut and mode == os.R_OK))
    told = offers(tmp_path)["rapl"]
    assert (told["source"], told["available"]) == ("rapl", False)
    assert "root" in told["why_not"]
    assert "chmod" in told["remedy"]
    assert "intel-rapl" in told["remedy"]
    shut.write_text("unreadable\n")
    with pytest.raises(UnavailableError, match="root"):
        RaplMeter(tmp_path)
    with pytest.raises(UnavailableError, match="not there"):
        RaplMeter(tmp_path / "none")


def test_zones_of_memory_are_those_below_a_package(tmp_path: Path) -> None:
    zone(tmp_path, "intel-rapl:0", "package-0")
    zone(tmp_path, "intel-rapl:0:1", "dram")
    zone(tmp_path, "intel-rapl:1", "dram")  # the memory of a whole machine, as some servers show it: nobody's part
    (tmp_path / "sys/class/powercap/intel-rapl:3").mkdir()
    assert [z.name for z in rapl_domains(tmp_path)] == ["intel-rapl:0", "intel-rapl:0:1"]
    assert RaplMeter(tmp_path).interval_s == 1.0


def test_a_counter_without_range_or_reading_stands_still(tmp_path: Path) -> None:
    package = zone(tmp_path, "intel-rapl:0", "package-0", 500, "")
    meter = RaplMeter(tmp_path)
    assert meter.facts.scope == "1 CPU package(s)"
    assert (meter.facts.source, meter.facts.counter_range_j) == ("rapl", None)
    (package / "energy_uj").write_text("400\n")
    assert meter.read().joules == 0.0  # by how much it fell cannot be known
    (package / "energy_uj").write_text("1000400\n")
    assert meter.read().joules == 1.0
    (package / "energy_uj").write_text("gone\n")
    assert meter.read().joules == 1.0
    (package / "energy_uj").write_text("3000400\n")
    assert meter.read().joules == 3.0


def test_rails_by_power_or_by_current_and_voltage(tmp_path: Path) -> None:
    chip(tmp_path, 2, "ina3221", in1_label="CPU", in1_input=5000, curr1_input=200, in2_label="Sum of all",
         in2_input=5000, curr2_input=900, in3_input=1, curr4_input=1, power16_input=2_500_000, power16_label="LAST",
         power17_input=9)  # fmt: skip
    chip(tmp_path, 1, "coretemp", power1_input=1)
    (tmp_path / "sys/class/hwmon/hwmon0").mkdir()
    rails = hwmon_rails(tmp_path)
    assert [(r.label, r.watts()) for r in rails] == [("CPU", pytest.approx(1.0)), ("LAST", pytest.approx(2.5))]
    meter = HwmonMeter(tmp_path)
    assert meter.facts.scope == "sum of rails (CPU, LAST)"
    assert (meter.facts.source, meter.facts.resolution, meter.interval_s) == ("hwmon", "read every 0.1 s", 0.1)
    assert meter.read().watts == pytest.approx(3.5)
    assert meter.read().joules is None
    (tmp_path / "sys/class/hwmon/hwmon2/curr1_input").write_text("")
    assert meter.read().watts is None  # a part is no sum
    assert HwmonMeter(tmp_path, 0.5).facts.scope == "sum of rails (LAST)"
    (tmp_path / "sys/class/hwmon/hwmon2/power16_input").write_text("x")
    with pytest.raises(UnavailableError, match="no power rail"):
        HwmonMeter(tmp_path)


@pytest.mark.parametrize("label", ["VDD_IN", "POM_5V_IN", "5V_IN", "VDD_5V_IN", "vin"])
def test_the_boards_input_stands_for_the_board(tmp_path: Path, label: str) -> None:
    chip(tmp_path, 0, "ina219", power1_input=1_000_000, power1_label="CPU", power2_input=4_000_000, power2_label=label,
         power3_input=4_000_000, power3_label="VIN")  # fmt: skip
    meter = HwmonMeter(tmp_path)
    assert meter.read().watts == 4.0
    assert meter.facts.scope == f"whole board ({label})"


def test_a_rail_that_shows_too_little(tmp_path: Path) -> None:
    whole = write(tmp_path, amps=200, volts=5000, bad="x")
    assert Rail("r", current_ma=whole / "amps", voltage_mv=whole / "volts").watts() == pytest.approx(1.0)
    for rail in (
        Rail("r"), Rail("r", current_ma=whole / "amps"), Rail("r", voltage_mv=whole / "volts"),
        Rail("r", current_ma=whole / "bad", voltage_mv=whole / "volts"),
        Rail("r", current_ma=whole / "amps", voltage_mv=whole / "bad"), Rail("r", power_uw=whole / "none"),
    ):  # fmt: skip
        assert rail.watts() is None


def test_which_meters_see_which_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[int] = []

    def board(index: int) -> NvmlMeter:
        opened.append(index)
        raise UnavailableError("none")

    monkeypatch.setattr(sensors, "NvmlMeter", board)
    zone(tmp_path, "intel-rapl:0", "package-0")
    chip(tmp_path, 0, "ina226", power1_input=1)
    table = write(tmp_path / "own") / "meter.csv"
    table.write_text("time_s,energy_j\n1,2\n")
    assert [m.facts.source for m in open_meters("cpu", None, tmp_path)] == ["rapl", "hwmon"]
    assert [m.facts.source for m in open_meters(root=tmp_path)] == ["rapl", "hwmon"]
    assert opened == []
    assert [m.facts.source for m in open_meters("cuda", None, tmp_path)] == ["hwmon", "rapl"]
    assert [m.facts.source for m in open_meters("cuda:3", str(table), tmp_path)] == ["external", "hwmon", "rapl"]
    assert opened == [0, 3]


def test_rows_of_an_external_meter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table = tmp_path / "meter.csv"
    table.write_text("time_s,power_w,energy_j\n10,1,5\n11,2,\n12,,7\n13,3,9\n14,4,torn")
    meter = CsvMeter(str(table))
    assert (meter.facts.source, meter.path) == ("external", table)
    assert [(r.time_s, r.joules, r.watts) for r in meter.read_rows()] == [
        (10.0, 5.0, 1.0), (11.0, None, 2.0), (12.0, 7.0, None), (13.0, 9.0, 3.0),
    ]  # fmt: skip
    assert len(meter.stop()) == 4  # not begun: from the beginning
    clock = iter([11.0, 13.0])
    monkeypatch.setattr("skytrigger.measure.meters.external.time.time", lambda: next(clock))
    meter.start()
    assert [r.time_s for r in meter.stop()] == [11.0, 12.0, 13.0]
    table.write_text("time_s,energy_j")  # a header alone, not yet ended
    assert CsvMeter(table).read_rows() == []
    for text, number in (
        ("time_s,power_w\n1,2\n2,x\n", 3),
        ("time_s,energy_j\n1,\n2,inf\n", 3),
        ("time_s,power_w\n,2\n", 2),
    ):
        table.write_text(text)
        with pytest.raises(InputError, match=f"line {number}"):
            CsvMeter(table)
