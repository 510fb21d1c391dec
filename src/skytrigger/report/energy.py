"""Power and energy: watts, utilisation, temperature beside the card's limit; joules per image, correct image, epoch."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from skytrigger.core.host import host_id
from skytrigger.measure.records import Record
from skytrigger.measure.stats import Interval
from skytrigger.measure.summary import energy_summary, joules_per_correct, training_summary
from skytrigger.report import svg
from skytrigger.report.content import NOTHING, Block, Figure, Section, Table, Value, estimate, number, words
from skytrigger.report.learning import accuracy_of
from skytrigger.report.speedups import TONES, Timing
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


def name_of(record: Record) -> list[Value]:
    """Network and what it did, on what."""
    what = record.what
    done = "training" if record.kind == "training" else "inference"
    engine = f"{done}, {what.get('runtime')} {what.get('precision')}"
    return [words(what.get("network")), words(engine), words(what.get("batch_size"))]


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
        network, done, batch = (v.text.removeprefix("inference, ") for v in name_of(record))
        power = Interval(record.energy["watts_mean"], *ends, n=len(record.energy.get("watts_stretches", ())))
        bars.append(svg.Bar(f"{network}, batch {batch}", done, power, TONES.get(str(record.what.get("runtime")), "c7")))
    if not bars:
        return []
    limit = next((w for r in group if (w := limit_w(r)) is not None), None)
    drawn = svg.intervals(f"Power, {where}", "W", bars, log=False, marks=[(limit, "nominal maximum")] if limit else ())
    return [Figure([("", drawn)], "Mean power of each window; the line runs from its smallest to its largest reading, "
                   "which is no confidence interval.", wide=True)]  # fmt: skip


def _power_table(group: Sequence[Record], timings: dict[int, Timing], where: str) -> Table:
    rows = []
    for record in group:
        energy, summary, limit = record.energy, energy_summary(record), limit_w(record)
        row = name_of(record)
        if summary is None:
            row += [ABSENT] * 5
        else:
            idle = energy.get("idle_watts") or []
            row += [
                estimate(summary.power, "{:.4g}", unit=" W"),
                _ends_value(energy),
                _ranged(energy, "utilisation", "{:.0f}", 100, " %"),
                _ranged(energy, "temperature_c", "{:.0f}", 1, " °C"),
                Value(" / ".join(f"{w:.3g}" for w in idle), idle[0]) if idle else NOTHING,
            ]
        share = f"{summary.watts / limit:.0%} of it on average" if summary and limit else ""
        row.append(Value(f"{limit:g} W", limit, share) if limit else Value("unknown", None, "", "mute"))
        timing = timings.get(id(record))
        row.append(speedup_value(timing) if timing else NOTHING)
        rows.append([*row, _provenance(record)])
    head = ("network", "what ran", "batch", "power", "smallest to largest (W)", "utilisation", "temperature",
            "idle before / after (W)", "card's nominal maximum", "speed-up over torch fp32",
            "source of the figures")  # fmt: skip
    caption = (
        f"On {where}. Power: mean of the loaded window, below it a 95 % interval from up to 20 stretches of it (how "
        "much it moved, not the sensor's own error). Utilisation and temperature: mean, below it smallest to largest. "
        "The nominal maximum is the limit that the card's driver gives; nothing is derived from it. Where there is no "
        "sensor it says unavailable."
    ) + why_absent(group)
    return Table(head, rows, caption)


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
    rows = []
    for record in group:
        summary, accuracy = energy_summary(record), accuracy_for(record, records, studies)
        row = name_of(record)
        training = record.kind == "training"
        if summary is None:
            row += [ABSENT, ABSENT, NOTHING if training else ABSENT]
        else:
            correct = None if training or accuracy is None else joules_per_correct(summary, accuracy)
            row += [
                _joules(summary.gross),
                _joules(summary.net) if summary.net else Value("unavailable", None, "idle was not measured", "mute"),
                _joules(correct) if correct else NOTHING,
            ]
        row.append(joules_per_epoch(record))
        row.append(estimate(accuracy, "{:.1f}", 100, " %") if accuracy else NOTHING)
        row.append(number(record.energy.get("items"), "{:,d}") if summary else NOTHING)
        rows.append(row)
    head = ("network", "what ran", "batch", "gross per image", "above idle per image", "gross per correct image",
            "per epoch", "accuracy", "images metered (n)")  # fmt: skip
    caption = (
        f"On {where}. Gross: everything the sensor sees while the work is done; above idle: less the mean of the idle "
        "windows before and after, the interval spanning both. Per correct image: gross over accuracy, the interval "
        "from the better end of both to the worse. Per epoch: median over the metered epochs, validation and "
        "checkpoint included. Accuracy is that of the trained network in its framework."
    ) + why_absent(group)
    return Table(head, rows, caption)


def _joules(value: Interval) -> Value:
    scale, unit = (1.0, " J") if abs(value.estimate) >= 1 else (1e3, " mJ")
    low, high = scale * value.low, scale * value.high
    small = "no interval: too few readings" if math.isnan(low) or math.isnan(high) else f"{low:.3g} to {high:.3g}"
    return Value(f"{scale * value.estimate:.3g}{unit}", value.estimate, small)
