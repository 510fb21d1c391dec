"""Measure model files on runtimes: each cell a process of its own, all visited in counterbalanced blocks."""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from skytrigger.core.errors import InputError, SkytriggerError, UnavailableError
from skytrigger.measure.host import cores_in_mask
from skytrigger.measure.meters.found import open_meters
from skytrigger.measure.paired import DEFAULT_BLOCKS, MIN_PAIRS, Slot, run_blocks
from skytrigger.measure.records import NO_ENERGY, Record, Samples
from skytrigger.study.power_window import energy_windows
from skytrigger.study.worker_process import WorkerProcess

SCENARIOS = ("auto", "single-stream", "offline", "frame-rate", "cold-start", "stages")
CONTROL = "control"
Advance = Callable[[float, str], object]


@dataclass(frozen=True)
class Job:
    """One cell: a model file on an engine."""

    model: str
    runtime: str = "onnxruntime"
    precision: str = "fp32"
    batch_size: int = 1
    threads: int = 1
    streams: int = 1
    device: str = "cpu"

    @property
    def label(self) -> str:
        """Short text that tells it from its neighbours."""
        streams = f" x{self.streams} streams" if self.streams > 1 else ""
        batch = f"batch {self.batch_size}, {self.threads} threads"
        return f"{Path(self.model).stem} {self.runtime} {self.precision} {batch}{streams} {self.device}"


@dataclass(frozen=True)
class Options:
    """How to measure.

    Attributes
    ----------
    scenario
        ``auto``: single-stream for batch 1, offline otherwise.
    seconds
        Timed seconds aimed at for each cell, shared out over its visits.
    min_blocks, max_blocks
        Blocks of two visits to every cell. Under 10 blocks (20 pairs) `compare` makes no claim.
    control
        Open the first cell twice: the A/A control that gives the noise floor.
    together
        Cells alive (and compared) at once; more are measured in several groups.
    flush
        Empty the caches before each timed call.
    tiles
        A .npy of tiles (n, c, h, w); without it tiles are drawn with the model's own statistics.
    data_hash
        Of the dataset that `tiles` came from.
    frame_rates_hz, deadline_s
        For ``frame-rate``; the deadline is a frame's length unless given.
    starts
        Fresh processes for ``cold-start``.
    energy_seconds, meter_csv
        Loaded power window of each cell (0: none; at least 5, better 30), and an external meter's file.
    """

    scenario: str = "auto"
    seconds: float = 4.0
    min_blocks: int = MIN_PAIRS // 2
    max_blocks: int = DEFAULT_BLOCKS
    control: bool = True
    together: int = 8
    flush: bool = False
    tiles: str | None = None
    data_hash: str | None = None
    frame_rate_hz: float = 10.0
    deadline_s: float | None = None
    starts: int = 5
    energy_seconds: float = 0.0
    meter_csv: str | None = None
    seed: int = 0
    extra: dict[str, Any] = field(default_factory=dict)

    def check(self) -> None:
        """Raise InputError for what cannot be measured."""
        if self.scenario not in SCENARIOS:
            raise InputError(f"no scenario called {self.scenario!r}", expected=", ".join(SCENARIOS))
        if not 0 < self.seconds <= 3600:
            raise InputError(f"seconds = {self.seconds}", expected="more than 0, at most 3600")
        if not 1 <= self.min_blocks <= self.max_blocks:
            raise InputError(f"blocks {self.min_blocks} to {self.max_blocks}", expected="1 <= min_blocks <= max_blocks")
        if not 0 < self.frame_rate_hz <= 1e5:
            raise InputError(f"frame rate {self.frame_rate_hz}", expected="more than 0, at most 100,000 Hz")


@dataclass
class Bench:
    """What a bench gave: records, and why some cells have none."""

    records: list[Record] = field(default_factory=list)
    unavailable: dict[str, str] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)


def bench(jobs: Sequence[Job], options: Options | None = None, advance: Advance = lambda cost, note: None) -> Bench:
    """Measure `jobs`; a cell that fails or that this machine cannot do does not stop the others.

    `advance(cost, note)` is called with shares of ``len(jobs)``.

    Raises
    ------
    InputError
        A cell that is wrong in itself (no such file, more threads than cores).
    """
    options = options or Options()
    options.check()
    for job in jobs:
        if not 1 <= job.threads <= cores_in_mask():
            raise InputError(f"threads = {job.threads}", expected=f"1 to {cores_in_mask()}, the cores of this mask")
    found = Bench()
    if options.scenario in ("auto", "single-stream", "offline"):
        for group in _groups(jobs, options):
            _group(group, options, found, advance)
    else:
        for job in jobs:
            _alone(job, options, found)
            advance(1.0, job.label)
    return found


