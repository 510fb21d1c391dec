"""`--data`, `--bands`, `--split` and the rest: the same words on every command that takes data."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from skytrigger.core.errors import InputError

if TYPE_CHECKING:
    from skytrigger.core.application import Application
    from skytrigger.core.card import ModelCard
    from skytrigger.core.dataset import Dataset, Split


TRAINED = "a network of one's own for these data: skytrigger train --start MODEL --data DATA"


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
        help="folders, zips or tars of tiles in class folders (their union; x.zip/FOLDER too), packed stores, files of "
        "the application (HDF5 of doublets), or the word synthetic (synthetic:COUNT[:SEED])",
    )
    group.add_argument("--bands", default="all", metavar="all|rgb|B02,...", help="channels, by name (default: all)")
    group.add_argument("--skip-bad", action="store_true", help="leave bad tiles out and list them")
    add_reading_arguments(group)
    if split:
        group.add_argument(
            "--split",
            help="of tiles: folders (default where the data come in train/, val/, test/); random (default elsewhere), "
            "stratified 80/10/10 by --seed; spatial, 60/20/20 by longitude; all, everything is test. Of doublets: no "
            "cluster in two parts",
        )
        group.add_argument(
            "--split-lists",
            nargs="+",
            metavar="FILE",
            help="TRAIN VAL [TEST]: file names, one a line or in a column of CSV; or one CSV with a column split; "
            "goes before --split",
        )
    if seed:
        group.add_argument("--seed", type=int, default=0, help="of everything random (default: 0)")


def add_reading_arguments(group: Any) -> None:
    """Options that state what files do not say themselves."""
    group.add_argument(
        "--band-names",
        metavar="B01,B02,...",
        help="of a TIFF's bands, in order; - leaves one out; or a STAC item: x.json",
    )
    group.add_argument("--scale", type=float, help="reflectance of one stored count, e.g. 1e-4 (default: not said)")
    group.add_argument(
        "--max-no-data", type=float, metavar="SHARE", help="of a tile's values; more is a bad tile (default: 0.5)"
    )


def stated(args: argparse.Namespace, application: Application | None = None) -> dict[str, Any]:
    """Those of `add_reading_arguments` that were given, for an application whose files they are about."""
    given = {name: getattr(args, name, None) for name in ("band_names", "scale", "max_no_data")}
    found = {name: value for name, value in given.items() if value is not None}
    if application is not None and (others := sorted(set(found) - set(application.reading))):
        raise InputError(f"--{others[0].replace('_', '-')} is for tiles", expected=f"not for {application.title}")
    return found


def load_data(args: argparse.Namespace, application: Application, card: ModelCard | None = None) -> Dataset:
    """The dataset that the options name, for the model of `card` where there is one."""
    seed = getattr(args, "seed", None)
    if seed is None:
        seed = card.seed if card else 0
    channels = getattr(args, "channels", 0) or (len(card.channels) if card else 0)
    bands, skip_bad = getattr(args, "bands", "all"), getattr(args, "skip_bad", False)
    more = stated(args, application)
    return application.load(args.data, bands=bands, skip_bad=skip_bad, channels=channels, seed=seed, **more)


def load_for(args: argparse.Namespace, application: Application, card: ModelCard) -> Dataset:
    """`load_data`, aligned to the model; where they do not fit, the packaged networks that do are named."""
    from skytrigger.applications.models import fitting
    from skytrigger.learn.evaluate import align

    dataset = load_data(args, application, card)
    try:
        return align(dataset, card)
    except InputError as error:
        names = fitting(application, dataset)
        if not names and error.remedy:
            raise
        more = f"a packaged network for such data: {', '.join(names)}" if names else TRAINED
        remedy = "; or ".join(filter(None, (error.remedy, more)))
        raise InputError(error.problem, expected=error.expected, remedy=remedy) from error


def notes_of(facts: Mapping[str, Any]) -> list[str]:
    """What was taken for granted of the data that `facts` name, and where they are unlike the model's own."""
    assumed = facts.get("data", {}).get("assumptions", {})
    lines = [f"assumed: {what} ({count} tiles)" for what, count in assumed.items()]
    return lines + ([f"warning: {facts['levels']['sentence']}"] if "levels" in facts else [])


def load_from(args: argparse.Namespace, application: Application) -> tuple[Dataset, Split]:
    """The dataset that the options name, and its split."""
    from skytrigger.core.split import split_by

    lists, kind = getattr(args, "split_lists", None), getattr(args, "split", None)
    if kind and kind not in application.splits:
        raise InputError(f"--split {kind} of {application.title}", expected=", ".join(application.splits))
    dataset = load_data(args, application)
    kind = kind or application.default_split(dataset)
    return dataset, split_by(dataset, lists) if lists else application.split(dataset, kind, args.seed)
