"""How a dataset is divided into training, validation and test."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skytrigger.core.dataset import PARTS, Dataset, Split
from skytrigger.core.errors import InputError
from skytrigger.core.files import sha256_file
from skytrigger.core.progress import say
from skytrigger.core.seeds import generator
from skytrigger.core.split_files import find, places, read_list, read_parts

RANDOM_FRACTIONS = (0.8, 0.1, 0.1)  # the origin's
SPATIAL_FRACTIONS = (0.6, 0.2, 0.2)  # TorchGeo's EuroSATSpatial
KINDS = ("random", "spatial", "folders", "all")


def make_split(dataset: Dataset, kind: str, seed: int = 0) -> Split:
    """The split called `kind`: ``random``, ``spatial``, ``folders`` or ``all``."""
    if kind == "random":
        return split_random(dataset, seed)
    if kind == "spatial":
        return split_spatial(dataset)
    if kind == "folders":
        return split_folders(dataset, seed)
    if kind == "all":
        return split_all(dataset)
    raise InputError(f"no split called {kind!r}", expected=", ".join(KINDS))


def split_random(dataset: Dataset, seed: int) -> Split:
    """80 % training, 10 % validation, 10 % test of every class, by `seed` and the images' names alone.

    A class of n images gives ``round(n / 10)`` to validation and to test, at least 1 each where n >= 3;
    a class of fewer goes to training.
    """
    parts: tuple[list[int], list[int], list[int]] = ([], [], [])
    for label, name in enumerate(dataset.classes or ("",)):
        members = sorted(np.flatnonzero(dataset.y == label).tolist(), key=lambda index: dataset.ids[index])
        order = generator(seed, "split", name).permutation(members)
        held = max(1, round(len(members) * RANDOM_FRACTIONS[1])) if len(members) >= 3 else 0
        for part, chosen in zip(parts, (order[2 * held :], order[:held], order[held : 2 * held]), strict=True):
            part.extend(chosen.tolist())
    return _split(dataset, parts, {"kind": "random", "seed": int(seed), "fractions": list(RANDOM_FRACTIONS)})


def split_spatial(dataset: Dataset) -> Split:
    """By longitude, from west to east: 60 % training, 20 % validation, 20 % test.

    Neighbouring tiles look alike; this keeps them on one side, except at the two borders.

    Raises
    ------
    InputError
        A tile's longitude is unknown.
    """
    longitude = np.full(len(dataset), np.nan) if dataset.lonlat is None else dataset.lonlat[:, 0]
    unknown = np.flatnonzero(~np.isfinite(longitude))
    if len(unknown):
        example = dataset.ids[int(unknown[0])]
        raise InputError(
            f"the spatial split needs every tile's longitude; {len(unknown)} of {len(dataset)} have none "
            f"(such as {example})",
            remedy="tiles with a place (GeoTIFF tags, UTM or WGS 84), --split random, or name the tiles with "
            "--split-lists TRAIN.txt VAL.txt TEST.txt",
        )
    order = sorted(range(len(dataset)), key=lambda index: (float(longitude[index]), dataset.ids[index]))
    first = round(len(order) * SPATIAL_FRACTIONS[0])
    second = round(len(order) * (SPATIAL_FRACTIONS[0] + SPATIAL_FRACTIONS[1]))
    parts = (order[:first], order[first:second], order[second:])
    borders = [float(longitude[order[k]]) for k in (first, second) if k < len(order)]
    facts = {"kind": "spatial", "fractions": list(SPATIAL_FRACTIONS), "borders_longitude_deg": borders}
    return _split(dataset, parts, facts)


def split_folders(dataset: Dataset, seed: int = 0) -> Split:
    """By the folders ``train``, ``val`` and ``test`` that the images came in.

    Where there is no ``val``, a tenth of every class of ``train`` is taken for it, by `seed`; without ``test`` there
    is no test part.

    Raises
    ------
    InputError
        The images came in no such folders, or none is in ``train``.
    """
    rows: dict[str, list[int]] = {part: [] for part in PARTS}
    for index, part in enumerate(dataset.parts):
        rows[part].append(index)
    if not rows["train"]:
        raise InputError(
            "the data do not come in folders train, val and test",
            expected="train/<Class>/..., val/<Class>/..., test/<Class>/...",
            remedy="--split random, or --split-lists TRAIN.txt VAL.txt TEST.txt",
        )
    facts: dict[str, Any] = {"kind": "folders", "seed": int(seed)}
    if not rows["val"]:
        facts["val"] = "a tenth of every class of train"
        for label, name in enumerate(dataset.classes or ("",)):
            members = sorted((k for k in rows["train"] if dataset.y[k] == label), key=lambda k: dataset.ids[k])
            held = max(1, round(len(members) * RANDOM_FRACTIONS[1])) if len(members) >= 3 else 0
            rows["val"] += generator(seed, "split", name).permutation(members)[:held].tolist()
        held_out = set(rows["val"])
        rows["train"] = [k for k in rows["train"] if k not in held_out]
    return _split(dataset, tuple(rows[part] for part in PARTS), facts)


def split_all(dataset: Dataset) -> Split:
    """Everything is test: for evaluating a model on data that it never saw."""
    return _split(dataset, ([], [], range(len(dataset))), {"kind": "all"})


def split_lists(
    dataset: Dataset,
    train_file: str | os.PathLike[str],
    val_file: str | os.PathLike[str],
    test_file: str | os.PathLike[str] | None = None,
) -> Split:
    """By lists of file names, one a line or in a column of CSV, matched by the end of their paths without ending.

    ``PermanentCrop_1619.jpg`` is ``PermanentCrop_1619``, and ``River/12.png`` the tile ``River/12``.

    Names that are not in the data, and tiles that no list names, are left out and counted in the facts. With two
    lists there is no test part: the validation tiles choose the epoch, so a figure on them is not a test figure.

    Raises
    ------
    InputError
        A list cannot be read, names nothing in the data, or shares a name with another list.
    """
    files = {"train": train_file, "val": val_file}
    if test_file is not None:
        files["test"] = test_file
    where = places(dataset.ids)
    parts: dict[str, list[int]] = {"train": [], "val": [], "test": []}
    lists: dict[str, Any] = {}
    owner: dict[str, str] = {}
    for part, file in files.items():
        stems, digest = read_list(Path(file))
        shared = [stem for stem in stems if stem in owner]
        if shared:
            first = files[owner[shared[0]]]
            raise InputError(f"{len(shared)} names are in {first} and in {file}, such as {shared[0]}")
        owner.update(dict.fromkeys(stems, part))
        rows = (find(stem, where, dataset.ids, file) for stem in stems)
        parts[part] = [row for row in rows if row is not None]
        lists[part] = {"name": Path(file).name, "sha256": digest, "names": len(stems), "found": len(parts[part])}
        if not parts[part]:
            raise InputError(
                f"{file}: none of its {len(stems)} names is in the data",
                expected=f"a file name a line, such as {dataset.ids[0]}.tif",
            )
        if absent := len(stems) - len(parts[part]):
            say(f"{file}: {absent} of its {len(stems)} names are not in the data")
    return _listed(dataset, parts, lists)


def split_table(dataset: Dataset, file: str | os.PathLike[str]) -> Split:
    """By one CSV with a column of names and a column ``split`` that says train, val or test; see `split_lists`."""
    found, digest = read_parts(Path(file))
    where = places(dataset.ids)
    parts: dict[str, list[int]] = {}
    absent: list[str] = []
    for part in PARTS:
        rows = [(name, find(name, where, dataset.ids, file)) for name in found.get(part, ())]
        parts[part] = [row for _, row in rows if row is not None]
        absent += [name for name, row in rows if row is None]
    if not parts["train"]:
        raise InputError(f"{file}: none of its names of train is in the data", expected=f"such as {dataset.ids[0]}.tif")
    names = sum(map(len, found.values()))
    if absent:
        say(f"{file}: {len(absent)} of its {names} names are not in the data, such as {absent[0]}")
    return _listed(dataset, parts, {"table": {"name": Path(file).name, "sha256": digest, "names": names}})


def _listed(dataset: Dataset, parts: dict[str, list[int]], lists: dict[str, Any]) -> Split:
    """A split by lists: no image in two parts."""
    owner: dict[int, str] = {}
    for part, rows in parts.items():
        if shared := [row for row in rows if owner.get(row, part) != part]:
            raise InputError(f"{dataset.ids[shared[0]]} is in {owner[shared[0]]} and in {part}")
        owner.update(dict.fromkeys(rows, part))
    facts = {"kind": "lists", "lists": lists, "unlisted": len(dataset) - len(owner)}
    return _split(dataset, (parts["train"], parts["val"], parts["test"]), facts)


def split_again(
    dataset: Dataset, facts: dict[str, Any], lists: Sequence[str | os.PathLike[str]] | None = None
) -> Split:
    """The split that `facts` (of a `Split`, or of a model card) describes, on the same data.

    `lists` are the files of a ``lists`` split: only their names and hashes are in the facts.

    A card that says nothing (of a model of somebody else's) leaves it to the lists, or to the data's own folders.

    Raises
    ------
    InputError
        Other data, other or no lists, or facts that describe no split.
    """
    if not facts.get("kind"):
        return _split_of_data(dataset, lists)
    if facts.get("data_hash") not in (None, dataset.content_hash):
        raise InputError(
            f"the {facts.get('kind')} split was made on other data ({str(facts['data_hash'])[:12]}, here "
            f"{dataset.content_hash[:12]})",
            remedy="give the data that was trained on, or --split all for all tiles of other data",
        )
    if facts.get("kind") != "lists":
        return make_split(dataset, str(facts.get("kind")), int(facts.get("seed", 0)))
    kinds = ("table", *PARTS)
    wanted = [facts["lists"][part]["sha256"] for part in kinds if part in facts["lists"]]
    if [_digest(file) for file in lists or ()] != wanted:
        names = " ".join(entry["name"] for entry in facts["lists"].values())
        raise InputError("the lists of the split are missing or not the same", remedy=f"--split-lists {names}")
    return split_by(dataset, lists or ())


def _split_of_data(dataset: Dataset, lists: Sequence[str | os.PathLike[str]] | None) -> Split:
    """For a model that does not say how its data were divided: by lists, or by the data's own folders."""
    if lists:
        return split_by(dataset, lists)
    if dataset.parts:
        return split_folders(dataset, 0)
    raise InputError(
        "the model does not say how its data were divided, and these data are not in folders of train, val and test",
        remedy="--split-lists TRAIN VAL TEST (lists of names, or one CSV with a column split)",
    )


def _digest(file: str | os.PathLike[str]) -> str:
    """SHA-256 of a list, or what keeps it from being read."""
    try:
        return sha256_file(Path(file))
    except OSError as error:
        return f"unreadable: {error.strerror}"


def split_by(dataset: Dataset, lists: Sequence[str | os.PathLike[str]]) -> Split:
    """By the files of ``--split-lists``: TRAIN VAL [TEST], or one CSV with a column ``split``."""
    if len(lists) == 1 and Path(lists[0]).suffix.lower() in (".csv", ".tsv"):
        return split_table(dataset, lists[0])
    if len(lists) not in (2, 3):
        raise InputError(f"{len(lists)} lists of a split", expected="TRAIN VAL [TEST], or one CSV with a column split")
    return split_lists(dataset, *lists)


def _split(dataset: Dataset, parts: Any, facts: dict[str, Any]) -> Split:
    train, val, test = (_indices(part) for part in parts)
    counts = {"train": len(train), "val": len(val), "test": len(test)}
    return Split(train, val, test, {**facts, "counts": counts, "data_hash": dataset.content_hash})


def _indices(part: Any) -> NDArray[np.int64]:
    return np.sort(np.asarray(list(part), dtype=np.int64))