def _groups(jobs: Sequence[Job], options: Options) -> list[list[Job]]:
    """Cells that are compared with each other: those of equal batch size, `together` at a time, spread evenly."""
    groups = []
    for size in dict.fromkeys(job.batch_size for job in jobs):
        same = [job for job in jobs if job.batch_size == size]
        parts = -(-len(same) // options.together)
        groups += [same[i * len(same) // parts : (i + 1) * len(same) // parts] for i in range(parts)]
    return groups


def _offline(job: Job, options: Options) -> bool:
    return options.scenario == "offline" or (options.scenario == "auto" and job.batch_size * job.streams > 1)


def _group(jobs: Sequence[Job], options: Options, found: Bench, advance: Advance) -> None:
    with contextlib.ExitStack() as stack:
        workers: dict[str, tuple[Job, WorkerProcess]] = {}
        for job in jobs:
            worker = _opened(job, options, found)
            if worker is not None:
                workers[job.label] = (job, stack.enter_context(worker))
            advance(0.3, f"{job.label}: opened" if worker else f"{job.label}: not available")
        if not workers:
            advance(0.7 * len(jobs), "")
            return
        reference = next(iter(workers))
        if options.control:
            job = workers[reference][0]
            twin = _opened(job, options, found)
            if twin is not None:
                workers[CONTROL] = (job, stack.enter_context(twin))
        warmed = {
            name: worker.ask("warm", window_s=min(0.1, options.seconds / 10), max_s=max(1.0, options.seconds / 2))
            for name, (_, worker) in workers.items()
        }
        typical = {name: max(w["window_medians_s"][-1], 1e-9) for name, w in warmed.items()}
        share_s = options.seconds / 2 / max(typical.values())  # fixed before anything is timed
        blocks = int(max(options.min_blocks, min(options.max_blocks, share_s)))
        slot_s = options.seconds / (2 * blocks)
        calls = {name: max(1, min(5000, round(slot_s / t))) for name, t in typical.items()}

        def visitor(name: str) -> Callable[[], Slot]:
            job, worker = workers[name]
            lead_in = 1 if typical[name] < 0.2 else 0  # a cold cache costs a long call next to nothing

            def visit() -> Slot:
                got = worker.ask("slot", calls=calls[name], offline=_offline(job, options), lead_in=lead_in,
                                 limit_s=3 * slot_s)  # fmt: skip
                return Slot(tuple(got["seconds"]), got["conditions"])

            return visit

        share = 0.7 * len(jobs) / blocks
        visits = {name: visitor(name) for name in workers}
        slots = run_blocks(visits, blocks, options.seed, lambda: advance(share, jobs[0].label))
        run_id = uuid.uuid4().hex
        twins = {"control": _control(slots[reference], slots[CONTROL])} if CONTROL in slots else {}
        for name, (job, worker) in workers.items():
            how = {"run": run_id, "reference": reference, "blocks": blocks, "calls_per_slot": calls[name], **twins}
            energy = _energy(job, worker, options) if name != CONTROL else _NOT_ASKED
            record = _record(job, worker, slots[name], options, {**how, "warmup": warmed[name]}, name)
            found.records.append(replace(record, energy=energy))


_NOT_ASKED = {**NO_ENERGY, "why_not": "not asked for"}


def _energy(job: Job, worker: WorkerProcess, options: Options) -> dict[str, Any]:
    """The `energy` of a record; the worker's context stays loaded through the idle windows."""
    if not options.energy_seconds:
        return _NOT_ASKED

    def work() -> tuple[int, float]:
        done = worker.ask("loop", seconds=options.energy_seconds)
        return int(done["items"]), float(done["seconds"])

    meters = open_meters(job.device, options.meter_csv)
    try:
        return energy_windows(meters, work, options.energy_seconds)
    finally:
        for meter in meters:
            meter.close()


def _opened(job: Job, options: Options, found: Bench) -> WorkerProcess | None:
    asked = {**asdict(job), "tiles": options.tiles, "flush": options.flush}
    try:
        return WorkerProcess(asked)
    except UnavailableError as error:
        found.unavailable[job.label] = str(error)
    except InputError:
        raise
    except SkytriggerError as error:
        found.failed[job.label] = str(error)
    return None


def what_of(job: Job, worker: WorkerProcess, scenario: str, options: Options) -> dict[str, Any]:
    """The `what` of a record: what was asked and what the engine says it is."""
    facts = worker.ready["facts"]
    return {
        "network": facts["model"], "scenario": scenario, "data_hash": options.data_hash,
        **{k: v for k, v in facts.items() if k != "model"}, "flushed": options.flush,
    }  # fmt: skip


def _record(
    job: Job, worker: WorkerProcess, slots: list[Slot], options: Options, how: dict[str, Any], name: str
) -> Record:
    offline = _offline(job, options)
    items = worker.ready["items"]
    kind = "control" if name == CONTROL else "throughput" if offline else "latency"
    what = what_of(job, worker, "offline" if offline else "single-stream", options)
    samples = {
        "call": Samples("s", tuple(round(s, 9) for slot in slots for s in slot.seconds), items),
        "slot": Samples("s", tuple(round(slot.value_s, 9) for slot in slots), items),
    }
    total = {n: _sum([slot.conditions[n] for slot in slots]) for n in slots[0].conditions}
    extra = {
        **how,
        "cell": name,
        "label": job.label,
        "cold": worker.cold,
        "slot_conditions": _per_slot(slots),
        **options.extra,
    }
    return Record(kind, what, worker.ready["host"], samples, conditions=total, extra=extra)


def _per_slot(slots: Sequence[Slot]) -> dict[str, list[float]]:
    """What the rejection rules look at, one value a visit."""
    found = {}
    for name in ("wall_s", "steal_s", "quota_throttled_s", "thermal_throttles"):
        values = [slot.conditions[name] for slot in slots]
        if None not in values:
            found[name] = [v for v in values if v is not None]
    return found


def _control(a: Sequence[Slot], c: Sequence[Slot]) -> dict[str, Any]:
    """The two copies of the reference, kept in every record of the run, so that any two of them can be compared."""
    return {"a": [round(s.value_s, 9) for s in a], "c": [round(s.value_s, 9) for s in c], **_per_slot(c)}


def _sum(values: list[float | None]) -> float | None:
    known = [v for v in values if v is not None]
    return round(sum(known), 6) if len(known) == len(values) else None


def _alone(job: Job, options: Options, found: Bench) -> None:
    """Scenarios that one cell goes through by itself."""
    if options.scenario == "cold-start":
        return _cold_start(job, options, found)
    worker = _opened(job, options, found)
    if worker is None:
        return None
    with worker:
        warmed = worker.ask("warm", max_s=2.0 + options.seconds)
        if options.scenario == "stages":
            calls = max(20, min(2000, round(options.seconds / max(warmed["window_medians_s"][-1], 1e-9))))
            got = worker.ask("stages", calls=calls)
        else:
            got = worker.ask("frame-rate", rate_hz=options.frame_rate_hz, duration_s=options.seconds,
                             deadline_s=options.deadline_s)  # fmt: skip
        samples = {name: Samples(**s) for name, s in got["samples"].items()}
        extra = {"label": job.label, "warmup": warmed, "cold": worker.cold, **got.get("extra", {}), **options.extra}
        what = what_of(job, worker, options.scenario, options)
        conditions = got.get("conditions", {})
        found.records.append(
            Record(options.scenario, what, worker.ready["host"], samples, conditions=conditions, extra=extra)
        )
    return None


def _cold_start(job: Job, options: Options, found: Bench) -> None:
    """Fresh processes: start and imports, opening (load, build), first inference. Disk caches are warm, and said so."""
    taken: dict[str, list[float]] = {}
    for _ in range(options.starts):
        worker = _opened(job, options, found)
        if worker is None:
            return
        with worker:
            for name, seconds in worker.cold.items():
                taken.setdefault(name.removesuffix("_s"), []).append(seconds)
            what = what_of(job, worker, "cold-start", options)
            host = worker.ready["host"]
    samples = {name: Samples("s", tuple(values)) for name, values in taken.items()}
    samples["first"] = Samples("s", samples["first"].values, job.batch_size * job.streams)
    extra = {"label": job.label, "note": "files came from the page cache", **options.extra}
    found.records.append(Record("cold-start", what, host, samples, extra=extra))
