"""A student on native pixels beside the packaged fast network, which has its body: accuracy, time, numbers read.

It learns from the training tiles and from the packaged network's answers on them, by the recipe of `optimize` but far
shorter than the packaged one did; nothing chooses among epochs. Native pixels of tiles are those whose upsampling is
nearest to them. Times: one thread, batches of 29 that lie ready, both in turn.

    python benchmarks/native_student.py --train MS_TRAIN.zip --test MS_TEST.zip --work FOLDER [--epochs 40]
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

import numpy as np

from skytrigger.core.files import write_json
from skytrigger.core.host import host_facts
from skytrigger.core.split import make_split
from skytrigger.eo.application import EUROSAT
from skytrigger.eo.load import load
from skytrigger.eo.packaged import packaged
from skytrigger.learn.recipe import Recipe
from skytrigger.learn.run_folder import RunFolder
from skytrigger.learn.teacher import Teacher
from skytrigger.learn.train import train
from skytrigger.model.calibration import tensor_ranges
from skytrigger.model.export import export_onnx
from skytrigger.model.file import read_model
from skytrigger.model.fold import fold
from skytrigger.model.qdq import quantised_tensors
from skytrigger.model.quantise import stratified, weight_limit, write_int8
from skytrigger.runtimes.open import open_session

BATCH = 29
BODY = {"widths": [32, 64, 128], "depths": [0, 1, 0], "block": "plain", "stem": "native"}
REFERENCE = "eurosat_ms_fast"


def trained(name: str, options: dict[str, Any], data: Any, split: Any, args: argparse.Namespace) -> Path:
    """Its run folder."""
    folder = args.work / name
    if not (folder / "weights.safetensors").is_file():
        recipe = Recipe(
            "student", options=options, epochs=args.epochs, batch_size=16, learning_rate=4e-3, optimiser="adamw",
            weight_decay=0.02, schedule="warm", augment=True, jitter=0.7, style=0.5, cutmix=0.3, distil=0.5,
            temperature=2.0, ema=0.98,
        )  # fmt: skip
        teacher = Teacher((packaged("eurosat_ms"),), EUROSAT.build)
        train(EUROSAT.build, data, split, recipe, folder, threads=1, teacher=teacher, keep_checkpoint=False,
              on_epoch=lambda line: print(name, line, flush=True))  # fmt: skip
    return folder


def files(run: Path, data: Any, split: Any) -> dict[str, Path]:
    """Float32 as it is, and INT8 in the form that goes into engines."""
    network, card = RunFolder(run).load(EUROSAT.build)
    whole = run / "whole.onnx"
    export_onnx(network, card, whole)
    model = fold(read_model(whole).graph(), input_too=False)
    rows = stratified(split.train, data.y, 200)
    ranges = tensor_ranges(model, quantised_tensors(model), data.x[rows], ["percentile"])["percentile"]
    write_int8(model, card, run / "int8.onnx", {"method": "percentile", "images": len(rows)}, ranges=ranges,
               limit=weight_limit(), merge_input=True)  # fmt: skip
    return {"fp32": whole, "int8": run / "int8.onnx"}


def judged(path: Path, precision: str, runtime: str, tiles: np.ndarray, truth: np.ndarray) -> dict[str, Any]:
    """Right answers on the test tiles."""
    session = open_session(path, runtime, precision, BATCH, 1)
    logits = session.run(tiles)
    session.close()
    return {"right": int((logits.argmax(1) == truth).sum()), "tiles": len(truth)}


def timed(paths: dict[str, Path], runtime: str, tiles: np.ndarray, rounds: int) -> dict[str, list[float]]:
    """CPU seconds a tile of each, in turn."""
    calls = {}
    for name, path in paths.items():
        session = open_session(path, runtime, "int8", BATCH, 1)
        given = session.given(np.ascontiguousarray(tiles[:BATCH]))
        session.run(given)
        calls[name] = (session, given)
    found: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(rounds):
        for name, (session, given) in calls.items():
            start = time.process_time()
            for _ in range(5):
                session.run(given)
            found[name].append((time.process_time() - start) / 5 / BATCH)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--train", nargs="+", required=True)
    parser.add_argument("--test", nargs="+", required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--epochs", type=int, default=40)
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--out", default="results/scene/native_student.json")
    args = parser.parse_args()
    card = read_model(packaged("eurosat_ms")).card
    data, test = (load(paths).select(card.channels) for paths in (args.train, args.test))
    split = make_split(data, "spatial", 0)
    truth = np.array([card.classes.index(test.classes[k]) for k in test.y])
    tiles = np.asarray(test.x, np.float32)
    options = {**BODY, "factors": [EUROSAT.factors[c] for c in card.channels]}
    made = files(trained("native", options, data, split, args), data, split)
    paths = {"native": made["int8"], REFERENCE: packaged(REFERENCE)}
    found: dict[str, Any] = {"epochs": args.epochs, "training_tiles": len(split.train), "arms": {}}
    for name, path in paths.items():
        native = read_model(path).native
        numbers = sum(len(g.channels) * g.side**2 for g in native) or int(np.prod(tiles.shape[1:]))
        found["arms"][name] = {"numbers_in": numbers, "bytes": path.stat().st_size,
                               "int8": judged(path, "int8", "openvino", tiles, truth)}  # fmt: skip
    found["arms"]["native"] |= {"options": options, "fp32": judged(made["fp32"], "fp32", "onnxruntime", tiles, truth)}
    found["cpu_s_a_tile"] = {r: timed(paths, r, tiles, args.rounds) for r in ("openvino", "onnxruntime")}
    print({k: {a: b for a, b in v.items() if a != "options"} for k, v in found["arms"].items()})
    print({r: {k: round(1e6 * float(np.median(v)), 1) for k, v in t.items()} for r, t in found["cpu_s_a_tile"].items()})
    write_json(args.out, {"host": host_facts(), **found})


if __name__ == "__main__":
    main()
