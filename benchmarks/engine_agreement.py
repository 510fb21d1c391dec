"""Whether ONNX Runtime and OpenVINO decide alike: each packaged classifier on every tile at hand.

python benchmarks/engine_agreement.py --ms TILES ... --rgb TILES ... --l2a TILES --out results/packaged/engines.json
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np

from skytrigger.core.files import write_json
from skytrigger.core.host import host_facts
from skytrigger.core.progress import say
from skytrigger.eo.load import load
from skytrigger.eo.packaged import PACKAGED, packaged
from skytrigger.learn.evaluate import align, predictions_of_call
from skytrigger.model.file import read_model
from skytrigger.runtimes.open import open_session

BATCH = 64


def agreement(name: str, sources: list[str]) -> dict[str, Any]:
    """Tiles with the same class on both, and the largest difference of a probability."""
    model = read_model(packaged(name))
    dataset = align(load(sources), model.card)
    rows, shares = np.arange(len(dataset)), []
    for runtime in ("onnxruntime", "openvino"):
        session = open_session(model, runtime, "int8", BATCH, 1)
        logits = predictions_of_call(session.run, model.card, dataset, rows, BATCH).logits
        session.close()
        powers = np.exp(logits - logits.max(1, keepdims=True))
        shares.append(powers / powers.sum(1, keepdims=True))
    same = shares[0].argmax(1) == shares[1].argmax(1)
    return {"model_sha256": model.sha256, "tiles": len(rows), "same": int(same.sum()),
            "largest_change_of_a_probability": float(np.abs(shares[0] - shares[1]).max())}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for kind in ("ms", "rgb", "l2a"):
        parser.add_argument(f"--{kind}", nargs="+", required=True)
    parser.add_argument("--out", required=True, type=Path)
    args = parser.parse_args()
    found: dict[str, Any] = {"host": host_facts()}
    for name in PACKAGED:
        kind = name.removeprefix("eurosat_").removesuffix("_fast")
        found[name] = agreement(name, getattr(args, kind))
        say(f"{name}: {found[name]}")
    write_json(args.out, found)


if __name__ == "__main__":
    main()
