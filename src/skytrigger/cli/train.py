"""skytrigger train"""

from __future__ import annotations

import argparse
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from skytrigger.cli.outcome import Outcome

if TYPE_CHECKING:
    from skytrigger.core.application import Application
    from skytrigger.core.card import ModelCard
    from skytrigger.learn.recipe import Recipe


def configure(parser: argparse.ArgumentParser) -> None:
    from skytrigger.cli.data_options import add_data_arguments

    parser.add_argument(
        "--model", help="network, e.g. basic, regularized, student or doublets_small (default: that of --start)"
    )
    parser.add_argument("--application", metavar="NAME", help="default: the first that has the network")
    parser.add_argument("--out", required=True, help="run folder; an interrupted run there goes on")
    add_data_arguments(parser)
    parser.add_argument("--recipe", metavar="FILE.toml", help="everything below (and more) from a recipe.toml")
    parser.add_argument("--epochs", type=int, help="default: the network's own, mostly 25")
    parser.add_argument("--batch-size", type=int, help="default: the network's own, mostly 32")
    parser.add_argument("--learning-rate", type=float, help="default: the network's own, mostly 1e-3")
    parser.add_argument("--weight-decay", type=float, help="L2 coefficient (default 1e-4)")
    parser.add_argument("--precision", help="auto, fp32 or bf16 (autocast)")
    parser.add_argument("--schedule", help="constant, cosine or warm")
    parser.add_argument("--augment", action="store_true", default=None, help="random flips and quarter turns (D4)")
    parser.add_argument("--patience", type=int, help="stop after so many epochs without a better loss")
    parser.add_argument(
        "--start", metavar="RUN|MODEL.onnx", help="start from these weights, of other bands or classes perhaps"
    )
    parser.add_argument(
        "--teacher", nargs="+", metavar="RUN|MODEL.onnx", help="distil from these (recipe: distil, temperature)"
    )
    parser.add_argument(
        "--allow-seen", action="store_true",
        help="go on where --start or --teacher learned from validation or test images; everything then says so",
    )  # fmt: skip
    parser.add_argument("--device", default="auto", help="cpu, cuda, cuda:N or auto")
    parser.add_argument("--threads", type=int, help="CPU threads (default: all this process may use)")


def recipe_from(args: argparse.Namespace, application: Application) -> Recipe:
    """The recipe file's entries, or the application's for the network, then what the command line says."""
    from skytrigger.learn.recipe import Recipe
    from skytrigger.learn.runs import recipe_of

    names = ("epochs", "batch_size", "learning_rate", "weight_decay", "precision", "schedule", "augment", "patience")
    said = {name: value for name in names if (value := getattr(args, name, None)) is not None}
    if not getattr(args, "recipe", None):
        start = _started(args)
        if start:
            said |= {"options": start.options}
        return recipe_of(application, args.model or _named(start).name, seed=args.seed, **said)
    more = {"seed": args.seed} if args.seed else {}
    more |= {"model": args.model} if args.model else {}
    return replace(Recipe.read(args.recipe), **said, **more)


def _started(args: argparse.Namespace) -> ModelCard | None:
    """The card of --start, where that is the network to train: its name and options hold unless others are given."""
    from skytrigger.applications.registry import model_path
    from skytrigger.learn.evaluate import card_of

    if not getattr(args, "start", None):
        return None
    card = card_of(model_path(args.start))
    return card if args.model in (None, card.name) else None


def _application(args: argparse.Namespace) -> Application:
    from skytrigger.applications.registry import application, application_of
    from skytrigger.learn.recipe import Recipe

    if not args.model and args.recipe:
        args.model = Recipe.read(args.recipe).model
    start = _started(args)
    if args.application:
        return application(args.application)
    return application_of(args.model or _named(start))


def _named(start: ModelCard | None) -> ModelCard:
    from skytrigger.core.errors import InputError

    if start is None:
        raise InputError("no network named", remedy="--model NAME, --start MODEL, or --recipe FILE.toml")
    return start


def run(args: argparse.Namespace) -> Outcome:
    from skytrigger.cli.data_options import load_from

    application = _application(args)
    recipe = recipe_from(args, application)
    dataset, split = load_from(args, application)
    return trained(args, application, dataset, split, recipe)


def trained(args: argparse.Namespace, application: Application, dataset: Any, split: Any, recipe: Recipe) -> Outcome:
    """Train and tell."""
    from skytrigger.applications.registry import build, model_path
    from skytrigger.core.progress import track
    from skytrigger.learn.heads import describe_line
    from skytrigger.learn.runs import train_run
    from skytrigger.learn.teacher import Teacher

    teachers = getattr(args, "teacher", None)
    teacher = Teacher([model_path(t) for t in teachers], build) if teachers else None
    with track(f"train {recipe.model}", recipe.epochs) as advance:
        folder = train_run(
            application,
            dataset,
            split,
            recipe,
            args.out,
            device=args.device,
            threads=args.threads,
            teacher=teacher,
            start=model_path(args.start) if getattr(args, "start", None) else None,
            allow_seen=getattr(args, "allow_seen", False),
            on_epoch=lambda h: advance(
                1, f"epoch {h['epoch']}: loss {h['train_loss']:.3f}, validation {describe_line(h, dataset.heads)}"
            ),
        )
    history = folder.history()
    text = (
        f"{recipe.model}: {len(history)} epochs, {sum(h['seconds'] for h in history):.1f} s, validation "
        f"{describe_line(history[-1], dataset.heads)} ({len(split.val)} images); run folder {folder.path}"
    )
    warnings = folder.card().notes.get("seen", {}).get("warnings", [])
    found = {"run": str(folder.path), "epochs": len(history), "history": history, "leakage": warnings}
    return Outcome(found, "\n".join([text, *(f"leakage: {w}" for w in warnings)]))
