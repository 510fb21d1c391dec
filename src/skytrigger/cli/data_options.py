"""`--data`, `--bands`, `--split` and the rest: the same words on every command that takes tiles."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING

from skytrigger.core.errors import InputError

if TYPE_CHECKING:
    from skytrigger.core.dataset import Dataset, Split

KINDS = ("random", "spatial", "all")


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
        help="folders or zips of <Class>/<Class>_<n>.tif|.jpg at any depth (their union), packed stores, "
        "or the word synthetic (synthetic:COUNT)",
    )
    group.add_argument("--bands", default="all", metavar="all|rgb|B02,...", help="channels, by name (default: all)")
    group.add_argument("--skip-bad", action="store_true", help="leave bad tiles out and list them")
    if split:
        group.add_argument(
            "--split",
            choices=KINDS,
            default="random",
            help="random: stratified 80/10/10 by --seed; spatial: 60/20/20 by longitude; all: everything is test",
        )
        group.add_argument(
            "--split-lists",
            nargs="+",
            metavar="FILE",
            help="TRAIN.txt VAL.txt [TEST.txt], file names, matched by stem; goes before --split",
        )
    if seed:
        group.add_argument("--seed", type=int, default=0, help="of everything random (default: 0)")


def load_data(args: argparse.Namespace) -> Dataset:
    """The dataset that the options name."""
    from skytrigger.eo.load import load

    return load(args.data, bands=args.bands, skip_bad=args.skip_bad)


def load_from(args: argparse.Namespace) -> tuple[Dataset, Split]:
    """The dataset that the options name, and its split."""
    from skytrigger.core.split import make_split, split_lists

    lists = args.split_lists
    if lists is not None and len(lists) not in (2, 3):
        raise InputError(f"--split-lists takes TRAIN.txt VAL.txt [TEST.txt], got {len(lists)} files")
    dataset = load_data(args)
    return dataset, split_lists(dataset, *lists) if lists else make_split(dataset, args.split, args.seed)
