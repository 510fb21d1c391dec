"""A trained student as one of the package's classifiers: calibrated, INT8, its test figure in its metadata.

    python benchmarks/pack_classifier.py RUN --data TILES ... --split-lists train.txt val.txt test.txt \
        --trained-on "EuroSAT ..." --out src/skytrigger/eo/models/eurosat_rgb.onnx

Validation images choose the temperature of the logits and, of three, the method of the ranges; calibration images are
of the training part. Where validation images are few and all answered well they would make a network too sure: with
``--held`` the temperature is that of a network trained alike, on images of places that it has not seen. Weights have
seven bits, which no CPU's products overflow: the same answers everywhere. The test part is read once, by the file that
is written, and not at all for a `--candidate`. Rows that the first convolution does not touch are not in the graph.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.optimize import minimize_scalar

from skytrigger.applications.registry import build
from skytrigger.core.progress import say
from skytrigger.core.split import split_again
from skytrigger.core.split_files import find, places, read_list
from skytrigger.eo.load import load
from skytrigger.learn.batches import Batches
from skytrigger.learn.evaluate import align, predictions_of_call
from skytrigger.learn.metrics import cross_entropy
from skytrigger.learn.predict import answers
from skytrigger.learn.run_folder import RunFolder
from skytrigger.measure.stats import wilson
from skytrigger.model.calibration import METHODS, tensor_ranges
from skytrigger.model.export import export_onnx
from skytrigger.model.file import read_model
from skytrigger.model.fold import Graph, fold
from skytrigger.model.qdq import REDUCED_LIMIT, quantised_tensors
from skytrigger.model.quantise import calibration_facts, stratified, write_int8
from skytrigger.runtimes.open import open_session

IMAGES = 300


def logits_of(file: Path, precision: str, dataset: Any, rows: Any) -> Any:
    model = read_model(file)
    session = open_session(model, "onnxruntime", precision, 64)
    try:
        return predictions_of_call(session.run, model.card, dataset, rows, 64).logits
    finally:
        session.close()


def fitted(logits: Any, true: Any) -> float:
    """The temperature of least loss."""
    least = minimize_scalar(lambda t: cross_entropy(logits / t, true).mean(), bounds=(0.05, 5), method="bounded")
    return float(least.x)


def held_temperature(run: Path, lists: list[Path], sources: list[str]) -> float:
    """The one that a network trained alike, without the tiles of `lists`, needs there."""
    network, card = RunFolder(run).load(build)
    dataset = align(load(sources), card)
    where = places(dataset.ids)
    rows = [find(s, where, dataset.ids, file) for file in lists for s in read_list(file)[0]]
    known = np.array([r for r in rows if r is not None])
    logits = answers(network, Batches(dataset, card.mean, card.std, torch.device("cpu")), known)[0]
    return fitted(logits, dataset.y[known])


def temper(model: Any, temperature: float) -> None:
    """Divide the logits of the folded graph by `temperature`, in its last dense layer."""
    last = next(n for n in reversed(model.graph.node) if n.op_type == "Gemm")
    graph = Graph(model)
    for name in last.input[1:]:
        graph.set(name, (graph.constants[name] / temperature).astype(np.float32))


WHERE = "tiles further east than all training tiles (spatial split by longitude), never used in training"


def test_figure(file: Path, dataset: Any, split: Any, where: str) -> dict[str, Any]:
    """Accuracy on the test part, for the metadata."""
    answers = logits_of(file, "int8", dataset, split.test).argmax(1)
    value = wilson(int((answers == dataset.y[split.test]).sum()), len(split.test))
    return {"what": where, "images": len(split.test), "accuracy": round(value.estimate, 4),
            "interval_95": [round(value.low, 4), round(value.high, 4)], "engine": "onnxruntime int8"}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run")
    parser.add_argument("--data", nargs="+", required=True)
    parser.add_argument("--split-lists", nargs="+", required=True)
    parser.add_argument("--trained-on", required=True, help="for the metadata")
    parser.add_argument("--refuses", nargs=2, metavar=("CHANNEL", "WHY"), help="data that are not for it")
    parser.add_argument("--judged-on", default=WHERE, help="what the test part is, for the metadata")
    parser.add_argument("--held", help="run of a network trained alike but for --held-lists: it gives the temperature")
    parser.add_argument("--held-lists", nargs="+", type=Path, default=[])
    parser.add_argument("--candidate", action="store_true", help="not chosen yet: the test part stays unread")
    parser.add_argument("--out", required=True, type=Path)
    args = parser.parse_args()
    network, card = RunFolder(Path(args.run)).load(build)
    dataset = align(load(args.data), card)
    split = split_again(dataset, card.split, args.split_lists)
    work = args.out.with_suffix(".work")
    work.mkdir(parents=True, exist_ok=True)
    export_onnx(network, card, work / "fp32.onnx")
    found = logits_of(work / "fp32.onnx", "fp32", dataset, split.val)
    true = dataset.y[split.val]
    temperature = fitted(found, true)
    say(f"float32: {100 * (found.argmax(1) == true).mean():.2f} % of validation images; temperature {temperature:.3f}")
    if args.held:
        temperature = held_temperature(Path(args.held), args.held_lists, args.data)
        say(f"temperature {temperature:.3f} by {args.held}")

    model = fold(read_model(work / "fp32.onnx").graph(), input_too=False)
    temper(model, temperature)
    rows = stratified(split.train, dataset.y, IMAGES, card.seed)
    ids = tuple(dataset.ids[i] for i in rows)
    ranges = tensor_ranges(model, quantised_tensors(model), dataset.x[rows])
    notes = {**card.notes, "trained_on": args.trained_on, "temperature": round(temperature, 4)}
    if args.held:
        notes["temperature_by"] = "a network trained alike, on places held out from it"
    if args.refuses:
        notes["refuses"] = dict([args.refuses])

    def write(method: str, out: Path, **more: Any) -> None:
        facts = calibration_facts(method, ids)
        write_int8(model, replace(card, notes={**notes, **more}), out, facts, ranges=ranges[method],
                   limit=REDUCED_LIMIT, merge_input=True)  # fmt: skip

    scores = {}
    for method in METHODS:
        write(method, work / f"{method}.onnx")
        logits = logits_of(work / f"{method}.onnx", "int8", dataset, split.val)
        scores[method] = (int((logits.argmax(1) == true).sum()), -float(cross_entropy(logits, true).mean()))
        say(f"{method}: {scores[method][0]} of {len(true)} validation images, loss {-scores[method][1]:.4f}")
    best = max(scores, key=lambda m: scores[m])
    found = {} if args.candidate else {"test": test_figure(work / f"{best}.onnx", dataset, split, args.judged_on)}
    write(best, args.out, **found)
    for file in work.iterdir():
        file.unlink()
    work.rmdir()
    say(f"{args.out}: {args.out.stat().st_size} bytes, {best}; {found}")


if __name__ == "__main__":
    main()
