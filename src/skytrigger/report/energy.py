"""Power and energy: watts, utilisation, temperature beside the card's limit; joules per image, correct image, epoch."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from skytrigger.core.host import host_id
from skytrigger.measure.records import Record
from skytrigger.measure.stats import Interval
from skytrigger.measure.summary import EnergySummary, energy_summary, joules_per_correct, training_summary
from skytrigger.report import charts
from skytrigger.report.content import (
    NOTHING,
    Block,
    Columns,
    Figure,
    Section,
    Table,
    Value,
    estimate,
    number,
    table,
    words,
)
from skytrigger.report.learning import accuracy_of
from skytrigger.report.palette import tone_of
from skytrigger.report.speedups import Timing
from skytrigger.report.study_folder import StudyFolder
from skytrigger.report.timing import speedup_value

STUDY = "power"
ABSENT = Value("unavailable", None, "", "mute")


def why_absent(records: Sequence[Record]) -> str:
    """A sentence for a caption: why those of the records that have no energy have none; empty where all have."""
    without = [r.energy for r in records if r.energy["label"] == "unavailable"]
    reasons = {str(e.get("why_not") or "; ".join(map(str, e.get("flags") or ())) or "no figure") for e in without}
    return f" Energy unavailable: {'; '.join(sorted(reasons))}." if reasons else ""


def joules_per_epoch(record: Record) -> Value:
    """Joules of an epoch of a training record: median over its epochs."""
    found = training_summary(record)
    if found is None:
        return NOTHING
    return ABSENT if found.joules_per_epoch is None else estimate(found.joules_per_epoch, "{:.4g}", unit=" J")


def limit_w(record: Record) -> float | None:
    """The card's nominal maximum in watts, as its driver says; None for a CPU, whose limit is not asked for."""
    device = str(record.what.get("device"))
    gpus = record.where.get("gpus") or []
    index = int(device.partition(":")[2] or 0) if device.startswith("cuda") else -1
    limit = gpus[index].get("power_limit_w") if 0 <= index < len(gpus) else None
    return float(limit) if limit else None


def metered(records: Sequence[Record]) -> list[Record]:
    """Records of a power study, and all others that energy was measured for."""
    return [
        r
        for r in records
        if r.kind not in ("control", "ceilings")
        and (r.extra.get("study") == STUDY or r.energy["label"] != "unavailable")
    ]


def energy_section(
    records: Sequence[Record], timed: Sequence[Timing], studies: Sequence[StudyFolder], hosts: dict[str, str]
) -> Section | None:
    """Two tables and, where a sensor was read, a picture for each device; None where nothing was asked for."""
    found = metered(records)
    if not found:
        return None
    timings = {id(t.record): t for t in timed}
    by_device: dict[tuple[str, str], list[Record]] = {}
    for record in found:
        by_device.setdefault((host_id(record.where), str(record.what.get("device"))), []).append(record)
    blocks: list[Block] = []
    for (host, device), group in by_device.items():
        where = device + (f", {hosts.get(host, host)}" if len(hosts) > 1 else "")
        blocks += _figure(group, where)
        blocks.append(_power_table(group, timings, where))
        blocks.append(_energy_table(group, records, studies, where))
    return Section("power", "Power and energy", blocks)


def ran(record: Record) -> str:
    """What the network did, on what."""
    done = "training" if record.kind == "training" else "inference"
    return f"{done}, {record.what.get('runtime')} {record.what.get('precision')}"


NAMES: Columns[Record] = (
    ("network", lambda r: words(r.what.get("network"))),
    ("what ran", lambda r: words(ran(r))),
    ("batch", lambda r: words(r.what.get("batch_size"))),
)


def _ends(energy: dict[str, Any], name: str) -> tuple[float, float] | None:
    low, high = (energy.get(f"{name}_{end}") for end in ("min", "max"))
    return None if low is None or high is None else (float(low), float(high))


def _ranged(energy: dict[str, Any], name: str, form: str, scale: float = 1.0, unit: str = "") -> Value:
    """Mean of the readings, below it the smallest and the largest."""
    mean, ends = energy.get(name), _ends(energy, name)
    if mean is None:
        return ABSENT
    small = "" if ends is None else f"{form.format(scale * ends[0])} to {form.format(scale * ends[1])}"
    return Value(form.format(scale * mean) + unit, float(mean), small)


def _figure(group: Sequence[Record], where: str) -> list[Block]:
    bars = []
    for record in group:
        ends = _ends(record.energy, "watts")
        if ends is None or energy_summary(record) is None:
            continue
        done = ran(record).removeprefix("inference, ")
        power = Interval(record.energy["watts_mean"], *ends, n=len(record.energy.get("watts_stretches", ())))
        name = f"{record.what.get('network')}, batch {record.what.get('batch_size')}"
        bars.append(charts.Bar(name, done, power, tone_of(record.what.get("runtime"))))
    if not bars:
        return []
    limit = next((w for r in group if (w := limit_w(r)) is not None), None)
    marks = [(limit, "nominal maximum")] if limit else ()
    drawn = charts.intervals(f"Power, {where}", "W", bars, log=False, marks=marks)
    return [Figure([("", drawn)], "Mean power of each window; the line runs from its smallest to its largest reading, "
                   "which is no confidence interval.", wide=True)]  # fmt: skip


