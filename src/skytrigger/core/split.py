"""How a dataset is divided into training, validation and test."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skytrigger.core.dataset import Dataset, Split
from skytrigger.core.errors import InputError
from skytrigger.core.seeds import generator

RANDOM_FRACTIONS = (0.8, 0.1, 0.1)  # the origin's
SPATIAL_FRACTIONS = (0.6, 0.2, 0.2)  # TorchGeo's EuroSATSpatial
KINDS = ("random", "spatial", "all")
_LIST_LIMIT_BYTES = 1 << 26


def make_split(dataset: Dataset, kind: str, seed: int = 0) -> Split:
    """The split called `kind`: ``random``, ``spatial`` or ``all``."""
    if kind == "random":
        return split_random(dataset, seed)
    if kind == "spatial":
        return split_spatial(dataset)
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
            remedy="use the 13-band GeoTIFFs, or name the tiles with --split-lists TRAIN.txt VAL.txt TEST.txt",
        )
    order = sorted(range(len(dataset)), key=lambda index: (float(longitude[index]), dataset.ids[index]))
    first = round(len(order) * SPATIAL_FRACTIONS[0])
    second = round(len(order) * (SPATIAL_FRACTIONS[0] + SPATIAL_FRACTIONS[1]))
    parts = (order[:first], order[first:second], order[second:])
    borders = [float(longitude[order[k]]) for k in (first, second) if k < len(order)]
    facts = {"kind": "spatial", "fractions": list(SPATIAL_FRACTIONS), "borders_longitude_deg": borders}
    return _split(dataset, parts, facts)


def split_all(dataset: Dataset) -> Split:
    """Everything is test: for evaluating a model on data that it never saw."""
    return _split(dataset, ([], [], range(len(dataset))), {"kind": "all"})


def split_lists(
    dataset: Dataset,
    train_file: str | os.PathLike[str],
    val_file: str | os.PathLike[str],
    test_file: str | os.PathLike[str] | None = None,
) -> Split:
    """By lists of file names, one a line, matched by stem (``PermanentCrop_1619.jpg`` is ``PermanentCrop_1619``).

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
    index_of = {name: index for index, name in enumerate(dataset.ids)}
    parts: dict[str, list[int]] = {"train": [], "val": [], "test": []}
    lists: dict[str, Any] = {}
    owner: dict[str, str] = {}
    for part, file in files.items():
        stems, digest = _read_list(Path(file))
        shared = [stem for stem in stems if stem in owner]
        if shared:
            first = files[owner[shared[0]]]
            raise InputError(f"{len(shared)} names are in {first} and in {file}, such as {shared[0]}")
        owner.update(dict.fromkeys(stems, part))
        parts[part] = [index_of[stem] for stem in stems if stem in index_of]
        lists[part] = {"name": Path(file).name, "sha256": digest, "names": len(stems), "found": len(parts[part])}
        if not parts[part]:
            raise InputError(
                f"{file}: none of its {len(stems)} names is in the data",
                expected=f"a file name a line, such as {dataset.ids[0]}.tif",
            )
    unlisted = sum(name not in owner for name in dataset.ids)
    facts = {"kind": "lists", "lists": lists, "unlisted": unlisted}
    return _split(dataset, (parts["train"], parts["val"], parts["test"]), facts)


def split_again(
    dataset: Dataset, facts: dict[str, Any], lists: Sequence[str | os.PathLike[str]] | None = None
) -> Split:
    """The split that `facts` (of a `Split`, or of a model card) describes, on the same data.

    `lists` are the files of a ``lists`` split: only their names and hashes are in the facts.

    Raises
    ------
    InputError
        Other data, other or no lists, or facts that describe no split.
    """
    if facts.get("data_hash") not in (None, dataset.content_hash):
        raise InputError(
            f"the {facts.get('kind')} split was made on other data ({str(facts['data_hash'])[:12]}, here "
            f"{dataset.content_hash[:12]})",
            remedy="give the data that was trained on, or --split all for all tiles of other data",
        )
    if facts.get("kind") != "lists":
        return make_split(dataset, str(facts.get("kind")), int(facts.get("seed", 0)))
    wanted = [facts["lists"][part]["sha256"] for part in ("train", "val", "test") if part in facts["lists"]]
    if [_read_list(Path(file))[1] for file in lists or ()] != wanted:
        names = " ".join(entry["name"] for entry in facts["lists"].values())
        raise InputError("the lists of the split are missing or not the same", remedy=f"--split-lists {names}")
    return split_lists(dataset, *lists or ())


def _split(dataset: Dataset, parts: Any, facts: dict[str, Any]) -> Split:
    train, val, test = (_indices(part) for part in parts)
    counts = {"train": len(train), "val": len(val), "test": len(test)}
    return Split(train, val, test, {**facts, "counts": counts, "data_hash": dataset.content_hash})


def _indices(part: Any) -> NDArray[np.int64]:
    return np.sort(np.asarray(list(part), dtype=np.int64))


def _read_list(path: Path) -> tuple[list[str], str]:
    """Distinct stems in the file's order, and the file's SHA-256."""
    try:
        if path.stat().st_size > _LIST_LIMIT_BYTES:
            raise InputError(f"{path} has {path.stat().st_size} bytes", expected="a list of file names")
        content = path.read_bytes()
        text = content.decode("utf-8-sig")
    except OSError as error:
        raise InputError(f"cannot read the list {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not a text file: {error}", expected="a file name a line") from error
    lines = (line.strip().replace("\\", "/") for line in text.splitlines())
    stems = dict.fromkeys(PurePosixPath(line).stem for line in lines if line and not line.startswith("#"))
    return list(stems), hashlib.sha256(content).hexdigest()
