"""Measure model files on runtimes: each cell a process of its own, all visited in counterbalanced blocks."""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from skytrigger.bench.options import CONTROL, Bench, Options
from skytrigger.bench.process import WorkerProcess
from skytrigger.bench.records import NOT_ASKED, control_of, energy_of, slot_record, what_of
from skytrigger.core.errors import InputError, SkytriggerError, UnavailableError
from skytrigger.core.host import cores_in_mask, host_facts
from skytrigger.measure.paired import Slot, run_blocks
from skytrigger.measure.records import Record, Samples
from skytrigger.measure.roofline import Ceilings, in_own_process
from skytrigger.runtimes.spec import EngineSpec

__all__ = ["Bench", "Options", "bench"]
Advance = Callable[[float, str], object]


def bench(
    jobs: Sequence[EngineSpec], options: Options | None = None, advance: Advance = lambda cost, note: None
) -> Bench:
    """Measure `jobs`; a cell that fails or that this machine cannot do does not stop the others.

    `advance(cost, note)` is called with shares of ``len(jobs)``.

    Raises
    ------
    InputError
        A cell that is wrong in itself (no such file, more threads than cores).
    """
    options = options or Options()
    options.check()
    jobs = list(dict.fromkeys(jobs))
    for job in jobs:
        if not 1 <= job.threads <= cores_in_mask():
            raise InputError(f"threads = {job.threads}", expected=f"1 to {cores_in_mask()}, the cores of this mask")
        if options.stored and not np.can_cast(options.stored, job.input_type, "safe"):
            raise InputError(f"tiles stored as {options.stored} for an engine that takes {job.input_type}",
                             expected="a type that holds all values of the stored one")  # fmt: skip
    results = Bench()
    bench_id = uuid.uuid4().hex
    options = replace(options, extra={**options.extra, "bench": bench_id})
    first = _ceilings(jobs, options)
    if options.scenario in ("auto", "single-stream", "offline"):
        for group in _groups(jobs, options):
            _group(group, options, results, advance)
    else:
        for job in jobs:
            _alone(job, options, results)
            advance(1.0, job.label)
    if not results.records:
        return results
    for before, after in zip(first, _ceilings(jobs, options), strict=True):
        samples = {n: Samples("s", s.values + after.samples[n].values) for n, s in before.samples.items()}
        results.records.append(Record("ceilings", {}, host_facts(), samples, extra={**before.how, "bench": bench_id}))
    return results


def _ceilings(jobs: Sequence[EngineSpec], options: Options) -> list[Ceilings]:
    """The machine's ceilings for each thread count and device of the jobs."""
    kinds = sorted({(job.threads, job.device) for job in jobs}) if options.ceilings else []
    return [in_own_process(threads, device) for threads, device in kinds]