def _power_table(group: Sequence[Record], timings: dict[int, Timing], where: str) -> Table:
    def metered_value(value: Callable[[Record, EnergySummary], Value]) -> Callable[[Record], Value]:
        return lambda r: ABSENT if (summary := energy_summary(r)) is None else value(r, summary)

    def idle(record: Record, summary: EnergySummary) -> Value:
        watts = record.energy.get("idle_watts") or []
        return Value(" / ".join(f"{w:.3g}" for w in watts), watts[0]) if watts else NOTHING

    def limit(record: Record) -> Value:
        watts, summary = limit_w(record), energy_summary(record)
        share = f"{summary.watts / watts:.0%} of it on average" if summary and watts else ""
        return Value(f"{watts:g} W", watts, share) if watts else Value("unknown", None, "", "mute")

    columns: Columns[Record] = [
        *NAMES,
        ("power", metered_value(lambda r, s: estimate(s.power, "{:.4g}", unit=" W"))),
        ("smallest to largest (W)", metered_value(lambda r, s: _ends_value(r.energy))),
        ("utilisation", metered_value(lambda r, s: _ranged(r.energy, "utilisation", "{:.0f}", 100, " %"))),
        ("temperature", metered_value(lambda r, s: _ranged(r.energy, "temperature_c", "{:.0f}", 1, " °C"))),
        ("idle before / after (W)", metered_value(idle)),
        ("card's nominal maximum", limit),
        ("speed-up over torch fp32", lambda r: speedup_value(timings[id(r)]) if id(r) in timings else NOTHING),
        ("source of the figures", _provenance),
    ]
    caption = (
        f"On {where}. Power: mean of the loaded window, below it a 95 % interval from up to 20 stretches of it (how "
        "much it moved, not the sensor's own error). Utilisation and temperature: mean, below it smallest to largest. "
        "The nominal maximum is the limit that the card's driver gives; nothing is derived from it. Where there is no "
        "sensor it says unavailable."
    ) + why_absent(group)
    return table(group, columns, caption)


def _ends_value(energy: dict[str, Any]) -> Value:
    ends = _ends(energy, "watts")
    return NOTHING if ends is None else Value(f"{ends[0]:.4g} to {ends[1]:.4g}", ends[1])


def _provenance(record: Record) -> Value:
    energy = record.energy
    if energy["label"] == "unavailable":
        return ABSENT
    facts = [str(energy[k]) for k in ("scope", "resolution") if energy.get(k)]
    facts += [f"{energy['seconds']:.3g} s"] if energy.get("seconds") else []
    return Value(f"{energy['label']}, {energy.get('source')}", None, "; ".join([*facts, *energy.get("flags", ())]))


def accuracy_for(record: Record, records: Sequence[Record], studies: Sequence[StudyFolder]) -> Interval | None:
    """Accuracy of the network that the record measured: of its own training, of its study's, or of its study's runs."""
    own = training_summary(record)
    if own is not None:
        return own.accuracy
    for study in studies:
        if any(r is record for r in study.records) and record.what.get("network") in study.networks:
            return accuracy_of(study.networks[str(record.what["network"])][:1])
    same = ("network", "device", "data_hash")
    for other in records:
        if (
            other.kind == "training"
            and record.extra.get("study") == other.extra.get("study") == STUDY
            and all(other.what.get(k) == record.what.get(k) for k in same)
            and host_id(other.where) == host_id(record.where)
            and (found := training_summary(other)) is not None
        ):
            return found.accuracy
    return None


def _energy_table(
    group: Sequence[Record], records: Sequence[Record], studies: Sequence[StudyFolder], where: str
) -> Table:
    accuracies = {id(r): accuracy_for(r, records, studies) for r in group}

    def gross(record: Record) -> Value:
        return ABSENT if (summary := energy_summary(record)) is None else _joules(summary.gross)

    def net(record: Record) -> Value:
        if (summary := energy_summary(record)) is None:
            return ABSENT
        return _joules(summary.net) if summary.net else Value("unavailable", None, "idle was not measured", "mute")

    def correct(record: Record) -> Value:
        summary, accuracy = energy_summary(record), accuracies[id(record)]
        if record.kind == "training" or (summary and accuracy is None):
            return NOTHING
        joules = joules_per_correct(summary, accuracy) if summary and accuracy else None
        return ABSENT if summary is None else _joules(joules) if joules else NOTHING

    columns: Columns[Record] = [
        *NAMES,
        ("gross per image", gross),
        ("above idle per image", net),
        ("gross per correct image", correct),
        ("per epoch", joules_per_epoch),
        ("accuracy", lambda r: estimate(accuracies[id(r)], "{:.1f}", 100, " %")),
        ("images metered (n)", lambda r: number(r.energy.get("items"), "{:,d}") if energy_summary(r) else NOTHING),
    ]
    caption = (
        f"On {where}. Gross: everything the sensor sees while the work is done; above idle: less the mean of the idle "
        "windows before and after, the interval spanning both. Per correct image: gross over accuracy, the interval "
        "from the better end of both to the worse. Per epoch: median over the metered epochs, validation and "
        "checkpoint included. Accuracy is that of the trained network in its framework."
    ) + why_absent(group)
    return table(group, columns, caption)


def _joules(value: Interval) -> Value:
    scale, unit = (1.0, " J") if abs(value.estimate) >= 1 else (1e3, " mJ")
    low, high = scale * value.low, scale * value.high
    small = "no interval: too few readings" if math.isnan(low) or math.isnan(high) else f"{low:.3g} to {high:.3g}"
    return Value(f"{scale * value.estimate:.3g}{unit}", value.estimate, small)
