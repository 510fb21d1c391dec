"""Step: CLUE on one event and on many in one call, by the threads that copy; and the limits: link, host, kernels.

`whole` is the wall clock of the Python call as in the step `clue`. Of many events, four different ones stand in turn.
Limits: page-locked copies of one event's columns to the card and of its results back, alone and both at once, and what
threads of the host copy and look at together. Strategy 4 makes packs as the product does, and larger ones.
"""

from __future__ import annotations

import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from gpu_steps.clue import HGCAL, PHASES, DeviceClock, difference, replays, step_of
from skytrigger.core.host import cores_in_mask
from skytrigger.core.progress import say
from skytrigger.hep.clue import Workspace, cluster, cuda_stage
from skytrigger.hep.clue import cuda as backend
from skytrigger.hep.clue.events import pu200_event, pu200_events
from skytrigger.measure.records import Samples

COPIERS = ((1, 1 << 17), (2, 1 << 17), (4, 1 << 17), (8, 1 << 17), (4, 1 << 19))
"""Threads that copy one event's columns, and hits of a piece."""
PACKERS = (4, 8, 12, 16)
LARGE_PACKS = (1 << 17, 1 << 19)


def run(out: Path, simulate: bool, data: Path | None = None) -> None:
    """Records of the step into `out`."""
    step = step_of(out, simulate)
    for size in (16,) if simulate else (300_000, 100_000, 30_000, 1_000_000):
        one_event(step, size)
    for events, size in [(3, 8)] if simulate else [(24, 300_000), (48, 100_000), (64, 30_000)]:
        many_events(step, events, size)
    if not simulate:
        limits(step)
        for script, told in (("simulated_packs.py", ("700", "500")), ("simulated_cuda.py", ("0", "30", "700", "1"))):
            path = Path(__file__).parents[2] / "tests/clue" / script
            done = subprocess.run([sys.executable, str(path), *told], capture_output=True, text=True)
            what = {"network": f"clue {script}", "runtime": "cuda", "device": "cuda"}
            step.keep("control", what, {}, returned=done.returncode, said=done.stdout.strip(),
                      error=done.stderr[-2000:])  # fmt: skip
            say(f"{script}: {done.stdout.strip() or done.stderr[-2000:]}")


def one_event(step: Any, size: int) -> None:
    """Strategy 3, the columns copied by 1 to 8 threads."""
    hits = pu200_event(size, 2 if step.simulate else 96)
    columns = hits.x, hits.y, hits.layer, hits.weight
    expected = cluster(*columns, **HGCAL)
    usual = backend.COPIERS, cuda_stage.PIECE
    for copiers, piece in COPIERS[:1] if step.simulate else COPIERS:
        backend.COPIERS, cuda_stage.PIECE = copiers, piece
        space = Workspace()
        how = {"backend": "cuda", "strategy": 3, "workspace": space}
        differ = [difference(expected, cluster(*columns, **HGCAL, **how)) for _ in range(1 if step.simulate else 3)]
        samples = {"call": Samples("s", timed(lambda h=how: cluster(*columns, **HGCAL, **h), step.simulate, 40))}
        if not step.simulate:
            clock = traced(columns)
            samples |= {phase: Samples("s", tuple(clock[0].seconds[phase])) for phase in PHASES}
            samples["graph"] = Samples("s", tuple(replays(clock[1], 10, 20)))
        what = {"network": f"clue pu200 {size}", "runtime": "cuda", "strategy": 3, "device": "cuda", "hits": size,
                "batch_size": 1, "copiers": copiers, "piece": piece}  # fmt: skip
        step.keep("latency", what, samples, labels=words(differ), usual=(copiers, piece) == usual)
        told = {k: f"{1e3 * np.median(s.values):.3f} ms" for k, s in samples.items()}
        say(f"{what['network']}, {copiers} copy {piece}: {told} labels {words(differ)}")
    backend.COPIERS, cuda_stage.PIECE = usual


def traced(columns: tuple[Any, ...]) -> tuple[DeviceClock, Workspace]:
    """The device's clock over 15 calls."""
    clock, space = DeviceClock(), Workspace()
    space.device["trace"] = clock
    for number in range(18):
        clock.begin(keep=number >= 3)
        cluster(*columns, **HGCAL, backend="cuda", strategy=3, workspace=space)
        clock.end()
    return clock, space


