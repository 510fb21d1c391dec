"""The packaged classifiers, the very files that are shipped, against `basic`: CPU time in one run, one thread each.

    python benchmarks/packaged_speed.py --out results/fast [--only eurosat_ms_fast]

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


def arms(basic: Path, file: Path) -> dict[str, tuple[Call, int, str, dict[str, Any]]]:
    """Arm -> (call, images a call, type of the tiles in memory, facts)."""

    def arm(model: Path, runtime: str, precision: str, images: int, kind: str = "float32") -> Any:
        call = open_session(model, runtime, precision, images, 1, input_type=kind).run
        return call, images, kind, {"runtime": runtime, "precision": precision}

    def cast(runtime: str) -> Any:
        call = open_session(file, runtime, "int8", BATCH, 1).run
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
    return found


def timed(name: str, blocks: int, seconds: float) -> dict[str, Any]:
    """The record of one packaged classifier."""
    file = packaged(name)
    channels = read_model(file).card.channels
    with tempfile.TemporaryDirectory() as folder:
        basic = Path(folder) / "basic.onnx"
        work = untrained(basic, channels)
        cells = arms(basic, file)
    wall: dict[str, list[float]] = {arm: [] for arm in cells}
    visits = {
        arm: partial(
            visit_of(call, images, seconds, channels=len(channels), clock=time.process_time, kind=kind), wall[arm]
        )
        for arm, (call, images, kind, _) in cells.items()
    }
    with track(name, blocks) as advance:
        slots = run_blocks(visits, blocks, advance=lambda: advance(1))
    return {
        "host": host_facts(), "threads": 1, "blocks": blocks, "unit": "s an image, CPU time of the process",
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
    parser.add_argument("--seconds", type=float, default=0.05, help="CPU time of a visit, at the least one call")
    args = parser.parse_args()
    for name in args.only:
        record = timed(name, args.blocks, args.seconds)
        write_json(args.out / f"{name}.json", record)
        for arm, its in record["arms"].items():
            say(f"{name}, {arm}: {1e3 * float(np.median(its['slots'])):.4f} ms an image")


if __name__ == "__main__":
    main()
