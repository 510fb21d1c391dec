"""NVIDIA GPUs: NVML's total-energy counter, power, utilisation, temperature and clock."""

from __future__ import annotations

import time
from typing import Any

from skytrigger.core.errors import UnavailableError
from skytrigger.core.extras import require
from skytrigger.measure.meters.protocol import LiveMeter, MeterFacts, Reading


class NvmlMeter(LiveMeter):
    """One GPU board.

    Power is the driver's own average (over up to a second on some cards, sampled for a part of the time on others), so
    that short windows mislead; the energy counter (Volta and later) is preferred.

    Raises
    ------
    UnavailableError
        No NVML, no driver, or no such GPU.
    """

    def __init__(self, index: int = 0, interval_s: float = 0.1, nvml: Any = None) -> None:
        super().__init__(interval_s)
        self._nvml = nvml or require("pynvml", why="GPU power")
        try:
            self._nvml.nvmlInit()
            self._handle = self._nvml.nvmlDeviceGetHandleByIndex(index)
            name = self._nvml.nvmlDeviceGetName(self._handle)
        except self._nvml.NVMLError as error:
            raise UnavailableError(f"NVML has no GPU {index}: {error}") from error
        counter = self._ask("nvmlDeviceGetTotalEnergyConsumption") is not None
        self.facts = MeterFacts(
            "nvml",
            f"GPU board ({name.decode() if isinstance(name, bytes) else name})",
            "1 mJ counter, updated about every 20 to 100 ms" if counter else "1 mW, the driver's own average",
        )

    def _ask(self, function: str, *arguments: Any) -> Any:
        try:
            return getattr(self._nvml, function)(self._handle, *arguments)
        except (self._nvml.NVMLError, AttributeError):
            return None

    def read(self) -> Reading:
        millijoules = self._ask("nvmlDeviceGetTotalEnergyConsumption")
        milliwatts = self._ask("nvmlDeviceGetPowerUsage")
        use = self._ask("nvmlDeviceGetUtilizationRates")
        return Reading(
            time.monotonic(),
            None if millijoules is None else millijoules / 1e3,
            None if milliwatts is None else milliwatts / 1e3,
            None if use is None else use.gpu / 100,
            self._ask("nvmlDeviceGetTemperature", getattr(self._nvml, "NVML_TEMPERATURE_GPU", 0)),
            self._ask("nvmlDeviceGetClockInfo", getattr(self._nvml, "NVML_CLOCK_SM", 1)),
        )

    def close(self) -> None:
        """Leave NVML."""
        self._nvml.nvmlShutdown()