def many_events(step: Any, events: int, size: int) -> None:
    """Strategy 4 with 4 to 16 threads and larger packs, strategy 3 and the CPU."""
    distinct = min(4, events)
    hits = pu200_events(distinct, size, 3 if step.simulate else 96)
    repeats = -(-events // distinct)
    n = events * size
    columns = [np.tile(getattr(hits, k), repeats)[:n] for k in ("x", "y", "layer", "weight")]
    columns.append(np.repeat(np.arange(events, dtype=np.int32), size))
    cores = cores_in_mask()
    expected = cluster(*columns, **HGCAL, threads=cores)
    usual = backend.PACKERS, backend.PACK_HITS
    arms: list[tuple[str, int | None, int, tuple[int, int]]] = [("cuda", 4, p, usual[1]) for p in PACKERS]
    arms += [("cuda", 4, usual[0], LARGE_PACKS), ("cuda", 3, usual[0], usual[1]), ("cpu", None, cores, usual[1])]
    for runtime, strategy, threads, packs in arms[3:] if step.simulate else arms:
        how: dict[str, Any] = {"threads": threads}
        if strategy is not None:
            backend.PACKERS, how = threads, {"backend": runtime, "strategy": strategy}
            backend.PACK_HITS = (8, 8) if step.simulate else packs
        how["workspace"] = Workspace()
        differ = [difference(expected, cluster(*columns, **HGCAL, **how)) for _ in range(1 if step.simulate else 6)]
        calls = timed(lambda h=how: cluster(*columns, **HGCAL, **h), step.simulate, 12 if strategy else 4)
        what = {"network": f"clue {events} events of {size}", "runtime": runtime, "batch_size": events, "hits": size,
                "strategy": strategy, "threads": threads, "device": runtime,
                "pack_hits": list(packs) if strategy == 4 else None}  # fmt: skip
        chosen = strategy != 4 or (threads, packs) == usual
        step.keep("throughput", what, {"call": Samples("s", calls, events)}, labels=words(differ), usual=chosen,
                  note="four events in turn")  # fmt: skip
        say(f"{what['network']}: {runtime} {strategy} x {threads}, packs {packs}: {events / np.median(calls):.0f} "
            f"events/s, labels {words(differ)}")  # fmt: skip
    backend.PACKERS, backend.PACK_HITS = usual


def limits(step: Any) -> None:
    """Bytes a second over the link and through the host's threads, with one event's columns and results."""
    from numba import cuda

    n = 300_000
    into, back = (np.asarray(cuda.pinned_array(n * size, np.uint8)) for size in (16, 17))
    to, out = cuda.device_array(len(into), np.uint8), cuda.device_array(len(back), np.uint8)
    up, down = cuda.stream(), cuda.stream()
    into[:] = 1
    found: dict[str, list[float]] = {"to the card": [], "back": [], "both at once": []}
    for _ in range(30):
        for name, ways in (("to the card", (1, 0)), ("back", (0, 1)), ("both at once", (1, 1))):
            cuda.synchronize()
            start = time.perf_counter()
            for _ in range(8):
                if ways[0]:
                    to.copy_to_device(into, stream=up)
                if ways[1]:
                    out.copy_to_host(back, stream=down)
            cuda.synchronize()
            found[name].append((time.perf_counter() - start) / 8)
    sizes = {"to the card": len(into), "back": len(back), "both at once": len(into) + len(back)}
    for name, seconds in found.items():
        step.keep("limit", {"network": f"link {name}", "device": "cuda"}, {"copy": Samples("s", tuple(seconds))},
                  bytes=sizes[name])  # fmt: skip
        say(f"link {name}: {sizes[name] / np.median(seconds) / 1e9:.1f} GB/s")
    host(step)


def host(step: Any) -> None:
    """What threads copy to page-locked memory and look at together: 32 events' worth of one column, cold."""
    from numba import cuda

    from skytrigger.hep.clue.cuda_copy import copy_floats

    n, columns = 300_000, 128
    source = np.ones(n * columns, np.float32).view(np.int32)
    for threads in (1, 2, 4, 8, 12, 16):
        targets = [np.asarray(cuda.pinned_array(n, np.int32)) for _ in range(threads)]
        with ThreadPoolExecutor(threads) as pool:

            def work(own: int, threads: int = threads, targets: list[Any] = targets) -> None:
                for k in range(own, columns, threads):
                    copy_floats(source[k * n : (k + 1) * n], targets[own])

            seconds = []
            for _ in range(6):
                start = time.perf_counter()
                list(pool.map(work, range(threads)))
                seconds.append(time.perf_counter() - start)
        step.keep("limit", {"network": "host copies", "device": "cpu", "threads": threads},
                  {"copy": Samples("s", tuple(seconds[1:]))}, bytes=source.nbytes)  # fmt: skip
        say(
            f"host, {threads} threads: {source.nbytes / np.median(seconds[1:]) / 1e9:.1f} GB/s read and as much written"
        )


def timed(call: Any, simulate: bool, count: int) -> tuple[float, ...]:
    """Seconds of each of `count` calls."""
    found = []
    for _ in range(1 if simulate else count):
        start = time.perf_counter()
        call()
        found.append(time.perf_counter() - start)
    return tuple(found)


def words(differ: list[str]) -> str:
    """What to say of labels."""
    return f"differ: {differ}" if any(differ) else "identical"
