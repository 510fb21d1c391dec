"""Host facts and conditions, from recorded kernel files."""

from __future__ import annotations

import getpass
import json
import os
import socket
from pathlib import Path

import pytest

from skytrigger.cli.main import main
from skytrigger.core.cgroup import cpu_quota, memory_limit_bytes, throttled_s
from skytrigger.core.host import host_facts, host_id, host_label
from skytrigger.measure.conditions import Watch
from skytrigger.measure.meters.found import power_sensors
from skytrigger.runtimes import offers
from skytrigger.runtimes.registry import RUNTIMES

CPUINFO = """processor\t: 0
vendor_id\t: GenuineIntel
cpu family\t: 6
model\t\t: 143
model name\t: Intel(R) Xeon(R) Platinum 8480+
cpu MHz\t\t: 2000.000
flags\t\t: fpu sse4_2 avx avx2 fma avx512f avx512_vnni amx_tile amx_int8 hypervisor

processor\t: 1
"""


def machine(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def test_facts_of_a_recorded_machine(tmp_path: Path) -> None:
    root = machine(
        tmp_path,
        {
            "proc/cpuinfo": CPUINFO,
            "proc/meminfo": "MemTotal:       16000 kB\n",
            "proc/self/cgroup": "0::/a/b\n",
            "sys/fs/cgroup/a/cpu.max": "150000 100000\n",
            "sys/fs/cgroup/a/b/cpu.max": "max 100000\n",
            "sys/fs/cgroup/a/memory.max": "8000000\n",
            "etc/os-release": 'NAME=x\nPRETTY_NAME="Some Linux 9"\n',
            "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor": "performance\n",
            "sys/devices/system/cpu/intel_pstate/no_turbo": "1\n",
            "sys/devices/system/cpu/cpu0/cache/index0/level": "1",
            "sys/devices/system/cpu/cpu0/cache/index0/type": "Data",
            "sys/devices/system/cpu/cpu0/cache/index0/size": "48K",
            "sys/devices/system/cpu/cpu0/cache/index3/level": "3",
            "sys/devices/system/cpu/cpu0/cache/index3/type": "Unified",
            "sys/devices/system/cpu/cpu0/cache/index3/size": "105M",
        },
    )
    facts = host_facts(root)
    cpu = facts["cpu"]
    assert cpu["model"] == "Intel(R) Xeon(R) Platinum 8480+"
    assert cpu["isa"] == ["sse4_2", "avx", "fma", "avx2", "avx512f", "avx512_vnni", "amx_tile", "amx_int8"]
    assert cpu["quota_cores"] == 1.5
    assert cpu["usable_cores"] <= 1.5
    assert (cpu["governor"], cpu["boost"]) == ("performance", False)
    assert cpu["cache_bytes"] == {"L1d": 48 << 10, "L3": 105 << 20}
    assert facts["memory_bytes"] == 8_000_000
    assert facts["os"] == "Some Linux 9"
    assert facts["hypervisor"] == "unknown"
    assert "amx_int8" in host_label(facts)
    assert "virtual" in host_label(facts)


def test_a_machine_without_any_of_these_files(tmp_path: Path) -> None:
    facts = host_facts(tmp_path)
    assert facts["cpu"]["isa"] == []
    assert facts["memory_bytes"] is None
    assert host_label(facts)
    json.dumps(facts, allow_nan=False)


def test_this_machine_tells_no_names() -> None:
    text = json.dumps(host_facts())
    assert socket.gethostname() not in text or len(socket.gethostname()) < 4
    assert str(Path.home()) not in text or str(Path.home()) == "/"
    assert getpass.getuser() not in text or len(getpass.getuser()) < 5


def test_host_id_ignores_the_clock_but_not_the_versions() -> None:
    facts = host_facts()
    same = json.loads(json.dumps(facts))
    same["cpu"]["mhz"] = 1.0
    assert host_id(same) == host_id(facts)
    same["packages"]["numpy"] = "0"
    assert host_id(same) != host_id(facts)


def test_cgroup_version_1(tmp_path: Path) -> None:
    root = machine(
        tmp_path,
        {
            "proc/self/cgroup": "4:memory:/x\n2:cpu,cpuacct:/x\n",
            "sys/fs/cgroup/cpu,cpuacct/x/cpu.cfs_quota_us": "50000\n",
            "sys/fs/cgroup/cpu,cpuacct/x/cpu.cfs_period_us": "100000\n",
            "sys/fs/cgroup/cpu,cpuacct/x/cpu.stat": "nr_periods 5\nnr_throttled 1\nthrottled_time 2500000000\n",
            "sys/fs/cgroup/memory/x/memory.limit_in_bytes": f"{2**63 - 4096}\n",
            "sys/fs/cgroup/memory/memory.limit_in_bytes": "1000\n",
        },
    )
    assert cpu_quota(root) == 0.5
    assert throttled_s(root) == 2.5
    assert memory_limit_bytes(root) == 1000


def test_conditions_are_increases(tmp_path: Path) -> None:
    files = {
        "proc/stat": "cpu  1 2 3 4 5 6 7 100 0 0\ncpu0 1\n",
        "proc/pressure/cpu": "some avg10=0.0 avg60=0.0 avg300=0.0 total=1000000\nfull avg10=0 total=0\n",
        "sys/devices/system/cpu/cpu0/thermal_throttle/core_throttle_count": "3",
        "proc/self/cgroup": "0::/\n",
        "sys/fs/cgroup/cpu.stat": "usage_usec 1\nthrottled_usec 1000\n",
    }
    watch = Watch.begin(machine(tmp_path, files))
    files["proc/stat"] = "cpu  1 2 3 4 5 6 7 150 0 0\n"
    files["proc/pressure/cpu"] = "some avg10=0.0 total=1250000\nfull avg10=0 total=0\n"
    files["sys/devices/system/cpu/cpu0/thermal_throttle/core_throttle_count"] = "4"
    files["sys/fs/cgroup/cpu.stat"] = "usage_usec 1\nthrottled_usec 500\n"  # ran backwards
    machine(tmp_path, files)
    taken = watch.taken()
    assert taken["steal_s"] == pytest.approx(0.5)
    assert taken["stall_cpu_some_s"] == 0.25
    assert taken["thermal_throttles"] == 1
    assert taken["quota_throttled_s"] is None
    assert taken["stall_io_some_s"] is None
    assert taken["wall_s"] is not None


def test_sensors_of_recorded_machines(tmp_path: Path) -> None:
    bare = {s["source"]: s for s in power_sensors(tmp_path)}
    assert not bare["rapl"]["available"]
    assert not bare["hwmon"]["available"]
    root = machine(
        tmp_path,
        {
            "sys/class/powercap/intel-rapl:0/name": "package-0",
            "sys/class/powercap/intel-rapl:0/energy_uj": "5",
            "sys/class/hwmon/hwmon1/name": "ina3221",
            "sys/class/hwmon/hwmon1/in1_label": "VDD_IN",
            "sys/class/hwmon/hwmon1/in1_input": "5000",
            "sys/class/hwmon/hwmon1/curr1_input": "2000",
        },
    )
    found = {s["source"]: s for s in power_sensors(root)}
    assert found["rapl"]["available"]
    assert found["hwmon"]["scope"] == "VDD_IN"


def test_doctor_names_remedies(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    few = {k: v for k, v in RUNTIMES.items() if k in ("onnxruntime", "tensorrt")}
    monkeypatch.setattr(offers, "RUNTIMES", few)
    assert main(["doctor", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    runtime = found["runtimes"]["onnxruntime"]
    assert runtime["available"]
    names = {p["name"] for d in runtime["devices"] for p in d["precisions"]}
    assert {"fp32", "int8"} <= names
    assert not found["runtimes"]["tensorrt"]["available"] or found["runtimes"]["tensorrt"]["devices"]
    if not found["runtimes"]["tensorrt"]["available"]:
        assert "pip install" in found["runtimes"]["tensorrt"]["remedy"]
    assert main(["doctor"]) == 0
    assert "power sensors" in capsys.readouterr().out


def test_a_broken_library_is_reported_not_fatal(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "onnxruntime.py").write_text("raise OSError('half a library')")
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}{os.pathsep}{os.environ.get('PYTHONPATH', '')}")
    monkeypatch.setattr(offers, "RUNTIMES", {"onnxruntime": RUNTIMES["onnxruntime"]})
    found = offers.runtime_offers()["onnxruntime"]
    assert not found["available"]
    assert "half a library" in found["why_not"]
