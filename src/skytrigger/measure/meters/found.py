"""Which power sensors this machine has and which can be read, without guessing any figure."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from skytrigger.core.extras import find, install_command
from skytrigger.measure.host import nvml_gpus, read_text


def rapl_domains(root: Path = Path("/")) -> list[Path]:
    """Top-level RAPL zones (packages, psys) and DRAM sub-zones of powercap, each counted once.

    ``intel-rapl-mmio`` shows the same packages again and is left out; core and uncore lie inside the package.
    """
    base = root / "sys/class/powercap"
    zones = [z for z in sorted(base.glob("intel-rapl:*")) if (z / "name").exists()]
    kept = []
    for zone in zones:
        name = read_text(zone / "name") or ""
        if name.startswith("package") or (name == "dram" and zone.name.count(":") == 2):
            kept.append(zone)
    return kept


def hwmon_rails(root: Path = Path("/")) -> list[Path]:
    """Rails of hwmon that give power (``power*_input``, uW) or current with voltage (``curr*``, ``in*``: INA3221)."""
    rails: list[Path] = []
    for chip in sorted((root / "sys/class/hwmon").glob("hwmon*")):
        rails += sorted(chip.glob("power*_input")) or sorted(chip.glob("power*_average"))
        for current in sorted(chip.glob("curr*_input")):
            number = current.name.removeprefix("curr").removesuffix("_input")
            if (chip / f"in{number}_input").exists() and not (chip / f"power{number}_input").exists():
                rails.append(current)
    return rails


def power_sensors(root: Path = Path("/")) -> list[dict[str, Any]]:
    """Each kind of sensor: ``source``, ``available``, ``scope``; or ``why_not`` and ``remedy``."""
    return [_nvml(), _rapl(root), _hwmon(root), {
        "source": "external", "available": True, "scope": "whatever the meter is wired to",
        "remedy": "skytrigger bench ... --meter-csv FILE (columns time_s, power_w)",
    }]  # fmt: skip


def _nvml() -> dict[str, Any]:
    gpus = nvml_gpus()
    if gpus:
        return {"source": "nvml", "available": True, "scope": f"{len(gpus)} GPU board(s)"}
    if find("pynvml") is None:
        return {"source": "nvml", "available": False, "why_not": "nvidia-ml-py is not installed",
                "remedy": install_command("pynvml")}  # fmt: skip
    return {"source": "nvml", "available": False, "why_not": "no NVIDIA driver or no GPU", "remedy": ""}


def _rapl(root: Path) -> dict[str, Any]:
    domains = rapl_domains(root)
    if not domains:
        return {"source": "rapl", "available": False, "remedy": "",
                "why_not": "no powercap zones (a virtual machine, or a CPU without RAPL)"}  # fmt: skip
    unreadable = [d for d in domains if not os.access(d / "energy_uj", os.R_OK)]
    if unreadable:
        return {"source": "rapl", "available": False, "why_not": "energy_uj may only be read by root",
                "remedy": "sudo chmod o+r /sys/class/powercap/intel-rapl:*/energy_uj"
                          " /sys/class/powercap/intel-rapl:*:*/energy_uj"}  # fmt: skip
    names = ", ".join(read_text(d / "name") or d.name for d in domains)
    return {"source": "rapl", "available": True, "scope": names}


def _hwmon(root: Path) -> dict[str, Any]:
    rails = hwmon_rails(root)
    if rails:
        return {"source": "hwmon", "available": True, "scope": ", ".join(f"{r.parent.name}/{r.name}" for r in rails)}
    return {"source": "hwmon", "available": False, "why_not": "no power rails under /sys/class/hwmon", "remedy": ""}
