"""What the samples of a record say: computed on reading, never stored alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from skytrigger.measure.operations import Work
from skytrigger.measure.records import Record
from skytrigger.measure.roofline import Ceilings, RooflinePoint, roofline_point
from skytrigger.measure.stats import Interval, median_interval, percentiles, wilson


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


def joules_per_correct(energy: EnergySummary, accuracy: float) -> float:
    """Gross joules for each image that is classified correctly."""
    return energy.gross_j / accuracy


def roofline_of(record: Record, records: Sequence[Record]) -> RooflinePoint | None:
    """The record's median batch against the ceilings of its own run; None where the run did not measure them."""
    ceilings = next(
        (r for r in records if r.kind == "ceilings" and r.extra.get("bench") == record.extra.get("bench")
         and r.extra["threads"] == record.what.get("threads")), None,
    )  # fmt: skip
    summary = time_summary(record)
    if ceilings is None or summary is None or "work" not in record.extra:
        return None
    return roofline_point(Work(**record.extra["work"]), summary.call_s.estimate, Ceilings.of(ceilings))


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
        median_interval(record.samples["epoch"].values),
        last["val_loss"] - last["train_loss"],
        last["train_loss"],
        last["val_loss"],
        wilson(record.extra["correct"], record.extra["images"]),
        median_interval(joules.values) if joules else None,
    )
