"""The packaged classifiers, the very files that are shipped, against `basic`: CPU time in one run, one thread each.

    python benchmarks/packaged_speed.py --out results/fast [--only eurosat_ms_fast]
    python benchmarks/packaged_speed.py --out results/fast/two --threads 2       # by the clock, on a quiet machine

`basic` in PyTorch eager at 16, 32 and 64 images a call (its best is one of them, `eager_batches.py`), on both stock
runtimes in float32 at 64; the classifiers at 64, from float32 tiles and from tiles as data are stored: with NumPy's
cast on the clock, or taken by the engine itself. Visits are CPU time of the whole process, in counterbalanced blocks
with a control.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from eager_batches import untrained, visit_of
from skytrigger.core.files import sha256_file, write_json
from skytrigger.core.host import host_facts
from skytrigger.core.progress import say, track
from skytrigger.eo.packaged import PACKAGED, packaged
from skytrigger.measure.paired import run_blocks
from skytrigger.model.file import read_model
from skytrigger.runtimes.open import open_session

BATCH = 64
RUNTIMES = ("onnxruntime", "openvino")
EAGER = (16, 32, 64)
STORED = {"DN": "uint16", "rgb8": "uint8"}
Call = Callable[[Any], object]


def arms(basic: Path, file: Path, threads: int) -> dict[str, tuple[Call, int, str, dict[str, Any]]]:
    """Arm -> (call, images a call, type of the tiles in memory, facts)."""

    def arm(model: Path, runtime: str, precision: str, images: int, kind: str = "float32", streams: int = 1) -> Any:
        each = images // streams, threads // streams, streams
        call = open_session(model, runtime, precision, *each, input_type=kind).run
        return call, images, kind, {"runtime": runtime, "precision": precision, "streams": streams}

    def cast(runtime: str) -> Any:
        call = open_session(file, runtime, "int8", BATCH, threads).run
        facts = {"runtime": runtime, "precision": "int8", "cast": "NumPy"}
        return (lambda tiles: call(tiles.astype(np.float32))), BATCH, stored, facts

    stored = STORED[read_model(file).card.units]
    found = {f"eager {images}": arm(basic, "torch", "fp32", images) for images in EAGER}
    found["control 16"] = arm(basic, "torch", "fp32", 16)
    for runtime in RUNTIMES:
        found[f"basic {runtime}"] = arm(basic, runtime, "fp32", BATCH)
        found[f"model {runtime}"] = arm(file, runtime, "int8", BATCH)
        found[f"stored {runtime}"] = arm(file, runtime, "int8", BATCH, stored)
        found[f"stored {runtime}, NumPy"] = cast(runtime)
        if threads > 1:  # a batch shared out to streams of one thread each
            found[f"basic {runtime}, {threads} streams"] = arm(basic, runtime, "fp32", BATCH, streams=threads)
            found[f"model {runtime}, {threads} streams"] = arm(file, runtime, "int8", BATCH, streams=threads)
            found[f"stored {runtime}, {threads} streams"] = arm(file, runtime, "int8", BATCH, stored, threads)
    return found


def timed(name: str, blocks: int, seconds: float, threads: int) -> dict[str, Any]:
    """The record of one packaged classifier."""
    file = packaged(name)
    channels = read_model(file).card.channels
    with tempfile.TemporaryDirectory() as folder:
        basic = Path(folder) / "basic.onnx"
        work = untrained(basic, channels)
        cells = arms(basic, file, threads)
    wall: dict[str, list[float]] = {arm: [] for arm in cells}
    clock = time.process_time if threads == 1 else time.perf_counter
    visits = {
        arm: partial(visit_of(call, images, seconds, channels=len(channels), clock=clock, kind=kind), wall[arm])
        for arm, (call, images, kind, _) in cells.items()
    }
    with track(name, blocks) as advance:
        slots = run_blocks(visits, blocks, advance=lambda: advance(1))
    return {
        "host": host_facts(), "threads": threads, "blocks": blocks,
        "unit": "s an image, " + ("CPU time of the process" if threads == 1 else "wall clock"),
        "multiply_adds": {"basic": work}, "model": {"name": name, "sha256": sha256_file(file)},
        "arms": {arm: {"images": images, "tiles": kind, **facts,
                       "slots": [s.value_s for s in slots[arm]], "wall_slots": wall[arm],
                       "steal_s": [s.conditions.get("steal_s") for s in slots[arm]],
                       "wall_s": [s.conditions.get("wall_s") for s in slots[arm]]}
                 for arm, (_, images, kind, facts) in cells.items()},
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", default="results/fast", type=Path)
    parser.add_argument("--only", nargs="+", default=PACKAGED, choices=PACKAGED)
    parser.add_argument("--blocks", type=int, default=20)
    parser.add_argument("--seconds", type=float, default=0.05, help="time of a visit, at the least one call")
    parser.add_argument("--threads", type=int, default=1, help="over 1 the wall clock is read, not CPU time")
    args = parser.parse_args()
    for name in args.only:
        record = timed(name, args.blocks, args.seconds, args.threads)
        write_json(args.out / f"{name}.json", record)
        for arm, its in record["arms"].items():
            say(f"{name}, {arm}: {1e3 * float(np.median(its['slots'])):.4f} ms an image")


if __name__ == "__main__":
    main()
