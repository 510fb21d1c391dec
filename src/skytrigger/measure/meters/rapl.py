"""CPU packages (and DRAM where it is separate) through Linux powercap."""

from __future__ import annotations

import time
from pathlib import Path

from skytrigger.core.errors import UnavailableError
from skytrigger.core.host import read_text
from skytrigger.measure.meters.protocol import LiveMeter, MeterFacts, Reading


def rapl_domains(root: Path = Path("/")) -> list[Path]:
    """Package zones and DRAM sub-zones of powercap, each once.

    ``intel-rapl-mmio`` shows the same packages again and is left out, and so are core and uncore, which lie inside the
    package, and psys, which holds it.
    """
    kept = []
    for zone in sorted((root / "sys/class/powercap").glob("intel-rapl:*")):
        name = read_text(zone / "name") or ""
        if name.startswith("package") or (name == "dram" and zone.name.count(":") == 2):
            kept.append(zone)
    return kept


class RaplMeter(LiveMeter):
    """Sum over all packages and DRAM zones; each zone's own wrap-around is taken care of here.

    Raises
    ------
    UnavailableError
        No zones (most virtual machines), or none that this user may read.
    """

    def __init__(self, root: Path = Path("/"), interval_s: float = 1.0) -> None:
        super().__init__(interval_s)  # a package of 200 W wraps after minutes at the earliest
        self._zones = rapl_domains(root)
        names = [read_text(z / "name") or "" for z in self._zones]
        self._ranges = [_microjoules(z / "max_energy_range_uj") for z in self._zones]
        self._last = [_microjoules(z / "energy_uj") for z in self._zones]
        if not self._zones or None in self._last:
            why = "may only be read by root" if self._zones else "are not there"
            raise UnavailableError(f"powercap's energy counters {why}", remedy="see skytrigger doctor")
        self._total_uj = 0
        dram = " and DRAM" if "dram" in names else ""
        self.facts = MeterFacts("rapl", f"{sum(n != 'dram' for n in names)} CPU package(s){dram}", "1 uJ, every 1 ms")

    def read(self) -> Reading:
        for i, zone in enumerate(self._zones):
            now, before, around = _microjoules(zone / "energy_uj"), self._last[i], self._ranges[i]
            if now is None or before is None:
                continue
            step = now - before
            if step < 0:
                step = step + around + 1 if around else 0
            self._total_uj += step
            self._last[i] = now
        return Reading(time.monotonic(), self._total_uj / 1e6)


def _microjoules(path: Path) -> int | None:
    text = read_text(path)
    return int(text) if text and text.isdigit() else None
