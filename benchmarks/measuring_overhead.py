"""What measuring itself costs: timing each call, and a power sampler beside it, against a bare loop.

    python benchmarks/measuring_overhead.py [--blocks 30]

All arms run the same work (a matrix product) in one counterbalanced run; a second bare loop is the A/A control.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from skytrigger.bench.loop import visit as timed
from skytrigger.core.host import host_facts, host_label
from skytrigger.measure.conditions import counters
from skytrigger.measure.meters.rapl import RaplMeter
from skytrigger.measure.paired import Slot, compare_blocks, run_blocks

SLOT_S = 0.1


def fake_powercap(root: Path) -> Path:
    """Files like powercap's, so that a sampler costs what reading two packages and their DRAM costs."""
    for name, label in (("intel-rapl:0", "package-0"), ("intel-rapl:0:0", "dram"), ("intel-rapl:1", "package-1")):
        zone = root / "sys/class/powercap" / name
        zone.mkdir(parents=True)
        for file, text in (("name", label), ("energy_uj", "1"), ("max_energy_range_uj", "100000")):
            (zone / file).write_text(text)
    return root


def per_call(function: Callable[[], object], n: int = 200) -> float:
    """Median seconds of one call."""
    taken = []
    for _ in range(n):
        start = time.perf_counter_ns()
        function()
        taken.append((time.perf_counter_ns() - start) / 1e9)
    return float(np.median(taken))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--blocks", type=int, default=30)
    blocks = parser.parse_args().blocks
    a = np.random.default_rng(0).standard_normal((256, 256), dtype=np.float32)
    out = np.empty_like(a)
    calls = max(1, round(SLOT_S / per_call(lambda: np.matmul(a, a, out=out))))

    def work() -> None:
        np.matmul(a, a, out=out)

    def bare() -> Slot:
        start = time.perf_counter()
        for _ in range(calls):
            work()
        return Slot(((time.perf_counter() - start) / calls,))

    def timed_each() -> Slot:
        """What a record would hold: the mean of the timed calls, without what is done around them."""
        return Slot((float(np.mean(timed(work, calls=calls).seconds)),))

    def sampled(interval_s: float) -> Callable[[], Slot]:
        def visit() -> Slot:
            meter = RaplMeter(root, interval_s)
            meter.start()
            slot = bare()
            meter.stop()
            return slot

        return visit

    print(host_label(host_facts()))
    print(f"reading all counters once: {per_call(counters) * 1e6:.0f} us (outside the timed calls)")
    print(f"two readings of the clock: {per_call(time.perf_counter_ns) * 1e9:.0f} ns")
    with tempfile.TemporaryDirectory() as folder:
        root = fake_powercap(Path(folder))
        print(f"one reading of three RAPL zones: {per_call(RaplMeter(root).read) * 1e6:.0f} us")
        arms = {
            "bare": bare, "control": bare, "each call timed": timed_each,
            "sampler at 10 Hz": sampled(0.1), "sampler at 100 Hz": sampled(0.01),
        }  # fmt: skip
        slots = run_blocks(arms, blocks)
    for name in arms:
        if name in ("bare", "control"):
            continue
        found = compare_blocks(slots["bare"], slots[name], (slots["bare"], slots["control"]))
        r = found.ratio
        print(f"{name}: x{r.estimate:.4f} of the bare loop ({r.low:.4f} to {r.high:.4f}), {found.pairs} pairs: "
              f"{found.verdict}; noise floor x{found.floor:.4f}")  # fmt: skip


if __name__ == "__main__":
    main()
