"""skytrigger evaluate"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from skytrigger.cli.outcome import Outcome

if TYPE_CHECKING:
    from skytrigger.core.card import ModelCard
    from skytrigger.core.dataset import Dataset


def configure(parser: argparse.ArgumentParser) -> None:
    from skytrigger.cli.data_options import add_data_arguments

    parser.add_argument("model", metavar="RUN|MODEL.onnx", help="or eurosat_ms, eurosat_rgb: packaged")
    add_data_arguments(parser, split=False, seed=False)
    parser.add_argument(
        "--split",
        choices=("test", "val", "train", "all"),
        help="part, of the split the model was trained with; all: every image. "
        "Default: test on the data it was trained on, all on any other",
    )
    parser.add_argument("--split-lists", nargs="+", metavar="FILE", help="TRAIN.txt VAL.txt [TEST.txt] instead")
    parser.add_argument("--out", required=True, help="folder for metrics.json, predictions.parquet, confusion.png")
    parser.add_argument("--runtime", default="onnxruntime", help="engine for a model file")
    parser.add_argument("--precision", help="default: fp32 for a run, the file's own for a model file")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int)


def _part(args: argparse.Namespace, dataset: Dataset, card: ModelCard) -> tuple[str, NDArray[np.int64]]:
    from skytrigger.core.errors import InputError
    from skytrigger.core.split import split_again, split_lists

    if args.split_lists:
        split = split_lists(dataset, *args.split_lists)
        part = args.split or ("test" if len(split.test) else "val")
    else:
        part = args.split or ("test" if dataset.content_hash == card.data_hash else "all")
        if part == "all":
            return part, np.arange(len(dataset))
        split = split_again(dataset, card.split)
    if not len(split.part(part)):
        raise InputError(f"the {part} part is empty", remedy="another --split, or --split-lists")
    return part, split.part(part)


def run(args: argparse.Namespace) -> Outcome:
    from skytrigger.cli.data_options import load_data
    from skytrigger.eo.packaged import model_path
    from skytrigger.learn.evaluate import BATCH, align, predictions_of_call, predictions_of_run, write_evaluation
    from skytrigger.learn.run_folder import RunFolder
    from skytrigger.model.file import read_model
    from skytrigger.report.figures import confusion_png
    from skytrigger.runtimes.open import open_session
    from skytrigger.study.models import build

    args.model = str(model_path(args.model))
    is_run = Path(args.model).is_dir()
    model = None if is_run else read_model(args.model)
    card = model.card if model else RunFolder(Path(args.model)).card()
    dataset = align(load_data(args), card)
    part, index = _part(args, dataset, card)
    if model is None:
        precision = args.precision or "fp32"
        found = predictions_of_run(
            args.model, build, dataset, index, device=args.device, precision=precision, threads=args.threads
        )
        facts = {"model": args.model, "runtime": "torch", "precision": precision}
    else:
        precision = args.precision or model.card.precision
        session = open_session(model, args.runtime, precision, BATCH, threads=args.threads, device=args.device)
        found = predictions_of_call(session.run, model.card, dataset, index)
        facts = {"model": args.model, **session.facts}
        session.close()
    same = dataset.content_hash == card.data_hash
    facts |= {
        "part": part,
        "seen_in_training": same and part in ("train", "all"),
        "data_hash": dataset.content_hash,
        "data": dataset.source,
    }
    metrics = write_evaluation(found, args.out, facts)
    confusion_png(metrics, Path(args.out) / "confusion.png", f"{Path(args.model).name} on {part}")
    low, high = metrics["accuracy_interval_95"]
    lines = [
        f"{part}: accuracy {100 * metrics['accuracy']:.2f} % ({metrics['correct']} of {metrics['images']}, "
        f"95 % interval {100 * low:.2f} to {100 * high:.2f}), loss {metrics['loss']:.4f}, "
        f"expected calibration error {100 * metrics['expected_calibration_error']:.1f} %",
        f"{'class':22} {'images':>6} {'precision':>9} {'recall':>7} {'f1':>6}",
    ]
    for name, row in metrics["per_class"].items():
        cells = [f"{row[k]:.3f}" if row[k] is not None else "-" for k in ("precision", "recall", "f1")]
        lines.append(f"{name:22} {row['images']:6d} {cells[0]:>9} {cells[1]:>7} {cells[2]:>6}")
    return Outcome(metrics, "\n".join(lines))
