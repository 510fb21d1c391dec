"""Own tiles, few: a packaged classifier as the start of a training, against the same network untrained.

    python benchmarks/tune_packaged.py --data eurosat_ms_val.zip --out results/packaged/tuning.json

The tiles are those of the region that no packaged classifier has learned from, under four classes that are unions of
theirs. Of each class `TRAIN` tiles teach and `VAL` more are looked at; all others judge. Draws differ in these tiles
and in the weights; the untrained network gets a second, longer training at a larger rate, too. Nothing that is shipped
comes from here.
"""

from __future__ import annotations

import argparse
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from skytrigger.applications.registry import application, model_path
from skytrigger.core.dataset import Dataset, Split
from skytrigger.core.files import sha256_file, write_json
from skytrigger.core.progress import say
from skytrigger.learn.evaluate import card_of, predictions_of_run
from skytrigger.learn.recipe import Recipe
from skytrigger.learn.train import train

BANDS = ("B02", "B03", "B04", "B08")
OWN = {"water": ("River", "SeaLake"), "built": ("Highway", "Industrial", "Residential"), "forest": ("Forest",),
       "fields": ("AnnualCrop", "HerbaceousVegetation", "Pasture", "PermanentCrop")}  # fmt: skip
TRAIN, VAL, DRAWS = 10, 3, 5
# epochs, rate, whether from the packaged weights
ARMS = {"start": (30, 1e-3, True), "untrained": (30, 1e-3, False), "untrained, longer": (100, 4e-3, False)}


def own_tiles(data: Dataset) -> Dataset:
    """Four bands, four classes."""
    of = {name: k for k, names in enumerate(OWN.values()) for name in names}
    y = np.array([of[data.classes[label]] for label in data.y])
    data = data.select(BANDS)
    return replace(data, y=y, classes=tuple(OWN), heads=(), targets={}, content_hash=data.content_hash + " own classes")


def divided(data: Dataset, seed: int) -> Split:
    """`TRAIN` and `VAL` tiles of each class drawn by `seed`, all others test."""
    random = np.random.default_rng(seed)
    drawn = [random.permutation(np.flatnonzero(data.y == k)) for k in range(len(data.classes))]
    parts = [np.sort(np.concatenate([d[a:b] for d in drawn])) for a, b in ((0, TRAIN), (TRAIN, TRAIN + VAL))]
    rest = np.setdiff1d(np.arange(len(data)), np.concatenate(parts))
    return Split(parts[0], parts[1], rest, {"kind": "drawn", "seed": seed})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", nargs="+", required=True)
    parser.add_argument("--model", default="eurosat_ms_fast")
    parser.add_argument("--out", required=True)
    args = parser.parse_args()
    eo, file = application("eurosat"), model_path(args.model)
    data, options = own_tiles(eo.load(args.data)), card_of(file).options
    found: dict[str, Any] = {
        "model": args.model, "model_sha256": sha256_file(file), "bands": list(BANDS), "train": TRAIN * len(OWN),
        "val": VAL * len(OWN), "classes": {k: list(v) for k, v in OWN.items()}, "arms": {},
    }  # fmt: skip
    for name, (epochs, rate, started) in ARMS.items():
        runs = []
        for seed in range(DRAWS):
            split = divided(data, seed)
            recipe = Recipe("student", epochs=epochs, batch_size=16, learning_rate=rate, augment=True, seed=seed,
                            options=options, schedule="cosine", precision="fp32")  # fmt: skip
            with tempfile.TemporaryDirectory() as folder:
                run = train(eo.build, data, split, recipe, Path(folder) / "run", threads=1,
                            start=file if started else None)  # fmt: skip
                judged = predictions_of_run(run.path, eo.build, data, split.test, threads=1)
            runs.append({"draw": seed, "correct": int((judged.logits.argmax(1) == judged.true).sum()),
                         "images": len(split.test)})  # fmt: skip
            say(f"{name}: {runs[-1]}")
        found["arms"][name] = {"epochs": epochs, "learning_rate": rate, "runs": runs}
    write_json(args.out, found)


if __name__ == "__main__":
    main()
