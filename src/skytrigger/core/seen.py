"""Which images a network has learned from: hashes of their names, kept in its card, so that leakage is found.

An image is known by its name. Of a tile that is its file's stem where that names the class (``River_12``), so that one
place is one image in every data set that was cut from it (EuroSAT's 13-band and RGB tiles); else class and stem
(``River/12``: file names often start anew in each class), and the part before them where the parts share such names
(``train/River/12``). Of anything else it is the name within its own file or simulation.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skytrigger.core.dataset import Dataset, Split
from skytrigger.core.errors import InputError

NOTE = "seen"  # of a card's notes
BITS = 40  # of each hash: 14,578 names and 5,400 others meet by chance once in 14,000 pairs of lists
FILE_LIMIT, SHARE = 2000, 8  # a model file keeps every name up to the limit, else one of eight, by hash
PARTS = ("train", "val")
EXAMPLES = 3
Hashes = NDArray[np.uint64]


def hashes_of(names: Sequence[str], origin: str) -> Hashes:
    """(n,) 40-bit hashes, in the order of `names`; an altered copy is its original."""
    stems = (re.sub(r"_copy_\d+$", "", name) for name in names)
    raw = (hashlib.sha256(f"{origin}/{stem}".encode()).digest()[: BITS // 8] for stem in stems)
    return np.array([int.from_bytes(one, "big") for one in raw], np.uint64)


def distinct(ids: Sequence[str]) -> list[str]:
    """Each id without its part's folder, where that alone does not tell two of them apart."""
    short = ["/".join(name.split("/")[-2:]) if name.count("/") > 1 else name for name in ids]
    if tuple(short) == tuple(ids):
        return short
    count = Counter(short)
    return [name if count[name] == 1 else full for name, full in zip(short, ids, strict=True)]


def origin_of(source: Mapping[str, Any]) -> str:
    """What names are unique in: nothing but themselves for tiles, the file or the simulation for anything else."""
    if source.get("kind") == "tiles":
        return ""
    kept = {k: v for k, v in source.items() if k not in ("copies", "original_hash")}
    return json.dumps(kept, sort_keys=True, default=str)


@dataclass(frozen=True)
class Seen:
    """Sorted hashes of the images of each part.

    Attributes
    ----------
    train, val
        Of the images whose answers were learned, and of those that chose epochs.
    share
        One of so many names is kept, by hash, of some of the networks: 1 means all.
    warnings
        What is not known or was allowed, in words.
    """

    train: Hashes
    val: Hashes
    share: int = 1
    warnings: tuple[str, ...] = field(default=())

    @staticmethod
    def of(dataset: Dataset, split: Split) -> Seen:
        """Training and validation images of a split."""
        names, origin = distinct(dataset.ids), origin_of(dataset.source)
        train, val = (np.unique(hashes_of([names[i] for i in split.part(p)], origin)) for p in PARTS)
        return Seen(train, val)

    def joined(self, other: Seen | None) -> Seen:
        """With what another network, that this one learned from, has seen."""
        if other is None:
            return self
        share = max(self.share, other.share)
        train, val = (np.union1d(getattr(self, p), getattr(other, p)) for p in PARTS)
        return Seen(train, val, share, tuple(dict.fromkeys((*self.warnings, *other.warnings))))

    def thinned(self) -> Seen:
        """As a model file keeps it."""
        if len(self.train) + len(self.val) <= FILE_LIMIT:
            return self
        return replace(self, train=_thin(self.train, SHARE), val=_thin(self.val, SHARE), share=SHARE)

    def among(self, dataset: Dataset, rows: NDArray[np.int64], part: str = "train") -> list[str]:
        """Names of the images `rows` that are in the list; of a thinned list about one of `share` of them."""
        known, origin, names = getattr(self, part), origin_of(dataset.source), distinct(dataset.ids)
        whole, short = ([ids[i] for i in rows] for ids in (dataset.ids, names))
        found = np.isin(hashes_of(whole, origin), known)
        if short != whole:
            found |= np.isin(hashes_of(short, origin), known)
        return [name for name, seen in zip(whole, found, strict=True) if seen]

    def note(self) -> dict[str, Any]:
        """For a card's notes."""
        lists = {p: base64.b64encode(_packed(getattr(self, p))).decode() for p in PARTS}
        return {**lists, "share": self.share, "warnings": list(self.warnings)}


def seen_of(notes: Mapping[str, Any], where: str) -> Seen | None:
    """The list in a card's notes; None where it has none (cards of before).

    Raises
    ------
    InputError
        Something else stands there.
    """
    note = notes.get(NOTE)
    if note is None:
        return None
    try:
        train, val = (_unpacked(base64.b64decode(note[p], validate=True)) for p in PARTS)
        return Seen(train, val, int(note["share"]), tuple(str(w) for w in note["warnings"]))
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"{where}: its list of training images cannot be read: {error}") from error


def _thin(hashes: Hashes, share: int) -> Hashes:
    kept: Hashes = hashes[hashes % np.uint64(share) == 0]
    return kept


def _packed(hashes: Hashes) -> bytes:
    return np.ascontiguousarray(hashes, ">u8").view(np.uint8).reshape(-1, 8)[:, 8 - BITS // 8 :].tobytes()


def _unpacked(raw: bytes) -> Hashes:
    if len(raw) % (BITS // 8):
        raise ValueError(f"{len(raw)} bytes")
    wide = np.zeros((len(raw) // (BITS // 8), 8), np.uint8)
    wide[:, 8 - BITS // 8 :] = np.frombuffer(raw, np.uint8).reshape(-1, BITS // 8)
    return wide.view(">u8").ravel().astype(np.uint64)
