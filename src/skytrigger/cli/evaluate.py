"""skytrigger evaluate"""

from __future__ import annotations

import argparse
from pathlib import Path

from skytrigger.cli.outcome import Outcome


def configure(parser: argparse.ArgumentParser) -> None:
    from skytrigger.cli.data_options import add_data_arguments

    parser.add_argument("model", metavar="RUN|MODEL.onnx")
    add_data_arguments(parser, part=True)
    parser.add_argument("--out", required=True, help="folder for metrics.json, predictions.parquet, confusion.png")
    parser.add_argument("--runtime", default="onnxruntime", help="engine for a model file")
    parser.add_argument("--precision", help="default: fp32 for a run, the file's own for a model file")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int)


def run(args: argparse.Namespace) -> Outcome:
    from skytrigger.cli.data_options import load_from, part_of
    from skytrigger.learn.evaluate import BATCH, predictions_of_call, predictions_of_run, write_evaluation
    from skytrigger.report.figures import confusion_png
    from skytrigger.runtimes.model_file import read_model
    from skytrigger.runtimes.open import open_session
    from skytrigger.study.models import build

    dataset, split = load_from(args)
    part, index = part_of(args, split)
    if Path(args.model).is_dir():
        precision = args.precision or "fp32"
        found = predictions_of_run(
            args.model, build, dataset, index, device=args.device, precision=precision, threads=args.threads
        )
        facts = {"model": args.model, "runtime": "torch", "precision": precision}
    else:
        model = read_model(args.model)
        precision = args.precision or model.card.precision
        session = open_session(model, args.runtime, precision, BATCH, threads=args.threads, device=args.device)
        found = predictions_of_call(session.run, model.card, dataset, index)
        facts = {"model": args.model, **session.facts}
        session.close()
    facts |= {"part": part, "split_facts": split.facts, "data_hash": dataset.content_hash, "data": dataset.source}
    metrics = write_evaluation(found, args.out, facts)
    confusion_png(metrics, Path(args.out) / "confusion.png", f"{Path(args.model).name} on {part}")
    low, high = metrics["accuracy_interval_95"]
    lines = [
        f"accuracy {100 * metrics['accuracy']:.2f} % ({metrics['correct']} of {metrics['images']}, "
        f"95 % interval {100 * low:.2f} to {100 * high:.2f}), loss {metrics['loss']:.4f}, "
        f"expected calibration error {100 * metrics['expected_calibration_error']:.1f} %",
        f"{'class':22} {'images':>6} {'precision':>9} {'recall':>7} {'f1':>6}",
    ]
    for name, row in metrics["per_class"].items():
        cells = [f"{row[k]:.3f}" if row[k] is not None else "-" for k in ("precision", "recall", "f1")]
        lines.append(f"{name:22} {row['images']:6d} {cells[0]:>9} {cells[1]:>7} {cells[2]:>6}")
    return Outcome(metrics, "\n".join(lines))
