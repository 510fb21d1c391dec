"""Which power sensors this machine has and which can be read, without guessing any figure."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from skytrigger.core.errors import UnavailableError
from skytrigger.core.extras import find, install_command
from skytrigger.core.host import nvml_gpus, read_text
from skytrigger.measure.meters.external import CsvMeter
from skytrigger.measure.meters.hwmon import HwmonMeter, hwmon_rails
from skytrigger.measure.meters.nvml import NvmlMeter
from skytrigger.measure.meters.protocol import Meter
from skytrigger.measure.meters.rapl import RaplMeter, rapl_domains


def open_meters(device: str = "cpu", meter_csv: str | None = None, root: Path = Path("/")) -> list[Meter]:
    """Every meter of `device` that works here, the closest first: an external one, then GPU board, or CPU.

    A GPU's board is no meter of work on the CPU, and the CPU's packages are one of work on the GPU only beside another:
    alone they would pass for what they do not see.
    """
    meters: list[Meter] = [CsvMeter(meter_csv)] if meter_csv else []
    index = int(device.partition(":")[2] or 0) if device.startswith("cuda") else 0
    cuda = device.startswith("cuda")
    rows = sorted(METERS.values(), key=lambda row: cuda and not row.sees_gpu)
    for row in rows:
        if (row.sees_gpu or meters) if cuda else row.sees_cpu:
            with contextlib.suppress(UnavailableError):
                meters.append(row.open(index, root))
    return meters


def power_sensors(root: Path = Path("/")) -> list[dict[str, Any]]:
    """Each kind of sensor: ``source``, ``available``, ``scope``; or ``why_not`` and ``remedy``."""
    external = {
        "source": "external",
        "available": True,
        "scope": "whatever the meter is wired to",
        "remedy": "skytrigger bench ... --energy-seconds 30 --meter-csv FILE (columns time_s, power_w)",
    }
    return [*(row.offer(root) for row in METERS.values()), external]


def _missing(source: str, why_not: str, remedy: str = "") -> dict[str, Any]:
    return {"source": source, "available": False, "why_not": why_not, "remedy": remedy}


def _nvml(root: Path) -> dict[str, Any]:
    gpus = nvml_gpus()
    if gpus:
        return {"source": "nvml", "available": True, "scope": f"{len(gpus)} GPU board(s)"}
    if find("pynvml") is None:
        return _missing("nvml", "nvidia-ml-py is not installed", install_command("pynvml"))
    return _missing("nvml", "no NVIDIA driver or no GPU")


def _rapl(root: Path) -> dict[str, Any]:
    domains = rapl_domains(root)
    if not domains:
        return _missing("rapl", "no powercap zones (a virtual machine, or a CPU without RAPL)")
    if not all(os.access(d / "energy_uj", os.R_OK) for d in domains):
        files = "/sys/class/powercap/intel-rapl:*/energy_uj /sys/class/powercap/intel-rapl:*:*/energy_uj"
        return _missing("rapl", "energy_uj may only be read by root", f"sudo chmod o+r {files}")
    return {"source": "rapl", "available": True, "scope": ", ".join(read_text(d / "name") or d.name for d in domains)}


def _hwmon(root: Path) -> dict[str, Any]:
    rails = hwmon_rails(root)
    if rails:
        return {"source": "hwmon", "available": True, "scope": ", ".join(r.label for r in rails)}
    return _missing("hwmon", "no power monitors (INA) under /sys/class/hwmon")


@dataclass(frozen=True)
class MeterRow:
    """One kind of sensor: ``open(gpu, root)``, what `doctor` says of it, and whose work it sees."""

    open: Callable[[int, Path], Meter]
    offer: Callable[[Path], dict[str, Any]]
    sees_cpu: bool
    sees_gpu: bool


# the one place that knows which sensors there are
METERS = {
    "nvml": MeterRow(lambda gpu, root: NvmlMeter(gpu), _nvml, sees_cpu=False, sees_gpu=True),
    "rapl": MeterRow(lambda gpu, root: RaplMeter(root), _rapl, sees_cpu=True, sees_gpu=False),
    "hwmon": MeterRow(lambda gpu, root: HwmonMeter(root), _hwmon, sees_cpu=True, sees_gpu=True),
}
