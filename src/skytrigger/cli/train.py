"""skytrigger train"""

from __future__ import annotations

import argparse
from dataclasses import replace
from typing import TYPE_CHECKING

from skytrigger.cli.outcome import Outcome

if TYPE_CHECKING:
    from skytrigger.learn.recipe import Recipe


def configure(parser: argparse.ArgumentParser) -> None:
    from skytrigger.cli.data_options import add_data_arguments

    parser.add_argument("--model", help="network, e.g. basic, regularized or student")
    parser.add_argument("--out", required=True, help="run folder; an interrupted run there goes on")
    add_data_arguments(parser)
    parser.add_argument("--recipe", metavar="FILE.toml", help="everything below (and more) from a recipe.toml")
    parser.add_argument("--epochs", type=int, help="default 25")
    parser.add_argument("--batch-size", type=int, help="default 32")
    parser.add_argument("--learning-rate", type=float, help="default 1e-3")
    parser.add_argument("--weight-decay", type=float, help="L2 coefficient (default 1e-4)")
    parser.add_argument("--precision", help="auto (default), fp32 or bf16 (autocast)")
    parser.add_argument("--schedule", help="constant (default), cosine or warm")
    parser.add_argument("--augment", action="store_true", default=None, help="random flips and quarter turns (D4)")
    parser.add_argument("--patience", type=int, help="stop after so many epochs without a better loss")
    parser.add_argument("--start", metavar="RUN", help="start from this run's weights, also of other bands")
    parser.add_argument(
        "--teacher", nargs="+", metavar="RUN|MODEL.onnx", help="distil from these (recipe: distil, temperature)"
    )
    parser.add_argument("--device", default="auto", help="cpu, cuda, cuda:N or auto")
    parser.add_argument("--threads", type=int, help="CPU threads (default: all this process may use)")


def _recipe(args: argparse.Namespace) -> Recipe:
    """The recipe file's entries, then what the command line says."""
    from skytrigger.core.errors import InputError
    from skytrigger.learn.recipe import Recipe

    names = ("model", "epochs", "batch_size", "learning_rate", "weight_decay", "precision", "schedule", "augment",
             "patience")  # fmt: skip
    said = {name: getattr(args, name) for name in names if getattr(args, name) is not None}
    if args.seed or not args.recipe:
        said["seed"] = args.seed
    if args.recipe:
        return replace(Recipe.read(args.recipe), **said)
    if not args.model:
        raise InputError("no network named", remedy="--model NAME, or --recipe FILE.toml")
    return Recipe(**said)


def run(args: argparse.Namespace) -> Outcome:
    from skytrigger.cli.data_options import load_from
    from skytrigger.core.progress import track
    from skytrigger.eo.packaged import model_path
    from skytrigger.learn.teacher import Teacher
    from skytrigger.learn.train import train
    from skytrigger.study.models import build

    recipe = _recipe(args)
    teacher = Teacher([model_path(t) for t in args.teacher], build) if args.teacher else None
    dataset, split = load_from(args)
    with track(f"train {recipe.model}", recipe.epochs) as advance:
        folder = train(
            build,
            dataset,
            split,
            recipe,
            args.out,
            device=args.device,
            threads=args.threads,
            teacher=teacher,
            start=args.start,
            on_epoch=lambda h: advance(
                1, f"epoch {h['epoch']}: loss {h['train_loss']:.3f}, validation {100 * h['val_accuracy']:.1f} %"
            ),
        )
    history = folder.history()
    last = history[-1]
    text = (
        f"{recipe.model}: {len(history)} epochs, {sum(h['seconds'] for h in history):.1f} s, "
        f"validation accuracy {100 * last['val_accuracy']:.1f} % ({len(split.val)} images), "
        f"loss {last['val_loss']:.3f}; run folder {folder.path}"
    )
    return Outcome({"run": str(folder.path), "epochs": len(history), "history": history}, text)
