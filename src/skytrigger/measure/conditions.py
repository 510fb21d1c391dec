"""What the machine went through while something was measured: pressure, steal, throttling, switches."""

from __future__ import annotations

import os
import re
import resource
import time
from dataclasses import dataclass
from pathlib import Path

from skytrigger.core.cgroup import throttled_s
from skytrigger.core.host import read_text

Counters = dict[str, float | None]


def counters(root: Path = Path("/")) -> Counters:
    """Running totals since boot or since the process began; None where the kernel does not tell.

    ``*_s`` are seconds, the others counts. ``stall_*`` are pressure stall totals ("some": at least one task waited;
    "full": all did); ``steal_s`` is summed over the machine's CPUs.
    """
    usage = resource.getrusage(resource.RUSAGE_SELF)
    totals: Counters = {
        "wall_s": time.monotonic(),
        "cpu_s": usage.ru_utime + usage.ru_stime,
        "voluntary_switches": usage.ru_nvcsw,
        "involuntary_switches": usage.ru_nivcsw,
        "major_faults": usage.ru_majflt,
        "minor_faults": usage.ru_minflt,
        "steal_s": _steal_s(root),
        "quota_throttled_s": throttled_s(root),
        "thermal_throttles": _thermal_throttles(root),
    }
    for resource_name in ("cpu", "memory", "io"):
        text = read_text(root / "proc/pressure" / resource_name) or ""
        for share in ("some", "full"):
            match = re.search(rf"^{share} .*total=(\d+)", text, re.MULTILINE)
            totals[f"stall_{resource_name}_{share}_s"] = int(match[1]) / 1e6 if match else None
    return totals


def _steal_s(root: Path) -> float | None:
    """Seconds that the hypervisor ran something else while a CPU of ours was ready."""
    words = (read_text(root / "proc/stat") or "").split("\n", 1)[0].split()
    if len(words) < 9 or words[0] != "cpu":
        return None
    return int(words[8]) / os.sysconf("SC_CLK_TCK")


def _thermal_throttles(root: Path) -> float | None:
    """Thermal throttling events of all cores (bare-metal x86 only)."""
    paths = (root / "sys/devices/system/cpu").glob("cpu[0-9]*/thermal_throttle/core_throttle_count")
    counts = [int(text) for text in map(read_text, paths) if text and text.isdigit()]
    return float(sum(counts)) if counts else None


@dataclass(frozen=True)
class Watch:
    """Counters at the start; `taken()` gives their increase since."""

    start: Counters
    root: Path = Path("/")

    @staticmethod
    def begin(root: Path = Path("/")) -> Watch:
        """Read the counters now."""
        return Watch(counters(root), root)

    def taken(self) -> Counters:
        """Increase of each counter since `begin`; None where either reading is missing or it ran backwards."""
        increase: Counters = {}
        for name, now in counters(self.root).items():
            before = self.start.get(name)
            if now is None or before is None or now < before:
                increase[name] = None
            else:
                increase[name] = round(now - before, 6)
        return increase
