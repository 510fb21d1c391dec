"""The packaged filter against the origin's network in PyTorch eager: images per second in one interleaved run.

    python benchmarks/doublets_speed.py --cnn runs/doublets/cnn --out results/doublets

Both get the same float32 images from ordinary memory and give logits back, in batches of 64, with the
same number of threads. Blocks A B B A with a second copy of A as control; the ratio and its interval
are `measure.paired`'s. The origin's network runs on its own graph at two pads (`origin`, as published, and `image`,
its first pooling on the image plane) and, untrained, at its 20 channels on simulated images.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

from skytrigger.bench.inputs import rotating
from skytrigger.bench.loop import visit
from skytrigger.core.card import ModelCard
from skytrigger.core.files import write_json
from skytrigger.core.host import host_facts, host_label
from skytrigger.core.progress import say, track
from skytrigger.hep.doublets.evaluation import packaged
from skytrigger.hep.doublets.networks import build
from skytrigger.hep.doublets.simulator import simulate
from skytrigger.measure.paired import Slot, compare_blocks, run_blocks
from skytrigger.model.export import export_onnx
from skytrigger.optimize.students import multiply_adds
from skytrigger.runtimes.open import open_session

MOST_CALLS = 10_000  # of one visit


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", default="results/doublets", type=Path)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--blocks", type=int, default=20)
    parser.add_argument("--seconds", type=float, default=0.3, help="of one visit")
    args = parser.parse_args()
    results: dict = {"host": host_facts(), "batch_size": args.batch_size, "threads": args.threads, "against": {}}
    with tempfile.TemporaryDirectory() as folder:
        for name, channels, pooling in (("origin", 2, "origin"), ("image", 2, "image"), ("origin_20", 20, "origin")):
            file = Path(folder) / f"{name}.onnx"
            work = _untrained(file, channels, pooling)
            arms = _arms(file, channels, args.batch_size, args.threads, args.seconds)
            with track(name, args.blocks) as advance:
                slots = run_blocks(arms, args.blocks, advance=lambda: advance(1))
            comparison = compare_blocks(slots["origin"], slots["filter"], (slots["origin"], slots["control"]))
            median_s = {arm: float(np.median([s.value_s for s in visits])) for arm, visits in slots.items()}
            results["against"][name] = {
                "channels": channels, "multiply_adds": work, "times_faster": 1 / comparison.ratio.estimate,
                "interval_95": [1 / comparison.ratio.high, 1 / comparison.ratio.low],
                "images_per_s": {arm: args.batch_size / s for arm, s in median_s.items()},
                "comparison_of_times": comparison.to_json(),
            }  # fmt: skip
            say(f"{name}: {results['against'][name]}")
    say(host_label(results["host"]))
    write_json(args.out / f"speed_{args.threads}_threads.json", results)


def _untrained(out: Path, channels: int, pooling: str) -> int:
    """The origin's network with its initial weights: its speed does not depend on them."""
    network = build("doublets_cnn", channels, (16, 16), 2, first_pooling=pooling).eval()
    card = ModelCard(
        "doublets_cnn", tuple(f"pad_{i}" for i in range(channels)), ("fake", "true"), (16, 16),
        (100.0,) * channels, (1000.0,) * channels, "ADC", data_hash="", options={"first_pooling": pooling},
    )  # fmt: skip
    export_onnx(network, card, out)
    return multiply_adds(network, channels, (16, 16))


def _arms(file: Path, channels: int, batch: int, threads: int, seconds: float) -> dict:
    """Arm -> one visit."""
    two = np.array_split(simulate(16 * batch).x.astype(np.float32), 16)
    wide = two if channels == 2 else np.array_split(simulate(16 * batch, channels=channels).x.astype(np.float32), 16)
    sessions = {
        "origin": (open_session(file, "torch", "fp32", batch, threads), wide),
        "control": (open_session(file, "torch", "fp32", batch, threads), wide),
        "filter": (open_session(packaged(), "onnxruntime", "fp32", batch, threads), two),
    }

    def visit_of(arm: str) -> Callable[[], Slot]:
        session, inputs = sessions[arm]
        call = rotating(session.run, inputs)
        return lambda: visit(call, calls=MOST_CALLS, lead_in=1, limit_s=seconds)

    return {arm: visit_of(arm) for arm in sessions}


if __name__ == "__main__":
    main()
