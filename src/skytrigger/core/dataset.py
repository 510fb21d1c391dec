"""The dataset contract: what every trainer, evaluator and calibrator is given."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skytrigger.core.errors import InputError


@dataclass(frozen=True)
class Dataset:
    """Labelled images.

    Attributes
    ----------
    x
        (n, c, h, w) in the stored dtype: uint16 DN, uint8 RGB, float16 charges; often memory-mapped.
    y
        (n,) int64, index into `classes`.
    ids
        n unique names, e.g. the file stem ``River_12``.
    channels, classes
        Names of axis 1 of `x` and of the values of `y`.
    content_hash
        SHA-256 of everything above.
    units
        What `x` counts: ``DN``, ``rgb8``, ``ADC``.
    lonlat
        (n, 2) float64 degrees (NaN where unknown) or None.
    source
        Where it came from; ``{"kind": "synthetic", ...}`` is shown as synthetic in every report.
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

    def __post_init__(self) -> None:
        n = len(self.ids)
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
        if self.y.min() < 0 or self.y.max() >= len(self.classes):
            raise InputError(f"labels {self.y.min()}..{self.y.max()} outside 0..{len(self.classes) - 1}")

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
