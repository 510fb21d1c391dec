"""How well trained runs answer lists of tiles that none of them was trained on: what choices are made by.

python benchmarks/held_accuracy.py RUN [RUN ...] --data TILES ... --lists east.txt colour.txt --out choices.json
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import torch

from skytrigger.applications.registry import build
from skytrigger.core.files import read_json, write_json
from skytrigger.core.progress import say
from skytrigger.core.split_files import find, places, read_list
from skytrigger.eo.load import load
from skytrigger.learn.batches import Batches
from skytrigger.learn.evaluate import align
from skytrigger.learn.metrics import cross_entropy
from skytrigger.learn.predict import answers
from skytrigger.learn.run_folder import RunFolder
from skytrigger.measure.stats import wilson


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
        network, card = RunFolder(run).load(build)
        dataset = align(whole, card)
        batches, where = Batches(dataset, card.mean, card.std, torch.device("cpu")), places(dataset.ids)
        for file in args.lists:
            stems, _ = read_list(file)
            rows = torch.tensor([r for s in stems if (r := find(s, where, dataset.ids, file)) is not None]).numpy()
            (logits,) = answers(network, batches, rows)
            right = int((logits.argmax(1) == dataset.y[rows]).sum())
            interval = wilson(right, len(rows))
            found.setdefault(run.name, {})[file.stem] = {
                "correct": right, "n": len(rows), "accuracy": interval.estimate,
                "interval_95": [interval.low, interval.high],
                "loss": float(cross_entropy(logits, dataset.y[rows]).mean()),
            }  # fmt: skip
            say(f"{run.name} on {file.stem}: {right} of {len(rows)}, loss {found[run.name][file.stem]['loss']:.3f}")
    write_json(args.out, found)


if __name__ == "__main__":
    main()
