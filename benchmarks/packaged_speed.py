"""The packaged classifiers, the very files that are shipped, against `basic`: CPU time in one run, one thread each.

    python benchmarks/packaged_speed.py --out results/fast

`basic` in PyTorch eager at 16 images (the fastest of 13 bands, `eager_batches.py`) and at 64, and on both stock
runtimes in float32 at 64; the classifiers at 64. Visits are CPU time of the whole process, in counterbalanced blocks
with a control.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from functools import partial
from pathlib import Path

import numpy as np

from eager_batches import untrained, visit_of
from skytrigger.core.files import sha256_file, write_json
from skytrigger.core.host import host_facts
from skytrigger.core.progress import say, track
from skytrigger.eo.packaged import PACKAGED, packaged
from skytrigger.measure.paired import run_blocks
from skytrigger.model.file import read_model
from skytrigger.runtimes.open import open_session

BATCH, FASTEST = 64, 16


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", default="results/fast", type=Path)
    parser.add_argument("--blocks", type=int, default=20)
    parser.add_argument("--seconds", type=float, default=0.08, help="CPU time of a visit, at the least one call")
    args = parser.parse_args()
    for name in PACKAGED:
        file = packaged(name)
        channels = read_model(file).card.channels
        with tempfile.TemporaryDirectory() as folder:
            basic = Path(folder) / "basic.onnx"
            work = untrained(basic, channels)
            cells = {
                "eager 16": (basic, "torch", "fp32", FASTEST), "control 16": (basic, "torch", "fp32", FASTEST),
                "eager 64": (basic, "torch", "fp32", BATCH),
                "basic onnxruntime": (basic, "onnxruntime", "fp32", BATCH),
                "basic openvino": (basic, "openvino", "fp32", BATCH),
                "model onnxruntime": (file, "onnxruntime", "int8", BATCH),
                "model openvino": (file, "openvino", "int8", BATCH),
            }  # fmt: skip
            wall: dict[str, list[float]] = {arm: [] for arm in cells}
            visits = {
                arm: partial(
                    visit_of(
                        open_session(model, runtime, precision, batch, 1).run,
                        batch,
                        args.seconds,
                        channels=len(channels),
                        clock=time.process_time,
                    ),
                    wall[arm],
                )
                for arm, (model, runtime, precision, batch) in cells.items()
            }
            with track(name, args.blocks) as advance:
                slots = run_blocks(visits, args.blocks, advance=lambda: advance(1))
        record = {
            "host": host_facts(), "threads": 1, "blocks": args.blocks, "unit": "s an image, CPU time of the process",
            "multiply_adds": {"basic": work}, "model": {"name": name, "sha256": sha256_file(file)},
            "arms": {arm: {"images": cells[arm][3], "runtime": cells[arm][1], "precision": cells[arm][2],
                           "slots": [s.value_s for s in slots[arm]], "wall_slots": wall[arm],
                           "steal_s": [s.conditions.get("steal_s") for s in slots[arm]],
                           "wall_s": [s.conditions.get("wall_s") for s in slots[arm]]} for arm in slots},
        }  # fmt: skip
        write_json(args.out / f"{name}.json", record)
        for arm, its in record["arms"].items():
            say(f"{name}, {arm}: {1e3 * float(np.median(its['slots'])):.4f} ms an image")


if __name__ == "__main__":
    main()
