"""Records of what a bench measured."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from skytrigger.bench.options import CONTROL, Options
from skytrigger.bench.power_window import energy_windows
from skytrigger.bench.process import WorkerProcess
from skytrigger.measure.meters.found import open_meters
from skytrigger.measure.paired import Slot
from skytrigger.measure.records import NO_ENERGY, Record, Samples
from skytrigger.model.file import read_model
from skytrigger.model.operations import count_work
from skytrigger.runtimes.spec import EngineSpec

NOT_ASKED = {**NO_ENERGY, "why_not": "not asked for"}


def energy_of(job: EngineSpec, worker: WorkerProcess, options: Options) -> dict[str, Any]:
    """The `energy` of a record; the worker's context stays loaded through the idle windows."""
    if not options.energy_seconds:
        return NOT_ASKED

    def work() -> tuple[int, float]:
        done = worker.ask("loop", seconds=options.energy_seconds)
        return int(done["items"]), float(done["seconds"])

    meters = open_meters(job.device, options.meter_csv)
    try:
        return energy_windows(meters, work, options.energy_seconds)
    finally:
        for meter in meters:
            meter.close()


def what_of(job: EngineSpec, worker: WorkerProcess, scenario: str, options: Options) -> dict[str, Any]:
    """The `what` of a record: what was asked and what the engine says it is."""
    facts = worker.ready["facts"]
    return {
        "network": facts["model"], "scenario": scenario, "data_hash": options.data_hash,
        **{k: v for k, v in facts.items() if k != "model"}, "stored": options.stored,
        "flushed": options.flush,
    }  # fmt: skip


def slot_record(
    job: EngineSpec, worker: WorkerProcess, slots: list[Slot], options: Options, how: dict[str, Any], name: str
) -> Record:
    offline = options.offline(job)
    items = worker.ready["items"]
    kind = "control" if name == CONTROL else "throughput" if offline else "latency"
    work = asdict(count_work(read_model(job.model).graph(), items))
    what = what_of(job, worker, "offline" if offline else "single-stream", options)
    samples = {
        "call": Samples("s", tuple(round(s, 9) for slot in slots for s in slot.seconds), items),
        "slot": Samples("s", tuple(round(slot.value_s, 9) for slot in slots), items),
    }
    on_device = tuple(round(s, 9) for slot in slots for s in slot.device_seconds)
    if on_device:
        samples["device"] = Samples("s", on_device, items)
    total = {n: _sum([slot.conditions[n] for slot in slots]) for n in slots[0].conditions}
    extra = {
        **how,
        "cell": name,
        "label": job.label,
        "work": work,
        "cold": worker.cold,
        "slot_conditions": _per_slot(slots),
        **options.extra,
    }
    return Record(kind, what, worker.ready["host"], samples, conditions=total, extra=extra)


def _per_slot(slots: Sequence[Slot]) -> dict[str, list[float]]:
    """What the rejection rules look at, one value a visit."""
    per_slot = {}
    for name in ("wall_s", "steal_s", "quota_throttled_s", "thermal_throttles"):
        values = [slot.conditions[name] for slot in slots]
        if None not in values:
            per_slot[name] = [v for v in values if v is not None]
    return per_slot


def control_of(a: Sequence[Slot], c: Sequence[Slot]) -> dict[str, Any]:
    """The two copies of the reference, kept in every record of the run, so that any two of them can be compared."""
    return {"a": [round(s.value_s, 9) for s in a], "c": [round(s.value_s, 9) for s in c], **_per_slot(c)}


def _sum(values: list[float | None]) -> float | None:
    known = [v for v in values if v is not None]
    return round(sum(known), 6) if len(known) == len(values) else None
