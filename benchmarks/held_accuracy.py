"""How well runs and model files answer lists of tiles that none of them was trained on: what choices are made by.

python benchmarks/held_accuracy.py RUN|MODEL.onnx [...] --data TILES ... --lists east.txt colour.txt --out choices.json
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from skytrigger.applications.registry import build
from skytrigger.core.card import ModelCard
from skytrigger.core.files import read_json, write_json
from skytrigger.core.progress import say
from skytrigger.core.split_files import find, places, read_list
from skytrigger.eo.load import load
from skytrigger.learn.batches import Batches
from skytrigger.learn.evaluate import align, predictions_of_call
from skytrigger.learn.metrics import cross_entropy, expected_calibration_error
from skytrigger.learn.predict import answers
from skytrigger.learn.run_folder import RunFolder
from skytrigger.measure.stats import wilson
from skytrigger.model.file import read_model
from skytrigger.runtimes.open import open_session

BATCH = 64


def opened(run: Path) -> tuple[Callable[[Any, Any], Any], ModelCard]:
    """``answer(dataset, rows) -> logits`` of a run folder, or of a model file on ONNX Runtime; and the card."""
    if run.is_dir():
        network, card = RunFolder(run).load(build)

        def answer(dataset: Any, rows: Any) -> Any:
            return answers(network, Batches(dataset, card.mean, card.std, torch.device("cpu")), rows)[0]

        return answer, card
    model = read_model(run)
    session = open_session(model, "onnxruntime", model.card.precision, BATCH, 1)
    return lambda dataset, rows: predictions_of_call(session.run, model.card, dataset, rows, BATCH).logits, model.card


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", type=Path)
    parser.add_argument("--data", nargs="+", required=True)
    parser.add_argument("--lists", nargs="+", required=True, type=Path)
    parser.add_argument("--out", required=True, type=Path, help="runs of other names there stay")
    args = parser.parse_args()
    found: dict[str, Any] = read_json(args.out) if args.out.is_file() else {}
    whole = load(args.data)
    for run in args.runs:
        answer, card = opened(run)
        dataset = align(whole, card)
        where = places(dataset.ids)
        for file in args.lists:
            stems, _ = read_list(file)
            rows = np.array([r for s in stems if (r := find(s, where, dataset.ids, file)) is not None])
            logits = answer(dataset, rows)
            right = int((logits.argmax(1) == dataset.y[rows]).sum())
            interval = wilson(right, len(rows))
            found.setdefault(run.stem, {})[file.stem] = {
                "correct": right, "n": len(rows), "accuracy": interval.estimate,
                "interval_95": [interval.low, interval.high],
                "loss": float(cross_entropy(logits, dataset.y[rows]).mean()),
                "calibration_error": expected_calibration_error(logits, dataset.y[rows]),
            }  # fmt: skip
            say(f"{run.name} on {file.stem}: {right} of {len(rows)}, loss {found[run.stem][file.stem]['loss']:.3f}")
    write_json(args.out, found)


if __name__ == "__main__":
    main()
