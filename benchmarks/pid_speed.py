"""Throughput of the packaged network on every runtime, and of the way from hits to answers.

    python benchmarks/pid_speed.py --out results/pid

Runtimes take turns in blocks with the same images, batch 64, one thread; ratios to ONNX Runtime with intervals are
`measure.paired`'s. From hits on: `pid run` on simulated hits, seconds by stage, wall clock and CPU time.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np

from skytrigger.core.errors import UnavailableError
from skytrigger.core.files import write_json
from skytrigger.core.host import host_facts
from skytrigger.core.progress import say, track
from skytrigger.hep.pid.answering import answer_events
from skytrigger.hep.pid.data import load_showers
from skytrigger.hep.pid.packaged import NAME, PACKAGED
from skytrigger.hep.pid.production import produce
from skytrigger.hep.pid.simulator import Beam
from skytrigger.measure.conditions import Watch
from skytrigger.measure.paired import Slot, compare_blocks, run_blocks
from skytrigger.measure.stats import median_interval
from skytrigger.runtimes.open import open_session

BATCH = 64
RUNTIMES = ("onnxruntime", "openvino", "torch")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", default="results/pid", type=Path)
    parser.add_argument("--blocks", type=int, default=20)
    parser.add_argument("--seconds", type=float, default=0.15, help="of one visit")
    parser.add_argument("--showers", type=int, default=4096, help="from hits on")
    args = parser.parse_args()
    found: dict = {"host": host_facts(), "batch_size": BATCH, "threads": 1, "runtimes": {}, "refused": {}}
    sessions = {}
    for name in RUNTIMES:
        try:
            sessions[name] = open_session(PACKAGED[NAME], name, "fp32", BATCH, 1)
        except UnavailableError as error:
            found["refused"][name] = error.problem
    pictures = np.array_split(load_showers(["synthetic:1024:9"]).x, 1024 // BATCH)
    cpu: dict[str, list[float]] = {name: [] for name in sessions}
    arms = {name: (lambda n=name: _visit(sessions[n], pictures, args.seconds, cpu[n])) for name in sessions}
    with track("runtimes", args.blocks) as advance:
        slots = run_blocks(arms, args.blocks, advance=lambda: advance(1))
    for name, visits in slots.items():
        rates = median_interval([BATCH / s.value_s for s in visits])
        row = {"showers_per_s": rates.estimate, "interval_95": [rates.low, rates.high]}
        own = median_interval(cpu[name])
        row |= {"showers_per_cpu_s": own.estimate, "showers_per_cpu_s_interval_95": [own.low, own.high]}
        row["showers_per_s_fastest_batch"] = max(BATCH / min(s.seconds) for s in visits)
        if name != "onnxruntime":
            row["against_onnxruntime"] = compare_blocks(slots["onnxruntime"], visits, None).to_json()
        found["runtimes"][name] = row
        say(f"{name}: {row}")
    found["from_hits"] = from_hits(args.showers)
    say(str(found["from_hits"]))
    write_json(args.out / "speed.json", found)


def _visit(session, pictures: list, seconds: float, cpu: list[float]) -> Slot:
    session.answers(pictures[0])
    cpu_before = time.process_time()
    watch, times, begin = Watch.begin(), [], time.perf_counter()
    while len(times) < 3 or time.perf_counter() - begin < seconds:
        before = time.perf_counter()
        session.answers(pictures[len(times) % len(pictures)])
        times.append(time.perf_counter() - before)
    cpu.append(BATCH * len(times) / (time.process_time() - cpu_before))
    return Slot(tuple(times), watch.taken())


def from_hits(showers: int, rounds: int = 7) -> dict:
    """`pid run` on hits of mixed showers: the median round by the wall clock."""
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        hits = Path(folder) / "hits.parquet"
        made = produce(hits, showers, 12, Beam(), content="hits")
        for threads in (1, 2):
            for number in range(rounds + 1):
                cpu = time.process_time()
                row = answer_events(hits, PACKAGED[NAME], Path(folder) / "out.parquet", threads=threads)
                row["cpu_s"] = time.process_time() - cpu
                if number:  # the first one warms up
                    rows.append(row)
    found: dict = {"showers": showers, "hits": made["hits"]}
    for threads in (1, 2):
        own = [r for r in rows if r["threads"] == threads]
        rate = median_interval([r["showers_per_s"] for r in own])
        each = median_interval([showers / r["cpu_s"] for r in own])
        stages = {s: float(np.median([r["seconds_by_stage"][s] for r in own])) for s in own[0]["seconds_by_stage"]}
        found[f"{threads}_threads"] = {
            "showers_per_s": rate.estimate, "interval_95": [rate.low, rate.high],
            "showers_per_cpu_s": each.estimate, "showers_per_cpu_s_interval_95": [each.low, each.high],
            "seconds_by_stage": stages,
        }  # fmt: skip
    return found


if __name__ == "__main__":
    main()
