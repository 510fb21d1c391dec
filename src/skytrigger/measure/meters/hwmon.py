"""Power rails that the kernel's hwmon shows: Jetson's INA3221 and boards like it."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

from skytrigger.core.errors import UnavailableError
from skytrigger.core.host import read_text
from skytrigger.measure.meters.protocol import LiveMeter, MeterFacts, Reading

# Rails that feed the whole board: the others lie behind them and must not be added.
WHOLE_BOARD = ("VDD_IN", "POM_5V_IN", "5V_IN", "VDD_5V_IN", "VIN")


@dataclass(frozen=True)
class Rail:
    """One rail: `power_uw`, or `current_ma` with `voltage_mv`."""

    label: str
    power_uw: Path | None = None
    current_ma: Path | None = None
    voltage_mv: Path | None = None

    def watts(self) -> float | None:
        """Power of this moment, or None where it cannot be read."""
        if self.power_uw is not None:
            return _scaled(self.power_uw, 1e-6)
        if self.current_ma is None or self.voltage_mv is None:
            return None
        amperes, volts = _scaled(self.current_ma, 1e-3), _scaled(self.voltage_mv, 1e-3)
        return None if amperes is None or volts is None else amperes * volts


def hwmon_rails(root: Path = Path("/")) -> list[Rail]:
    """Rails of the INA power monitors (``ina3221``, ``ina226``, ...). Other chips' power figures are often models."""
    rails = []
    for chip in sorted((root / "sys/class/hwmon").glob("hwmon*")):
        if not (read_text(chip / "name") or "").startswith("ina"):
            continue
        for n in range(1, 17):
            label = read_text(chip / f"in{n}_label") or read_text(chip / f"power{n}_label") or f"{chip.name} rail {n}"
            power, current, voltage = (chip / f"{kind}{n}_input" for kind in ("power", "curr", "in"))
            if power.exists():
                rails.append(Rail(label, power_uw=power))
            elif current.exists() and voltage.exists() and not label.lower().startswith("sum"):
                rails.append(Rail(label, current_ma=current, voltage_mv=voltage))
    return rails


class HwmonMeter(LiveMeter):
    """The board's input rail where there is one, else the sum of all rails.

    Raises
    ------
    UnavailableError
        No readable rail.
    """

    def __init__(self, root: Path = Path("/"), interval_s: float = 0.1) -> None:
        super().__init__(interval_s)
        rails = [r for r in hwmon_rails(root) if r.watts() is not None]
        whole = [r for r in rails if r.label.upper() in WHOLE_BOARD]
        self._rails = whole[:1] or rails
        if not self._rails:
            raise UnavailableError("hwmon shows no power rail")
        scope = "whole board" if whole else "sum of rails"
        labels = ", ".join(r.label for r in self._rails)
        self.facts = MeterFacts("hwmon", f"{scope} ({labels})", f"read every {interval_s:g} s")

    def read(self) -> Reading:
        watts = [w for w in (rail.watts() for rail in self._rails) if w is not None]
        whole = len(watts) == len(self._rails)
        return Reading(time.monotonic(), watts=sum(watts) if whole else None)


def _scaled(path: Path, factor: float) -> float | None:
    try:
        return float(read_text(path) or "") * factor
    except ValueError:
        return None
