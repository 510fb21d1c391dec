"""skytrigger evaluate"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from skytrigger.cli.data_options import notes_of
from skytrigger.cli.outcome import Outcome
from skytrigger.runtimes.registry import DEFAULT

if TYPE_CHECKING:
    from skytrigger.core.application import Application
    from skytrigger.core.dataset import Dataset


def configure(parser: argparse.ArgumentParser) -> None:
    from skytrigger.cli.data_options import add_data_arguments

    parser.add_argument(
        "model", metavar="RUN|MODEL.onnx", help="or a packaged one, e.g. eurosat_ms (skytrigger models)"
    )
    add_data_arguments(parser, split=False, seed=False)
    parser.add_argument(
        "--split",
        choices=("test", "val", "train", "all"),
        help="part, of the split the model was trained with; all: every image. "
        "Default: test on the data it was trained on, all on any other",
    )
    parser.add_argument("--split-lists", nargs="+", metavar="FILE", help="TRAIN.txt VAL.txt [TEST.txt] instead")
    parser.add_argument("--out", required=True, help="folder for metrics.json, predictions.parquet and pictures")
    parser.add_argument("--runtime", default=DEFAULT, help="engine for a model file")
    parser.add_argument("--precision", help="default: fp32 for a run, the file's own for a model file")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int)


def run(args: argparse.Namespace) -> Outcome:
    from skytrigger.applications.registry import application_of, model_path
    from skytrigger.cli.data_options import load_for
    from skytrigger.learn.evaluate import card_of

    model = model_path(args.model)
    card = card_of(model)
    application = application_of(card)
    return judged(args, application, model, load_for(args, application, card))


def judged(args: argparse.Namespace, application: Application, model: Path, dataset: Dataset) -> Outcome:
    """Evaluate, write (where the options name a folder) and tell."""
    from skytrigger.core.files import write_json
    from skytrigger.learn.evaluate import evaluate
    from skytrigger.learn.predictions import write_predictions

    metrics, predictions = evaluate(
        application,
        model,
        dataset,
        part=args.split,
        lists=getattr(args, "split_lists", None),
        runtime=args.runtime,
        precision=getattr(args, "precision", None),
        device=getattr(args, "device", "cpu"),
        threads=args.threads,
    )
    if args.out:
        out = Path(args.out)
        write_predictions(out / "predictions.parquet", predictions)
        write_json(out / "metrics.json", metrics)
        if application.pictures:
            application.pictures(metrics, out)
        else:
            _confusions(metrics, out, f"{model.name} on {metrics['part']}")
    return Outcome(metrics, application.describe(metrics) if application.describe else describe(metrics))


def _heads(metrics: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """Metrics of each head; of the one head ``logits`` they are the whole."""
    return dict(metrics["heads"]) if "heads" in metrics else {"": metrics}


def _confusions(metrics: Mapping[str, Any], out: Path, title: str) -> None:
    from skytrigger.report.comparison import confusion_png

    for name, found in _heads(metrics).items():
        if "confusion" in found:
            confusion_png(dict(found), out / f"{'_'.join(filter(None, ('confusion', name)))}.png", title)


def describe(metrics: Mapping[str, Any]) -> str:
    """Accuracy and classes, or errors of values, of each head."""
    lines = []
    for name, found in _heads(metrics).items():
        where = " ".join(filter(None, (metrics["part"], name)))
        lines += _classes(found, where) if "confusion" in found else _values(found, where)
    return "\n".join([*lines, *_leakage(metrics), *notes_of(metrics)])


def _leakage(metrics: Mapping[str, Any]) -> list[str]:
    """Images that judge and were learned from, outside the training part."""
    found = metrics.get("leakage")
    if not found or metrics["part"] == "train":
        return []
    if not found["known"]:
        return ["leakage: not known (the model keeps no list of the images it learned from)"]
    share = "" if found["share"] == 1 else f", of a list of one in {found['share']}"
    lines = [f"leakage: in its own training, {w}" for w in found["warnings"]]
    if found["images"]:
        names = ", ".join(found["examples"])
        count = f"{found['images']} of these {found['of']} images"
        lines.append(f"leakage: it learned from {count}{share}, such as {names}")
    return lines


def _classes(found: Mapping[str, Any], where: str) -> list[str]:
    low, high = found["accuracy_interval_95"]
    lines = [
        f"{where}: accuracy {100 * found['accuracy']:.2f} % ({found['correct']} of {found['images']}, "
        f"95 % interval {100 * low:.2f} to {100 * high:.2f}), loss {found['loss']:.4f}, "
        f"expected calibration error {100 * found['expected_calibration_error']:.1f} %",
        f"{'class':22} {'images':>6} {'precision':>9} {'recall':>7} {'f1':>6}",
    ]
    for name, row in found["per_class"].items():
        cells = [f"{row[k]:.3f}" if row[k] is not None else "-" for k in ("precision", "recall", "f1")]
        lines.append(f"{name:22} {row['images']:6d} {cells[0]:>9} {cells[1]:>7} {cells[2]:>6}")
    return lines


def _values(found: Mapping[str, Any], where: str) -> list[str]:
    lines = [f"{where}: errors with 95 % intervals", f"{'value':22} {'images':>6}  bias, mae, rmse"]
    for name, row in found["values"].items():
        cells = []
        for figure in ("bias", "mae", "rmse"):
            span = row[f"{figure}_interval_95"]
            around = f" ({span[0]:.3g} to {span[1]:.3g})" if span else ""
            cells.append(f"{row[figure]:.3g}{around}" if row[figure] is not None else "-")
        lines.append(f"{name:22} {row['images']:6d}  {', '.join(cells)} {row['unit']}".rstrip())
    return lines
