"""Step: CLUE's four strategies on a GPU beside the CPU backend, label for label; kernels, copies and whole call apart.

`whole` is the wall clock of the Python call: arrays of ordinary memory in, arrays out, checks and planning included.
`copies in`, `kernels`, `copies out` are the device's clock between the points where the backend has queued that work
(for strategies 1 and 2 with the gaps of launching it, for 1 summed over the layers). `graph` is the kernels of
strategy 3 replayed back to back. Strategy 4 gets many events in one call: events/s are wall clock.
"""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from skytrigger.core.host import cores_in_mask, host_facts
from skytrigger.core.progress import say
from skytrigger.hep.clue import Clusters, Workspace, cluster
from skytrigger.hep.clue.events import Hitset, pu200_event, pu200_events, toy_detector, toy_layer
from skytrigger.measure.records import Record, Samples, append

TOY = {"dc": 3.0, "rhoc": 8.0, "seed_distance": 5.0, "outlier_distance": 5.0}
HGCAL = {"dc": 1.3, "rhoc": 1.0, "seed_distance": 1.3, "outlier_distance": 2.6}
FIELDS = ("rho", "delta", "nearest_higher", "is_seed", "cluster_id")
PHASES = ("copied in", "kernels", "copied out")


def run(out: Path, simulate: bool, data: Path | None = None) -> None:
    """Records of the step into `out`."""
    out.mkdir(parents=True, exist_ok=True)
    if simulate:
        os.environ["NUMBA_ENABLE_CUDASIM"] = "1"
    step = _Step(out, simulate)
    for name, hits, options in step.events():
        step.event(name, hits, options)
    step.throughput()
    if not simulate:
        script = Path(__file__).parents[2] / "tests/clue/simulated_cuda.py"
        done = subprocess.run([sys.executable, str(script), "0", "30", "700", "1"], capture_output=True, text=True)
        say(f"random cases against the reference: {done.stdout.strip() or done.stderr[-2000:]}")
        what = {"network": "clue random cases", "runtime": "cuda", "device": "cuda"}
        step.keep("control", what, {}, returned=done.returncode, said=done.stdout.strip(), error=done.stderr[-2000:])


def step_of(out: Path, simulate: bool) -> _Step:
    """Where records go and from which machine, for the other step of CLUE."""
    out.mkdir(parents=True, exist_ok=True)
    return _Step(out, simulate)


