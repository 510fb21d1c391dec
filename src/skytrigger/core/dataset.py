"""The dataset contract: what every trainer, evaluator and calibrator is given."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skytrigger.core.errors import InputError
from skytrigger.core.heads import CLASSES, ONLY, Head, heads_of

PARTS = ("train", "val", "test")
HELD = "held"  # of a source: all channels that its files have, where only some were loaded


@dataclass(frozen=True)
class Dataset:
    """Labelled images.

    Attributes
    ----------
    x
        (n, c, h, w) in the stored dtype: uint16 DN, uint8 RGB, float16 charges; often memory-mapped.
    y
        (n,) int64, index into `classes`; zeros where there are none.
    ids
        n unique names, e.g. the file stem ``River_12``.
    channels, classes
        Names of axis 1 of `x` and of the values of `y`: of the first head that has classes.
    content_hash
        SHA-256 of everything above.
    units
        What `x` counts: ``DN``, ``rgb8``, ``ADC``.
    lonlat
        (n, 2) float64 degrees (NaN where unknown) or None.
    parts
        ``train``, ``val`` or ``test`` of every image where the data come divided; else empty.
    source
        Where it came from; ``{"kind": "synthetic", ...}`` is shown as synthetic in every report.
    heads, targets
        What is to be answered, and for each head's name the truth: classes (n,) int64, values (n, k) float32 with NaN
        where there is none. By default one head ``logits`` of `classes`, whose targets are `y`. `labelled` makes
        datasets of several heads.
    """

    x: NDArray[Any]
    y: NDArray[np.int64]
    ids: tuple[str, ...]
    channels: tuple[str, ...]
    classes: tuple[str, ...]
    content_hash: str
    units: str = "DN"
    lonlat: NDArray[np.float64] | None = None
    source: dict[str, Any] = field(default_factory=dict)
    heads: tuple[Head, ...] = ()
    targets: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    parts: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        n = len(self.ids)
        if len(self.parts) not in (0, n):
            raise InputError(f"{len(self.parts)} parts for {n} images")
        heads, classes = heads_of(self.heads, self.classes)
        if [head.name for head in heads] == [ONLY] and heads[0].kind == CLASSES:
            targets, y = {ONLY: self.y}, self.y
        else:
            targets = {head.name: _checked(head, self.targets, n) for head in heads}
            y = next((targets[h.name] for h in heads if h.kind == CLASSES), np.zeros(n, np.int64))
        for name, value in (("heads", heads), ("classes", classes), ("targets", targets), ("y", y)):
            object.__setattr__(self, name, value)
        if self.x.ndim != 4 or len(self.x) != n or len(self.y) != n:
            raise InputError(
                f"dataset arrays disagree: x {self.x.shape}, y {self.y.shape}, {n} ids",
                expected="x (n, c, h, w), y (n,), n ids",
            )
        if n == 0:
            raise InputError("the dataset is empty", expected="at least one image")
        if self.x.shape[1] != len(self.channels):
            raise InputError(f"{self.x.shape[1]} channels in x, {len(self.channels)} names: {self.channels}")
        if len(set(self.ids)) != n:
            raise InputError("the dataset's ids are not unique")
        for head in self.heads:
            true = self.targets[head.name]
            if head.kind == CLASSES and (true.min() < 0 or true.max() >= len(head.names)):
                raise InputError(f"labels {true.min()}..{true.max()} outside 0..{len(head.names) - 1}")

    def __len__(self) -> int:
        return len(self.ids)

    def positions(self, channels: Sequence[str]) -> list[int]:
        """Places of `channels` on axis 1 of `x`; InputError where one is missing."""
        missing = [c for c in channels if c not in self.channels]
        if missing:
            raise InputError(f"channels {missing} are not in the data", expected=f"some of {', '.join(self.channels)}")
        return [self.channels.index(c) for c in channels]

    def select(self, channels: Sequence[str]) -> Dataset:
        """The same images with `channels` only, in that order, matched by name."""
        if tuple(channels) == self.channels:
            return self
        index = self.positions(channels)
        x = np.ascontiguousarray(self.x[:, index])
        return replace(self, x=x, channels=tuple(channels), content_hash=self.selection_hash(channels))

    def selection_hash(self, channels: Sequence[str]) -> str:
        """Content hash of `select(channels)`."""
        if tuple(channels) == self.channels:
            return self.content_hash
        return hashlib.sha256((self.content_hash + ",".join(channels)).encode()).hexdigest()


def labelled(
    x: NDArray[Any],
    targets: Mapping[str, NDArray[Any]],
    ids: Sequence[str],
    channels: Sequence[str],
    heads: Sequence[Head],
    *,
    units: str = "DN",
    source: dict[str, Any] | None = None,
) -> Dataset:
    """A dataset of several heads, or of values, with its content hash."""
    heads = tuple(heads)
    arrays = {head.name: _checked(head, targets, len(ids)) for head in heads}
    y = np.zeros(len(ids), np.int64)
    digest = hashlib.sha256(content_hash(x, y, ids, channels, [repr(head) for head in heads]).encode())
    for head in heads:
        digest.update(np.ascontiguousarray(arrays[head.name]).tobytes())
    return Dataset(x, y, tuple(ids), tuple(channels), (), digest.hexdigest(), units, source=dict(source or {}),
                   heads=heads, targets=arrays)  # fmt: skip


def _checked(head: Head, targets: Mapping[str, NDArray[Any]], n: int) -> NDArray[Any]:
    """The targets of `head` in their own type and shape."""
    if head.name not in targets:
        raise InputError(f"no targets for the head {head.name!r}", expected=", ".join(targets) or "targets")
    raw = np.asarray(targets[head.name])
    if head.kind == CLASSES:
        expected, good = f"({n},) whole numbers", raw.shape == (n,) and raw.dtype.kind in "iu"
        array = raw.astype(np.int64, copy=False) if good else raw
    else:
        array = raw.astype(np.float32, copy=False)
        array = array.reshape(n, 1) if array.shape == (n,) else array
        expected, good = f"({n}, {len(head.names)}) numbers", array.shape == (n, len(head.names))
        good = good and not np.isinf(array).any()
    if not good:
        raise InputError(f"targets of {head.name!r}: {raw.shape} {raw.dtype}", expected=expected)
    return array


def content_hash(
    x: NDArray[Any], y: NDArray[np.int64], ids: Sequence[str], channels: Sequence[str], classes: Sequence[str]
) -> str:
    """SHA-256 over the arrays (read in blocks, so memory maps stay on disk) and the names."""
    digest = hashlib.sha256()
    digest.update(repr((x.dtype.str, x.shape, list(ids), list(channels), list(classes))).encode())
    for start in range(0, len(x), 256):
        digest.update(np.ascontiguousarray(x[start : start + 256]).tobytes())
    digest.update(np.ascontiguousarray(y, dtype="<i8").tobytes())
    return digest.hexdigest()


@dataclass(frozen=True)
class Split:
    """Index arrays into one Dataset, and how they came about."""

    train: NDArray[np.int64]
    val: NDArray[np.int64]
    test: NDArray[np.int64]
    facts: dict[str, Any] = field(default_factory=dict)

    def part(self, name: str) -> NDArray[np.int64]:
        """Indices of ``train``, ``val``, ``test`` or ``all`` (their union, ascending)."""
        if name == "all":
            return np.unique(np.concatenate([self.train, self.val, self.test]))
        if name not in ("train", "val", "test"):
            raise InputError(f"no split part called {name!r}", expected="train, val, test or all")
        return {"train": self.train, "val": self.val, "test": self.test}[name]