def _groups(jobs: Sequence[EngineSpec], options: Options) -> list[list[EngineSpec]]:
    """Cells that are compared with each other: those of as many images a call, `together` at a time, spread evenly."""
    groups = []
    for size in dict.fromkeys(job.images for job in jobs):
        same = [job for job in jobs if job.images == size]
        parts = -(-len(same) // options.together)
        groups += [same[i * len(same) // parts : (i + 1) * len(same) // parts] for i in range(parts)]
    return groups


def _group(jobs: Sequence[EngineSpec], options: Options, results: Bench, advance: Advance) -> None:
    with contextlib.ExitStack() as stack:
        workers: dict[str, tuple[EngineSpec, WorkerProcess]] = {}
        for job in jobs:
            worker = _opened(job, options, results)
            if worker is not None:
                name = job.label
                while name in workers:  # files of the same name in different folders
                    name += "'"
                workers[name] = (job, stack.enter_context(worker))
            advance(0.3, f"{job.label}: opened" if worker else f"{job.label}: not available")
        if not workers:
            advance(0.7 * len(jobs), "")
            return
        reference = next(iter(workers))
        if options.control:
            job = workers[reference][0]
            twin = _opened(job, options, results)
            if twin is not None:
                workers[CONTROL] = (job, stack.enter_context(twin))
        warmed = {
            name: worker.ask("warm", window_s=min(0.1, options.seconds / 10), max_s=max(1.0, options.seconds / 2))
            for name, (_, worker) in workers.items()
        }
        typical = {name: max(w["window_medians_s"][-1], 1e-9) for name, w in warmed.items()}
        share_s = options.seconds / 2 / max(typical.values())  # fixed before anything is timed
        blocks = int(max(options.least_blocks, min(options.max_blocks, share_s)))
        slot_s = options.seconds / (2 * blocks)
        calls = {name: max(1, min(1000, round(slot_s / t))) for name, t in typical.items()}

        def visitor(name: str) -> Callable[[], Slot]:
            job, worker = workers[name]
            lead_in = 1 if typical[name] < 0.05 else 0  # a cold cache costs a long call next to nothing

            def visit() -> Slot:
                got = worker.ask("slot", calls=calls[name], offline=options.offline(job), lead_in=lead_in,
                                 limit_s=3 * slot_s)  # fmt: skip
                return Slot(tuple(got["seconds"]), got["conditions"], tuple(got["device"]))

            return visit

        share = 0.7 * len(jobs) / blocks
        visits = {name: visitor(name) for name in workers}
        slots = run_blocks(visits, blocks, options.seed, lambda: advance(share, jobs[0].label))
        run_id = uuid.uuid4().hex
        twins = {"control": control_of(slots[reference], slots[CONTROL])} if CONTROL in slots else {}
        for name, (job, worker) in workers.items():
            how = {"run": run_id, "reference": reference, "blocks": blocks, "calls_per_slot": calls[name], **twins}
            energy = energy_of(job, worker, options) if name != CONTROL else NOT_ASKED
            record = slot_record(job, worker, slots[name], options, {**how, "warmup": warmed[name]}, name)
            results.records.append(replace(record, energy=energy))


def _opened(job: EngineSpec, options: Options, results: Bench) -> WorkerProcess | None:
    names = ("tiles", "stored", "flush", "codec")
    asked = {**job.to_json(), **{name: getattr(options, name) for name in names}}
    try:
        return WorkerProcess(asked)
    except UnavailableError as error:
        results.unavailable[job.label] = str(error)
    except InputError:
        raise
    except SkytriggerError as error:
        results.failed[job.label] = str(error)
    return None


def _alone(job: EngineSpec, options: Options, results: Bench) -> None:
    """Scenarios that one cell goes through by itself."""
    if options.scenario == "cold-start":
        return _cold_start(job, options, results)
    worker = _opened(job, options, results)
    if worker is None:
        return None
    with worker:
        warmed = worker.ask("warm", max_s=2.0 + options.seconds)
        if options.scenario == "stages":
            calls = max(20, min(2000, round(options.seconds / max(warmed["window_medians_s"][-1], 1e-9))))
            got = worker.ask("stages", calls=calls)
        elif options.scenario == "streams":
            got = worker.ask("streams", duration_s=options.seconds)
        else:
            got = worker.ask("frame-rate", rate_hz=options.frame_rate_hz, duration_s=options.seconds,
                             deadline_s=options.deadline_s)  # fmt: skip
        samples = {name: Samples(**s) for name, s in got["samples"].items()}
        extra = {"label": job.label, "warmup": warmed, "cold": worker.cold, **got.get("extra", {}), **options.extra}
        what = what_of(job, worker, options.scenario, options)
        conditions = got.get("conditions", {})
        results.records.append(
            Record(options.scenario, what, worker.ready["host"], samples, conditions=conditions, extra=extra)
        )
    return None


def _cold_start(job: EngineSpec, options: Options, results: Bench) -> None:
    """Fresh processes: start and imports, opening (load, build), first inference. Disk caches are warm, and said so."""
    taken: dict[str, list[float]] = {}
    for _ in range(options.starts):
        worker = _opened(job, options, results)
        if worker is None:
            return
        with worker:
            for name, seconds in worker.cold.items():
                taken.setdefault(name.removesuffix("_s"), []).append(seconds)
            what = what_of(job, worker, "cold-start", options)
            host = worker.ready["host"]
    samples = {name: Samples("s", tuple(values)) for name, values in taken.items()}
    samples["first"] = Samples("s", samples["first"].values, job.images)
    extra = {"label": job.label, "note": "files came from the page cache", **options.extra}
    results.records.append(Record("cold-start", what, host, samples, extra=extra))
