"""skytrigger train"""

from __future__ import annotations

import argparse

from skytrigger.cli.outcome import Outcome


def configure(parser: argparse.ArgumentParser) -> None:
    from skytrigger.cli.data_options import add_data_arguments

    parser.add_argument("--model", required=True, help="network, e.g. basic or regularized")
    parser.add_argument("--out", required=True, help="run folder; an interrupted run there goes on")
    add_data_arguments(parser)
    parser.add_argument("--epochs", type=int, default=25)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--learning-rate", type=float, default=1e-3)
    parser.add_argument("--weight-decay", type=float, default=1e-4, help="L2 coefficient (default 1e-4)")
    parser.add_argument("--precision", default="auto", help="auto, fp32 or bf16 (autocast)")
    parser.add_argument("--schedule", default="constant", help="constant or cosine")
    parser.add_argument("--augment", action="store_true", help="random flips and quarter turns (D4)")
    parser.add_argument("--patience", type=int, default=0, help="stop after so many epochs without a better loss")
    parser.add_argument("--device", default="auto", help="cpu, cuda, cuda:N or auto")
    parser.add_argument("--threads", type=int, help="CPU threads (default: all this process may use)")


def run(args: argparse.Namespace) -> Outcome:
    from skytrigger.cli.data_options import load_from
    from skytrigger.core.progress import track
    from skytrigger.learn.recipe import Recipe
    from skytrigger.learn.train import train
    from skytrigger.study.models import build

    recipe = Recipe(
        model=args.model,
        epochs=args.epochs,
        batch_size=args.batch_size,
        learning_rate=args.learning_rate,
        weight_decay=args.weight_decay,
        seed=args.seed,
        precision=args.precision,
        augment=args.augment,
        patience=args.patience,
        schedule=args.schedule,
    )
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