class _Step:
    def __init__(self, out: Path, simulate: bool) -> None:
        self.out, self.simulate = out, simulate
        facts = host_facts()
        self.where = {k: v for k, v in facts.items() if k in ("gpus", "cpu", "os", "python", "packages")}

    def events(self) -> list[tuple[str, Hitset, dict[str, float]]]:
        """Rows, the dearest first."""
        if self.simulate:
            return [("pu200 16", pu200_event(16, 2), HGCAL), ("toy 8 x 2", toy_detector(*toy_layer(8), 2), TOY)]
        found = [(f"pu200 {n}", pu200_event(n), HGCAL) for n in (300_000, 100_000, 1_000_000)]
        return found + [(f"toy {n} x 100", toy_detector(*toy_layer(n)), TOY) for n in (1000, 3000, 10_000)]

    def keep(self, kind: str, what: dict[str, Any], samples: dict[str, Samples], **extra: Any) -> None:
        """One record, appended whole."""
        if self.simulate:
            extra["simulated"] = True
        append(self.out / "records.jsonl", Record(kind, what, self.where, samples, extra=extra))

    def event(self, name: str, hits: Hitset, options: dict[str, float]) -> None:
        """Every strategy and the CPU backend on one event."""
        columns = (hits.x, hits.y, hits.layer, hits.weight)
        expected = cluster(*columns, **options)
        what = {"network": f"clue {name}", "batch_size": 1, "hits": len(hits)}
        for threads in sorted({1, 1 if self.simulate else min(16, cores_in_mask())}):
            space = Workspace()
            call = _timed(lambda t=threads, s=space: cluster(*columns, **options, threads=t, workspace=s))
            times = [call()[0] for _ in range(3 if self.simulate else 12)][2:]
            cell = what | {"runtime": "cpu", "threads": threads, "device": "cpu", "strategy": None}
            self.keep("latency", cell, {"call": Samples("s", tuple(times))})
            say(f"{name}: cpu x {threads}: {1e3 * np.median(times):.3f} ms")
        for strategy in (3, 2, 1, 4):
            self.strategy(what, columns, options, strategy, expected)

    def strategy(self, what: dict[str, Any], columns: tuple[Any, ...], options: dict[str, float], strategy: int,
                 expected: Clusters) -> None:  # fmt: skip
        """One strategy: labels, wall clock, the device's own clock."""
        space = Workspace()
        how = {"backend": "cuda", "strategy": strategy, "workspace": space}
        call = _timed(lambda: cluster(*columns, **options, **how))
        first_s, found = call()
        differ = difference(expected, found)
        again = [difference(expected, call()[1]) for _ in range(0 if self.simulate else 2)]
        count = 1 if self.simulate else 6 if strategy == 1 else 40
        times = [call()[0] for _ in range(count)]
        samples = {"call": Samples("s", tuple(times))}
        if strategy != 4:
            clock = DeviceClock()
            traced = Workspace()
            traced.device["trace"] = clock
            warm = 1 if self.simulate else 3
            for number in range(warm + min(count, 15)):
                clock.begin(keep=number >= warm)
                cluster(*columns, **options, backend="cuda", strategy=strategy, workspace=traced)
                clock.end()
            device = {phase: Samples("s", tuple(clock.seconds[phase])) for phase in PHASES}
            if strategy == 3:
                device["graph"] = Samples("s", tuple(replays(traced, *((1, 1) if self.simulate else (10, 20)))))
            samples |= {} if self.simulate else device  # the simulator's events tell no time
        cell = what | {"runtime": "cuda", "strategy": strategy, "device": "cuda"}
        labels = "identical" if not (differ or any(again)) else f"differ: {differ or again}"
        self.keep("latency", cell, samples, labels=labels, first_call_s=first_s)
        told = {k: f"{1e3 * np.median(s.values):.3f} ms" for k, s in samples.items()}
        say(f"{what['network']}: strategy {strategy}: {told} labels {labels}")

    def throughput(self) -> None:
        """Strategy 4 (and 3, and the CPU) on many events in one call."""
        rows = [(3, 8)] if self.simulate else [(64, 30_000), (48, 100_000), (24, 300_000)]
        for events, size in rows:
            hits = pu200_events(1, size, 3 if self.simulate else 96)
            copies = {k: np.tile(getattr(hits, k), events) for k in ("x", "y", "layer", "weight")}
            event = np.repeat(np.arange(events, dtype=np.int32), size)
            columns = (copies["x"], copies["y"], copies["layer"], copies["weight"], event)
            cores = cores_in_mask()
            expected = cluster(*columns, **HGCAL, threads=cores)
            arms = {f"cuda {s}": {"backend": "cuda", "strategy": s} for s in (4, 3)} | {"cpu": {"threads": cores}}
            for name, how in arms.items():
                space = Workspace()
                call = _timed(lambda c=columns, h=how, s=space: cluster(*c, **HGCAL, **h, workspace=s))
                differ = [difference(expected, call()[1]) for _ in range(1 if self.simulate else 3)]
                times = [call()[0] for _ in range(1 if self.simulate else 8)]
                what = {"network": f"clue {events} events of {size}", "runtime": name.split()[0], "batch_size": events,
                        "hits": size, "strategy": int(name[-1]) if "cuda" in name else None,
                        "threads": cores if name == "cpu" else None, "device": name.split()[0]}  # fmt: skip
                labels = "differ" if any(differ) else "identical"
                self.keep("throughput", what, {"call": Samples("s", tuple(times), events)}, labels=labels,
                          note="one event repeated")  # fmt: skip
                say(f"{what['network']}: {name}: {events / np.median(times):.0f} events/s, labels {labels} {differ}")


def difference(a: Clusters, b: Clusters) -> str:
    """Empty, or the first field that differs and in how many hits."""
    for name in FIELDS:
        left, right = getattr(a, name), getattr(b, name)
        if not np.array_equal(left, right):
            return f"{name} of {np.count_nonzero(left != right)} hits"
    return ""


def _timed(call: Callable[[], Clusters]) -> Callable[[], tuple[float, Clusters]]:
    def go() -> tuple[float, Clusters]:
        start = time.perf_counter()
        found = call()
        return time.perf_counter() - start, found

    return go


class DeviceClock:
    """Device seconds of each phase of a call, from events that the backend's trace puts into its stream."""

    def __init__(self) -> None:
        self.seconds: dict[str, list[float]] = {phase: [] for phase in PHASES}
        self.marks: list[tuple[str, Any]] = []

    def begin(self, keep: bool) -> None:
        """A call follows."""
        self.marks, self.kept = [], keep

    def __call__(self, name: str, stream: Any) -> None:
        from numba import cuda

        event = cuda.event()
        event.record(stream=stream)
        self.marks.append((name, event))

    def end(self) -> None:
        """The call is over."""
        from numba import cuda

        cuda.synchronize()
        total = dict.fromkeys(PHASES, 0.0)
        for (_, before), (name, after) in itertools.pairwise(self.marks):
            if name != "begin":
                total[name] += before.elapsed_time(after) / 1e3
        if self.kept:
            for phase, seconds in total.items():
                self.seconds[phase].append(seconds)


def replays(space: Workspace, rounds: int, each: int) -> list[float]:
    """Seconds of the captured kernels, many replays one behind the other."""
    from numba import cuda

    stage = space.device["stage 0"]
    stage.trace = lambda name, stream: None
    found = []
    for _ in range(rounds):
        begin, end = cuda.event(), cuda.event()
        begin.record(stream=stage.queue.stream)
        for _ in range(each):
            stage.compute()
        end.record(stream=stage.queue.stream)
        stage.queue.wait()
        found.append(begin.elapsed_time(end) / 1e3 / each)
    return found
