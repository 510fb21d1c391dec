"""What the samples of a record say: computed on reading, never stored alone."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from skytrigger.measure.records import Record
from skytrigger.measure.stats import Interval, median_interval, percentiles


@dataclass(frozen=True)
class TimeSummary:
    """Time of one series: per call and per item, with intervals."""

    call_s: Interval
    item_s: Interval
    items_per_s: Interval
    percentiles_s: dict[str, float] = field(default_factory=dict)

    @property
    def ms_per_item(self) -> Interval:
        """Milliseconds per image."""
        return self.item_s.scaled(1e3)

    def to_json(self) -> dict[str, Any]:
        """Milliseconds and items per second, with intervals and sample count."""
        return {
            "ms_per_call": self.call_s.scaled(1e3).to_json(),
            "ms_per_item": self.ms_per_item.to_json(),
            "items_per_s": self.items_per_s.to_json(),
            "percentiles_ms": {name: value * 1e3 for name, value in self.percentiles_s.items()},
        }


def time_summary(record: Record, series: str = "call") -> TimeSummary | None:
    """Median time per call and per item, throughput and the percentiles the sample size allows.

    None where the record has no such series. Throughput is the inverse of the median time per item.
    """
    samples = record.samples.get(series)
    if samples is None or not samples.values:
        return None
    call = median_interval(samples.values)
    item = call.scaled(1 / samples.items)
    low = 1 / item.high if item.known and item.high > 0 else float("nan")
    high = 1 / item.low if item.known and item.low > 0 else float("nan")
    rate = Interval(1 / item.estimate if item.estimate > 0 else float("nan"), low, high, item.level, item.n)
    spread = percentiles(samples.values) if record.kind in ("latency", "frame-rate", "streams") else {}
    return TimeSummary(call, item, rate, spread)


@dataclass(frozen=True)
class EnergySummary:
    """Joules per item, gross and above idle (None where idle was not measured), and mean watts."""

    gross_j: float
    net_j: float | None
    watts: float
    label: str
    flags: tuple[str, ...]


def energy_summary(record: Record) -> EnergySummary | None:
    """What the record's energy comes to per image; None where there is no figure."""
    energy = record.energy
    if energy["label"] == "unavailable" or not energy.get("items") or not energy.get("seconds"):
        return None
    net = energy.get("joules_net")
    return EnergySummary(
        energy["joules_gross"] / energy["items"],
        None if net is None else net / energy["items"],
        energy["joules_gross"] / energy["seconds"],
        energy["label"],
        tuple(energy.get("flags", ())),
    )
