"""`--data`, `--bands`, `--split` and the rest: the same words on every command that takes data."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING

from skytrigger.core.errors import InputError

if TYPE_CHECKING:
    from skytrigger.core.application import Application
    from skytrigger.core.card import ModelCard
    from skytrigger.core.dataset import Dataset, Split


def add_data_arguments(
    parser: argparse.ArgumentParser, *, split: bool = True, seed: bool = True, default: Sequence[str] = ("synthetic",)
) -> None:
    """Add the options that `load_from` reads.

    Parameters
    ----------
    split
        Add ``--split`` (where it means how data are divided) and ``--split-lists``.
    seed
        Add ``--seed``; False where the command has its own.
    default
        ``--data`` when it is not given.
    """
    group = parser.add_argument_group("data")
    group.add_argument(
        "--data",
        nargs="+",
        metavar="PATH",
        default=list(default),
        help="folders or zips of <Class>/<Class>_<n>.tif|.jpg at any depth (their union), packed stores, files of the "
        "application (HDF5 of doublets), or the word synthetic (synthetic:COUNT[:SEED])",
    )
    group.add_argument("--bands", default="all", metavar="all|rgb|B02,...", help="channels, by name (default: all)")
    group.add_argument("--skip-bad", action="store_true", help="leave bad tiles out and list them")
    if split:
        group.add_argument(
            "--split",
            help="of tiles: random (default), stratified 80/10/10 by --seed; spatial, 60/20/20 by longitude; all, "
            "everything is test. Of doublets: no cluster in two parts",
        )
        group.add_argument(
            "--split-lists",
            nargs="+",
            metavar="FILE",
            help="TRAIN.txt VAL.txt [TEST.txt], file names, matched by stem; goes before --split",
        )
    if seed:
        group.add_argument("--seed", type=int, default=0, help="of everything random (default: 0)")


def load_data(args: argparse.Namespace, application: Application, card: ModelCard | None = None) -> Dataset:
    """The dataset that the options name, for the model of `card` where there is one."""
    seed = getattr(args, "seed", None)
    if seed is None:
        seed = card.seed if card else 0
    channels = getattr(args, "channels", 0) or (len(card.channels) if card else 0)
    bands, skip_bad = getattr(args, "bands", "all"), getattr(args, "skip_bad", False)
    return application.load(args.data, bands=bands, skip_bad=skip_bad, channels=channels, seed=seed)


def load_from(args: argparse.Namespace, application: Application) -> tuple[Dataset, Split]:
    """The dataset that the options name, and its split."""
    from skytrigger.core.split import split_lists

    lists, kind = getattr(args, "split_lists", None), getattr(args, "split", None) or application.splits[0]
    if lists is not None and len(lists) not in (2, 3):
        raise InputError(f"--split-lists takes TRAIN.txt VAL.txt [TEST.txt], got {len(lists)} files")
    if kind not in application.splits:
        raise InputError(f"--split {kind} of {application.title}", expected=", ".join(application.splits))
    dataset = load_data(args, application)
    return dataset, split_lists(dataset, *lists) if lists else application.split(dataset, kind, args.seed)
