"""What the samples of a record say: computed on reading, never stored alone."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from skytrigger.core.work import Work
from skytrigger.measure.records import Record
from skytrigger.measure.roofline import Ceilings, RooflinePoint, roofline_point
from skytrigger.measure.stats import Interval, interval_of_stretches, median_interval, percentiles, wilson


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
    call = median_interval(samples.values, positive=True)
    item = call.scaled(1 / samples.items)
    low = 1 / item.high if item.known and item.high > 0 else float("nan")
    high = 1 / item.low if item.known and item.low > 0 else float("nan")
    rate = Interval(1 / item.estimate if item.estimate > 0 else float("nan"), low, high, item.level, item.n)
    spread = percentiles(samples.values) if record.kind in ("latency", "frame-rate", "streams") else {}
    return TimeSummary(call, item, rate, spread)


@dataclass(frozen=True)
class EnergySummary:
    """Joules per item, gross and above idle (None where idle was not measured), and mean watts.

    The intervals hold how much the power moved within the window (Student's t over its stretches; net: and between the
    idle windows before and after), not the sensor's own error.
    """

    gross: Interval
    net: Interval | None
    power: Interval
    label: str
    flags: tuple[str, ...]

    @property
    def gross_j(self) -> float:
        """Joules per item."""
        return self.gross.estimate

    @property
    def net_j(self) -> float | None:
        """Joules per item above idle."""
        return None if self.net is None else self.net.estimate

    @property
    def watts(self) -> float:
        """Mean power of the loaded window."""
        return self.power.estimate


def energy_summary(record: Record) -> EnergySummary | None:
    """What the record's energy comes to per image; None where there is no figure."""
    energy = record.energy
    if energy["label"] == "unavailable" or not energy.get("items") or not energy.get("seconds"):
        return None
    power = interval_of_stretches(energy["joules_gross"] / energy["seconds"], energy.get("watts_stretches", ()))
    item_s = energy["seconds"] / energy["items"]
    net, idle = None, energy.get("idle_watts") or ()
    if energy.get("joules_net") is not None:
        estimate = energy["joules_net"] / energy["items"]
        low, high = (
            ((power.low - max(idle)) * item_s, (power.high - min(idle)) * item_s) if idle else (math.nan, math.nan)
        )
        net = Interval(estimate, low, high, power.level, power.n)
    flags = tuple(energy.get("flags", ()))
    return EnergySummary(power.scaled(item_s), net, power, energy["label"], flags)


def joules_per_correct(energy: EnergySummary, accuracy: Interval) -> Interval | None:
    """Gross joules for each image that is classified correctly; None where none is.

    The interval goes from the energy's low end over the accuracy's high end to the reverse: never too short.
    """
    gross = energy.gross
    if accuracy.estimate <= 0:
        return None
    low = gross.low / accuracy.high if accuracy.known and accuracy.high > 0 else math.nan
    high = gross.high / accuracy.low if accuracy.known and accuracy.low > 0 else math.nan
    return Interval(gross.estimate / accuracy.estimate, low, high, gross.level, gross.n)


def roofline_of(record: Record, records: Sequence[Record]) -> RooflinePoint | None:
    """The record's median batch against the ceilings of its own run; None where the run did not measure them.

    A float32 product is no ceiling of what runs in fewer bits: where that would be the tighter one, there is none.
    """
    ceilings = next(
        (r for r in records if r.kind == "ceilings" and r.extra.get("bench") == record.extra.get("bench")
         and r.extra["threads"] == record.what.get("threads")
         and r.extra.get("device", "cpu") == record.what.get("device", "cpu")), None,
    )  # fmt: skip
    summary = time_summary(record)
    if ceilings is None or summary is None or "work" not in record.extra:
        return None
    precision = str(record.what.get("precision"))
    point = roofline_point(Work(**record.extra["work"]), summary.call_s.estimate, Ceilings.of(ceilings), precision)
    return None if point.bound == "compute" and point.product != precision else point


@dataclass(frozen=True)
class TrainingSummary:
    """A training record: time of an epoch, last losses, and accuracy on the reported part."""

    epoch_s: Interval
    gap: float
    train_loss: float
    val_loss: float
    accuracy: Interval
    joules_per_epoch: Interval | None


def training_summary(record: Record) -> TrainingSummary | None:
    """`gap` is validation loss minus training loss after the last epoch; None for other kinds of record."""
    if record.kind != "training":
        return None
    last = {name: record.samples[name].values[-1] for name in ("train_loss", "val_loss")}
    joules = record.samples.get("epoch_joules")
    return TrainingSummary(
        median_interval(record.samples["epoch"].values, positive=True),
        last["val_loss"] - last["train_loss"],
        last["train_loss"],
        last["val_loss"],
        wilson(record.extra["correct"], record.extra["images"]),
        median_interval(joules.values, positive=True) if joules else None,
    )
